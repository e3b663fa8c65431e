"""The outcome of a run: numbers by domain and overall.

Two things can be missing. A *fault* left an attempt without a result, so that the numbers lie between
bounds: all such attempts failed, or all of them succeeded. A *task* that needs a judge is left out
entirely if there is none: the attempts at it that fail without one would otherwise stay, and those that may
have passed would not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from math import fsum
from statistics import fmean
from types import MappingProxyType
from typing import Any

from tau2_gym.domains.base import Domain
from tau2_gym.results.confirmation import wanted, writes
from tau2_gym.results.metrics import Estimate, estimate, pass_at_k, pass_hat_k
from tau2_gym.results.record import SUCCESS, TaskKey
from tau2_gym.results.run import Row, task_of, ungraded
from tau2_gym.results.votes import maj_over_tasks, mean_over_tasks

FAULTS = ("excluded", "failed", "solved")
"""What attempts that ended in a fault count as. The last two are the bounds."""


def summarise(
    rows: Sequence[Row],
    k: int,
    seed: int,
    unjudged: Collection[TaskKey] = (),
    domains: Mapping[str, Domain] = MappingProxyType({}),
) -> dict[str, Any]:
    """The numbers of a run: `overall` and `by_domain`.

    Args:
        rows: the results.
        k: up to which k to compute pass@k and pass^k.
        seed: of the bootstrap.
        unjudged: tasks that need a judge, in a run without one.
        domains: those whose policies and tools tell which changes ask for the user's yes.
    """
    left_out = {*unjudged, *ungraded(rows)}
    names = dict.fromkeys(row["domain"] for row in rows)
    asking = {name: domain for name, domain in domains.items() if wanted(domain)}
    return {
        "overall": _group(rows, k, seed, left_out, asking),
        "by_domain": {
            name: _group([row for row in rows if row["domain"] == name], k, seed, left_out, asking)
            for name in names
        },
    }


def _group(
    rows: Sequence[Row],
    k: int,
    seed: int,
    left_out: Collection[TaskKey],
    asking: Mapping[str, Domain],
) -> dict[str, Any]:
    covered = [row for row in rows if task_of(row) not in left_out]
    played = [row for row in covered if row["fault"] is None]
    metrics = {
        faults: {
            **{f"pass@{i}": _pass(covered, i, pass_at_k, faults, seed).to_dict() for i in _to(k)},
            **{f"pass^{i}": _pass(covered, i, pass_hat_k, faults, seed).to_dict() for i in _to(k)},
        }
        for faults in FAULTS
    }
    if any(row.get("answer") is not None for row in covered):
        for faults in FAULTS:
            metrics[faults][f"mean@{k}"] = mean_over_tasks(covered, k, faults, seed).to_dict()
            metrics[faults][f"maj@{k}"] = maj_over_tasks(covered, k, faults, seed).to_dict()
    return {
        "tasks": len({task_of(row) for row in rows}),
        "tasks_covered": len({task_of(row) for row in covered}),
        "attempts": len(rows),
        "successes": sum(row["official_reward"] >= SUCCESS for row in played),
        "pass": metrics,
        "bounds": {
            name: {"worst": worst["value"], "best": metrics["solved"][name]["value"]}
            for name, worst in metrics["failed"].items()
        },
        "official_reward": _mean(played, "official_reward"),
        "reward": _mean(played, "reward"),
        "partial_score": _mean(played, "partial_score"),
        "num_turns": _mean(played, "num_turns"),
        "steps": _mean(played, "steps"),
        "num_errors": _mean(played, "num_errors"),
        "malformed": _mean(played, "malformed"),
        "ownership_violations": _mean(played, "ownership_violations"),
        "cost": {
            side: sum(row[name]["cost"] for row in rows)
            for side, name in (("agent", "usage"), ("user", "user_usage"))
        },
        "tokens": {
            name: sum(row["usage"][name] for row in rows)
            for name in ("prompt_tokens", "completion_tokens")
        },
        "per_success": _per_success(rows, played),
        "confirmation": _confirmation(played, asking),
        "terminations": dict(Counter(row["termination"] for row in rows if row["fault"] is None)),
        "faults": dict(Counter(row["fault"] for row in rows if row["fault"] is not None)),
        "ungraded": [
            task_id for _, task_id in sorted({task_of(row) for row in rows} & set(left_out))
        ],
    }


def _per_success(rows: Sequence[Row], played: Sequence[Row]) -> dict[str, float] | None:
    """What all attempts took, divided by those that succeeded: tokens of the agent, and the cost of both sides
    in dollars. None if none did."""
    successes = sum(row["official_reward"] >= SUCCESS for row in played)
    if not successes:
        return None
    sides = [row[name] for row in rows for name in ("usage", "user_usage")]
    tokens = sum(row["usage"]["prompt_tokens"] + row["usage"]["completion_tokens"] for row in rows)
    return {
        "tokens": tokens / successes,
        "cost": fsum(side["cost"] for side in sides) / successes,
    }


def _confirmation(played: Sequence[Row], asking: Mapping[str, Domain]) -> dict[str, int] | None:
    """How often the agent changed something without the user's yes, where the policy asks for it; None where it
    does not."""
    found = [
        (row, writes(row["messages"], asking[row["domain"]]))
        for row in played
        if row["domain"] in asking
    ]
    if not found:
        return None
    successes = [each for row, each in found if row["official_reward"] >= SUCCESS]
    return {
        "writes": sum(each.made for _, each in found),
        "unconfirmed": sum(each.unconfirmed for _, each in found),
        "attempts": sum(each.unconfirmed > 0 for _, each in found),
        "successes": len(successes),
        "successes_unconfirmed": sum(each.unconfirmed > 0 for each in successes),
    }


def _to(k: int) -> range:
    return range(1, k + 1)


def _mean(rows: Sequence[Row], name: str) -> float | None:
    return fmean(row[name] for row in rows) if rows else None


def _pass(
    rows: Sequence[Row],
    k: int,
    formula: Callable[[int, int, int], float | None],
    faults: str,
    seed: int,
) -> Estimate:
    """A metric over tasks, every attempt of which was graded or ended in a fault."""
    counts: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        count = counts.setdefault(row["domain"], {}).setdefault(row["task_id"], [0, 0])
        if row["fault"] is None:
            count[0] += 1
            count[1] += row["official_reward"] >= SUCCESS
        elif faults != "excluded":
            count[0] += 1
            count[1] += faults == "solved"
    return estimate(
        {
            domain: [formula(attempts, successes, k) for attempts, successes in tasks.values()]
            for domain, tasks in counts.items()
        },
        seed,
    )
