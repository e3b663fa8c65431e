"""How many there are: questions that a program can answer by trying them all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random
from typing import Self

from tau2_gym.code.problems.base import Value


@dataclass(frozen=True)
class Subsets(Value):
    """Subsets whose sum is divisible."""

    size: int
    modulus: int
    rest: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        modulus = chance.randint(2, 4 + 2 * level)
        return cls(chance.randint(3, 5 + 2 * level), modulus, chance.randrange(modulus))

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"How many subsets of {{1, 2, ..., {self.size}}}, the empty one included, have a sum of "
            f"elements that leaves remainder {self.rest} when divided by {self.modulus}?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        ways = [1] + [0] * (self.modulus - 1)
        for number in range(1, self.size + 1):
            ways = [ways[r] + ways[(r - number) % self.modulus] for r in range(self.modulus)]
        return ways[self.rest]

    def code(self) -> str:
        """See `Value.code`."""
        return (
            f"n = {self.size}\ncount = 0\nfor mask in range(2 ** n):\n"
            "    total = sum(i + 1 for i in range(n) if mask >> i & 1)\n"
            f"    count += total % {self.modulus} == {self.rest}\nprint(count)"
        )


@dataclass(frozen=True)
class Paths(Value):
    """Ways through a grid around blocked cells."""

    width: int
    height: int
    blocked: tuple[tuple[int, int], ...]

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        width, height = (chance.randint(2 + level, 3 + 2 * level) for _ in range(2))
        cells = [(x, y) for x in range(width) for y in range(height)][1:-1]
        return cls(width, height, tuple(sorted(chance.sample(cells, chance.randint(1, level)))))

    def text(self) -> str:
        """See `Value.text`."""
        blocked = ", ".join(map(str, self.blocked))
        return (
            f"A grid has the points (x, y) with 0 <= x < {self.width} and 0 <= y < {self.height}. In "
            "how many ways can one walk from (0, 0) to "
            f"({self.width - 1}, {self.height - 1}) if every step goes from (x, y) to (x + 1, y) or to "
            f"(x, y + 1), and these points must not be used: {blocked}?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        row = [0] * self.width
        for y in range(self.height):
            for x in range(self.width):
                before = row[x - 1] if x else 0
                row[x] = 0 if (x, y) in self.blocked else row[x] + before or int(x == y == 0)
        return row[-1]

    def code(self) -> str:
        """See `Value.code`."""
        return (
            "from functools import cache\n"
            f"width, height, blocked = {self.width}, {self.height}, {set(self.blocked)}\n\n"
            "@cache\ndef ways(x, y):\n"
            "    if x >= width or y >= height or (x, y) in blocked:\n        return 0\n"
            "    if (x, y) == (width - 1, height - 1):\n        return 1\n"
            "    return ways(x + 1, y) + ways(x, y + 1)\n\nprint(ways(0, 0))"
        )


@dataclass(frozen=True)
class Seatings(Value):
    """Orders in which some must not be in some places."""

    size: int
    forbidden: tuple[tuple[int, int], ...]

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        size = chance.randint(3, 3 + level)
        cells = [(i, j) for i in range(1, size + 1) for j in range(1, size + 1)]
        count = chance.randint(1, min(size + level, size * size // 2))
        return cls(size, tuple(sorted(chance.sample(cells, count))))

    def text(self) -> str:
        """See `Value.text`."""
        told = "; ".join(f"person {person} not on seat {seat}" for person, seat in self.forbidden)
        return (
            f"The persons 1 to {self.size} sit down on the seats 1 to {self.size}, one on each. In how "
            f"many ways can they do so if {told}?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        forbidden = frozenset(self.forbidden)

        @cache
        def ways(person: int, taken: int) -> int:
            if person > self.size:
                return 1
            return sum(
                ways(person + 1, taken | 1 << seat)
                for seat in range(1, self.size + 1)
                if not taken >> seat & 1 and (person, seat) not in forbidden
            )

        return ways(1, 0)

    def code(self) -> str:
        """See `Value.code`."""
        return (
            "from itertools import permutations\n"
            f"forbidden = {set(self.forbidden)}\ncount = 0\n"
            f"for seats in permutations(range(1, {self.size} + 1)):\n"
            "    count += all(pair not in forbidden for pair in enumerate(seats, 1))\nprint(count)"
        )


@dataclass(frozen=True)
class Strings(Value):
    """Strings of two letters without a pattern."""

    length: int
    pattern: str

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        pattern = "".join(chance.choice("AB") for _ in range(chance.randint(2, 2 + level)))
        return cls(chance.randint(4, 6 + 2 * level), pattern)

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"How many strings of {self.length} letters, each A or B, do not contain {self.pattern!r} "
            "as consecutive letters?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        # By the longest end of the string that the pattern begins with.
        pattern = self.pattern
        ways = [1] + [0] * (len(pattern) - 1)
        for _ in range(self.length):
            new = [0] * len(pattern)
            for matched, count in enumerate(ways):
                for letter in "AB":
                    end = pattern[:matched] + letter
                    while not pattern.startswith(end):
                        end = end[1:]
                    if len(end) < len(pattern):
                        new[len(end)] += count
            ways = new
        return sum(ways)

    def code(self) -> str:
        """See `Value.code`."""
        return (
            "from itertools import product\n"
            f"print(sum({self.pattern!r} not in ''.join(letters) "
            f"for letters in product('AB', repeat={self.length})))"
        )


@dataclass(frozen=True)
class Partitions(Value):
    """Ways to write a number as a sum."""

    number: int
    most: int
    distinct: bool

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        number = chance.randint(5 * level, 12 * level)
        return cls(number, chance.randint(2, number), chance.random() < 0.5)

    def text(self) -> str:
        """See `Value.text`."""
        kind = "different positive integers" if self.distinct else "positive integers"
        return (
            f"In how many ways can {self.number} be written as a sum of {kind} that are at most "
            f"{self.most}, if the order of the terms does not matter?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        ways = [1] + [0] * self.number
        for part in range(1, self.most + 1):
            totals = range(part, self.number + 1)
            for total in reversed(totals) if self.distinct else totals:
                ways[total] += ways[total - part]
        return ways[-1]

    def code(self) -> str:
        """See `Value.code`."""
        step = 1 if self.distinct else 0
        return (
            "from functools import cache\n\n@cache\ndef ways(total, most):\n"
            "    if total == 0:\n        return 1\n"
            f"    return sum(ways(total - part, part - {step}) "
            "for part in range(1, min(total, most) + 1))\n\n"
            f"print(ways({self.number}, {self.most}))"
        )


@dataclass(frozen=True)
class Change(Value):
    """Ways to pay an amount."""

    coins: tuple[int, ...]
    amount: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        coins = tuple(sorted(chance.sample(range(1, 6 + 4 * level), min(2 + level // 2, 4))))
        return cls(coins, chance.randint(8, 20 * level))

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"In how many ways can an amount of {self.amount} be paid with coins of "
            f"{', '.join(map(str, self.coins))}, if there are enough of each and their order does not "
            "matter?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        ways = [1] + [0] * self.amount
        for coin in self.coins:
            for total in range(coin, self.amount + 1):
                ways[total] += ways[total - coin]
        return ways[-1]

    def code(self) -> str:
        """See `Value.code`."""
        return (
            f"from itertools import product\ncoins, amount = {self.coins}, {self.amount}\n"
            "ranges = [range(amount // coin + 1) for coin in coins[1:]]\ncount = 0\n"
            "for times in product(*ranges):\n"
            "    left = amount - sum(a * b for a, b in zip(times, coins[1:]))\n"
            "    count += left >= 0 and left % coins[0] == 0\nprint(count)"
        )


@dataclass(frozen=True)
class Dice(Value):
    """The probability of a total."""

    count: int
    sides: int
    total: int
    least: bool

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        count, sides = chance.randint(2, 1 + level), chance.randint(4, 5 + level)
        return cls(count, sides, chance.randint(count, count * sides), chance.random() < 0.3)

    def text(self) -> str:
        """See `Value.text`."""
        said = f"at least {self.total}" if self.least else f"exactly {self.total}"
        return (
            f"{self.count} fair dice, each with the numbers 1 to {self.sides}, are thrown. What is the "
            f"probability that the numbers add up to {said}? Give a fraction in lowest terms."
        )

    def answer(self) -> Fraction:
        """See `Value.answer`."""
        totals = range(self.total, (self.count * self.sides if self.least else self.total) + 1)
        return Fraction(sum(map(self._ways, totals)), self.sides**self.count)

    def _ways(self, total: int) -> int:
        """Throws of that total, by inclusion and exclusion."""
        return sum(
            (-1) ** k
            * math.comb(self.count, k)
            * math.comb(total - self.sides * k - 1, self.count - 1)
            for k in range((total - self.count) // self.sides + 1)
        )

    def code(self) -> str:
        """See `Value.code`."""
        sign = ">=" if self.least else "=="
        return (
            "from fractions import Fraction\nfrom itertools import product\n"
            f"throws = list(product(range(1, {self.sides} + 1), repeat={self.count}))\n"
            f"print(Fraction(sum(sum(throw) {sign} {self.total} for throw in throws), len(throws)))"
        )


@dataclass(frozen=True)
class Words(Value):
    """Words with a bound on how often a letter may occur."""

    letters: int
    length: int
    most: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        letters = chance.randint(2, 2 + level // 2)
        return cls(letters, chance.randint(2, 4 + level), chance.randint(1, 2 + level // 2))

    def text(self) -> str:
        """See `Value.text`."""
        alphabet = ", ".join("ABCDEF"[: self.letters])
        return (
            f"How many words of {self.length} letters can be made from the letters {alphabet}, if each "
            f"of them may occur at most {self.most} times in a word?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        ways = [1] + [0] * self.length
        for _ in range(self.letters):
            ways = [
                sum(
                    math.comb(total, times) * ways[total - times]
                    for times in range(min(self.most, total) + 1)
                )
                for total in range(self.length + 1)
            ]
        return ways[-1]

    def code(self) -> str:
        """See `Value.code`."""
        alphabet = "ABCDEF"[: self.letters]
        return (
            "from itertools import product\n"
            f"words = product({alphabet!r}, repeat={self.length})\n"
            f"print(sum(all(word.count(letter) <= {self.most} for letter in {alphabet!r}) "
            "for word in words))"
        )


COUNTING = (Subsets, Paths, Seatings, Strings, Partitions, Change, Dice, Words)
