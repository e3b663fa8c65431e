"""What a kind of problem is: a dataclass whose fields are what varies from one problem to the next.

The expected answer is computed in one way here, and `code` finds it in another: a formula or a
recurrence against trying all there is. The tests hold one against the other, over thousands of problems.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from random import Random
from typing import Any, ClassVar, Self

from tau2_gym.code.database import Case
from tau2_gym.code.tasks import program_row, value_row

VERSION = 1
"""Of the generator. To be raised whenever a problem, its answer or its tests change."""

LEVELS = range(1, 6)
"""Of difficulty."""

TEST_SHARE = 1 / 4
"""Of all problems there are."""

CASES = 10
"""Tests of a program."""


class Kind(ABC):
    """A problem. Subclasses are frozen dataclasses."""

    @classmethod
    @abstractmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """One of a level."""

    @abstractmethod
    def row(self, task_id: str, digest: str) -> dict[str, Any]:
        """It as a task. `digest` decides what is drawn for its tests."""


class Value(Kind):
    """A problem whose answer is a number."""

    @abstractmethod
    def text(self) -> str:
        """What is asked."""

    @abstractmethod
    def answer(self) -> int | Fraction:
        """The answer."""

    @abstractmethod
    def code(self) -> str:
        """Python that prints it, found in another way."""

    def row(self, task_id: str, digest: str) -> dict[str, Any]:
        """See `Kind.row`."""
        return value_row(task_id, self.text(), written(self.answer()), self.code())


class Program(Kind):
    """A problem whose answer is a program: a function that tests call by its `name`, or, if that is empty,
    a program that reads and writes."""

    name: ClassVar[str] = "solve"

    @abstractmethod
    def text(self) -> str:
        """What is asked, without examples."""

    @abstractmethod
    def inputs(self, chance: Random) -> list[Any]:
        """Arguments of one test, or the text to read in a list."""

    @abstractmethod
    def result(self, *arguments: Any) -> Any:
        """What is expected for these: a value of JSON, or the text to write."""

    @abstractmethod
    def program(self) -> str:
        """A program that does it, in another way."""

    def cases(self, digest: str) -> list[Case]:
        """The tests."""
        chance = Random(digest)
        return [self._case(self.inputs(chance)) for _ in range(CASES)]

    def _case(self, arguments: Sequence[Any]) -> Case:
        result = self.result(*arguments)
        if not self.name:
            return Case(stdin=arguments[0], stdout=result)
        return Case(stdin=json.dumps(list(arguments)), stdout=json.dumps(result))

    def row(self, task_id: str, digest: str) -> dict[str, Any]:
        """See `Kind.row`."""
        # The examples in the text are not among the tests.
        chance = Random(f"{digest}/examples")
        shown = [self._case(self.inputs(chance)) for _ in range(2)]
        tried = self.program()
        if self.name:
            calls = (f"print({self.name}(*{json.loads(case.stdin)!r}))" for case in shown)
            tried = "\n".join([tried.strip(), "", *calls])
        else:
            tried = f"import io, sys\nsys.stdin = io.StringIO({shown[0].stdin!r})\n{tried.strip()}"
        return program_row(
            task_id,
            "\n\n".join([self.text(), *map(self._example, shown)]),
            self.cases(digest),
            call=self.name,
            program=self.program(),
            tried=tried,
        )

    def _example(self, case: Case) -> str:
        if not self.name:
            return f"For the input\n{case.stdin.rstrip()}\nit prints\n{case.stdout.rstrip()}"
        arguments = ", ".join(map(repr, json.loads(case.stdin)))
        return f"Example: {self.name}({arguments}) returns {json.loads(case.stdout)!r}"


def written(number: int | Fraction) -> str:
    """A number as an answer."""
    if isinstance(number, int) or number.denominator == 1:
        return str(int(number))
    sign = "-" if number < 0 else ""
    return f"{sign}\\frac{{{abs(number.numerator)}}}{{{number.denominator}}}"


@dataclass(frozen=True)
class Drawn:
    """A problem with its level."""

    problem: Kind
    level: int

    @cached_property
    def digest(self) -> str:
        """A hash of what it asks."""
        said = [type(self.problem).__name__, asdict(self.problem)]  # type: ignore[call-overload]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def id(self) -> str:
        """Its kind, its level and what it asks."""
        return f"{type(self.problem).__name__.lower()}-{self.level}-{self.digest[:12]}"

    @property
    def split(self) -> str:
        """The split that it belongs to, whatever draws it."""
        # Not the digits that are in the id: one does not tell the other.
        return "test" if int(self.digest[-8:], 16) < TEST_SHARE * 2**32 else "train"

    def row(self, task_id: str) -> dict[str, Any]:
        """It as a task."""
        return self.problem.row(task_id, self.digest)
