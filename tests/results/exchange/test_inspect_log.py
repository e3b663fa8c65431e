"""Runs as logs of inspect_ai."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.results.exchange.runs import Row, changed, play, tau2_gym


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A telecom task in which the user calls tools, and two of mock."""
    path = tmp_path_factory.mktemp("runs") / "oracle.jsonl"
    ids = "[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"
    options = ("--agent", "oracle", "--domains", "telecom", "--task-ids", ids)
    return play(path, *options, "--num-samples", "2")


def log_of(run: Path, output: Path) -> Any:
    from inspect_ai.log import read_eval_log

    done = tau2_gym("export", run, "-o", output, "--format", "inspect")
    assert done.exit_code == 0, done.output
    return read_eval_log(str(output))


def rows(run: Path) -> list[Row]:
    return [json.loads(line) for line in run.read_text().splitlines()]


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_inspect_reads_it(run: Path, tmp_path: Path, suffix: str) -> None:
    log = log_of(run, tmp_path / f"log{suffix}")
    assert (log.status, log.eval.model, log.eval.config.epochs) == ("success", "oracle", 2)
    assert log.results.scores[0].metrics["mean"].value == 1.0
    assert log.eval.metadata["user"] == "scripted"
    for row, sample in zip(rows(run), log.samples, strict=True):
        assert (sample.id, sample.epoch) == (f"telecom/{row['task_id']}", row["trial"] + 1)
        assert len(sample.messages) == len(row["messages"])
        assert sample.scores["official_reward"].value == row["official_reward"]
        assert sample.scores["reward"].metadata["ledger"] == row["rewards"]
        assert sample.metadata["ledger"] == row["rewards"]
        assert sample.metadata["checks"] == row["checks"]
        assert sample.input == row["messages"][1]["content"]


def test_calls_and_results_are_shown(run: Path, tmp_path: Path) -> None:
    (sample, _) = log_of(run, tmp_path / "log.json").samples
    calls = [
        call for message in sample.messages for call in getattr(message, "tool_calls", 0) or ()
    ]
    results = {each.tool_call_id: each for each in sample.messages if each.role == "tool"}
    assert [call.function for call in calls] == ["refuel_data"]
    assert [results[call.id].function for call in calls] == ["refuel_data"]
    said = [message.text for message in sample.messages if message.role == "user"]
    assert "[calls toggle_data({})]" in said
    assert any(text.startswith("[result of toggle_data]") for text in said)


def test_faults_are_errors(run: Path, tmp_path: Path) -> None:
    fault = {"fault": "user", "error": "down", "termination": None, "official_reward": None}
    other = changed(run, "faulted", lambda found: found[0].update(fault, checks=None))
    log = log_of(other, tmp_path / "log.eval")
    assert (log.samples[0].error.message, log.samples[0].scores) == ("down", None)
    assert (log.results.total_samples, log.results.completed_samples) == (2, 1)


def test_keys_are_masked(run: Path, tmp_path: Path) -> None:
    key = "sk-proj-abcdefgh12345678"
    other = changed(run, "keys", lambda found: found[0]["messages"][1].update(content=key))
    log_of(other, tmp_path / "log.json")
    assert key not in (tmp_path / "log.json").read_text()


def test_what_is_refused(run: Path, tmp_path: Path) -> None:
    done = tau2_gym("export", run, "-o", tmp_path / "log.txt", "--format", "inspect")
    assert (done.exit_code, "ends in .eval or .json" in done.output) == (2, True)
    (tmp_path / "log.json").write_text("mine")
    done = tau2_gym("export", run, "-o", tmp_path / "log.json", "--format", "inspect")
    assert (done.exit_code, (tmp_path / "log.json").read_text()) == (2, "mine")
