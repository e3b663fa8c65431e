from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tau2_gym.code import answers
from tau2_gym.code.answers import (
    KEPT,
    NO_PROGRAM,
    NO_VALUE,
    answer,
    given,
    program_in,
    ready,
    value_in,
)
from tau2_gym.code.database import Answer, Problem
from tau2_gym.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"So it is \boxed{42}.", "42"),
        (r"\boxed{1}, no: \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"\boxed {7}", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{3}}", r"\boxed{3}"),
        (r"\boxed{3", None),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\boxed{}", ""),
        (r"}}}\boxed{5}", "5"),
        ("Final answer: 12", "12"),
        ("**Final Answer:** 12.", "12"),
        ("The answer is 12", "12"),
        ("The answer is: $12$", "$12$"),
        ("answer: 1\nAnswer: 2", "2"),
        (r"Answer: 1, that is \boxed{2}", "2"),
        ("Answer:", None),
        ("My answer will be 12", None),
        ("Is there anything else I can help you with?", None),
        ("", None),
        ("12", None),
    ],
)
def test_the_value_of_a_text(text: str, value: str | None) -> None:
    assert value_in(text) == value


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("So:\n\n```py\nx = 1\n```\nDone.", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```python\nx\n```\n```python\ny\n```", "y\n"),
        ("```python\nx\n```\nIt prints\n```\n42\n```", "x\n"),
        ("```text\n42\n```", None),
        ("```python\nx = 1", None),
        ("```python\n\n```", None),
        ("x = 1", None),
        ("  ```Python\n  x = 1\n  ```", "  x = 1\n"),
        ("```python\ns = '```'\n```", "s = '```'\n"),
        ("```python3 title=a\nx\n```", "x\n"),
        (r"\boxed{42}", None),
    ],
)
def test_the_program_of_a_text(text: str, program: str | None) -> None:
    assert program_in(text) == program


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 4000,
        r"\boxed{" * 40000 + "}" * 40000,
        "```" + "a" * 32000 + "`",
        "```" + " " * 32000 + "`",
        "{" * 32000,
        "\\" * 32000,
        "```python\n" * 3000,
        "```\n" * 8000,
        "\n" * 32000,
        "answer " * 4000,
        "> * _ " * 5000,
        "the final answer is" + " " * 30000,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(60)
def test_no_text_takes_long_to_read(text: str) -> None:
    for _ in range(20):
        value_in(text)
        program_in(text)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ready()
    monkeypatch.setattr(answers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'tau2-gym\[code\]'"):
        ready()


def tools(**problem: Any) -> Any:
    found = Problem.model_validate(problem)
    return SimpleNamespace(db=SimpleNamespace(problem=found, answer=Answer()))


DOUBLING = {
    "kind": "program",
    "call": "solve",
    "tests": [{"stdin": "[1]", "stdout": "2"}, {"stdin": "[2]", "stdout": "5"}],
}


def test_an_answer_is_read_as_what_is_asked_for() -> None:
    value, program = tools(expected="42"), tools(**DOUBLING)
    code = "```python\nsolve = lambda n: 2 * n\n```"
    assert answer(value, code) == NO_VALUE
    assert answer(program, "\\boxed{42}") == NO_PROGRAM
    assert not value.db.answer.given
    assert not program.db.answer.given
    assert answer(value, "\\boxed{42}") is None
    assert answer(program, code) is None
    assert value.db.answer == Answer(given=True, text="42", passed=[True])
    assert program.db.answer.passed == [True, False]


def test_of_an_answer_only_the_beginning_is_kept() -> None:
    value = tools(expected="42")
    assert answer(value, "\\boxed{" + "1" * (KEPT + 1) + "}") is None
    assert value.db.answer == Answer(given=True, text="1" * KEPT, passed=[False])


def test_values_are_told_in_one_form_and_programs_not_at_all() -> None:
    value, program = tools(expected="42"), tools(**DOUBLING)
    for text, told in (("4{,}200", "4200"), ("2/4", "1/2"), ("x + 1", "x+1"), ("", "")):
        value.db.answer = Answer(given=True, text=text)
        assert given(value) == told
    program.db.answer = Answer(given=True, text="x = 1")
    assert given(program) is None


def test_a_sandbox_that_does_not_work_is_found_out_before_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused() -> None:
        raise ConfigError("it is full of water")

    monkeypatch.setattr(answers, "check_sandbox", refused)
    with pytest.raises(ConfigError, match="full of water"):
        ready()
