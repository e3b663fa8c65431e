"""Trajectories hold together, on disk and off it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.backends.base import Generation
from agents.trajectory import Segment, Span, Trajectory, read_trajectories, write_trajectories
from tau2_gym.completion.wire import ROUNDING
from tau2_gym.errors import DataError, InfrastructureError

FIRST = Span(0, 2, 4, "stop", (("a", 2),), {"progress": 0.1, "official": 0.0})
SECOND = Span(1, 5, 6, "length", (("b", 1),), {"official": 1.0})
SEGMENT = Segment(
    ids=(1, 2, 3, 4, 5, 6),
    mask=(0, 0, 1, 1, 0, 1),
    logprobs=(0.0, 0.0, -0.5, -1.5, 0.0, -2.0),
    spans=(FIRST, SECOND),
)


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    """Any trajectory that holds together."""
    segments, turn = [], 0
    for _ in range(draw(st.integers(0, 3))):
        ids: list[int] = []
        mask: list[int] = []
        logprobs: list[float] = []
        spans = []
        for _ in range(draw(st.integers(1, 3))):
            prompt = draw(st.integers(0, 4))
            drawn = draw(st.lists(st.floats(-50, 0), min_size=1, max_size=5))
            start = len(ids) + prompt
            ids += [7] * prompt + [turn] * len(drawn)
            mask += [0] * prompt + [1] * len(drawn)
            logprobs += [0.0] * prompt + drawn
            ledger = draw(st.dictionaries(st.text(max_size=5), st.floats(-1, 1), max_size=3))
            versions = (("v0", len(drawn)),)
            reason = draw(st.sampled_from(["stop", "length"]))
            spans.append(Span(turn, start, start + len(drawn), reason, versions, ledger))
            turn += 1
        segments.append(Segment(tuple(ids), tuple(mask), tuple(logprobs), tuple(spans)))
    meta = draw(st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text()))
    return Trajectory(tuple(segments), meta)


@given(trajectories())
def test_json_gives_back_an_equal_trajectory(trajectory: Trajectory) -> None:
    line = trajectory.to_json()
    assert "\n" not in line
    assert Trajectory.from_json(line) == trajectory


def test_a_line_is_compact_json_without_what_json_lacks() -> None:
    one = Trajectory((replace(SEGMENT, spans=(FIRST, SECOND)),), MappingProxyType({"é": None}))
    line = one.to_json()
    assert line == json.dumps(json.loads(line), separators=(",", ":"))
    assert json.loads(line)["meta"] == {"é": None}
    assert Trajectory.from_json(line) == one
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            Trajectory((SEGMENT,), {"score": number}).to_json()


def test_a_turn_has_earned_nothing_unless_told() -> None:
    span = Span(0, 0, 1, "stop", (("a", 1),))
    assert (span.ledger, span.reward) == ({}, 0)
    assert Trajectory(()).meta == {}


def test_edges_of_what_holds_together() -> None:
    touching = replace(SEGMENT, mask=(0, 0, 1, 1, 1, 1), logprobs=(0.0, 0.0, *[-1.0] * 4),
                       spans=(FIRST, replace(SECOND, start=4, versions=(("b", 2),))))  # fmt: skip
    assert [span.start for span in touching.spans] == [2, 4]


@pytest.mark.parametrize("logprob", [0.0, -0.5, ROUNDING, ROUNDING / 2, -1e8])
def test_what_a_backend_may_give_a_trajectory_takes(logprob: float) -> None:
    versions = (("a", 1),)
    given = Generation((1,), (logprob,), "stop", versions)
    span = Span(0, 0, 1, given.finish_reason, given.versions)
    segment = Segment(given.ids, (1,), given.logprobs, (span,))
    assert Trajectory.from_json(Trajectory((segment,)).to_json()).segments == (segment,)


@pytest.mark.parametrize("logprob", [1.1 * ROUNDING, 1.0, -1e10])
def test_what_no_backend_may_give_a_trajectory_refuses(logprob: float) -> None:
    with pytest.raises(InfrastructureError):
        Generation((1,), (logprob,), "stop", (("a", 1),))
    with pytest.raises(DataError, match="is not a log-probability of a token with mask 1"):
        Segment((1,), (1,), (logprob,), (Span(0, 0, 1, "stop", (("a", 1),)),))


def test_files_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "trajectories.jsonl"
    one, other = Trajectory((SEGMENT,), {"task": "0", "passed": True}), Trajectory(())
    write_trajectories(path, [one])
    write_trajectories(path, [other])
    assert list(read_trajectories(path)) == [one, other]
    path.write_text(f"{one.to_json()}\nnonsense\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"trajectories\.jsonl, line 2: not a trajectory"):
        list(read_trajectories(path))


def test_rewards_are_sums_of_ledgers() -> None:
    assert FIRST.reward == 0.1
    assert Trajectory((SEGMENT,)).reward == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mask": (0, 0, 1, 1, 0, 0)}, "the loss mask is not 1 exactly on the sampled tokens"),
        ({"mask": (0, 1, 1, 1, 0, 1)}, "the loss mask is not 1 exactly on the sampled tokens"),
        ({"mask": (0, 0, 1, 1, 0)}, "the loss mask is not 1 exactly on the sampled tokens"),
        ({"logprobs": (0.0,) * 5}, "6 tokens have 5 log-probabilities"),
        ({"logprobs": (0.0, -1.0, -0.5, -1.5, 0.0, -2.0)}, "-1.0 is not a log-probability"),
        ({"logprobs": (0.0, 0.0, 0.5, -1.5, 0.0, -2.0)}, "0.5 is not a log-probability"),
        ({"logprobs": (0.0, 0.0, float("-inf"), -1.5, 0.0, -2.0)}, "-inf is not a log-probability"),
        ({"spans": (FIRST, replace(SECOND, start=3))}, "turn 1 has no place in its segment"),
        ({"spans": (FIRST, replace(SECOND, end=7))}, "turn 1 has no place in its segment"),
        ({"spans": (replace(FIRST, end=2), SECOND)}, "turn 0 has no place in its segment"),
        (
            {"spans": (FIRST, replace(SECOND, versions=(("b", 2),)))},
            "the weight versions of turn 1 do not cover it",
        ),
    ],
)
def test_parts_that_contradict_each_other(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        replace(SEGMENT, **change)
    data = json.loads(Trajectory((SEGMENT,)).to_json())
    for name, value in change.items():
        data["segments"][0][name] = (
            [vars_of(span) for span in value] if name == "spans" else list(value)
        )
    with pytest.raises(DataError, match=sentence):
        Trajectory.from_json(json.dumps(data))


def vars_of(span: Span) -> dict[str, Any]:
    return {name: getattr(span, name) for name in Span.__slots__}


def test_no_turn_may_be_missing() -> None:
    gap = replace(SEGMENT, spans=(FIRST, replace(SECOND, turn=2)))
    with pytest.raises(DataError, match=r"numbered from 0, not \[0, 2\]"):
        Trajectory((gap,))
