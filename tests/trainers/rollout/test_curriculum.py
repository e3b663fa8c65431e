from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.rollout.curriculum import SuccessRates, task_of
from trainers.sections import Curriculum

TASKS = [("airline", "0"), ("airline", "1"), ("retail", "0"), ("retail", "1")]


def after(successes: int, attempts: int, **settings: Any) -> float:
    curriculum = SuccessRates(Curriculum(**settings))
    curriculum.observe("retail", "0", successes, attempts)
    return curriculum.weight("retail", "0")


@pytest.mark.parametrize(
    ("successes", "attempts", "weight"),
    [
        (0, 0, 1.0),
        (0, 4, 1.0),  # too few to tell
        (4, 4, 1.0),
        (5, 5, 0.1),
        (0, 5, 0.5),
        (6, 8, 1.0),  # exactly at a threshold is neither
        (7, 8, 0.1),
        (2, 8, 1.0),
        (1, 8, 0.5),
        (4, 8, 1.0),
    ],
)
def test_weights(successes: int, attempts: int, weight: float) -> None:
    assert after(successes, attempts) == weight


def test_thresholds_and_weights_are_settings() -> None:
    settings = {"min_attempts": 2, "easy": 0.5, "easy_weight": 0.3, "hard": 0.4, "hard_weight": 2.0}
    found = [after(successes, 10, **settings) for successes in (3, 4, 5, 6)]
    assert found == [2.0, 1.0, 1.0, 0.3]
    assert [after(0, attempts, **settings) for attempts in (1, 2)] == [1.0, 2.0]


def test_a_label_names_a_task() -> None:
    assert task_of('{"task_id": "7", "domain": "retail", "split": "train"}') == ("retail", "7")


def test_a_group_counts_at_once() -> None:
    """All of a group is weighed by what was known before it."""
    curriculum = SuccessRates(Curriculum())
    weights = []
    for _ in range(2):
        weights += [curriculum.weight("retail", "0") for _ in range(8)]
        curriculum.observe("retail", "0", 8, 8)
    assert weights == [1.0] * 8 + [0.1] * 8


def test_groups_add_up() -> None:
    curriculum = SuccessRates(Curriculum())
    for successes, attempts in ((3, 3), (0, 0), (2, 4)):
        curriculum.observe("retail", "0", successes, attempts)
    assert curriculum.state() == {"retail": {"0": (5, 7)}}


def test_tasks_of_different_domains_may_share_an_id() -> None:
    curriculum = SuccessRates(Curriculum())
    curriculum.observe("retail", "0", 8, 8)
    curriculum.observe("airline", "0", 0, 8)
    assert [curriculum.weight(*task) for task in TASKS] == [0.5, 1.0, 0.1, 1.0]


seen = st.lists(
    st.tuples(st.sampled_from("ab"), st.text(max_size=3), st.integers(0, 9), st.integers(0, 9))
)


@given(seen)
def test_it_goes_on_from_its_state(observed: list[tuple[str, str, int, int]]) -> None:
    curriculum = SuccessRates(Curriculum())
    for domain, task, solved, failed in observed:
        curriculum.observe(domain, task, solved, solved + failed)
        curriculum.age()
    again = SuccessRates(Curriculum(), json.loads(json.dumps(curriculum.state())))
    for each in (curriculum, again):
        each.observe("a", "0", 1, 5)
    assert json.dumps(again.state()) == json.dumps(curriculum.state())
    for domain, task, _, _ in observed:
        assert again.weight(domain, task) == curriculum.weight(domain, task)


def test_a_state_is_no_longer_the_curriculums_own() -> None:
    curriculum = SuccessRates(Curriculum())
    curriculum.observe("retail", "0", 1, 1)
    state = curriculum.state()
    curriculum.observe("retail", "0", 0, 1)
    curriculum.observe("retail", "1", 0, 1)
    assert state == {"retail": {"0": (1, 1)}}


@pytest.mark.parametrize("half_life", [0.5, 1, 50, 1000])
def test_attempts_count_half_after_the_half_life(half_life: float) -> None:
    curriculum = SuccessRates(Curriculum(half_life=half_life))
    curriculum.observe("retail", "0", 24, 64)
    for _ in range(int(2 * half_life)):
        curriculum.age()
    assert curriculum.state()["retail"]["0"] == pytest.approx((6.0, 16.0))


def test_a_model_that_has_learned_is_believed() -> None:
    """A task that 40 groups failed, and that has been solved ever since."""
    weights = {}
    for half_life in (None, Curriculum().half_life):
        curriculum = SuccessRates(Curriculum(half_life=half_life))
        for solved in [0] * 40 + [8] * 12:
            for _ in range(11):  # as often as 16 of 178 tasks come
                curriculum.age()
            curriculum.observe("retail", "0", solved, 8)
        weights[half_life] = curriculum.weight("retail", "0")
    assert weights == {None: 0.5, 50.0: 0.1}


def test_what_was_not_seen_for_long_is_unknown() -> None:
    curriculum = SuccessRates(Curriculum(half_life=10))
    curriculum.observe("retail", "0", 8, 8)
    weights = []
    for _ in range(12):
        weights.append(curriculum.weight("retail", "0"))
        curriculum.age()
    assert weights == [0.1] * 7 + [1.0] * 5  # 8 attempts are 5 after 6.8 steps


def test_without_a_half_life_nothing_is_forgotten() -> None:
    curriculum = SuccessRates(Curriculum(half_life=None))
    curriculum.observe("retail", "0", 3, 8)
    curriculum.age()
    assert curriculum.state() == {"retail": {"0": (3, 8)}}
