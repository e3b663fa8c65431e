"""Which tasks come next: passes over all of them, or draws by their weights, whoever asks."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau2_gym.errors import ConfigError
from tau2_gym.results.record import TaskKey
from trainers.config import GRPOConfig, load_config
from trainers.openrlhf.task_loader import TaskStream
from trainers.rollout.curriculum import SuccessRates
from trainers.rollout.task_sampler import TaskSampler, draw_tasks
from trainers.sections import Curriculum

TASKS = [("airline", "0"), ("airline", "1"), ("retail", "0"), ("retail", "1")]
MANY = [("telecom", str(number)) for number in range(74)]


def config(**settings: Any) -> GRPOConfig:
    return load_config(GRPOConfig, None, {"model": "m", "run.steps": 40, **settings})


def drawn(sampler: TaskSampler, *counts: int) -> list[list[TaskKey]]:
    """The tasks of some steps, nothing of which is solved."""
    steps = []
    for count in counts:
        steps.append([sampler.draw() for _ in range(count)])
        sampler.finish_step([])
    return steps


def test_five_steps_of_sixteen_meet_all_of_seventy_four_tasks() -> None:
    steps = drawn(TaskSampler(MANY, config()), *[16] * 5)
    assert {task for step in steps for task in step} == set(MANY)
    assert all(len(set(step)) == 16 for step in steps)


@given(st.integers(1, 9), st.lists(st.integers(0, 12), max_size=8), st.integers(0, 2**32))
def test_passes_are_even_and_no_task_comes_twice_in_a_step_while_others_have_not_come(
    size: int, counts: list[int], seed: int
) -> None:
    sampler = TaskSampler(MANY[:size], config(**{"run.seed": seed}))
    seen: Counter[TaskKey] = Counter(dict.fromkeys(MANY[:size], 0))
    for step in drawn(sampler, *counts):
        seen.update(step)
        assert max(seen.values()) - min(seen.values()) <= 1
        once = step[:size]
        assert len(set(once)) == len(once)
    assert sampler.drawn == sum(counts)


@pytest.mark.parametrize("sampling", [False, True])
@given(counts=st.lists(st.integers(1, 7), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_a_sampler_goes_on_from_its_state_as_if_it_had_not_stopped(
    sampling: bool, counts: list[int], seed: int
) -> None:
    recipe = config(**{"curriculum.sampling": sampling, "run.seed": seed})
    whole, first = TaskSampler(TASKS, recipe), TaskSampler(TASKS, recipe)
    for sampler in (whole, first):
        sampler.finish_step([(TASKS[2], True)] * 9)
    expected = drawn(whole, *counts)
    begun = drawn(first, *counts[:1])
    second = TaskSampler(TASKS, recipe, json.loads(json.dumps(first.state())))
    assert begun + drawn(second, *counts[1:]) == expected
    assert second.state() == whole.state()


@pytest.mark.parametrize("sampling", [False, True])
def test_a_cluster_visits_the_tasks_that_one_process_visits(sampling: bool) -> None:
    recipe = config(**{"curriculum.sampling": sampling, "rollout.tasks": 16})
    here, stream = TaskSampler(MANY, recipe), TaskStream(MANY, recipe)
    for _ in range(10):
        there = [
            json.loads(label) for _, (_, _, (label,), _) in zip(range(16), stream, strict=False)
        ]
        ours = [here.draw() for _ in range(16)]
        assert [(asked["domain"], asked["task_id"]) for asked in there] == ours
        for sampler in (here, stream):
            sampler.finish_step([(task, True) for task in ours[:8] for _ in range(8)])


def test_weights_are_those_of_the_step_and_only_with_a_curriculum_of_sampling() -> None:
    for sampling, least, most in ((False, 100, 100), (True, 1, 40)):
        sampler = TaskSampler(
            TASKS, config(**{"curriculum.sampling": sampling, "curriculum.half_life": None})
        )
        sampler.finish_step([(TASKS[0], True)] * 9)
        counts = Counter(task for step in drawn(sampler, *[1] * 400) for task in step)
        assert least <= counts[TASKS[0]] <= most
    assert sampler.curriculum.weight(*TASKS[0]) == 0.1


def test_the_state_of_an_earlier_version_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"of an earlier version.*give another output"):
        TaskSampler(TASKS, config(), {"step": 3, "curriculum": {}})


# Drawing by weights


def curriculum_of(easy: TaskKey) -> SuccessRates:
    """One that has seen one task solved often."""
    curriculum = SuccessRates(Curriculum())
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
    curriculum = SuccessRates(Curriculum(easy_weight=1e-6))
    for task in TASKS:
        curriculum.observe(*task, 8, 8)
    rng, count = random.Random(2), 4_000
    first = Counter(draw_tasks(TASKS, 1, rng, curriculum)[0] for _ in range(count))
    assert all(abs(first[task] / count - 0.25) < 0.04 for task in TASKS)
