"""An engine that says what it is told, for episodes that are known beforehand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers import gold_moves
from tests.tiny_model import tiny_tokenizer

pytest.importorskip("openrlhf", reason="OpenRLHF is not installed: see docs/training.md")

from tau2_gym.domains.base import get_domain
from trainers.config import GRPOConfig, load_config
from trainers.openrlhf.gpu_packages import EngineSampling
from trainers.rollout.executor import EpisodeExecutor

TOKENIZER = tiny_tokenizer("instruct")
OPENING = "<|im_start|>assistant\n"

Response = dict[str, Any]


@dataclass
class ScriptedEngine:
    """Answers as vLLM does, with the line of the turn that the prompt has come to.

    Attributes:
        lines: what is said in each turn; the last one again and again after that.
        spelled: letter by letter, as no tokenizer would.
        faults: so many calls fail.
        asked: prompts, sampling parameters, and what was answered.
    """

    lines: Sequence[str]
    spelled: bool = False
    faults: int = 0
    asked: list[tuple[list[int], Any, list[int]]] = field(default_factory=list)

    async def generate(self, ids: list[int], params: Any) -> Any:
        await asyncio.sleep(0)
        if self.faults:
            self.faults -= 1
            raise ConnectionError("the engine is gone")
        # The greeting is an opening, too, and so is the end of the prompt.
        turn = TOKENIZER.decode(ids).count(OPENING) - 2
        line = self.lines[min(turn, len(self.lines) - 1)]
        parts = [*line, "<|im_end|>"] if self.spelled else [f"{line}<|im_end|>"]
        said = [token for part in parts for token in TOKENIZER.encode(part)]
        sampled = said[: params.max_tokens]
        self.asked.append((ids, copy(params), sampled))
        return answer(sampled, "stop" if len(sampled) == len(said) else "length")

    @property
    def prompts(self) -> list[list[int]]:
        return [ids for ids, _, _ in self.asked]

    @property
    def seeds(self) -> list[int]:
        return [params.seed for _, params, _ in self.asked]


def logprob(token: int) -> float:
    return -(token % 97 + 1) / 8


def answer(sampled: list[int], reason: str) -> Any:
    known = [{token: SimpleNamespace(logprob=logprob(token)), -1: None} for token in sampled]
    output = SimpleNamespace(token_ids=sampled, logprobs=known, finish_reason=reason)
    return SimpleNamespace(outputs=[output])


def gold(domain: str, task_id: str) -> list[str]:
    """What solves a task, turn by turn."""
    return gold_moves(get_domain(domain).task(task_id))


def config(**settings: Any) -> GRPOConfig:
    values = {"model": "m", "environment.prompt": "bare", "rollout.context": 16384, "run.steps": 2}
    return load_config(GRPOConfig, None, {**values, **settings})


def asked_for(domain: str, task_id: str, **more: Any) -> str:
    return json.dumps({"domain": domain, "task_id": task_id, **more})


def played(
    executor: EpisodeExecutor,
    engine: Any,
    *labels: str,
    params: Any = None,
    max_length: int = 32768,
) -> list[Response]:
    """Play episodes, all at once."""
    shared = params or EngineSampling(logprobs=1)

    async def play() -> list[Response]:
        return await asyncio.gather(
            *(
                executor.execute("a task", label, shared, max_length, TOKENIZER, engine)
                for label in labels
            )
        )

    return asyncio.run(play())


def play_one(
    engine: Any, domain: str, task_id: str, *, max_length: int = 32768, **settings: Any
) -> Response:
    executor = EpisodeExecutor(config(**settings), threaded=False)
    (response,) = played(executor, engine, asked_for(domain, task_id), max_length=max_length)
    return response
