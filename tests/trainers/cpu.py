"""What the tests of OpenRLHF's command lines share: a tiny model on disk, and starting them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.tiny_model import checkpoint
from trainers.sections import Hardware

pytest.importorskip("openrlhf", reason="OpenRLHF is not installed: see docs/training.md")
pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: see docs/training.md")

CPU = Hardware(
    gpus=1,
    engines=1,
    colocate=False,
    zero_stage=2,
    gradient_checkpointing=False,
    attention="sdpa",
    micro_batch=2,
    micro_tokens=None,
)
"""One GPU, which is the CPU, and another one for the engine."""

TIMEOUT = 600
"""Seconds for one command: the first one on a machine compiles operators of DeepSpeed. If it is killed
while it does, torch's lock stays behind, and all that come after wait for ever."""

PATIENCE = pytest.mark.timeout(2 * TIMEOUT + 60)
"""For tests whose first one waits for two commands."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny Qwen3, with the template of its instruct models."""
    return checkpoint(tmp_path_factory.mktemp("tiny"), "instruct")


def run_on_cpu(kind: str, arguments: Sequence[str], **environment: str) -> str:
    """Run `sft` or `grpo` of `tests.trainers.openrlhf_cpu`, and give what it printed."""
    folder = os.path.dirname(sys.executable)  # where ninja is, which compiles the operators
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainers.openrlhf_cpu", kind, *arguments],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            # Ray's own 15 starves its workers where the machine has other work.
            "RAY_worker_niceness": "0",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def changed(before: str, after: str) -> float:
    """The largest difference between the weights of two models."""
    from transformers import AutoModelForCausalLM

    one, other = (
        AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (before, after)
    )
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


__all__ = ["CPU", "PATIENCE", "changed", "run_on_cpu", "tiny"]
