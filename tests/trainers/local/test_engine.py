"""What the local backend samples with, beside what `tests/agents/backends` shows of it."""

from __future__ import annotations

import asyncio

import pytest

from agents.sampling import SamplingParams
from tau2_gym.errors import ConfigError
from tests.tiny_model import plain_model, rescored, tiny_model
from trainers.local.engine import local_engine


def test_more_than_memory_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"take \d+\.\d GiB, and .* lower rollout.concurrency or"):
        local_engine(plain_model(), concurrency=10**6, context=10**6)


def test_attention_to_a_window_is_exact_too() -> None:
    made = local_engine(tiny_model(), 160, 2)
    prompt = list(range(40, 80))
    for _ in range(2):
        found = asyncio.run(made.generate(prompt, SamplingParams(max_new_tokens=30), "e/0"))
        scores = rescored(tiny_model(), [*prompt, *found.ids], 1.0)[len(prompt) - 1 :]
        assert found.logprobs == pytest.approx(scores, abs=1e-4)
        prompt = [*prompt, *found.ids, 7]
