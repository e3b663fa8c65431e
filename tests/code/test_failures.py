"""Runs that are killed, and environments that are copied into other threads and processes while they are
busy."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from typer.testing import CliRunner

from benchmarks import passk
from tests.code.helpers import TASKS, call, first
from tests.sandbox.helpers import ROOT, descendants, settles

OPTIONS = ["--domains", "code:generated:seed=2,count=4,test=24,difficulty=1", "--agent", "oracle"]
OPTIONS += ["--num-samples", "2", "--workers", "2", "--seed", "3"]
ATTEMPTS = 48


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
def test_a_run_that_is_killed_leaves_no_process_and_resumes_to_the_same_bytes(
    tmp_path: Path,
) -> None:
    killed, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    command = [sys.executable, "-m", "benchmarks.passk", *OPTIONS, "--output", str(killed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    kept = 3
    for _ in range(2):  # A run that was resumed can be killed, too.
        end = time.monotonic() + 120
        while not killed.exists() or killed.read_bytes().count(b"\n") < kept:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.005)
        everyone = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert len(everyone) > 4  # workers, the sandbox's interpreters, and what they run
        assert settles(lambda found=everyone: not any(map(is_alive, found))), everyone
        kept = killed.read_bytes().count(b"\n")
        assert 3 <= kept < ATTEMPTS
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        kept += 3
    assert process.wait(timeout=240) == 0
    done = CliRunner().invoke(passk.app, [*OPTIONS, "--output", str(whole)])
    assert done.exit_code == 0, done.output
    assert killed.read_bytes() == whole.read_bytes()
    assert whole.read_bytes().count(b"\n") == ATTEMPTS


def goes_on(env: Any, number: int) -> tuple[str, float]:
    """A call and an answer, after what came before: what is said, and what is earned."""
    said, *_ = env.step(call(f"print({number} + sum(range(10 ** 5)))"))
    answer = env.step(env.unwrapped.snapshot().episode.task.criteria.answer)
    return said, answer[4]["official_reward"]


def in_a_fork(env: Any, number: int, told: Any) -> None:
    told.send(goes_on(env, number))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
@pytest.mark.parametrize("name", ["code", "code_session"])
def test_copies_of_an_environment_go_on_alike_wherever_they_are_under_load(name: str) -> None:
    env: Any = gym.make(f"tau2/{name}-v0", tasks=TASKS, disable_env_checker=True).unwrapped
    env.reset(seed=0, options={"task_id": first("mathematics")})
    env.step(call("x = 1"))
    frozen = pickle.dumps(env)
    expected = [(str(number + sum(range(10**5))), 1.0) for number in range(24)]
    context = multiprocessing.get_context("fork")
    with ThreadPoolExecutor(8) as pool:
        pickled = [pool.submit(lambda n: goes_on(pickle.loads(frozen), n), n) for n in range(24)]
        # Forked while the threads above are in the middle of calls of the same sandbox.
        forked = []
        for number in range(4):
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(target=in_a_fork, args=(env, number, theirs))
            child.start()
            theirs.close()
            forked.append((ours, child))
        branches = env.fork(8)
        branched = [pool.submit(goes_on, twin, n) for n, twin in enumerate(branches)]
        for number, (ours, child) in enumerate(forked):
            assert ours.poll(120), "a fork has not gone on"
            assert ours.recv() == expected[number]
            child.join(30)
            assert child.exitcode == 0
        assert [future.result(timeout=120) for future in pickled] == expected
        assert [future.result(timeout=120) for future in branched] == expected[:8]
    assert goes_on(env, 0) == expected[0]
