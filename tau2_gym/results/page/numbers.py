"""The numbers of the page: tables of runs side by side, curves over k, ends, and the ledger over turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from tau2_gym.results.metrics import Estimate, estimate, pass_at_k, pass_hat_k
from tau2_gym.results.page.masking import presentable
from tau2_gym.results.page.recorded import recorded
from tau2_gym.results.record import SUCCESS
from tau2_gym.results.run import Row, Run, task_of
from tau2_gym.results.summary import FAULTS, summarise
from tau2_gym.results.votes import maj_over_tasks, mean_over_tasks

FORMULAS: dict[str, Callable[[int, int, int], float | None]] = {
    "pass@": pass_at_k,
    "pass^": pass_hat_k,
}
POINTS = 24
"""How many k a curve has at most: all small ones, and of larger ones some."""

OVERALL = "overall"
TURNS = 60
"""Up to which turn the ledger is drawn. What is earned later is in the last."""


@dataclass(frozen=True)
class Value:
    """A metric: with its interval, and with its bounds where attempts have no result."""

    mean: Estimate
    worst: float | None
    best: float | None

    @property
    def bounded(self) -> bool:
        """Whether faults leave only bounds."""
        return (self.worst, self.best) != (self.mean.value, self.mean.value)


@dataclass(frozen=True)
class Group:
    """The numbers of a domain in a run, or of all of them.

    Attributes:
        summary: as `summarise` has them.
        values: of every metric on the page, by its name with k.
    """

    summary: dict[str, Any]
    values: dict[str, Value]


@dataclass(frozen=True)
class Numbers:
    """The numbers of a run.

    Attributes:
        groups: by domain, and `overall` where there are several.
        curve: the k that curves have.
        ledger: by term, the mean of what attempts had earned up to each turn.
        ends: by domain, how many attempts ended how.
        floors: what agents got that do not do the task, as in `Recorded`.
    """

    run: Run
    name: str
    groups: dict[str, Group]
    curve: list[int]
    ledger: dict[str, list[float]]
    ends: dict[str, Counter[str]] = field(default_factory=dict)
    floors: dict[str, dict[str, dict[str, Estimate]]] = field(default_factory=dict)

    @property
    def k(self) -> int:
        """The most attempts at a task."""
        return self.curve[-1]


def numbers_of(run: Run, name: str, others: Sequence[int] = ()) -> Numbers:
    """The numbers of a run.

    Args:
        run: the run.
        name: what the page calls it.
        others: other k that the page shows, the most attempts per task in other runs for example.
    """
    beside = recorded(run)
    run = presentable(run)
    summary = summarise(run.rows, 1, run.seed, beside.unjudged)
    left_out = {
        (domain, task)
        for domain, group in summary["by_domain"].items()
        for task in group["ungraded"]
    }
    covered = [row for row in run.rows if task_of(row) not in left_out]
    curve = chosen(run.k)
    ks = sorted({*curve, *(k for k in others if k <= run.k)})
    groups = {
        domain: Group(group, _values([r for r in covered if r["domain"] == domain], ks, run))
        for domain, group in summary["by_domain"].items()
    }
    if len(groups) > 1:
        groups[OVERALL] = Group(summary["overall"], _values(covered, ks, run))
    ends: dict[str, Counter[str]] = {}
    for row in run.rows:
        ends.setdefault(row["domain"], Counter())[end_of(row)] += 1
    return Numbers(run, name, groups, curve, ledger(run.rows), ends, beside.floors)


def chosen(most: int) -> list[int]:
    """The k of a curve that ends at `most`."""
    spread = np.geomspace(1, most, POINTS) if most > POINTS else range(1, most + 1)
    return sorted({*range(1, min(most, 8) + 1), *(round(float(k)) for k in spread)})


def end_of(row: Row) -> str:
    """How an attempt ended: `passed`, else its termination, or the fault that it ended in."""
    if row["fault"] is not None:
        return f"fault: {row['fault']}"
    if row["official_reward"] is not None and row["official_reward"] >= SUCCESS:
        return "passed"
    return str(row["termination"] or "not ended")


def ledger(rows: Sequence[Row]) -> dict[str, list[float]]:
    """By term of the ledger, the mean over attempts of what they had earned up to each turn; an attempt that
    has ended keeps what it has."""
    longest = min(max((len(row["rewards"]) for row in rows), default=0), TURNS)
    terms = dict.fromkeys(name for row in rows for each in row["rewards"] for name in each)
    sums = {name: np.zeros(longest) for name in terms}
    for row in rows:
        for turn, amounts in enumerate(row["rewards"]):
            for name, amount in amounts.items():
                sums[name][min(turn, longest - 1)] += amount
    return {name: (np.cumsum(each) / len(rows)).round(6).tolist() for name, each in sums.items()}


def _values(rows: Sequence[Row], ks: Sequence[int], run: Run) -> dict[str, Value]:
    counts: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        count = counts.setdefault(row["domain"], {}).setdefault(row["task_id"], [0, 0, 0])
        if row["fault"] is not None:
            count[2] += 1
        else:
            count[0] += 1
            count[1] += row["official_reward"] >= SUCCESS
    found = {
        f"{name}{k}": _value(counts, k, formula, run.seed)
        for name, formula in FORMULAS.items()
        for k in ks
    }
    if run.k > 1 and any(row["answer"] is not None for row in rows):
        for name, voted in (("mean@", mean_over_tasks), ("maj@", maj_over_tasks)):
            for k in ks[1:]:
                each = [voted(rows, k, faults, run.seed) for faults in FAULTS]
                found[f"{name}{k}"] = Value(each[0], each[1].value, each[2].value)
    return found


def _value(
    counts: dict[str, dict[str, list[int]]],
    k: int,
    formula: Callable[[int, int, int], float | None],
    seed: int,
) -> Value:
    """A metric over tasks, as `summarise` has it; without going through all rows for each k."""
    tasks = [count for domain in counts.values() for count in domain.values()]
    mean = estimate(
        {
            domain: [
                formula(played, won, k) for played, won, lost in each.values() if played or not lost
            ]
            for domain, each in counts.items()
        },
        seed,
    )
    if not any(lost for _, _, lost in tasks):
        return Value(mean, mean.value, mean.value)
    worst = [formula(played + lost, won, k) for played, won, lost in tasks]
    best = [formula(played + lost, won + lost, k) for played, won, lost in tasks]
    return Value(mean, _mean(worst), _mean(best))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
