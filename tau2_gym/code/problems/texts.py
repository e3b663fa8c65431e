"""Functions of texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Self

from tau2_gym.code.problems.base import Program

SMALL = "abcdefghijklmnopqrstuvwxyz"
VOWELS = "aeiou"


def word(chance: Random, low: int, high: int, letters: str = SMALL) -> str:
    """A word of so many letters."""
    return "".join(chance.choice(letters) for _ in range(chance.randint(low, high)))


def phrase(chance: Random) -> str:
    """Some words, some of them in capitals, and digits."""
    words = [word(chance, 1, 7, SMALL + VOWELS * 2) for _ in range(chance.randint(0, 6))]
    shaped = [chance.choice((str.lower, str.upper, str.title))(each) for each in words]
    return " ".join(each + chance.choice(("", "", "7", "!", "42")) for each in shaped)


# A step in words, as an expression of the text `s`, and as a function.
STEPS: tuple[tuple[str, str, Any], ...] = (
    ("reverse it", "s[::-1]", lambda s: "".join(reversed(s))),
    (
        "remove all vowels (a, e, i, o, u, small or capital)",
        "''.join(c for c in s if c.lower() not in 'aeiou')",
        lambda s: s.translate({ord(c): None for c in "aeiouAEIOU"}),
    ),
    ("turn small letters into capitals and capitals into small letters", "s.swapcase()", None),
    ("remove all spaces", "s.replace(' ', '')", lambda s: "".join(s.split(" "))),
    (
        "remove all digits",
        "''.join(c for c in s if not c.isdigit())",
        lambda s: s.translate({ord(c): None for c in "0123456789"}),
    ),
    (
        "write every character twice",
        "''.join(c * 2 for c in s)",
        lambda s: "".join(a + b for a, b in zip(s, s, strict=True)),
    ),
    ("keep only every second character, beginning with the first", "s[::2]", None),
    (
        "move its first three characters to the end (all of them if there are fewer)",
        "s[3:] + s[:3]",
        None,
    ),
    (
        "leave out each character that is the same as the one before it",
        "''.join(c for i, c in enumerate(s) if i == 0 or s[i - 1] != c)",
        None,
    ),
    ("sort its characters by their code points", "''.join(sorted(s))", None),
    (
        "replace each small letter by the next in the alphabet, and z by a",
        "''.join(chr((ord(c) - 96) % 26 + 97) if 'a' <= c <= 'z' else c for c in s)",
        lambda s: s.translate(dict(zip(map(ord, SMALL), SMALL[1:] + "a", strict=True))),
    ),
    (
        "put the order of its words, which single spaces separate, backwards",
        "' '.join(s.split(' ')[::-1])",
        None,
    ),
)


def _second(s: str) -> str:
    return "".join(c for number, c in enumerate(s) if number % 2 == 0)


def _moved(s: str) -> str:
    letters = list(s)
    for _ in range(min(3, len(letters))):
        letters.append(letters.pop(0))
    return "".join(letters)


def _single(s: str) -> str:
    kept = ""
    for c in s:
        if not kept or kept[-1] != c:
            kept += c
    return kept


def _sorted(s: str) -> str:
    return "".join(c * s.count(c) for c in map(chr, sorted(set(map(ord, s)))))


def _swapped(s: str) -> str:
    return "".join(c.upper() if c.islower() else c.lower() for c in s)


def _backwards(s: str) -> str:
    words, rest = list[str](), s
    while " " in rest:
        first, _, rest = rest.partition(" ")
        words.insert(0, first)
    return " ".join([rest, *words])


BY_HAND = {2: _swapped, 6: _second, 7: _moved, 8: _single, 9: _sorted, 11: _backwards}
"""The functions that take more than an expression."""


@dataclass(frozen=True)
class TextSteps(Program):
    """Steps, one after the other."""

    steps: tuple[int, ...]

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        return cls(tuple(chance.sample(range(len(STEPS)), min(level + 1, 6))))

    def text(self) -> str:
        """See `Program.text`."""
        told = "\n".join(f"{n}. {STEPS[step][0]}." for n, step in enumerate(self.steps, 1))
        return (
            "Write a Python function solve(s) that takes a string, does the following with it, in this "
            f"order, and returns the result:\n{told}"
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        return [phrase(chance)]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (s,) = arguments
        for step in self.steps:
            s = (STEPS[step][2] or BY_HAND[step])(s)
        return s

    def program(self) -> str:
        """See `Program.program`."""
        body = "".join(f"    s = {STEPS[step][1]}\n" for step in self.steps)
        return f"def solve(s):\n{body}    return s\n"


@dataclass(frozen=True)
class Runs(Program):
    """Runs of equal characters, counted."""

    count_first: bool
    single: bool
    between: str

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        between = "".join(chance.sample("-_,;:|/*+=", min(level - 1, 2)))
        return cls(chance.random() < 0.5, chance.random() < 0.5, between)

    def text(self) -> str:
        """See `Program.text`."""
        order = (
            "the count and then the character"
            if self.count_first
            else "the character and then the count"
        )
        single = "" if self.single else " For a run of length 1 write the character alone."
        between = f" Put {self.between!r} between the runs." if self.between else ""
        return (
            "Write a Python function solve(s) that takes a string of small letters and returns it with "
            f"every run of the same letter, as long as possible, written as {order}.{single}{between}"
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        runs = chance.randint(0, 8)
        return [
            "".join(chance.choice("abc") * chance.choice((1, 1, 2, 3, 11)) for _ in range(runs))
        ]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (s,) = arguments
        runs = list[list[Any]]()
        for c in s:
            if runs and runs[-1][0] == c:
                runs[-1][1] += 1
            else:
                runs.append([c, 1])
        return self.between.join(self._run(c, n) for c, n in runs)

    def _run(self, c: str, n: int) -> str:
        if n == 1 and not self.single:
            return c
        return f"{n}{c}" if self.count_first else f"{c}{n}"

    def program(self) -> str:
        """See `Program.program`."""
        both = "str(n) + c" if self.count_first else "c + str(n)"
        one = both if self.single else f"(c if n == 1 else {both})"
        return (
            "from itertools import groupby\n\ndef solve(s):\n"
            "    runs = [(c, len(list(same))) for c, same in groupby(s)]\n"
            f"    return {self.between!r}.join({one} for c, n in runs)\n"
        )


@dataclass(frozen=True)
class Occurrences(Program):
    """How often a pattern can be picked out of a text."""

    pattern: str
    adjacent: bool

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        return cls(word(chance, 2, 2 + level, "abc"), level < 3)

    def text(self) -> str:
        """See `Program.text`."""
        if self.adjacent:
            return (
                "Write a Python function solve(s) that returns how many times the string "
                f"{self.pattern!r} occurs in the string s. Occurrences may overlap."
            )
        return (
            "Write a Python function solve(s) that returns in how many ways the string "
            f"{self.pattern!r} can be had from the string s by leaving out characters, that is, the "
            "number of ways to choose positions that spell it from left to right."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        return [word(chance, 0, 30, "abc")]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (s,) = arguments
        pattern = self.pattern
        if self.adjacent:
            return sum(s[i : i + len(pattern)] == pattern for i in range(len(s)))

        @cache
        def ways(i: int, j: int) -> int:
            if j == len(pattern):
                return 1
            return sum(ways(k + 1, j + 1) for k in range(i, len(s)) if s[k] == pattern[j])

        return ways(0, 0)

    def program(self) -> str:
        """See `Program.program`."""
        if self.adjacent:
            return (
                "def solve(s):\n    count, at = 0, s.find(" + repr(self.pattern) + ")\n"
                "    while at >= 0:\n        count += 1\n"
                f"        at = s.find({self.pattern!r}, at + 1)\n    return count\n"
            )
        return (
            f"def solve(s):\n    pattern = {self.pattern!r}\n    ways = [1] + [0] * len(pattern)\n"
            "    for c in s:\n        for j in range(len(pattern), 0, -1):\n"
            "            if pattern[j - 1] == c:\n                ways[j] += ways[j - 1]\n"
            "    return ways[-1]\n"
        )


@dataclass(frozen=True)
class Brackets(Program):
    """Brackets that match, and how deep they go."""

    pairs: str
    penalty: int

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        kinds = chance.sample(["()", "[]", "{}", "<>"], 1 + min(level // 2, 3))
        return cls("".join(kinds), chance.randint(-9, -1))

    def text(self) -> str:
        """See `Program.text`."""
        pairs = " and ".join(self.pairs[i : i + 2] for i in range(0, len(self.pairs), 2))
        return (
            f"Write a Python function solve(s) for strings of letters and the brackets {pairs}. If every "
            "bracket is closed by the one that belongs to it, in the right order, it returns how deep "
            f"the brackets are nested (0 if there are none), and otherwise {self.penalty}."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        s = ""
        for _ in range(chance.randint(0, 6)):
            at, kind = chance.randint(0, len(s)), 2 * chance.randrange(len(self.pairs) // 2)
            s = s[:at] + self.pairs[kind] + word(chance, 0, 2) + self.pairs[kind + 1] + s[at:]
        if chance.random() < 0.4:
            at = chance.randint(0, len(s))
            s = s[:at] + chance.choice(self.pairs) + s[at:]
        return [s]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (s,) = arguments
        left, depth = "".join(c for c in s if c in self.pairs), 0
        while left:
            # What is innermost everywhere goes first, all at once: each round is a level.
            marked = left
            for i in range(0, len(self.pairs), 2):
                marked = marked.replace(self.pairs[i : i + 2], "..")
            if marked == left:
                return self.penalty
            left, depth = marked.replace(".", ""), depth + 1
        return depth

    def program(self) -> str:
        """See `Program.program`."""
        opened, closed = self.pairs[::2], self.pairs[1::2]
        return (
            f"def solve(s):\n    opened, closed = {opened!r}, {closed!r}\n    stack, deepest = [], 0\n"
            "    for c in s:\n        if c in opened:\n            stack.append(c)\n"
            "            deepest = max(deepest, len(stack))\n        elif c in closed:\n"
            "            if not stack or stack.pop() != opened[closed.index(c)]:\n"
            f"                return {self.penalty}\n"
            f"    return {self.penalty} if stack else deepest\n"
        )


@dataclass(frozen=True)
class LongestStretch(Program):
    """The longest stretch of a text with few different characters."""

    different: int
    longest: bool
    letters: str

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        letters = "".join(sorted(chance.sample(SMALL, 3 + level)))
        return cls(chance.randint(1, 1 + level), chance.random() < 0.5, letters)

    def text(self) -> str:
        """See `Program.text`."""
        asked = "the length of" if self.longest else "how many there are of"
        which = (
            "the longest substring"
            if self.longest
            else "the substrings (positions, not contents, tell them apart)"
        )
        return (
            f"Write a Python function solve(s) that takes a string of the letters {self.letters} and "
            f"returns {asked} {which} that "
            f"{'has' if self.longest else 'are not empty and have'} at most {self.different} different "
            f"letter{'s' if self.different > 1 else ''}; 0 for the empty string."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        return [word(chance, 0, 40, self.letters)]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (s,) = arguments
        found = [
            end - start
            for start in range(len(s))
            for end in range(start + 1, len(s) + 1)
            if len(set(s[start:end])) <= self.different
        ]
        return max(found, default=0) if self.longest else len(found)

    def program(self) -> str:
        """See `Program.program`."""
        return (
            "from collections import Counter\n\ndef solve(s):\n"
            "    window, start, longest, count = Counter(), 0, 0, 0\n"
            "    for end, c in enumerate(s):\n        window[c] += 1\n"
            f"        while len(window) > {self.different}:\n            window[s[start]] -= 1\n"
            "            if not window[s[start]]:\n                del window[s[start]]\n"
            "            start += 1\n        longest = max(longest, end - start + 1)\n"
            "        count += end - start + 1\n"
            f"    return {'longest' if self.longest else 'count'}\n"
        )


@dataclass(frozen=True)
class Account(Program):
    """A program that reads lines and writes a report."""

    least: int
    by_name: bool
    tax: int
    sign: str

    name = ""

    @classmethod
    def draw(cls, chance: Random, level: int) -> Self:
        """See `Kind.draw`."""
        tax = chance.randint(0, 30) if level > 2 else 0
        return cls(
            chance.randint(0, 30 * level), chance.random() < 0.5, tax, chance.choice(":;=>|")
        )

    def text(self) -> str:
        """See `Program.text`."""
        order = (
            "in alphabetical order of the names"
            if self.by_name
            else "by total, the largest first, and equal totals in alphabetical order of the names"
        )
        tax = (
            f" From each amount, {self.tax} percent, rounded down to an integer, are taken off before it "
            "is added."
            if self.tax
            else ""
        )
        return (
            "Write a Python program that reads from standard input. The first line holds the number of "
            "lines that follow. Each of those holds a name and an amount, a positive integer, with a "
            f"space between them. The program adds up the amounts of each name.{tax} It writes a line "
            f"for each name whose total is at least {self.least}: the name, the sign "
            f"{self.sign!r} and the total, without spaces, {order}. If there are none, it writes "
            "the line 'nobody'."
        )

    def inputs(self, chance: Random) -> list[Any]:
        """See `Program.inputs`."""
        names = [word(chance, 2, 5) for _ in range(4)]
        count = chance.randint(0, 9)
        lines = [f"{chance.choice(names)} {chance.randint(1, 99)}" for _ in range(count)]
        return ["\n".join([str(count), *lines, ""])]

    def result(self, *arguments: Any) -> Any:
        """See `Program.result`."""
        (text,) = arguments
        lines = [line.split() for line in text.splitlines()[1:]]
        names = sorted({name for name, _ in lines})
        totals = {
            name: sum(
                int(amount) - int(amount) * self.tax // 100 for who, amount in lines if who == name
            )
            for name in names
        }
        shown = [name for name in names if totals[name] >= self.least]
        if not self.by_name:
            shown = sorted(shown, key=lambda name: -totals[name])
        return (
            "\n".join([f"{name}{self.sign}{totals[name]}" for name in shown] or ["nobody"]) + "\n"
        )

    def program(self) -> str:
        """See `Program.program`."""
        key = "item[0]" if self.by_name else "(-item[1], item[0])"
        return (
            "totals = {}\nfor _ in range(int(input())):\n    name, amount = input().split()\n"
            f"    amount = int(amount) - int(amount) * {self.tax} // 100\n"
            "    totals[name] = totals.get(name, 0) + amount\n"
            f"rows = [item for item in totals.items() if item[1] >= {self.least}]\n"
            f"rows.sort(key=lambda item: {key})\n"
            f"for name, total in rows:\n    print(name + {self.sign!r} + str(total))\n"
            "if not rows:\n    print('nobody')\n"
        )


TEXTS = (TextSteps, Runs, Occurrences, Brackets, LongestStretch, Account)
