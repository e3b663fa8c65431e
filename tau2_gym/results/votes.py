"""mean@k and maj@k of a run whose attempts end with an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tau2_gym.results.metrics import Estimate, Vote, estimate, maj_at_k, mean_at_k

Row = Mapping[str, Any]

NOBODYS = "\0"
"""An answer that no attempt gives."""


def mean_over_tasks(rows: Sequence[Row], k: int, faults: str, seed: int) -> Estimate:
    """mean@k over tasks.

    Args:
        rows: the results.
        k: how many attempts count.
        faults: what those count as that ended in a fault: `excluded`, `failed` or `solved`.
        seed: of the bootstrap.
    """
    values: dict[str, list[float | None]] = {}
    for task in _by_task(rows):
        scores = [
            row["official_reward"] if row["fault"] is None else float(faults == "solved")
            for row in task
            if row["fault"] is None or faults != "excluded"
        ]
        values.setdefault(task[0]["domain"], []).append(mean_at_k(scores, k))
    return estimate(values, seed)


def maj_over_tasks(rows: Sequence[Row], k: int, faults: str, seed: int) -> Estimate:
    """maj@k over the tasks whose answers can be voted on. See `mean_over_tasks`."""
    values: dict[str, list[float | None]] = {}
    for task in _by_task(rows):
        played = [row for row in task if row["fault"] is None]
        if any(row.get("answer") is None for row in played):
            continue
        votes = [None if row["fault"] else (row["answer"], row["official_reward"]) for row in task]
        if faults == "excluded":
            result = maj_at_k([vote for vote in votes if vote], k)
        else:
            result = _bound(votes, k, solved=faults == "solved")
        values.setdefault(task[0]["domain"], []).append(result)
    return estimate(values, seed)


def _bound(votes: Sequence[Vote | None], k: int, *, solved: bool) -> float | None:
    """The most, or the least, that the vote can come to with those that are missing. It is reached where
    they all give the same answer: one that others give, or one that nobody does."""
    score = float(solved)
    answers = {vote[0] for vote in votes if vote and vote[0] and vote[1] == score} | {NOBODYS}
    filled = ([vote or (answer, score) for vote in votes] for answer in sorted(answers))
    found = [result for each in filled if (result := maj_at_k(each, k)) is not None]
    return (max if solved else min)(found, default=None)


def _by_task(rows: Sequence[Row]) -> list[list[Row]]:
    """The attempts at each task, in their order."""
    tasks: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        tasks.setdefault((row["domain"], row["task_id"]), []).append(row)
    return [sorted(task, key=lambda row: row.get("trial", 0)) for task in tasks.values()]
