"""An engine in this process that answers as vLLM's does, with the weights that are being trained.

Requests are generated together, and what a request shares with an earlier one of the same
conversation is not computed again: each conversation keeps its keys and values in a slot, and a
request takes the idle slot whose tokens it continues. For models with full attention in all layers.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

from agents.backends.transformers import draw
from agents.sampling import SamplingParams
from tau2_gym.errors import ConfigError, InfrastructureError
from trainers.local.slots import ATTENTION, Slots, check_memory

SIMILAR = 16
"""Tokens of difference that are not worth a pass of their own."""


@dataclass(slots=True)
class _Job:
    """A request under way in a slot."""

    prompt: list[int]
    params: SamplingParams
    stop_ids: frozenset[int]
    chance: random.Random
    answer: asyncio.Future[Any]
    slot: int = -1
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: str | None = None


class LocalEngine:
    """Generates for many conversations at once.

    Everything happens on the event loop's thread, a token for each request at a time, so that the
    same requests are answered by the same tokens in every run.

    Args:
        model: a causal language model of `transformers`, which may change between requests.
        context: the most tokens of a conversation.
        slots: conversations that are kept at a time.

    Raises:
        ConfigError: the model's attention is not full in all layers, or keys and values of so many
            conversations do not fit into memory.
    """

    def __init__(self, model: Any, context: int, slots: int) -> None:
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            raise ConfigError(f"the local engine takes full attention, not {', '.join(kinds)}")
        self.model = model
        self._count, self._length = slots, context
        check_memory(model, slots, context)
        self._held: list[list[int]] = []
        self._slots: Slots | None = None
        self._idle: list[int] = []
        self._waiting: deque[_Job] = deque()
        self._worker: asyncio.Task[None] | None = None

    def reset(self) -> None:
        """Forget all conversations: the weights have changed. What follows does not depend on what was
        before, not even in its rounding."""
        self._held = [[] for _ in range(self._count)]
        self._idle.sort()

    async def generate(self, prompt_token_ids: list[int], params: Any, **_: Any) -> Any:
        """Sample a turn.

        Args:
            prompt_token_ids: the conversation so far.
            params: as vLLM's: `temperature`, `top_p`, `top_k`, `max_tokens`, `seed`,
                `stop_token_ids`.

        Returns:
            As vLLM's output: `outputs[0]` with `token_ids`, `logprobs` and `finish_reason`.
        """
        loop = asyncio.get_running_loop()
        room = self._length - len(prompt_token_ids)
        sampling = SamplingParams(
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            max_new_tokens=min(params.max_tokens, room),
        )
        stops = frozenset(params.stop_token_ids)
        chance = random.Random(params.seed)
        job = _Job(list(prompt_token_ids), sampling, stops, chance, loop.create_future())
        self._waiting.append(job)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        await job.answer
        logprobs = [
            {token: SimpleNamespace(logprob=logprob)}
            for token, logprob in zip(job.ids, job.logprobs, strict=True)
        ]
        output = SimpleNamespace(token_ids=job.ids, logprobs=logprobs, finish_reason=job.reason)
        return SimpleNamespace(outputs=[output])

    async def _work(self) -> None:
        """Generate until no request is waiting."""
        running: list[_Job] = []
        try:
            await self._generate(running)
        except BaseException as error:
            lost = [*running, *self._waiting]
            self._waiting.clear()
            if running:
                self._slots = None
            if not isinstance(error, Exception):  # the loop ends
                raise
            failure = InfrastructureError(f"the model failed: {type(error).__name__}: {error}")
            for job in lost:
                if not job.answer.done():
                    job.answer.set_exception(failure)

    async def _generate(self, running: list[_Job]) -> None:
        """New requests join when as many wait as are under way."""
        self._prepare()
        while True:
            for _ in range(4):  # those who have just been answered may ask again
                await asyncio.sleep(0)
            room = min(len(self._waiting), len(self._idle))
            if room and len(self._waiting) >= len(running):
                joining = [self._waiting.popleft() for _ in range(room)]
                running += joining
                self._settle(joining)
                for similar in _buckets([(job, self._new(job)) for job in joining]):
                    self._pass([job for job, _ in similar], [tokens for _, tokens in similar])
            elif running:
                self._pass(running, [job.ids[-1:] for job in running])
            else:
                return
            for job in running:
                if job.reason is not None or job.answer.cancelled():
                    self._idle.append(job.slot)
                    if not job.answer.done():
                        job.answer.set_result(None)
            running[:] = [job for job in running if not job.answer.done()]

    def _prepare(self) -> None:
        if self._slots is None:
            with torch.inference_mode():
                self._slots = Slots(self.model, self._count, self._length)
            self._held = [[] for _ in range(self._count)]
            self._idle = list(range(self._count))

    def _settle(self, jobs: Sequence[_Job]) -> None:
        """Give each request the idle slot that holds most of it, else the one idle for longest."""
        for job in jobs:
            best, shared = -1, 0
            for slot in self._idle:
                held = self._held[slot]
                if shared < len(held) < len(job.prompt) and job.prompt[: len(held)] == held:
                    best, shared = slot, len(held)
            if shared:
                self._take(job, best, shared)
        for job in jobs:
            if job.slot < 0:
                self._take(job, self._idle[0], 0)

    def _take(self, job: _Job, slot: int, shared: int) -> None:
        self._idle.remove(slot)
        job.slot = slot
        del self._held[slot][shared:]

    def _new(self, job: _Job) -> list[int]:
        """The tokens of a request that its slot does not hold."""
        return job.prompt[len(self._held[job.slot]) :]

    def _pass(self, jobs: list[_Job], new: Sequence[list[int]]) -> None:
        """Run the model over the new tokens of each request, and sample a token for each."""
        assert self._slots is not None
        slots, device = self._slots, self.model.device
        dense = max(map(len, new)) == 1 and 2 * len(jobs) >= self._count
        rows = [job.slot for job in jobs] if dense else list(range(len(jobs)))
        batch = self._count if dense else len(jobs)
        lengths, starts = torch.zeros(batch, dtype=torch.long), torch.zeros(batch, dtype=torch.long)
        lengths[rows] = torch.tensor([len(tokens) for tokens in new])
        starts[rows] = torch.tensor([len(self._held[job.slot]) for job in jobs])
        longest = int(lengths.max())
        # Padded on the left: every row's next token follows the last column.
        ids = torch.zeros((batch, longest), dtype=torch.long)
        for row, tokens in zip(rows, new, strict=True):
            ids[row, longest - len(tokens) :] = torch.tensor(tokens)
        column = torch.arange(longest)[None] - (longest - lengths)[:, None]
        at = (starts[:, None] + column).clamp(min=0)
        slots.rows = None if dense else torch.tensor([job.slot for job in jobs], device=device)
        slots.at = at.where(column >= 0, torch.tensor(self._length)).to(device)
        slots.width = int((starts + lengths).max())
        seen = torch.arange(slots.width)[None, None] <= at[:, :, None]
        logits = self._logits(ids.to(device), at.to(device), seen[:, None].to(device))[rows]
        chances = [job.chance.random() for job in jobs]
        drawn = draw(logits, [job.params for job in jobs], chances)
        for job, tokens, token, logprob in zip(
            jobs, new, drawn[0].tolist(), drawn[1].tolist(), strict=True
        ):
            self._held[job.slot] += tokens
            job.ids.append(token)
            job.logprobs.append(logprob)
            if token in job.stop_ids:
                job.reason = "stop"
            elif len(job.ids) == job.params.max_new_tokens:
                job.reason = "length"

    def _logits(self, ids: torch.Tensor, at: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """The logits after the last column, (batch, vocabulary)."""
        model = self.model.eval()
        trained = model.config._attn_implementation
        model.config._attn_implementation = ATTENTION
        try:
            with torch.inference_mode():
                output = model(
                    input_ids=ids,
                    attention_mask=seen,
                    position_ids=at,
                    past_key_values=self._slots,
                    use_cache=True,
                    logits_to_keep=1,
                )
        finally:
            model.config._attn_implementation = trained
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def _buckets(new: list[tuple[_Job, list[int]]]) -> Iterator[list[tuple[_Job, list[int]]]]:
    """Requests in groups of similar lengths, since a pass takes as long as its longest row."""
    bucket: list[tuple[_Job, list[int]]] = []
    for job, tokens in sorted(new, key=lambda pair: len(pair[1])):
        if bucket and len(tokens) > 2 * len(bucket[0][1]) + SIMILAR:
            yield bucket
            bucket = []
        bucket.append((job, tokens))
    yield bucket
