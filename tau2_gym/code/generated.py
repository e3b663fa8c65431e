"""Problems without end: drawn by a seed, with the answer known.

Which split a problem belongs to depends on what it asks, not on the seed that has drawn it: a fourth of
all problems there are, chosen by a hash, are only ever drawn for `test`, and the others only for
`train`. So a model that was trained on one seed has seen no test problem of any other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from tau2_gym.code.problems import FAMILIES, LEVELS, VERSION, Drawn
from tau2_gym.code.tasks import check_commas
from tau2_gym.domains.registry import TaskSource
from tau2_gym.errors import ConfigError, one_of

SEED, COUNT, TEST, MOST = 0, 300, 100, 100_000
"""The default seed and numbers of problems to train on and to test with, and the most of each."""

OPTIONS = ("seed", "count", "test", "difficulty", "families")

DIGITS = re.compile(r"[0-9]{1,19}")

TRIES = 200
"""Draws in a row that may bring nothing new before a kind of problem counts as used up."""


class Rows(Mapping[str, Mapping[str, Any]]):
    """The problems by id. Their texts, answers and tests are made when they are asked for."""

    def __init__(self, problems: dict[str, Drawn]) -> None:
        self._problems = problems

    def __getitem__(self, task_id: str) -> Mapping[str, Any]:
        return self._problems[task_id].row(task_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._problems)

    def __len__(self) -> int:
        return len(self._problems)


def load(options: str) -> TaskSource:
    """Generated problems.

    Args:
        options: separated by commas: `seed=3`; `count=500`, to train on; `test=100`, to test with;
            `difficulty=1-3`, or one number of 1 to 5; `families=arithmetic+numbers`.

    Raises:
        ConfigError: an option is unknown or has a value that is not allowed, or there are not as many
            different problems.
    """
    given = _read(options)
    seed = _number(given, "seed", SEED, 0, 2**63)
    counts = {
        "train": _number(given, "count", COUNT, 1, MOST),
        "test": _number(given, "test", TEST, 1, MOST),
    }
    levels, families = _levels(given.get("difficulty", "")), _families(given.get("families", ""))
    problems, splits = dict[str, Drawn](), dict[str, list[str]]()
    for split, count in counts.items():
        drawn = _drawn(split, count, seed, levels, families)
        splits[split] = [problem.id for problem in drawn]
        problems.update((problem.id, problem) for problem in drawn)
    said = json.dumps([VERSION, list(problems)])
    return TaskSource(
        rows=Rows(problems),
        splits=splits,
        revision=hashlib.sha256(said.encode()).hexdigest()[:12],
        source=(
            f"generated:seed={seed},count={counts['train']},test={counts['test']},"
            f"difficulty={levels[0]}-{levels[-1]},families={'+'.join(families)}"
        ),
    )


def _drawn(
    split: str, count: int, seed: int, levels: range, families: tuple[str, ...]
) -> list[Drawn]:
    """Different problems of a split: one family after the other, and in each one kind after the other, at
    each level in turn."""
    waiting = [
        [(kind, level) for level in levels for kind in FAMILIES[family]] for family in families
    ]
    found, seen, turn = list[Drawn](), set[str](), 0
    while len(found) < count:
        cells = waiting[turn % len(waiting)]
        kind, level = cells.pop(0)
        chance = Random(f"{seed}/{split}/{turn}/{kind.__name__}/{level}")
        for _ in range(TRIES):
            problem = Drawn(kind.draw(chance, level), level)
            if problem.split == split and problem.digest not in seen:
                seen.add(problem.digest)
                found.append(problem)
                cells.append((kind, level))
                break
        turn += 1
        if not cells:
            waiting.remove(cells)
        if not waiting:
            raise ConfigError(
                f"there are no {count} different problems for {split}, only {len(found)}: ask for fewer, "
                "or for other families or difficulties"
            )
    return found


def _read(options: str) -> dict[str, str]:
    check_commas("generated", options, OPTIONS)
    given = dict[str, str]()
    for part in filter(None, options.split(",")):
        name, sign, value = part.partition("=")
        if name not in OPTIONS:
            raise one_of("option of generated tasks", name, OPTIONS)
        if not sign or not value or name in given:
            raise ConfigError(f"generated tasks: write {name}=VALUE once, not {options!r}")
        given[name] = value
    return given


def _number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name, str(default))
    if not (DIGITS.fullmatch(text) and low <= int(text) <= high):
        raise ConfigError(
            f"generated tasks: {name} must be a number from {low} to {high}, not {text!r}"
        )
    return int(text)


def _levels(text: str) -> range:
    first, sign, last = text.partition("-")
    ends = [first or LEVELS[0], last if sign else first or LEVELS[-1]]
    try:
        low, high = (LEVELS.index(int(end)) for end in ends)
    except ValueError:
        low, high = 1, 0
    if low > high:
        raise ConfigError(
            f"generated tasks: difficulty must be one of {LEVELS[0]} to {LEVELS[-1]}, or two with a "
            f"hyphen between them, not {text!r}"
        )
    return range(LEVELS[low], LEVELS[high] + 1)


def _families(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split("+"))) if text else tuple(FAMILIES)
    for name in names:
        if name not in FAMILIES:
            raise one_of("family of generated tasks", name, FAMILIES)
    return names
