"""Numbers too large for the head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Self

from tau2_gym.code.problems.base import Value


def digits(chance: Random, count: int) -> int:
    """A number of so many digits."""
    return chance.randrange(10 ** (count - 1), 10**count)


@dataclass(frozen=True)
class Expression(Value):
    """Sums and products, in pairs of brackets."""

    numbers: tuple[int, ...]
    signs: tuple[str, ...]

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        size = (1, 2, 5, 12, 25)[level - 1]
        numbers = tuple(
            digits(chance, chance.randint(max(1, size - 1), size)) for _ in range(level + 1)
        )
        return cls(numbers, tuple(chance.choice("+-*") for _ in range(level)))

    def written(self) -> str:
        """The expression, evaluated from left to right."""
        text = str(self.numbers[0])
        for number, (sign, value) in enumerate(zip(self.signs, self.numbers[1:], strict=True)):
            text = f"({text}) {sign} {value}" if number else f"{text} {sign} {value}"
        return text

    def text(self) -> str:
        """See `Value.text`."""
        return f"What is the exact value of {self.written()}?"

    def answer(self) -> int:
        """See `Value.answer`."""
        total = self.numbers[0]
        for sign, value in zip(self.signs, self.numbers[1:], strict=True):
            total = {"+": total + value, "-": total - value, "*": total * value}[sign]
        return total

    def code(self) -> str:
        """See `Value.code`."""
        return f"print({self.written()})"


@dataclass(frozen=True)
class DigitSum(Value):
    """The digits of a power, in some base, added up."""

    number: int
    exponent: int
    base: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        base = 10 if level < 3 else chance.randint(2, 16)
        return cls(chance.randint(2, 9 * level), chance.randint(2, 6 * level**2), base)

    def text(self) -> str:
        """See `Value.text`."""
        base = "" if self.base == 10 else f" when it is written in base {self.base}"
        return f"What is the sum of the digits of {self.number}^{self.exponent}{base}?"

    def answer(self) -> int:
        """See `Value.answer`."""
        left, total = self.number**self.exponent, 0
        while left:
            left, digit = divmod(left, self.base)
            total += digit
        return total

    def code(self) -> str:
        """See `Value.code`."""
        if self.base == 10:
            return f"print(sum(map(int, str({self.number} ** {self.exponent}))))"
        return (
            f"value, base = {self.number} ** {self.exponent}, {self.base}\n"
            "places = 0\nwhile base ** places <= value:\n    places += 1\n"
            "print(sum(value // base ** place % base for place in range(places)))"
        )


@dataclass(frozen=True)
class LastDigits(Value):
    """The end of a power."""

    number: int
    exponent: int
    places: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        return cls(
            chance.randint(2, 10**level), chance.randint(3, 20 * 6**level), chance.randint(1, level)
        )

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"What is the remainder when {self.number}^{self.exponent} is divided by "
            f"10^{self.places}?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        end: int = pow(self.number, self.exponent, 10**self.places)
        return end

    def code(self) -> str:
        """See `Value.code`."""
        return (
            f"result = 1\nfor _ in range({self.exponent}):\n"
            f"    result = result * {self.number} % 10 ** {self.places}\nprint(result)"
        )


@dataclass(frozen=True)
class FractionSum(Value):
    """Fractions, added up."""

    above: tuple[int, ...]
    below: tuple[int, ...]

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        most = (9, 20, 60, 200, 900)[level - 1]
        count = level + 1
        return cls(
            tuple(chance.randint(1, most) for _ in range(count)),
            tuple(chance.randint(2, most) for _ in range(count)),
        )

    def text(self) -> str:
        """See `Value.text`."""
        terms = " + ".join(f"{a}/{b}" for a, b in zip(self.above, self.below, strict=True))
        return f"What is {terms}, as a fraction in lowest terms?"

    def answer(self) -> Fraction:
        """See `Value.answer`."""
        common = math.lcm(*self.below)
        total = sum(a * (common // b) for a, b in zip(self.above, self.below, strict=True))
        return Fraction(total, common)

    def code(self) -> str:
        """See `Value.code`."""
        terms = " + ".join(
            f"Fraction({a}, {b})" for a, b in zip(self.above, self.below, strict=True)
        )
        return f"from fractions import Fraction\nprint({terms})"


@dataclass(frozen=True)
class DecimalPlace(Value):
    """A digit far behind the point."""

    above: int
    below: int
    place: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        below = chance.randint(3, 10 ** ((level + 3) // 2))
        return cls(chance.randint(1, below - 1), below, chance.randint(2, 3 * 10**level))

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"Which digit is in place {self.place} after the decimal point of {self.above}/{self.below}? "
            "(The first digit after the point is in place 1.)"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        return 10 * (self.above * pow(10, self.place - 1, self.below) % self.below) // self.below

    def code(self) -> str:
        """See `Value.code`."""
        return (
            f"rest = {self.above}\nfor _ in range({self.place}):\n"
            f"    digit, rest = divmod(10 * rest, {self.below})\nprint(digit)"
        )


ARITHMETIC = (Expression, DigitSum, LastDigits, FractionSum, DecimalPlace)
