"""A run's log holds each step once, whatever happened to the processes that wrote it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau2_gym.errors import ConfigError
from trainers.log import RunLog
from trainers.sections import Run


def run(folder: Path, **options: Any) -> Run:
    return Run(output=folder / "run", **{"tensorboard": False, **options})


def write(run: Run, steps: range, loss: float, after: int | None = None) -> None:
    """What a process writes that goes on after a step."""
    with RunLog(run, {"seed": loss}, steps.start - 1 if after is None else after) as log:
        for step in steps:
            log.write(step, {"loss": loss})


def steps(run: Run) -> list[tuple[int, float]]:
    lines = (run.output / "log.jsonl").read_text().splitlines()
    return [(line["step"], line["loss"]) for line in map(json.loads, lines)]


def test_a_line_a_step_as_soon_as_it_is_written(tmp_path: Path) -> None:
    settings = run(tmp_path)
    with RunLog(settings, {"model": "m"}) as log:
        for step in (1, 2):
            log.write(step, {"loss": 1 / step})
            assert steps(settings)[-1] == (step, 1 / step)
    assert json.loads((settings.output / "config.json").read_text()) == {"model": "m"}
    assert not (settings.output / "logs").exists()


def test_steps_that_are_taken_again_are_written_again(tmp_path: Path) -> None:
    settings = run(tmp_path)
    write(settings, range(1, 6), 1.0)
    write(settings, range(4, 6), 2.0)
    assert steps(settings) == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0)]
    assert json.loads((settings.output / "config.json").read_text()) == {"seed": 2.0}


def test_a_run_without_a_checkpoint_starts_over(tmp_path: Path) -> None:
    """Its first evaluation, at step 0, is taken again, too."""
    settings = run(tmp_path)
    write(settings, range(4), 1.0, after=0)
    write(settings, range(2), 2.0, after=0)
    assert steps(settings) == [(0, 2.0), (1, 2.0)]
    write(settings, range(2, 3), 3.0)
    assert steps(settings) == [(0, 2.0), (1, 2.0), (2, 3.0)]


def test_nothing_is_lost_when_a_run_is_killed_before_its_next_step(tmp_path: Path) -> None:
    settings = run(tmp_path)
    write(settings, range(1, 4), 1.0)
    log = RunLog(settings, {}, 3)
    assert steps(settings) == [(1, 1.0), (2, 1.0), (3, 1.0)]
    log.__exit__(None, None, None)


@given(st.integers(0, 200), st.integers(1, 5))
def test_a_kill_may_have_left_half_of_a_line(left: int, step: int) -> None:
    with TemporaryDirectory() as folder:
        settings = run(Path(folder))
        write(settings, range(1, 6), 1.0)
        path = settings.output / "log.jsonl"
        whole = path.read_bytes()
        path.write_bytes(whole[:left])
        known = whole[:left].count(b"\n")
        write(settings, range(step + 1, 8), 2.0)
        assert steps(settings) == [
            *((number, 1.0) for number in range(1, min(step, known) + 1)),
            *((number, 2.0) for number in range(step + 1, 8)),
        ]


def test_tensorboard_shows_the_same(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("torch")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = run(tmp_path, tensorboard=True)
    write(settings, range(1, 6), 1.0)
    write(settings, range(4, 7), 2.0)
    assert list((settings.output / "logs").glob("events*"))
    events = EventAccumulator(str(settings.output / "logs")).Reload()
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    assert shown == steps(settings)


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_tracker_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.wandb takes wandb: pip install wandb"):
        RunLog(run(tmp_path, wandb="project"), {})
