"""The database of a problem. Tools see it; agents see only what tools return."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Case(BaseModel):
    """One test of a program: its input and its expected output.

    Where a function is called, `stdin` is the list of its arguments in JSON, and `stdout` the result in
    JSON.
    """

    stdin: str
    stdout: str


class Problem(BaseModel):
    """The problem, as the grader needs it.

    Attributes:
        kind: whether a value or a program is the answer.
        expected: the value, as a number or in LaTeX.
        call: the function of the program that tests call, or an expression that gives it; empty if the
            program itself reads and writes.
        tests: of the program, hidden from it.
        seconds: time limit of one test.
    """

    kind: Literal["mathematics", "program"] = "mathematics"
    expected: str = ""
    call: str = ""
    tests: list[Case] = []
    seconds: float = 5.0


class Answer(BaseModel):
    """What the agent answered.

    Attributes:
        given: whether it has answered.
        text: the value, or the beginning of the program.
        passed: whether it is right; of a program, for each test whether it passes.
    """

    given: bool = False
    text: str = ""
    passed: list[bool] = []


class Example(BaseModel):
    """Something to try the interpreter with."""

    code: str


class CodeDB(BaseModel):
    """The database."""

    problem: Problem
    answer: Answer
    examples: list[Example]


class Kernel(BaseModel):
    """The interpreter of an episode.

    Attributes:
        cells: the code that it has run since it was started, from which all its state follows.
    """

    cells: list[str] = []


class KernelDB(CodeDB):
    """The database where the interpreter keeps its state between calls."""

    kernel: Kernel = Kernel()
