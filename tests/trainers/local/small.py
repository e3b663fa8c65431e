"""A model of a few thousand weights that is trained in seconds, and settings to train it with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import torch
from tests.trainers.playing import TASKS, workflow_attempts

pytest.importorskip("openrlhf", reason="OpenRLHF is not installed: see docs/training.md")

from examples.from_scratch.model import flat, make_model, make_tokenizer, save
from trainers.config import GRPOConfig, SFTConfig
from trainers.data.dataset import write_rows
from trainers.data.sft_rows import RowMaker, make_rows
from trainers.sections import (
    Algorithm,
    Curriculum,
    Environment,
    Evaluation,
    Hardware,
    Optimizer,
    Rollout,
    Run,
    Tasks,
)

CONTEXT = 1024
CPU = Hardware(
    dtype="fp32",
    attention="sdpa",
    gradient_checkpointing=False,
    micro_batch=3,  # which divides nothing
    micro_tokens=None,
)


@cache
def tokenizer() -> Any:
    return make_tokenizer(
        [flat(attempt["messages"], attempt["domain"]) for attempt in workflow_attempts(6, 1)], 1500
    )


def start(folder: Path) -> str:
    """Write tokenizer and random weights to a folder, and give its name."""
    model = make_model(tokenizer(), 0, width=64, layers=1, context=CONTEXT)
    save(folder, tokenizer(), model)
    return str(folder)


def demonstrations(folder: Path) -> Path:
    """Write six rows of what the workflow agent did."""
    maker = RowMaker(tokenizer(), prompt="bare", context=CONTEXT)
    rows, refused = make_rows(maker, workflow_attempts(6, 1))
    assert not refused
    write_rows(folder, rows, {})
    return folder


def sft(
    model: str, data: Path, output: Path, steps: int, save_every: int = 1, **options: Any
) -> SFTConfig:
    return SFTConfig(
        model=model,
        data=data,
        context=CONTEXT,
        batch=4,
        optimizer=Optimizer(lr=1e-2, schedule="cosine", warmup=0.1),
        hardware=CPU,
        run=Run(output=output, steps=steps, save_every=save_every, tensorboard=False),
        **options,
    )


def grpo(
    model: str, output: Path, steps: int, reward: Any, seed: int = 42, **algorithm: Any
) -> GRPOConfig:
    return GRPOConfig(
        model=model,
        tasks=Tasks(domains=("telecom",), only=tuple(TASKS[:6])),
        environment=Environment(prompt="bare", reward=reward, max_turns=3),
        rollout=Rollout(tasks=2, samples=4, max_new_tokens=32, context=CONTEXT, concurrency=6),
        algorithm=Algorithm(credit="turn", **algorithm),
        curriculum=Curriculum(half_life=None),
        optimizer=Optimizer(lr=2e-3, schedule="cosine", warmup=0.1),
        hardware=CPU,
        evaluation=Evaluation(only=tuple(TASKS[-2:]), every=2, samples=2, temperature=1.0),
        run=Run(output=output, seed=seed, steps=steps, save_every=1, tensorboard=False),
    )


def weights(folder: Path | str) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


def apart(one: Path | str, other: Path | str) -> float:
    """The largest difference between the weights of two models."""
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


__all__ = ["apart", "demonstrations", "grpo", "sft", "start", "tokenizer", "torch"]
