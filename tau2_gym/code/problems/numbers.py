"""Divisors, primes and remainders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Self

from tau2_gym.code.problems.base import Value


def factors(number: int) -> dict[int, int]:
    """The prime factors of a number, and how often each divides it."""
    found, prime = dict[int, int](), 2
    while prime * prime <= number:
        while number % prime == 0:
            found[prime] = found.get(prime, 0) + 1
            number //= prime
        prime += 1
    if number > 1:
        found[number] = found.get(number, 0) + 1
    return found


@dataclass(frozen=True)
class CommonMultiple(Value):
    """The least common multiple."""

    numbers: tuple[int, ...]

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        most = (30, 100, 400, 2000, 9000)[level - 1]
        return cls(tuple(chance.randint(4, most) for _ in range(level + 1)))

    def text(self) -> str:
        """See `Value.text`."""
        return f"What is the least common multiple of {', '.join(map(str, self.numbers))}?"

    def answer(self) -> int:
        """See `Value.answer`."""
        most = dict[int, int]()
        for number in self.numbers:
            for prime, times in factors(number).items():
                most[prime] = max(times, most.get(prime, 0))
        return math.prod(prime**times for prime, times in most.items())

    def code(self) -> str:
        """See `Value.code`."""
        return f"import math\nprint(math.lcm{self.numbers})"


@dataclass(frozen=True)
class CommonDivisor(Value):
    """The greatest common divisor of two expressions."""

    one: int
    other: int
    shift: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        common = chance.randint(2, 10**level)
        most = 10 ** (level + 1)
        return cls(
            common * chance.randint(2, most), common * chance.randint(2, most), chance.randint(0, 1)
        )

    def text(self) -> str:
        """See `Value.text`."""
        other = f"{self.other} + {self.one}" if self.shift else str(self.other)
        return f"What is the greatest common divisor of {self.one} and {other}?"

    def answer(self) -> int:
        """See `Value.answer`."""
        one, other = self.one, self.other
        while other:
            one, other = other, one % other
        return one

    def code(self) -> str:
        """See `Value.code`."""
        return f"import math\nprint(math.gcd({self.one}, {self.other} + {self.shift} * {self.one}))"


@dataclass(frozen=True)
class PrimesBetween(Value):
    """How many primes lie in a range, or what they add up to."""

    low: int
    high: int
    total: bool

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        low = chance.randint(1, 10 ** (level + 1) // 2)
        return cls(
            low, low + chance.randint(10, 15 * 5**level // 3), level > 1 and chance.random() < 0.5
        )

    def text(self) -> str:
        """See `Value.text`."""
        if self.total:
            return f"What is the sum of all prime numbers p with {self.low} <= p <= {self.high}?"
        return f"How many prime numbers p are there with {self.low} <= p <= {self.high}?"

    def answer(self) -> int:
        """See `Value.answer`."""
        composite = bytearray(self.high + 1)
        composite[:2] = b"\x01\x01"
        for prime in range(2, math.isqrt(self.high) + 1):
            if not composite[prime]:
                composite[prime * prime :: prime] = b"\x01" * len(
                    range(prime * prime, self.high + 1, prime)
                )
        found = [number for number in range(self.low, self.high + 1) if not composite[number]]
        return sum(found) if self.total else len(found)

    def code(self) -> str:
        """See `Value.code`."""
        return (
            "def prime(n):\n"
            "    return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))\n\n"
            f"found = [n for n in range({self.low}, {self.high} + 1) if prime(n)]\n"
            f"print({'sum' if self.total else 'len'}(found))"
        )


@dataclass(frozen=True)
class Divisors(Value):
    """The divisors of a number: how many, or their sum."""

    number: int
    total: bool

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        most, number = 10 ** (level + 1), 1
        while number < most // 10:
            number *= chance.choice((2, 2, 3, 3, 5, 7, 11, 13, 17, 19, 23))
        return cls(number, chance.random() < 0.5)

    def text(self) -> str:
        """See `Value.text`."""
        if self.total:
            return f"What is the sum of all positive divisors of {self.number}, itself included?"
        return f"How many positive divisors does {self.number} have?"

    def answer(self) -> int:
        """See `Value.answer`."""
        times = factors(self.number)
        if self.total:
            return math.prod((p ** (k + 1) - 1) // (p - 1) for p, k in times.items())
        return math.prod(k + 1 for k in times.values())

    def code(self) -> str:
        """See `Value.code`."""
        return (
            f"n = {self.number}\nfound = set()\nd = 1\nwhile d * d <= n:\n"
            "    if n % d == 0:\n        found |= {d, n // d}\n    d += 1\n"
            f"print({'sum' if self.total else 'len'}(found))"
        )


@dataclass(frozen=True)
class Remainders(Value):
    """The least number that leaves given remainders."""

    moduli: tuple[int, ...]
    rests: tuple[int, ...]

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37][: 4 + 2 * level]
        moduli = tuple(sorted(chance.sample(primes, (2, 2, 3, 4, 5)[level - 1])))
        return cls(moduli, tuple(chance.randrange(modulus) for modulus in moduli))

    def text(self) -> str:
        """See `Value.text`."""
        pairs = zip(self.moduli, self.rests, strict=True)
        told = ", ".join(f"remainder {rest} when divided by {modulus}" for modulus, rest in pairs)
        return f"What is the smallest positive integer that leaves {told}?"

    def answer(self) -> int:
        """See `Value.answer`."""
        whole = math.prod(self.moduli)
        total = 0
        for modulus, rest in zip(self.moduli, self.rests, strict=True):
            others = whole // modulus
            total += rest * others * pow(others, -1, modulus)
        return total % whole or whole

    def code(self) -> str:
        """See `Value.code`."""
        pairs = list(zip(self.moduli, self.rests, strict=True))
        return (
            f"step, found = 1, 0\nfor modulus, rest in {pairs}:\n    while found % modulus != rest:\n"
            "        found += step\n    step *= modulus\nprint(found or step)"
        )


@dataclass(frozen=True)
class Inverse(Value):
    """An inverse modulo a number."""

    number: int
    modulus: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        while True:
            modulus = chance.randint(5, 10 ** (level + 1))
            number = chance.randint(2, modulus - 1)
            if math.gcd(number, modulus) == 1:
                return cls(number, modulus)

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"Which integer x with 0 < x < {self.modulus} satisfies {self.number} * x ≡ 1 "
            f"(mod {self.modulus})?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        old, new, a, b = 1, 0, self.number, self.modulus
        while b:
            times = a // b
            old, new, a, b = new, old - times * new, b, a - times * b
        return old % self.modulus

    def code(self) -> str:
        """See `Value.code`."""
        return f"print(pow({self.number}, -1, {self.modulus}))"


@dataclass(frozen=True)
class Order(Value):
    """The order of a number modulo another."""

    number: int
    modulus: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        while True:
            modulus = chance.randint(7, 30 * 5 ** (level - 1))
            number = chance.randint(2, modulus - 1)
            if math.gcd(number, modulus) == 1:
                return cls(number, modulus)

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"What is the smallest positive integer k for which {self.number}^k leaves remainder 1 when "
            f"divided by {self.modulus}?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        order = self.modulus
        for prime in factors(self.modulus):
            order = order // prime * (prime - 1)
        for prime in factors(order):
            while order % prime == 0 and pow(self.number, order // prime, self.modulus) == 1:
                order //= prime
        return order

    def code(self) -> str:
        """See `Value.code`."""
        return (
            f"k, value = 1, {self.number} % {self.modulus}\nwhile value != 1:\n"
            f"    k, value = k + 1, value * {self.number} % {self.modulus}\nprint(k)"
        )


@dataclass(frozen=True)
class Coprime(Value):
    """How many numbers up to a bound share no factor with another."""

    bound: int
    number: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        number = chance.choice((6, 10, 12, 15, 21, 30, 42, 66, 70, 105, 110, 210, 330, 462))
        return cls(chance.randint(10, 2 * 10 ** (level + 1) // 3), number)

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"How many of the integers 1, 2, ..., {self.bound} have no common divisor greater than 1 "
            f"with {self.number}?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""
        signed = [1]
        for prime in factors(self.number):
            signed += [-divisor * prime for divisor in signed]
        return sum((1 if d > 0 else -1) * (self.bound // abs(d)) for d in signed)

    def code(self) -> str:
        """See `Value.code`."""
        return (
            "import math\n"
            f"print(sum(math.gcd(n, {self.number}) == 1 for n in range(1, {self.bound} + 1)))"
        )


@dataclass(frozen=True)
class Multiples(Value):
    """The sum of the multiples of two numbers."""

    bound: int
    one: int
    other: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        one, other = chance.sample(range(2, 8 + 4 * level), 2)
        return cls(chance.randint(20, 10 ** (level + 1)), one, other)

    def text(self) -> str:
        """See `Value.text`."""
        return (
            f"What is the sum of all positive integers below {self.bound} that are divisible by "
            f"{self.one} or by {self.other}, or by both?"
        )

    def answer(self) -> int:
        """See `Value.answer`."""

        def upto(step: int) -> int:
            count = (self.bound - 1) // step
            return step * count * (count + 1) // 2

        return upto(self.one) + upto(self.other) - upto(math.lcm(self.one, self.other))

    def code(self) -> str:
        """See `Value.code`."""
        test = f"n % {self.one} == 0 or n % {self.other} == 0"
        return f"print(sum(n for n in range(1, {self.bound}) if {test}))"


NUMBERS = (
    CommonMultiple,
    CommonDivisor,
    PrimesBetween,
    Divisors,
    Remainders,
    Inverse,
    Order,
    Coprime,
    Multiples,
)
