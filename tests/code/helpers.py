"""What the tests of the domain `code` need: its tasks, sandboxes that do as they are told, other ways to
the answers."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from tau2_gym.code.database import Case, Problem
from tau2_gym.code.tasks import load_tasks, program_row, value_row
from tau2_gym.domains import TaskSource
from tau2_gym.errors import InfrastructureError
from tau2_gym.sandbox.base import Limits, Result

TASKS = "generated:seed=7,count=40,test=20,difficulty=1-2"
"""Small ones."""


def problem_of(row: Mapping[str, Any]) -> Problem:
    data = row["initial_state"]["initialization_data"]["agent_data"]["problem"]
    return Problem.model_validate(data)


def oracle_code(row: Mapping[str, Any]) -> str:
    (action,) = row["evaluation_criteria"]["actions"]
    return str(action["arguments"]["code"])


def oracle_program(row: Mapping[str, Any]) -> str:
    answer: str = row["evaluation_criteria"]["answer"]
    return answer.removeprefix("```python\n").removesuffix("\n```")


def printed(code: str, stdin: str = "") -> str:
    """What trusted code prints, run here."""
    out, before = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out):
            exec(code, {"__name__": "__main__"})
    finally:
        sys.stdin = before
    return out.getvalue()


def first(kind: str, tasks: str = TASKS) -> str:
    """The id of the first task of a kind."""
    found = load_tasks(tasks).rows
    return next(task for task, row in found.items() if problem_of(row).kind == kind)


def make(tasks: str = TASKS, **options: Any) -> Any:
    env = gym.make("tau2/code-v0", tasks=tasks, disable_env_checker=True, **options)
    return env.unwrapped


def block(code: str) -> str:
    return f"This is it:\n```python\n{code}\n```\n"


def call(code: str) -> str:
    asked = {"name": "code_interpreter", "arguments": {"code": code}}
    return f"<tool_call>\n{json.dumps(asked)}\n</tool_call>"


@dataclass
class Scripted:
    """A sandbox that says what it is told to, or fails."""

    result: Result = field(default_factory=lambda: Result("", "", 0))
    fails: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self, code: str, *, stdin: str = "", limits: Limits | None = None, echo: bool = False
    ) -> Result:
        self.asked.append({"code": code, "stdin": stdin, "limits": limits, "echo": echo})
        if self.fails:
            raise InfrastructureError("the sandbox is full of water")
        return self.result


def doubling(tests: int = 4) -> dict[str, Any]:
    """A task by hand: a function that doubles."""
    cases = [Case(stdin=json.dumps([n]), stdout=json.dumps(2 * n)) for n in range(3, 3 + tests)]
    return program_row(
        "double", "Double it.", cases, call="solve", program="solve = lambda n: 2 * n"
    )


def two_tasks(options: str) -> TaskSource:
    rows = {"six": value_row("six", "What is 2 * 3?", "6", "print(2 * 3)"), "double": doubling()}
    return TaskSource(rows, {"train": ["six"], "test": ["double"]}, "r1", "by hand")
