"""The Pass@k command line, run as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.passk import app

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_the_oracle_solves_a_small_run_and_everything_is_written(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    result = run(
        "--domains", "retail,telecom", "--split", "test", "--num-samples", "1", "--workers", "1",
        "--task-ids", "1,5,[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]",
        "--output", str(output),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["official_reward"] for row in rows] == [1.0, 1.0, 1.0]
    for row in rows:
        assert row["messages"][0]["role"] == "assistant"
        assert row["fault"] is None
        assert sum(sum(ledger.values()) for ledger in row["rewards"]) == pytest.approx(
            row["reward"]
        )
    summary = json.loads(output.with_suffix(".summary.json").read_text())
    assert summary["overall"]["pass"]["excluded"]["pass@1"]["value"] == 1.0
    assert summary["config"]["revisions"].keys() == {"retail", "telecom"}
    assert summary["config"]["versions"]["tau2-gym"]
    assert "overall" in result.output


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    outputs = []
    for workers in ("1", "2"):
        output = tmp_path / f"workers{workers}.jsonl"
        result = run(
            "--domains", "airline", "--num-samples", "2", "--workers", workers,
            "--agent", "random", "--max-steps", "12", "--output", str(output),
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1]


def test_a_killed_run_goes_on_and_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    arguments = ["--domains", "telecom", "--num-samples", "2", "--workers", "2", "--seed", "3"]
    killed, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    command = [sys.executable, "-m", "benchmarks.passk", *arguments, "--output", str(killed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not killed.exists() or killed.read_bytes().count(b"\n") < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = killed.read_bytes().count(b"\n")
    assert 3 <= kept < 80
    assert run(*arguments, "--output", str(killed)).exit_code == 0
    assert run(*arguments, "--output", str(whole)).exit_code == 0
    assert killed.read_bytes() == whole.read_bytes()


def test_more_samples_can_be_added_to_a_run(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    base = ["--domains", "mock", "--split", "base", "--workers", "1", "--output", str(output)]
    assert run(*base, "--num-samples", "1").exit_code == 0
    first = output.read_text().splitlines()
    result = run(*base, "--num-samples", "2")
    assert result.exit_code == 0
    assert "9 attempts are already in" in result.output
    again = output.read_text().splitlines()
    assert len(again) == 18
    assert set(first) < set(again)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent", "nobody"], "unknown agent 'nobody'; allowed: "),
        (["--domains", "hotel"], "unknown domain 'hotel'; allowed: "),
        (["--split", "dev"], "unknown split of airline 'dev'; allowed: "),
        (["--user", "nobody"], "unknown user 'nobody'; allowed: "),
        (["--reward", "big"], "unknown reward preset 'big'; allowed: "),
        (["--source", "web"], "unknown source 'web'; allowed: "),
        (["--task-ids", "xyz"], "unknown task 'xyz'"),
        (["--num-samples", "0"], "--num-samples must be at least 1"),
        (["--user", "replay:/nowhere"], "no recording to replay"),
        (["--agent", "workflow", "--domains", "retail"], "telecom"),
        (["--data-dir", "/nowhere"], "no tasks.json for domain"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    result = run("--workers", "1", "--output", str(tmp_path / "x.jsonl"), *arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output
