from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.rollout.curriculum import Curriculum, Key, draw_tasks, task_of
from trainers.sections import Curriculum as Settings

TASKS: list[Key] = [("airline", "0"), ("airline", "1"), ("retail", "0"), ("retail", "1")]


def after(successes: int, attempts: int, **settings: Any) -> float:
    curriculum = Curriculum(Settings(**settings))
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
    curriculum = Curriculum(Settings())
    weights = []
    for _ in range(2):
        weights += [curriculum.weight("retail", "0") for _ in range(8)]
        curriculum.observe("retail", "0", 8, 8)
    assert weights == [1.0] * 8 + [0.1] * 8


def test_groups_add_up() -> None:
    curriculum = Curriculum(Settings())
    for successes, attempts in ((3, 3), (0, 0), (2, 4)):
        curriculum.observe("retail", "0", successes, attempts)
    assert curriculum.state() == {"retail": {"0": (5, 7)}}


def test_tasks_of_different_domains_may_share_an_id() -> None:
    curriculum = Curriculum(Settings())
    curriculum.observe("retail", "0", 8, 8)
    curriculum.observe("airline", "0", 0, 8)
    assert [curriculum.weight(*task) for task in TASKS] == [0.5, 1.0, 0.1, 1.0]


seen = st.lists(
    st.tuples(st.sampled_from("ab"), st.text(max_size=3), st.integers(0, 9), st.integers(0, 9))
)


@given(seen)
def test_it_goes_on_from_its_state(observed: list[tuple[str, str, int, int]]) -> None:
    curriculum = Curriculum(Settings())
    for domain, task, solved, failed in observed:
        curriculum.observe(domain, task, solved, solved + failed)
        curriculum.age()
    again = Curriculum(Settings(), json.loads(json.dumps(curriculum.state())))
    for each in (curriculum, again):
        each.observe("a", "0", 1, 5)
    assert json.dumps(again.state()) == json.dumps(curriculum.state())
    for domain, task, _, _ in observed:
        assert again.weight(domain, task) == curriculum.weight(domain, task)


def test_a_state_is_no_longer_the_curriculums_own() -> None:
    curriculum = Curriculum(Settings())
    curriculum.observe("retail", "0", 1, 1)
    state = curriculum.state()
    curriculum.observe("retail", "0", 0, 1)
    curriculum.observe("retail", "1", 0, 1)
    assert state == {"retail": {"0": (1, 1)}}


@pytest.mark.parametrize("half_life", [0.5, 1, 50, 1000])
def test_attempts_count_half_after_the_half_life(half_life: float) -> None:
    curriculum = Curriculum(Settings(half_life=half_life))
    curriculum.observe("retail", "0", 24, 64)
    for _ in range(int(2 * half_life)):
        curriculum.age()
    assert curriculum.state()["retail"]["0"] == pytest.approx((6.0, 16.0))


def test_a_model_that_has_learned_is_believed() -> None:
    """A task that 40 groups failed, and that has been solved ever since."""
    weights = {}
    for half_life in (None, Settings().half_life):
        curriculum = Curriculum(Settings(half_life=half_life))
        for solved in [0] * 40 + [8] * 12:
            for _ in range(11):  # as often as 16 of 178 tasks come
                curriculum.age()
            curriculum.observe("retail", "0", solved, 8)
        weights[half_life] = curriculum.weight("retail", "0")
    assert weights == {None: 0.5, 50.0: 0.1}


def test_what_was_not_seen_for_long_is_unknown() -> None:
    curriculum = Curriculum(Settings(half_life=10))
    curriculum.observe("retail", "0", 8, 8)
    weights = []
    for _ in range(12):
        weights.append(curriculum.weight("retail", "0"))
        curriculum.age()
    assert weights == [0.1] * 7 + [1.0] * 5  # 8 attempts are 5 after 6.8 steps


def test_without_a_half_life_nothing_is_forgotten() -> None:
    curriculum = Curriculum(Settings(half_life=None))
    curriculum.observe("retail", "0", 3, 8)
    curriculum.age()
    assert curriculum.state() == {"retail": {"0": (3, 8)}}


# Drawing


def curriculum_of(easy: Key) -> Curriculum:
    """One that has seen one task solved often."""
    curriculum = Curriculum(Settings())
    curriculum.observe(*easy, 8, 8)
    return curriculum


@given(st.integers(0, 2**32), st.integers(0, 11), st.booleans())
def test_all_are_drawn_before_any_is_drawn_again(seed: int, count: int, weighted: bool) -> None:
    curriculum = curriculum_of(TASKS[0]) if weighted else None
    drawn = draw_tasks(TASKS, count, random.Random(seed), curriculum)
    assert len(drawn) == count
    often = Counter(dict.fromkeys(TASKS, 0) | Counter(drawn)).values()
    assert max(often) - min(often) <= 1
    assert drawn == draw_tasks(TASKS, count, random.Random(seed), curriculum)


def test_chance_decides() -> None:
    draws = {tuple(draw_tasks(TASKS, 4, random.Random(seed))) for seed in range(200)}
    assert len(draws) == 24, "all orders come"


def test_weights_are_chances() -> None:
    rng, curriculum, count = random.Random(0), curriculum_of(TASKS[2]), 20_000
    for weights, found in (
        ([1.0, 1.0, 1.0, 1.0], None),
        ([1.0, 1.0, 0.1, 1.0], curriculum),
    ):
        drawn = Counter(draw_tasks(TASKS, 1, rng, found)[0] for _ in range(count))
        for task, weight in zip(TASKS, weights, strict=True):
            chance = weight / sum(weights)
            spread = (chance * (1 - chance) / count) ** 0.5
            assert drawn[task] / count == pytest.approx(chance, abs=4 * spread)


def test_the_second_is_drawn_by_the_weights_that_are_left() -> None:
    rng, curriculum, count = random.Random(1), curriculum_of(TASKS[0]), 20_000
    drawn = Counter(draw_tasks(TASKS, 2, rng, curriculum)[1] for _ in range(count))
    # First one of three others (1 in 3.1 each), then the easy one among 0.1 + 1 + 1.
    assert drawn[TASKS[0]] / count == pytest.approx(3 / 3.1 * 0.1 / 2.1, abs=0.006)


def test_tasks_of_tiny_weights_take_turns_too() -> None:
    curriculum = Curriculum(Settings(easy_weight=1e-6))
    for task in TASKS:
        curriculum.observe(*task, 8, 8)
    rng, count = random.Random(2), 4_000
    first = Counter(draw_tasks(TASKS, 1, rng, curriculum)[0] for _ in range(count))
    assert all(abs(first[task] / count - 0.25) < 0.04 for task in TASKS)
