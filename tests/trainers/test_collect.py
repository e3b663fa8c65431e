"""Attempts are collected as they are for a benchmark, from training tasks only."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.attempts import attempt_seed
from agents.rollout import Player
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import InfrastructureError
from trainers.collect import Play, app

ROOT = Path(__file__).resolve().parents[2]
TASKS = get_domain("telecom").task_ids("train")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines()]


def test_attempts_are_those_of_the_benchmark(tmp_path: Path) -> None:
    from benchmarks.passk import app as passk

    options = ["--domains", "telecom", "--num-samples", "2", "--workers", "1", "--seed", "5"]
    ids = ",".join(TASKS[:3])
    result = run(*options, "--task-ids", ids, "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "6 of 6 attempts solved their task, 0 faults; 3 of 3 tasks solved" in result.output
    file = tmp_path / "passk.jsonl"
    played = CliRunner().invoke(
        passk, [*options, "--agent", "workflow", "--task-ids", ids, "--output", str(file)]
    )
    assert played.exit_code == 0, played.output
    assert (tmp_path / "attempts.jsonl").read_bytes() == file.read_bytes()
    assert rows(tmp_path)[1]["seed"] == attempt_seed(5, "telecom", TASKS[0], 1)


def test_a_killed_collection_goes_on_and_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    options = ["--domains", "telecom", "--num-samples", "2", "--seed", "3"]
    options += ["--task-ids", ",".join(TASKS[:40])]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "trainers.collect", *options, "-o", str(killed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    file, deadline = killed / "attempts.jsonl", time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = file.read_bytes().count(b"\n")
    assert 3 <= kept < 80
    again = run(*options, "-o", str(killed))
    assert again.exit_code == 0, again.output
    assert f"{kept} attempts are already in" in again.output.replace("\n", " ")
    assert run(*options, "-o", str(whole)).exit_code == 0
    assert file.read_bytes() == (whole / "attempts.jsonl").read_bytes()
    assert len(rows(killed)) == 80


def test_another_setup_is_not_mixed_in(tmp_path: Path) -> None:
    options = ["--domains", "telecom", "--task-ids", TASKS[0], "--num-samples", "1"]
    assert run(*options, "-o", str(tmp_path)).exit_code == 0
    refused = run(*options, "--seed", "1", "-o", str(tmp_path))
    assert refused.exit_code == 2
    assert "holds results with seed=0" in refused.output
    assert run(*options, "--seed", "1", "--fresh", "-o", str(tmp_path)).exit_code == 0


def test_the_default_agent_plays_the_domain_it_knows(tmp_path: Path) -> None:
    result = run("--num-samples", "1", "--max-steps", "1", "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "Agent 'workflow' plays telecom only." in result.output
    assert {row["domain"] for row in rows(tmp_path)} == {"telecom"}
    assert len(rows(tmp_path)) == len(TASKS)


def test_faults_left_are_said_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise InfrastructureError("the server is gone")

    options = ["--task-ids", TASKS[0], "--num-samples", "1", "--fresh", "-o", str(tmp_path)]
    with monkeypatch.context() as patched:
        patched.setattr(Player, "_play", broken)
        result = run(*options)
    assert result.exit_code == 3
    assert "1 of 1 attempts have no result (1 infrastructure" in " ".join(result.output.split())
    command = shlex.split(result.output.strip().splitlines()[-1])
    assert command[:3] == ["python", "-m", "trainers.collect"]
    assert command[3:] == [option for option in options if option != "--fresh"]
    assert run(*command[3:]).exit_code == 0


def test_the_pool_is_announced(tmp_path: Path) -> None:
    domain = get_domain("telecom")
    base = set(domain.task_ids("base"))
    task = next(task for task in domain.tasks if task not in base)
    result = run(
        "--domains", "telecom", "--task-ids", task, "--num-samples", "1", "-o", str(tmp_path)
    )
    assert result.exit_code == 0, result.output
    assert "1 tasks of telecom outside base" in result.output


OTHER: dict[str, Any] = {
    "agent": "sglang",
    "user": "litellm:another/user",
    "seed": 7,
    "max_steps": 20,
    "max_errors": 3,
    "source": "tau2",
    "data_dir": Path("elsewhere"),
    "model": "another/model",
    "sglang_url": "http://127.0.0.1:1",
    "base_url": "http://127.0.0.1:1/v1",
    "prompt": "bare",
    "thinking": False,
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "max_new_tokens": 99,
    "concurrency": 3,
    "user_temperature": 0.1,
    "startup": 1.0,
    "outage": 1.0,
    "send_seed": False,
    "cassette": Path("tape.jsonl"),
    "domains": "mock",
    "split": "small",
    "pool": True,
    "task_ids": "1,2",
}
"""A value of each option that decides what is played, other than its default."""

ELSEWHERE = {"num_samples", "workers", "fresh"}
"""What `collect` itself does with its attempts."""


@pytest.mark.parametrize("name", [item.name for item in fields(Play) if item.name not in ELSEWHERE])
def test_every_option_reaches_what_is_played(name: str) -> None:
    base = Play(agent="sglang", model="some/model", user="litellm:some/user")
    if name in ("agent", "user"):
        base = Play(model="")
    other = replace(base, **{name: OTHER[name], **({"model": "m"} if name == "agent" else {})})
    assert (base.setup(), base.tasks()) != (other.setup(), other.tasks())


def test_calls_that_fail_too_often_end_an_attempt(tmp_path: Path) -> None:
    options = ["--agent", "random", "--domains", "retail", "--num-samples", "8", "--workers", "1"]
    for limit in (1, 3):
        folder = tmp_path / str(limit)
        run(*options, "--task-ids", "0", "--max-errors", str(limit), "-o", str(folder))
        ended = [r for r in rows(folder) if r["termination"] == "too_many_errors"]
        assert ended, "a random agent fails often"
        assert {row["num_errors"] for row in ended} == {limit}


def test_another_revision_of_the_tasks_is_played(tmp_path: Path) -> None:
    from inspect_evals.tau2 import utils

    data = tmp_path / "data"
    shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / "mock", data / "mock")
    for file in (data / "mock").glob("*tasks.json"):
        file.write_text(file.read_text().replace('"create_task_1"', '"renamed"'))
    options = ["--agent", "oracle", "--domains", "mock", "--num-samples", "1"]
    named = [*options, "--task-ids", "renamed", "-o", str(tmp_path / "out")]
    assert run(*named).exit_code == 2
    assert run(*named, "--data-dir", str(data)).exit_code == 0
    (row,) = rows(tmp_path / "out")
    assert row["task_id"] == "renamed"
    assert row["revision"] != get_domain("mock").revision


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--split", "test"], "split 'test' holds test tasks"),
        (
            ["--agent", "oracle", "--domains", "retail", "--task-ids", "5"],
            "task '5' of retail must not be trained on",
        ),
        (["--agent", "nobody"], "unknown agent 'nobody'"),
        (["--model", "some/model"], "agent 'workflow' takes no --model"),
        (["--agent", "sglang"], "agent 'sglang' needs a model"),
        (["--user", "litellm:"], "the model's name is empty: write litellm:MODEL"),
        (["--user", "litellm"], "unknown user 'litellm'; allowed: litellm:MODEL, "),
        (["--agent", "sglang", "--temperature", "-1"], "temperature must be at least 0"),
        (
            ["--agent", "oracle", "--domains", "airline", "--pool"],
            "no task of airline lies outside base",
        ),
    ],
)
def test_wrong_options_end_with_one_sentence(
    tmp_path: Path, options: list[str], sentence: str
) -> None:
    result = run(*options, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()
