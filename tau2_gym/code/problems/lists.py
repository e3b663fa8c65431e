"""Functions of lists of numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Self

from tau2_gym.code.problems.base import Program

Numbers = list[int]


def numbers(chance: Random, low: int = 0, high: int = 12, most: int = 50) -> Numbers:
    """A list of so many integers."""
    return [chance.randint(-most, most) for _ in range(chance.randint(low, high))]


@dataclass(frozen=True)
class Step:
    """What can be done with a list.

    Attributes:
        told: in words; `{k}` is a number.
        code: as an expression of the list `a`.
        done: the same, in another way.
    """

    told: str
    code: str
    done: Callable[[Numbers, int], Numbers]


def _unlike(a: Numbers) -> Numbers:
    kept = Numbers()
    for x in a:
        if x not in kept:
            kept.append(x)
    return kept


def _running(a: Numbers) -> Numbers:
    return [sum(a[: i + 1]) for i in range(len(a))]


def _inserted(a: Numbers) -> Numbers:
    """Sorted by insertion."""
    found = Numbers()
    for x in a:
        at = len([y for y in found if y <= x])
        found.insert(at, x)
    return found


STEPS = (
    Step("keep only the numbers that are divisible by {k}", "[x for x in a if x % {k} == 0]",
         lambda a, k: list(filter(lambda x: not x % k, a))),
    Step("leave out the numbers that are divisible by {k}", "[x for x in a if x % {k} != 0]",
         lambda a, k: list(filter(lambda x: x % k, a))),
    Step("multiply each number by {k}", "[x * {k} for x in a]",
         lambda a, k: [sum([x] * k) for x in a]),
    Step("add {k} to each number", "[x + {k} for x in a]", lambda a, k: [k - -x for x in a]),
    Step("replace each number by its remainder when it is divided by {k} (0 to {k} - 1)",
         "[x % {k} for x in a]", lambda a, k: [x - k * (x // k) for x in a]),
    Step("keep only the numbers that are greater than {k}", "[x for x in a if x > {k}]",
         lambda a, k: [x for x in a if max(x, k) != k]),
    Step("put them into ascending order", "sorted(a)", lambda a, k: _inserted(a)),
    Step("put them into descending order", "sorted(a, reverse=True)",
         lambda a, k: _inserted(a)[::-1]),
    Step("keep the first {k} (all of them if there are fewer)", "a[:{k}]",
         lambda a, k: [x for i, x in enumerate(a) if i < k]),
    Step("leave out the first {k} (all of them if there are fewer)", "a[{k}:]",
         lambda a, k: [x for i, x in enumerate(a) if i >= k]),
    Step("reverse their order", "a[::-1]", lambda a, k: list(reversed(a))),
    Step("leave out each number that occurs earlier in the list", "list(dict.fromkeys(a))",
         lambda a, k: _unlike(a)),
    Step("replace each number by the sum of all numbers up to and including it",
         "list(itertools.accumulate(a))", lambda a, k: _running(a)),
    Step("replace the list by the differences of neighbours, each number minus the one before it",
         "[y - x for x, y in zip(a, a[1:])]",
         lambda a, k: [a[i + 1] - a[i] for i in range(len(a) - 1)]),
    Step("square each number", "[x * x for x in a]", lambda a, k: [abs(x) ** 2 for x in a]),
)  # fmt: skip

ENDS = (
    ("the resulting list", "a", lambda a: a),
    ("the sum of the numbers (0 if there are none)", "sum(a)", lambda a: sum(a, start=0)),
    ("how many numbers are left", "len(a)", lambda a: sum(1 for _ in a)),
    (
        "the largest number (0 if there are none)",
        "max(a, default=0)",
        lambda a: _inserted(a)[-1] if a else 0,
    ),
)
"""What is returned: in words, as an expression, and in another way."""


@dataclass(frozen=True)
class ListSteps(Program):
    """Steps, one after the other."""

    steps: tuple[tuple[int, int], ...]
    end: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        chosen = chance.sample(range(len(STEPS)), level + 1)
        return cls(
            tuple((step, chance.randint(2, 9)) for step in chosen), chance.randrange(len(ENDS))
        )

    def text(self) -> str:
        """See `Program.text`."""
        told = "\n".join(
            f"{n}. {STEPS[step].told.format(k=k)}." for n, (step, k) in enumerate(self.steps, 1)
        )
        return (
            "Write a Python function solve(a) that takes a list of integers, does the following with it, "
            f"in this order, and returns {ENDS[self.end][0]}:\n{told}"
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        return [numbers(chance, 0, 14)]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (a,) = arguments
        for step, k in self.steps:
            a = STEPS[step].done(a, k)
        return ENDS[self.end][2](a)

    def program(self) -> str:
        """See `Program.program`."""
        body = "".join(f"    a = {STEPS[step].code.format(k=k)}\n" for step, k in self.steps)
        return f"import itertools\n\ndef solve(a):\n{body}    return {ENDS[self.end][1]}\n"


@dataclass(frozen=True)
class Window(Program):
    """The best stretch of a fixed length."""

    size: int
    least: bool
    step: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        return cls(chance.randint(2, 3 + level), chance.random() < 0.5, chance.randint(1, level))

    def text(self) -> str:
        """See `Program.text`."""
        which = "smallest" if self.least else "largest"
        apart = "" if self.step == 1 else f", each {self.step} places after the one before,"
        return (
            "Write a Python function solve(a) that takes a list of integers and returns the "
            f"{which} sum of {self.size} of them that stand "
            f"{'next to each other' if not apart else 'in the list' + apart} "
            "or None if the list is too short for that."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        return [numbers(chance, 0, 4 * self.size + self.step)]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (a,) = arguments
        best: int | None = None
        for start in range(len(a)):
            taken = a[start :: self.step][: self.size]
            if len(taken) == self.size:
                total = sum(taken)
                better = best is None or (total < best if self.least else total > best)
                best = total if better else best
        return best

    def program(self) -> str:
        """See `Program.program`."""
        reach = (self.size - 1) * self.step
        return (
            f"def solve(a):\n    sums = [sum(a[i + j * {self.step}] for j in range({self.size})) "
            f"for i in range(len(a) - {reach})]\n"
            f"    return {'min' if self.least else 'max'}(sums) if sums else None\n"
        )


@dataclass(frozen=True)
class Pairs(Program):
    """Pairs with a property."""

    modulus: int
    rest: int
    difference: bool

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        modulus = chance.randint(2, 5 + 5 * level)
        return cls(modulus, chance.randrange(modulus), level > 2 and chance.random() < 0.5)

    def text(self) -> str:
        """See `Program.text`."""
        what = "a[j] - a[i]" if self.difference else "a[i] + a[j]"
        return (
            "Write a Python function solve(a) that takes a list of integers and returns the number of "
            f"pairs of positions i < j for which {what} leaves remainder {self.rest} when divided by "
            f"{self.modulus} (remainders are never negative)."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        return [numbers(chance, 0, 25)]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (a,) = arguments
        sign = -1 if self.difference else 1
        return sum(
            (a[j] + sign * a[i]) % self.modulus == self.rest
            for j in range(len(a))
            for i in range(j)
        )

    def program(self) -> str:
        """See `Program.program`."""
        wanted = f"x - {self.rest}" if self.difference else f"{self.rest} - x"
        return (
            "from collections import Counter\n\ndef solve(a):\n    seen, count = Counter(), 0\n"
            f"    for x in a:\n        count += seen[({wanted}) % {self.modulus}]\n"
            f"        seen[x % {self.modulus}] += 1\n    return count\n"
        )


@dataclass(frozen=True)
class Covered(Program):
    """Intervals, joined."""

    gap: int
    length: bool

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        return cls(chance.randint(0, 4 + 4 * level), chance.random() < 0.5)

    def text(self) -> str:
        """See `Program.text`."""
        result = (
            "the number of integers that the joined intervals hold"
            if self.length
            else "the joined intervals in ascending order, as lists [start, end]"
        )
        return (
            "Write a Python function solve(intervals) that takes a list of intervals of integers "
            "[start, end], both ends included, start <= end. Intervals that overlap, and intervals with "
            f"at most {self.gap} integers between them, are joined to one that reaches from the "
            f"smallest start to the largest end, until no more can be joined. It returns {result}."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        starts = [chance.randint(-60, 60) for _ in range(chance.randint(0, 8))]
        return [[[start, start + chance.randint(0, 12)] for start in starts]]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (intervals,) = arguments
        held = {n for start, end in intervals for n in range(start, end + 1)}
        joined = list[list[int]]()
        last: int | None = None
        for n in sorted(held):
            if last is not None and n - last - 1 <= self.gap:
                joined[-1][1] = n
            else:
                joined.append([n, n])
            last = n
        return sum(end - start + 1 for start, end in joined) if self.length else joined

    def program(self) -> str:
        """See `Program.program`."""
        result = "sum(end - start + 1 for start, end in joined)" if self.length else "joined"
        return (
            "def solve(intervals):\n    joined = []\n    for start, end in sorted(intervals):\n"
            f"        if joined and start - joined[-1][1] - 1 <= {self.gap}:\n"
            "            joined[-1][1] = max(joined[-1][1], end)\n        else:\n"
            f"            joined.append([start, end])\n    return {result}\n"
        )


@dataclass(frozen=True)
class FewestCoins(Program):
    """The fewest coins for an amount."""

    coins: tuple[int, ...]

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        return cls(tuple(sorted(chance.sample(range(2, 6 + 5 * level), min(1 + level, 4)))))

    def text(self) -> str:
        """See `Program.text`."""
        return (
            "Write a Python function solve(amount) that returns the smallest number of coins of "
            f"{', '.join(map(str, self.coins))} that make up the amount exactly, or -1 if none do. "
            "There are enough of each, and an amount of 0 takes no coin."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        return [chance.randint(0, 150)]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (amount,) = arguments
        reached, count = {0}, 0
        while amount not in reached:
            grown = reached | {
                total + coin for total in reached for coin in self.coins if total + coin <= amount
            }
            if grown == reached:
                return -1
            reached, count = grown, count + 1
        return count

    def program(self) -> str:
        """See `Program.program`."""
        return (
            f"def solve(amount):\n    fewest = [0] + [None] * amount\n"
            f"    for total in range(1, amount + 1):\n        known = [fewest[total - c] for c in {self.coins} "
            "if c <= total and fewest[total - c] is not None]\n"
            "        fewest[total] = min(known) + 1 if known else None\n"
            "    return -1 if fewest[amount] is None else fewest[amount]\n"
        )


@dataclass(frozen=True)
class Circle(Program):
    """Who is left of a circle."""

    step: int
    left: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        return cls(chance.randint(2, 6 + 6 * level), chance.randint(1, min(level, 3)))

    def text(self) -> str:
        """See `Program.text`."""
        return (
            f"Write a Python function solve(n). The numbers 1 to n stand in a circle. Counting begins "
            f"with 1, and each number that is counted as the {self.step}th leaves; counting goes on "
            "with the one after it, from one again. The function returns the numbers of "
            f"those who are left when {self.left} remain, in ascending order; n is at least {self.left}."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        return [chance.randint(self.left, 60)]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (n,) = arguments
        circle = deque(range(1, n + 1))
        while len(circle) > self.left:
            circle.rotate(-(self.step - 1))
            circle.popleft()
        return sorted(circle)

    def program(self) -> str:
        """See `Program.program`."""
        return (
            f"def solve(n):\n    circle, at = list(range(1, n + 1)), 0\n"
            f"    while len(circle) > {self.left}:\n        at = (at + {self.step} - 1) % len(circle)\n"
            "        del circle[at]\n    return sorted(circle)\n"
        )


@dataclass(frozen=True)
class Grid(Program):
    """A table of numbers, read in some order."""

    turns: int
    columns: bool
    snake: bool
    every: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        return cls(
            chance.randrange(4) if level > 1 else 0,
            chance.random() < 0.5,
            level > 2 and chance.random() < 0.7,
            chance.randint(1, 1 + level),
        )

    def text(self) -> str:
        """See `Program.text`."""
        turned = (
            f" First it turns the table by {90 * self.turns} degrees clockwise."
            if self.turns
            else ""
        )
        lines = "column by column, from left to right, each" if self.columns else "row by row, each"
        way = "from the top down" if self.columns else "from left to right"
        snake = " (every second one in the opposite direction)" if self.snake else ""
        every = (
            ""
            if self.every == 1
            else f", and keeps the first number and every {self.every}th after it"
        )
        return (
            "Write a Python function solve(table) that takes a table of integers, a list of rows of the "
            f"same length, at least one in each.{turned} Then it reads the numbers {lines} {way}{snake}"
            f"{every}. It returns the list of these numbers."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        width, height = chance.randint(1, 5), chance.randint(1, 5)
        return [[[chance.randint(0, 99) for _ in range(width)] for _ in range(height)]]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (table,) = arguments
        for _ in range(self.turns):
            table = [list(row) for row in zip(*table[::-1], strict=True)]
        lines = [list(row) for row in zip(*table, strict=True)] if self.columns else table
        read = [
            number
            for place, line in enumerate(lines)
            for number in (line[::-1] if self.snake and place % 2 else line)
        ]
        return read[:: self.every]

    def program(self) -> str:
        """See `Program.program`."""
        outer, inner = ("width", "height") if self.columns else ("height", "width")
        cell = "table[j][i]" if self.columns else "table[i][j]"
        way = "range(n)" if not self.snake else "(range(n) if i % 2 == 0 else range(n - 1, -1, -1))"
        return (
            f"def solve(table):\n    for _ in range({self.turns}):\n"
            "        rows, columns = len(table), len(table[0])\n"
            "        table = [[table[rows - 1 - j][i] for j in range(rows)] for i in range(columns)]\n"
            "    height, width = len(table), len(table[0])\n    read = []\n"
            f"    for i in range({outer}):\n        n = {inner}\n        for j in {way}:\n"
            f"            read.append({cell})\n"
            f"    return [number for k, number in enumerate(read) if k % {self.every} == 0]\n"
        )


LISTS = (ListSteps, Window, Pairs, Covered, FewestCoins, Circle, Grid)
