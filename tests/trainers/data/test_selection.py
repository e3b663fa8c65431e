"""Which attempts are kept, told on attempts that are nothing but scores."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tau2_gym.errors import ConfigError
from trainers.data.selection import SelectionRules, balanced, choose, dedupe


def attempt(task: str, trial: int, reward: float | None, partial: float, **more: Any) -> Any:
    base = {"domain": "retail", "task_id": task, "trial": trial, "fault": None, "malformed": 0}
    return {**base, "official_reward": reward, "partial_score": partial, **more}


def kept(attempts: list[Any], **rules: Any) -> list[tuple[str, int]]:
    return [(row["task_id"], row["trial"]) for row in choose(attempts, SelectionRules(**rules))]


ATTEMPTS = [
    attempt("a", 0, 1.0, 1.0),
    attempt("a", 1, 0.0, 0.9),
    attempt("a", 2, 1 - 1e-9, 1.0),
    attempt("b", 0, 0.0, 0.6),
    attempt("b", 1, 0.0, 0.8),
    attempt("b", 2, 0.0, 0.8),
    attempt("c", 0, 0.0, 0.59),
    attempt("d", 0, None, 0.0, fault="user"),
    attempt("d", 1, None, 0.9),
    attempt("e", 0, 1.0, 1.0, malformed=2),
    attempt("e", 1, 0.0, 0.7),
]


def test_successes_are_kept_and_else_the_best_partial_score_of_a_task() -> None:
    assert kept(ATTEMPTS) == [("a", 0), ("a", 2), ("b", 1), ("e", 1)]


def test_thresholds_move() -> None:
    assert kept(ATTEMPTS, best_partial=None) == [("a", 0), ("a", 2)]
    assert ("c", 0) in kept(ATTEMPTS, best_partial=0.5)
    assert len(kept(ATTEMPTS, min_reward=0.0)) == 8, "all that were graded and could be read"


def test_a_score_at_a_threshold_is_kept_however_it_was_rounded() -> None:
    for partial, there in ((0.6, True), (0.6 - 1e-9, True), (0.6 - 1e-5, False)):
        assert bool(kept([attempt("a", 0, 0.0, partial)])) == there
    for reward, there in ((0.5, True), (0.5 - 1e-9, True), (0.5 - 1e-5, False)):
        rules = {"min_reward": 0.5, "best_partial": None}
        assert bool(kept([attempt("a", 0, reward, 0.0)], **rules)) == there


@pytest.mark.parametrize("name", ["min_reward", "best_partial"])
@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_impossible_scores_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must lie in \[0, 1\], not {value}$"):
        SelectionRules(**{name: value})  # type: ignore[arg-type]


def test_impossible_balances_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^balance must be at least 1, not 0\.5$"):
        SelectionRules(balance=0.5)


def test_the_extremes_are_possible() -> None:
    for value in (0.0, 1.0):
        SelectionRules(min_reward=value, best_partial=value, balance=1.0)
    assert SelectionRules() == SelectionRules(min_reward=1.0, best_partial=0.6, balance=3.0, seed=0)


def rows(domain: str, tasks: int, each: int) -> list[dict[str, Any]]:
    return [
        {"domain": domain, "task_id": str(task), "messages": [domain, task, number]}
        for task in range(tasks)
        for number in range(each)
    ]


def test_a_conversation_counts_once_whatever_its_task() -> None:
    one, other = rows("retail", 1, 2)
    twin = {**one, "task_id": "7"}
    assert dedupe([one, twin, other, one]) == [one, other]


def test_no_domain_has_more_than_its_share() -> None:
    found = [*rows("airline", 2, 2), *rows("retail", 10, 1), *rows("telecom", 20, 5)]
    left = balanced(found, SelectionRules(balance=3))
    assert Counter(row["domain"] for row in left) == {"airline": 4, "retail": 10, "telecom": 12}
    assert [row for row in found if row in left] == left, "in order"
    assert balanced(found, SelectionRules(balance=3)) == left
    assert balanced(found, SelectionRules(balance=3, seed=1)) != left
    assert balanced(found, SelectionRules(balance=None)) == found
    assert balanced([], SelectionRules()) == []


def test_tasks_that_were_solved_often_give_up_rows_first() -> None:
    often, seldom = (
        rows("telecom", 1, 50),
        [{**row, "task_id": f"x{row['task_id']}"} for row in rows("telecom", 9, 1)],
    )
    left = balanced([*rows("airline", 4, 1), *often, *seldom], SelectionRules(balance=3))
    assert Counter(row["task_id"] for row in left if row["domain"] == "telecom") == {
        "0": 3,
        **{f"x{number}": 1 for number in range(9)},
    }
