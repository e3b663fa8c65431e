"""Playing with a model in this process, without learning: for evaluation and for rejection fine-tuning."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agents.attempts import Attempt
from agents.rollout import rollout
from agents.tokenizer import load_tokenizer
from tau2_gym.results.record import Record
from trainers.config import GRPOConfig
from trainers.local.engine import local_engine
from trainers.local.learner import load_actor
from trainers.openrlhf.gpu_packages import EngineSampling
from trainers.rollout.executor import EpisodeExecutor


def play(config: GRPOConfig, attempts: Sequence[Attempt], temperature: float) -> list[Record]:
    """Play attempts with `config.model`, as training would.

    Args:
        config: settings of a training run: model, environment, rollout.
        attempts: what to play.
        temperature: 0 is greedy.

    Returns:
        Records with tokens, in the order of the attempts.

    Raises:
        ConfigError: the model cannot be loaded, or the settings do not fit.
    """
    settings = config.rollout
    tokenizer = load_tokenizer(config.model)
    actor = load_actor(config.model, config.hardware)
    engine = local_engine(actor.model, settings.context, settings.concurrency)
    executor = EpisodeExecutor(config, threaded=False)
    sampling = EngineSampling(temperature=temperature, logprobs=1)

    async def collect() -> dict[tuple[str, str, int], Record]:
        player = executor.player(sampling, settings.context, tokenizer, engine)
        played = rollout(player.play, attempts, settings.concurrency)
        return {(record.domain, record.task_id, record.trial): record async for record in played}

    records = asyncio.run(collect())
    return [records[attempt.key] for attempt in attempts]
