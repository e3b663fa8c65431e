"""Which attempts become rows: rejection fine-tuning's rules, one function each.

The rules are those of Tau2-RL-Pipeline: an attempt whose official reward reaches `min_reward` is
kept, and of a task without any the one with the best partial score, if that reaches `best_partial`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tau2_gym.errors import ConfigError
from tau2_gym.results.record import SUCCESS

Attempt = Mapping[str, Any]
Row = TypeVar("Row", bound=Mapping[str, Any])

ROUNDING = 1 - SUCCESS
"""How far below a threshold a score may lie for the arithmetic of a product of rewards."""


@dataclass(frozen=True)
class SelectionRules:
    """What is kept.

    Attributes:
        min_reward: official reward of attempts that are kept.
        best_partial: the least partial score of the one attempt kept if a task has no such attempt;
            None keeps none.
        balance: no domain keeps more rows than this many times those of the domain with the fewest;
            None keeps all.
        seed: decides which rows of a domain are left out.

    Raises:
        ConfigError: a value is not allowed.
    """

    min_reward: float = 1.0
    best_partial: float | None = 0.6
    balance: float | None = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_reward <= 1:
            raise ConfigError(f"min_reward must lie in [0, 1], not {self.min_reward}")
        if self.best_partial is not None and not 0 <= self.best_partial <= 1:
            raise ConfigError(f"best_partial must lie in [0, 1], not {self.best_partial}")
        if self.balance is not None and self.balance < 1:
            raise ConfigError(f"balance must be at least 1, not {self.balance}")


def usable(attempt: Attempt) -> bool:
    """Whether an attempt was played to an end, graded, and all its actions could be read: a model
    must not learn to write unreadable ones."""
    return (
        attempt["fault"] is None
        and attempt["official_reward"] is not None
        and not attempt["malformed"]
    )


def choose(attempts: Iterable[Attempt], rules: SelectionRules) -> list[Attempt]:
    """The attempts that the rules keep, in order. Of equal partial scores the first trial's counts."""
    tasks: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts:
        if usable(attempt):
            tasks.setdefault((attempt["domain"], attempt["task_id"]), []).append(attempt)
    kept: list[Attempt] = []
    for tried in tasks.values():
        solved = [row for row in tried if row["official_reward"] >= rules.min_reward - ROUNDING]
        kept += solved
        if not solved and rules.best_partial is not None:
            best = max(tried, key=lambda row: (row["partial_score"], -row["trial"]))
            if best["partial_score"] >= rules.best_partial - ROUNDING:
                kept.append(best)
    return kept


def dedupe(rows: Iterable[Row]) -> list[Row]:
    """The rows without those whose conversation has occurred before, whatever their task."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(json.dumps(row["messages"]), row)
    return list(first.values())


def balanced(rows: Sequence[Row], rules: SelectionRules) -> list[Row]:
    """The rows without those by which a domain exceeds its share, in order.

    A domain that must give some up keeps a first row of each of its tasks, in an order drawn by the
    seed, then a second one of each that has more, and so on: tasks that are solved often lose rows
    first.
    """
    counts = Counter(row["domain"] for row in rows)
    if rules.balance is None or not counts:
        return list(rows)
    share = int(rules.balance * min(counts.values()))
    kept: set[int] = set()
    for domain in counts:
        here = [number for number, row in enumerate(rows) if row["domain"] == domain]
        kept.update(_spread(here, rows, random.Random(f"{rules.seed}/{domain}"))[:share])
    return [row for number, row in enumerate(rows) if number in kept]


def _spread(numbers: Sequence[int], rows: Sequence[Row], chance: random.Random) -> list[int]:
    """Row numbers, shuffled, the first one of each task before the second one of any."""
    shuffled = list(numbers)
    chance.shuffle(shuffled)
    seen: Counter[str] = Counter()
    rounds: dict[int, int] = {}
    for number in shuffled:
        task = rows[number]["task_id"]
        rounds[number] = seen[task]
        seen[task] += 1
    return sorted(shuffled, key=lambda number: rounds[number])
