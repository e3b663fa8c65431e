from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from trainers.config import GRPOConfig, load_config
from trainers.openrlhf.task_loader import MOST_DRAWS, TaskStream, batch

TASKS = [("airline", "0"), ("airline", "1"), ("retail", "0"), ("retail", "1"), ("retail", "2")]


def config(**settings: Any) -> GRPOConfig:
    values = {"model": "m", "rollout.tasks": 2, "run.steps": 4, **settings}
    return load_config(GRPOConfig, None, values)


def names(stream: TaskStream, count: int) -> list[str]:
    return [prompts[0] for _, prompts, _, _ in islice(stream, count)]


def test_a_task_is_a_row_whose_label_names_it() -> None:
    sources, prompts, labels, images = batch(("retail", "7"), evaluation=True)
    assert (sources, prompts, images) == (["retail"], ["retail/7"], [None])
    assert json.loads(labels[0]) == {"domain": "retail", "task_id": "7", "evaluation": True}


def test_every_task_comes_once_before_any_comes_again() -> None:
    stream = TaskStream(TASKS, config())
    first, second = names(stream, 5), names(stream, 5)
    assert set(first) == set(second) == {f"{domain}/{task}" for domain, task in TASKS}
    assert first != second
    assert names(TaskStream(TASKS, config()), 10) == first + second
    assert names(TaskStream(TASKS, config(**{"run.seed": 1})), 10) != first + second


def test_the_stream_ends_after_the_last_step() -> None:
    stream = TaskStream(TASKS, config())
    for _ in range(4):
        names(stream, 2)
        stream.finish_step([])
    assert len(stream) == 8
    assert not list(stream)


@pytest.mark.parametrize("sampling", [False, True])
def test_a_stream_goes_on_where_it_was_saved(sampling: bool) -> None:
    settings = config(**{"curriculum.sampling": sampling})
    stream = TaskStream(TASKS, settings)
    names(stream, 3)
    stream.finish_step([(TASKS[0], True), (TASKS[0], False), (TASKS[3], True)])
    other = TaskStream(TASKS, settings)
    other.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert names(other, 8) == names(stream, 8)
    assert other.curriculum.state() == {"airline": {"0": [1, 2]}, "retail": {"1": [1, 1]}} or (
        other.state_dict() == stream.state_dict()
    )


def test_solved_tasks_are_drawn_less_often_but_never_twice_in_a_step() -> None:
    settings = {"curriculum.sampling": True, "curriculum.half_life": None, "run.steps": 300}
    stream = TaskStream(TASKS, config(**settings))
    stream.finish_step([(TASKS[0], True)] * 5)
    drawn = []
    for _ in range(200):
        step = names(stream, 2)
        assert len(set(step)) == 2
        drawn += step
        stream.finish_step([])
    # 0.1 of the weight of each of four others.
    assert 0 < drawn.count("airline/0") < 0.3 * drawn.count("airline/1")


def test_filtering_that_refuses_everything_is_given_up() -> None:
    stream = TaskStream(TASKS, config())
    with pytest.raises(RuntimeError, match="always or never"):
        names(stream, 2 * MOST_DRAWS + 1)


def test_a_step_ages_what_was_seen_before_it() -> None:
    stream = TaskStream(TASKS, config(**{"curriculum.half_life": 1}))
    for _ in range(3):
        stream.finish_step([(TASKS[0], True), (TASKS[0], False)])
    assert stream.curriculum.state() == {"airline": {"0": (1.75, 3.5)}}
