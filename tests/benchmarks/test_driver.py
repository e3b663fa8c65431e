"""The benchmark of the rollout driver."""

from __future__ import annotations

import asyncio
import re

from typer.testing import CliRunner

from benchmarks.driver import app, play


def test_it_plays_the_turns_it_is_told_to_and_says_how_long_that_took() -> None:
    done = CliRunner().invoke(app, ["--episodes", "3", "--turns", "6", "--latency", "0.01"])
    assert done.exit_code == 0, done.output
    found = re.fullmatch(
        r"3 episodes of 6 turns: (\S+) s; critical path (\S+) s; ratio (\S+)\n", done.output
    )
    assert found is not None, done.output
    took, path, ratio = map(float, found.groups())
    # Six calls of the agent and four of the user, who speaks first and last, of a hundredth each.
    assert path == 0.1
    assert took >= 0.1
    assert abs(ratio - took / path) < 0.1


def test_every_episode_waits_for_every_call() -> None:
    records = asyncio.run(play(5, 4, 0.001))
    assert len({record.task_id for record in records}) == 5
    for record in records:
        assert record.num_turns == 4
        assert record.fault is None
        assert record.termination == "user_stop"
        said = [message["content"] for message in record.messages if message["role"] == "user"]
        assert said == ["Go on.", "Go on.", "###STOP###"]
