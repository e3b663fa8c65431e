"""mean@k and maj@k of a run."""

from __future__ import annotations

from itertools import product
from typing import Any

from tau2_gym.results.metrics import Estimate
from tau2_gym.results.votes import maj_over_tasks, mean_over_tasks


def row(task_id: str, trial: int, answer: str | None, official: float | None) -> dict[str, Any]:
    """An attempt; one without a reward has ended in a fault."""
    fault = "infrastructure" if official is None else None
    return {
        "domain": "code",
        "task_id": task_id,
        "trial": trial,
        "answer": answer,
        "official_reward": official,
        "fault": fault,
    }


def values(rows: list[dict[str, Any]], k: int, faults: str = "excluded") -> list[float | None]:
    """mean@k and maj@k."""
    return [metric(rows, k, faults, 0).value for metric in (mean_over_tasks, maj_over_tasks)]


def test_both_are_means_over_tasks_of_the_first_attempts_in_order() -> None:
    rows = [row("1", 2, "7", 1.0), row("1", 1, "7", 1.0), row("1", 0, "8", 0.0)]
    rows += [row("2", trial, "5", 0.0) for trial in range(3)]
    assert values(rows, 1) == [0.0, 0.0]
    assert values(rows, 3) == [1 / 3, 0.5]
    assert values(rows, 4) == [None, None]
    assert maj_over_tasks(rows, 3, "excluded", 0).tasks == 2


def test_answers_that_cannot_be_voted_on_have_a_mean_only() -> None:
    rows = [row("1", 0, None, 1.0), row("1", 1, None, 0.0), row("2", 0, "7", 1.0)]
    rows.append(row("2", 1, "7", 1.0))
    assert mean_over_tasks(rows, 2, "excluded", 0).tasks == 2
    assert maj_over_tasks(rows, 2, "excluded", 0) == Estimate(1.0, 1.0, 1.0, 1)


def test_who_never_answers_is_never_right() -> None:
    assert values([row("1", trial, "", 0.0) for trial in range(2)], 2) == [0.0, 0.0]


def test_faulty_attempts_are_left_out_where_enough_others_are_there() -> None:
    rows = [row("1", 0, None, None), row("1", 1, "7", 1.0), row("1", 2, "7", 1.0)]
    assert values(rows, 2) == [1.0, 1.0]
    assert values(rows, 3) == [None, None]
    assert values([row("1", 0, None, None)], 1) == [None, None]
    assert values([row("1", 0, None, None)], 1, "failed") == [0.0, 0.0]
    assert values([row("1", 0, None, None)], 1, "solved") == [1.0, 1.0]


def test_the_bounds_hold_and_are_reached_whatever_the_faulty_attempts_would_have_answered() -> None:
    """The right answer is 7; every way to answer is tried."""
    for known in product(("7", "8", "9", ""), repeat=2):
        for places in ((0, 1), (0, 3), (1, 2), (2, 3)):

            def played(answers: tuple[str | None, ...]) -> list[dict[str, Any]]:
                waiting, found = list(known), []  # noqa: B023
                for trial in range(4):
                    answer = answers[places.index(trial)] if trial in places else waiting.pop(0)  # noqa: B023
                    official = None if answer is None else float(answer == "7")
                    found.append(row("1", trial, answer, official))
                return found

            reached = [
                values(played(answers), 4)
                for answers in product(("7", "8", "9", "10", ""), repeat=2)
            ]
            for number, faults in ((0, "failed"), (1, "solved")):
                bound = values(played((None, None)), 4, faults)
                for each, value in enumerate(bound):
                    assert value == [min, max][number](outcome[each] for outcome in reached)  # type: ignore[type-var]
