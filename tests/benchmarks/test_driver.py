"""The benchmark of the rollout driver."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
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


def test_a_model_here_says_the_same_whether_conversations_are_kept_or_read_again(
    tmp_path: Path,
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.tiny_model import long_checkpoint

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 16}
    model = long_checkpoint(tmp_path, **sizes, num_attention_heads=2, num_key_value_heads=1)
    done = CliRunner().invoke(app, ["--model", model, "--episodes", "2", "--turns", "3"])
    assert done.exit_code == 0, done.output
    said = r"2 episodes of 3 turns, prompts of \d,\d+ tokens: .*; ratio (\S+); 2 of 2 .* the same"
    assert re.search(said, done.output), done.output
