"""Reading the agent's answer out of what it says, and having it graded."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from tau2_gym.code.database import Answer
from tau2_gym.code.mathematics import is_right, plain
from tau2_gym.code.programs import passed
from tau2_gym.errors import ConfigError
from tau2_gym.sandbox.choice import check_sandbox

NO_VALUE = (
    "This is neither a call of the tool nor an answer. Call code_interpreter, or give the value that "
    "was asked for in \\boxed{...}."
)
NO_PROGRAM = (
    "This is neither a call of the tool nor an answer. Call code_interpreter, or give the whole "
    "program in a block that begins with ```python and ends with ```."
)
"""What the agent is told where its text holds no answer."""

KEPT = 2000
"""Characters of an answer that are kept."""

BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
SAID = re.compile(
    r"^[ \t>*_#]*(?:the\s+)?(?:final\s+)?answer[ \t]*(?:is\b[ \t]*:?|:)[ \t*_]*(.*)$", re.I | re.M
)
FENCE = re.compile(r"[ \t]*+```[ \t]*+(\w*+)[^`]*+")  # never tries a second way to read a line
PYTHON = ("python", "python3", "py")


def answer(tools: Any, text: str) -> str | None:
    """Read a text of the agent's. See `DomainSpec.answer`.

    Raises:
        InfrastructureError: the sandbox that grades it failed.
    """
    problem = tools.db.problem
    given = value_in(text) if problem.kind == "mathematics" else program_in(text)
    if given is None:
        return NO_VALUE if problem.kind == "mathematics" else NO_PROGRAM
    given = given.encode("utf-8", "replace").decode()  # a lone surrogate cannot be encoded
    verdict = (
        [is_right(given, problem.expected)]
        if problem.kind == "mathematics"
        else passed(given, problem)
    )
    tools.db.answer = Answer(given=True, text=given[:KEPT], passed=verdict)
    return None


def given(tools: Any) -> str | None:
    """What was answered. See `DomainSpec.given`."""
    if tools.db.problem.kind != "mathematics":
        return None
    number = plain(tools.db.answer.text)
    return "".join(tools.db.answer.text.split()) if number is None else str(number)


def value_in(text: str) -> str | None:
    """The value that a text answers with: what is in its last box, else what follows the last "answer:" at
    the beginning of a line; None if there is neither."""
    # Only the last is copied: boxes in boxes hold the same text again and again.
    for box in deque(_boxes(text), maxlen=1):
        return text[box].strip()
    said = [value for value in SAID.findall(text) if value.strip(" *_.")]
    return said[-1].strip().strip("*_").rstrip(".").strip() if said else None


def _boxes(text: str) -> Iterator[slice]:
    """Where the contents of a text's boxes are, braces paired; one that is not closed is none."""
    opened = list[int]()
    for found in BRACES.finditer(text):
        if found[0].endswith("{") and found[0] != "\\{":
            opened.append(found.end() if len(found[0]) > 1 else -1)
        elif found[0] == "}" and opened and (start := opened.pop()) >= 0:
            yield slice(start, found.start())


def program_in(text: str) -> str | None:
    """The program that a text answers with: its last block of Python, or its last one in no language."""
    found = list(_blocks(text))
    for languages in (PYTHON, ("",)):
        programs = [code for language, code in found if language in languages and code.strip()]
        if programs:
            return programs[-1]
    return None


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The language and the content of each block between fences that is closed."""
    language, lines = None, list[str]()
    for line in text.split("\n"):
        if language is None:
            fence = FENCE.fullmatch(line)
            language, lines = (fence[1].lower() if fence else None), []
        elif line.strip() == "```":
            yield language, "\n".join([*lines, ""])
            language = None
        else:
            lines.append(line)


def ready() -> None:
    """Check that problems can be solved and graded here.

    Raises:
        ConfigError: a package is missing, or the sandbox does not work.
    """
    if find_spec("math_verify") is None:
        raise ConfigError(
            "the domain code grades by math-verify, which is not installed: pip install "
            "'tau2-gym[code]'"
        )
    check_sandbox()
