"""Rows of public data sets as problems: which column of which data set holds what."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tau2_gym.code.database import Case
from tau2_gym.code.mathematics import LONGEST
from tau2_gym.code.tasks import program_row, value_row

Row = Mapping[str, Any]

NO_ANSWER = ("", "proof", "notfound")
"""What data sets contain where an answer is missing."""


@dataclass(frozen=True, slots=True)
class Read:
    """A problem read from a row: either `expected` is its answer, or `tests` are what a program must pass.
    See `Problem`."""

    text: str
    expected: str = ""
    tests: tuple[Case, ...] = ()
    call: str = ""
    program: str | None = None

    @property
    def digest(self) -> str:
        """A hash of the problem's text. The same problem has the same digest in every data set."""
        return hashlib.sha256(" ".join(self.text.split()).encode("utf-8", "replace")).hexdigest()

    def row(self, task_id: str, most: int) -> dict[str, Any]:
        """The problem as a row of a task file.

        Args:
            task_id: its id.
            most: largest number of tests of a program; if there are more, evenly spaced ones are taken.
        """
        if not self.tests:
            return value_row(task_id, self.text, self.expected)
        count = min(most, len(self.tests))
        tests = [self.tests[number * len(self.tests) // count] for number in range(count)]
        return program_row(task_id, self.text, tests, call=self.call, program=self.program)


Reader = Callable[[Row], Read | None]
"""Reads a row; None if it is not a problem that can be graded."""


def value_reader(problem: str, answer: str) -> Reader:
    """A reader of problems whose answer is a value, in these columns."""

    def read(row: Row) -> Read | None:
        return _value(row.get(problem), row.get(answer))

    return read


def numina(row: Row) -> Read | None:
    """NuminaMath-1.5, without proofs, multiple choice, and problems that its makers marked as invalid."""
    if row.get("question_type") in ("proof", "MCQ"):
        return None
    if any(row.get(name, "Yes") != "Yes" for name in ("problem_is_valid", "solution_is_valid")):
        return None
    return _value(row.get("problem"), row.get("answer"))


def taco(row: Row) -> Read | None:
    """TACO: `input_output` is JSON of inputs and outputs, and the name of a function if one is called. Its
    solutions are not verified, so the oracle is given none."""
    starter = row.get("starter_code") or ""
    return _program(row.get("question"), _json(row.get("input_output")), starter)


def leetcode(row: Row) -> Read | None:
    """LeetCodeDataset: `input_output` is a list of calls such as `nums = [1, 2], target = 3`, and their
    results. Problems whose calls contain something other than JSON, such as trees, are left out."""
    starter, entry = row.get("starter_code") or "", row.get("entry_point") or ""
    tests = _calls(row.get("input_output"))
    text = _asked(row.get("problem_description"), starter)
    if not text or not entry or not tests:
        return None
    program = "\n".join(filter(None, (row.get("prompt"), row.get("completion")))) or None
    return Read(text, tests=tests, call=entry, program=program)


def trained(row: Row) -> Read | None:
    """The form of GRPO-TCR's data: messages in `prompt`, and what is expected in
    `reward_model.ground_truth`: a value, or inputs and outputs of a program, as such or in JSON."""
    prompt = row.get("prompt")
    if isinstance(prompt, list):
        said = [message for message in prompt if isinstance(message, dict)]
        asked = [
            message.get("content") or "" for message in said if message.get("role") != "system"
        ]
        prompt = "\n\n".join(asked)
    reward, extra = _json(row.get("reward_model")), _json(row.get("extra_info"))
    truth = reward.get("ground_truth") if isinstance(reward, dict) else None
    told = _json(truth) if isinstance(truth, str) and truth.lstrip()[:1] in "{[" else truth
    if isinstance(told, dict) and "inputs" in told:
        starter = extra.get("starter_code") if isinstance(extra, dict) else None
        return _program(prompt, told, starter or "")
    if isinstance(told, dict) and told.get("entry_point"):
        tests = _calls(told.get("input_output"))
        text = _asked(prompt, "")
        return Read(text, tests=tests, call=str(told["entry_point"])) if text and tests else None
    if "code" in str(row.get("data_source")).lower():
        return None
    return _value(prompt, truth)


def _value(problem: Any, answer: Any) -> Read | None:
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = repr(answer)
    if not isinstance(problem, str) or not problem.strip() or not isinstance(answer, str):
        return None
    answer = answer.strip()
    if answer.lower() in NO_ANSWER or len(answer) > LONGEST:
        return None
    return Read(problem.strip(), expected=answer)


def _program(question: Any, tests: Any, starter: str) -> Read | None:
    """A program that is run on inputs, or whose function is called with them."""
    text = _asked(question, starter)
    inputs, outputs = (
        tests.get(name) if isinstance(tests, dict) else None for name in ("inputs", "outputs")
    )
    if not text or not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs:
        return None
    if len(inputs) != len(outputs):
        return None
    name = tests.get("fn_name")
    if not name:
        cases = [
            Case(stdin=_lines(given), stdout=_lines(wanted))
            for given, wanted in zip(inputs, outputs, strict=True)
        ]
        return Read(text, tests=tuple(cases))
    if not isinstance(name, str) or not all(isinstance(given, list) for given in inputs):
        return None
    if all(isinstance(wanted, list) and len(wanted) == 1 for wanted in outputs):
        outputs = [wanted[0] for wanted in outputs]  # Results are wrapped, as arguments are.
    cases = [
        Case(stdin=json.dumps(given), stdout=json.dumps(wanted))
        for given, wanted in zip(inputs, outputs, strict=True)
    ]
    call = f"Solution().{name}" if "class Solution" in starter else name
    return Read(text, tests=tuple(cases), call=call)


def _asked(question: Any, starter: str) -> str:
    """The problem, with its starter code."""
    if not isinstance(question, str) or not question.strip():
        return ""
    text = question.strip()
    if not starter.strip() or starter.strip() in text:
        return text
    return (
        f"{text}\n\nBegin with this, and import what you need:\n```python\n{starter.rstrip()}\n```"
    )


def _lines(text: Any) -> str:
    """Input or output as text. Data sets may give it as a list of lines."""
    return "\n".join(map(str, text)) if isinstance(text, list) else str(text)


def _calls(given: Any) -> tuple[Case, ...]:
    """Calls of a function, those that can be expressed in JSON."""
    found = list[Case]()
    given = _literal(given) if isinstance(given, str) else given
    for test in given if isinstance(given, list) else ():
        try:
            made = ast.parse(f"f({test['input']})", mode="eval").body
            assert isinstance(made, ast.Call)
            values = [*made.args, *(word.value for word in made.keywords)]
            arguments = json.dumps([ast.literal_eval(value) for value in values], allow_nan=False)
            result = json.dumps(ast.literal_eval(str(test["output"]).strip()), allow_nan=False)
        except (
            AssertionError,
            KeyError,
            MemoryError,
            RecursionError,
            SyntaxError,
            TypeError,
            ValueError,
        ):
            continue
        found.append(Case(stdin=arguments, stdout=result))
    worth = any(
        test.stdout != "null" for test in found
    )  # A function that returns nothing shows nothing.
    return tuple(found) if worth else ()


def _json(value: Any) -> Any:
    """A value that may be written in JSON; None if it is a text that is not JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> Any:
    """A list in JSON or in Python; None if the text is neither."""
    found = _json(text)
    if found is not None:
        return found
    try:
        return ast.literal_eval(text)
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return None
