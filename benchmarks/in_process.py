"""What a model in this process gains by keeping its conversations from turn to turn."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from agents.attempts import Attempt, attempt_seed
from agents.backends.transformers import TransformersBackend
from agents.codec import ChatCodec
from agents.rollout import Limits, Player, rollout
from agents.sampling import SamplingParams
from agents.token_agent import TokenAgent
from tau2_gym.domains.base import get_domain
from tau2_gym.results.record import Record
from tau2_gym.rules import Rules
from tau2_gym.users import make_user

if TYPE_CHECKING:
    from agents.backends.jobs import Runner

TOKENS = 32
"""What the model says in a turn, at most."""


class Recomputing(TransformersBackend):
    """Reads every prompt from the start, as models have to whose attention is not full."""

    def _make_runner(self) -> Runner:
        from agents.backends.recomputed import Recomputed

        return Recomputed(self.model, self.batch_size, self.batch_tokens)


def measure_model(model: str, episodes: int, turns: int) -> str:
    """Play the same telecom attempts both ways, greedily, and say how long each took.

    Args:
        model: a folder, or a name on the Hugging Face hub.
        episodes: played side by side.
        turns: of the agent in each, at most.

    Raises:
        ConfigError: the model cannot be loaded.
    """
    loaded = TransformersBackend.load(model)
    ways: dict[str, TransformersBackend] = {
        "keeping conversations": loaded,
        "reading them again": Recomputing(loaded.model, loaded.tokenizer),
    }
    codec = ChatCodec(loaded.tokenizer)
    domain = get_domain("telecom")
    for task_id in domain.task_ids("full")[:episodes]:  # what is computed once for both
        domain.start(domain.task(task_id))
        domain.expected(domain.task(task_id))
    seconds, records = {}, {}
    for name, backend in ways.items():
        begun = time.perf_counter()
        records[name] = asyncio.run(_play(codec, backend, episodes, turns))
        seconds[name] = time.perf_counter() - begun
    kept, again = seconds.values()
    played, other = records.values()
    same = sum(one.messages == two.messages for one, two in zip(played, other, strict=True))
    calls = sum(record.usage.calls for record in played)
    prompt = sum(record.usage.prompt_tokens for record in played) / calls
    said = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    return (
        f"{len(played)} episodes of {calls / len(played):.0f} turns, prompts of {prompt:,.0f} tokens: "
        f"{said}; ratio {again / kept:.1f}; {same} of {len(played)} conversations are the same"
    )


async def _play(codec: Any, backend: Any, episodes: int, turns: int) -> list[Record]:
    ids = get_domain("telecom").task_ids("full")[:episodes]
    player = Player(
        TokenAgent(codec, backend, SamplingParams(temperature=0, max_new_tokens=TOKENS)),
        make_user("scripted"),
        rules=Rules(max_steps=2 * turns),
        limits=Limits(episodes, episodes, episodes, call_timeout=3600.0),
    )
    attempts = [Attempt("telecom", name, 0, attempt_seed(0, "telecom", name, 0)) for name in ids]
    records = [record async for record in rollout(player.play, attempts, episodes)]
    await player.close()
    return sorted(records, key=lambda record: record.task_id)
