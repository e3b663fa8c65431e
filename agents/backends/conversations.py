"""Running models with full attention: what a conversation has said before is not read again.

Each conversation keeps its keys and values in a slot. A request goes on in the idle slot whose tokens
it continues. Otherwise it takes the slot that was left longest ago, and copies from any slot what the
two have in common: the policy and the tools of a domain, the prompt of a group's attempts, or what a
fork's conversation had said before it.

There are as many slots as memory holds. They begin as long as they can all be at once. A longer
conversation makes them longer, and fewer. With more conversations than slots some are read again,
which takes time and changes nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from agents.backends.jobs import Job
from agents.backends.slots import Slots, attending

SIMILAR = 16
"""Tokens of difference that are not worth a pass of their own."""

SHARED = 256
"""Tokens in common that are worth copying."""

PASS_TOKENS, PASS_SCORES = 2**15, 2**26
"""The most tokens in a pass, and the most pairs of a token and a place that it may see."""

GROWTH = 1.25
"""How much longer slots become, if they have to."""

EMPTY = -1

Tokens = np.ndarray[Any, np.dtype[np.int64]]


class Conversations:
    """Keeps conversations in slots; see `Runner`.

    Args:
        model: a causal language model with full attention in all layers.
        context: the most tokens of a conversation.
        most: slots, at most.
        tokens: what all slots hold together; there is always one for one conversation.
        token_bytes: what a token takes, if `tokens` is all that memory has, so that no conversation
            may be longer.
    """

    def __init__(
        self, model: Any, context: int, most: int, tokens: int, token_bytes: int | None = None
    ) -> None:
        self.model = model
        self.context, self.most, self.tokens = context, most, tokens
        self._token_bytes = token_bytes
        self._slots = Slots(0, 0)
        self._held: Tokens = np.empty((0, 0), dtype=np.int64)
        self._lengths: Tokens = np.empty(0, dtype=np.int64)
        self._idle: list[int] = []

    # Whose turn it is

    def refusal(self, job: Job) -> str | None:
        """That memory does not hold this conversation even alone, if so."""
        if self._token_bytes is None or job.room <= self.tokens:
            return None
        needed, left = (count * self._token_bytes / 2**30 for count in (job.room, self.tokens))
        return (
            f"keys and values of one conversation of {job.room:,} tokens take {needed:.2f} GiB, and "
            f"{left:.2f} GiB of memory are left for them: {self.tokens:,} tokens"
        )

    def admit(self, waiting: Sequence[Job], running: Sequence[Job]) -> list[Job]:
        """Requests join when as many wait as are under way. If there is not room for all, those whose
        conversations are kept come first: in turn, each would drive out the next one's."""
        if len(waiting) < len(running) or (self._slots.count and not self._idle):
            return []
        order = list(waiting)
        if len(order) > len(self._idle):
            order.sort(key=lambda job: self._own(job) is None)
        length = self._slots.length
        chosen: set[Job] = set()
        for job in order:
            longer = self._grown(max(length, job.room))
            under_way = len(running) + len(chosen)
            if under_way and under_way >= self._fits(longer):
                break
            chosen.add(job)
            length = longer
        if length > self._slots.length:
            self._resize(length, running)
        return [job for job in waiting if job in chosen]

    def release(self, job: Job) -> None:
        """Keep the conversation, unless the weights have changed under it, or it is not numbers."""
        finite = math.isfinite(sum(job.logprobs))
        if not finite:
            self._slots.clear(job.place)
        if not finite or self._held[job.place, 0] == EMPTY:
            self._cut(job.place, 0)
        self._idle.append(job.place)

    def forget(self) -> None:
        """Forget all conversations: the weights have changed. What follows does not depend on what
        was before, not even in its rounding."""
        self._held[:] = EMPTY
        self._lengths[self._idle] = 0
        self._idle.sort()

    def _fits(self, length: int) -> int:
        """How many slots of a length there may be."""
        return max(1, min(self.most, self.tokens // length))

    def _grown(self, length: int) -> int:
        """How long slots are to be if one of them has to hold so many tokens."""
        now = self._slots.length
        if length <= now:
            return now
        if now == 0:
            return max(length, min(self.context, self.tokens // self.most))
        return max(length, min(self.context, int(GROWTH * now), self.tokens))

    def _resize(self, length: int, running: Sequence[Job]) -> None:
        """Change the slots' length and with it their number. Kept are those in use, and those left
        last."""
        count = self._fits(length)
        left = max(0, len(self._idle) - (count - len(running)))
        keep = [*(job.place for job in running), *self._idle[left:]]
        held, lengths = np.full((count, length), EMPTY), np.zeros(count, dtype=np.int64)
        held[: len(keep), : self._slots.length] = self._held[keep]
        lengths[: len(keep)] = self._lengths[keep]
        self._slots.resize(count, length, keep)
        self._held, self._lengths = held, lengths
        for place, job in enumerate(running):
            job.place = place
        self._idle = [*range(len(keep), count), *range(len(running), len(keep))]

    # What is held

    def _own(self, job: Job) -> int | None:
        """The idle slot that holds most of a request's tokens and nothing else."""
        common = self._common(job)
        own = [slot for slot in self._idle if 0 < common[slot] == self._lengths[slot]]
        return max(own, key=lambda slot: int(common[slot]), default=None)

    def _common(self, job: Job) -> Tokens:
        """How many of a request's first tokens each slot holds. One is always left to be read."""
        prompt = np.array(job.prompt[:-1][: self._slots.length], dtype=np.int64)
        same = np.zeros((self._slots.count, len(prompt) + 1), dtype=bool)
        same[:, :-1] = self._held[:, : len(prompt)] == prompt
        common: Tokens = same.argmin(axis=1)
        return common

    def _cut(self, slot: int, length: int) -> None:
        self._held[slot, length:] = EMPTY
        self._lengths[slot] = length

    def _keep(self, job: Job) -> None:
        """Cut a request's slot back to what it may go on from, and copy what another holds of it."""
        slot, common = job.place, self._common(job)
        kept = int(common[slot])
        if kept < min(SHARED, self._lengths[slot]):
            kept = 0
        self._cut(slot, kept)
        source = int(common.argmax())
        most = int(common[source])
        if most >= kept + SHARED:
            self._slots.copy(source, slot, kept, most)
            self._held[slot, kept:most] = job.prompt[kept:most]
            self._lengths[slot] = most

    def _new(self, job: Job) -> list[int]:
        """The tokens of a request that its slot does not hold."""
        return job.prompt[self._lengths[job.place] :]

    # Reading

    def start(self, jobs: Sequence[Job]) -> Iterator[tuple[list[Job], torch.Tensor]]:
        """Read what is new. Requests that begin alike wait for one of them, and copy."""
        for job in jobs:
            own = self._own(job)
            if own is not None:
                self._idle.remove(own)
                job.place = own
        for job in jobs:
            if job.place < 0:
                job.place = self._idle.pop(0)
        pending = list(jobs)
        while pending:
            wave, pending = self._wave(pending)
            for job in wave:
                self._keep(job)
            yield from self._read(wave)

    def advance(self, jobs: Sequence[Job]) -> torch.Tensor:
        """Read a token of each."""
        return self._pass(jobs, [job.ids[-1:] for job in jobs])

    def _wave(self, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Requests to be read now, and those that can copy from them afterwards."""
        now: list[Job] = []
        later: list[Job] = []
        prompts: list[Tokens] = []
        for job in jobs:
            prompt = np.array(job.prompt, dtype=np.int64)
            worth = int(self._common(job).max()) + SHARED
            if any(_alike(prompt[:-1], other) >= worth for other in prompts):
                later.append(job)
            else:
                now.append(job)
                prompts.append(prompt)
        return now, later

    def _read(self, jobs: Sequence[Job]) -> Iterator[tuple[list[Job], torch.Tensor]]:
        """Read prompts of similar lengths together, since a pass takes as long as its longest row,
        and long ones piece by piece."""
        most = min(PASS_TOKENS, PASS_SCORES // max(len(job.prompt) for job in jobs))
        for job in jobs:
            while len(new := self._new(job)) > most:
                self._pass([job], [new[:most]])
        bucket: list[Job] = []
        shortest = 0
        for job in sorted(jobs, key=lambda job: len(self._new(job))):
            length = len(self._new(job))
            if bucket and (length > 2 * shortest + SIMILAR or length * (len(bucket) + 1) > most):
                yield bucket, self._pass(bucket, [self._new(job) for job in bucket])
                bucket = []
            if not bucket:
                shortest = length
            bucket.append(job)
        yield bucket, self._pass(bucket, [self._new(job) for job in bucket])

    def _pass(self, jobs: Sequence[Job], new: Sequence[list[int]]) -> torch.Tensor:
        """Run the model over the new tokens of each request: the logits after the last of them."""
        slots, device = self._slots, self.model.device
        dense = max(map(len, new)) == 1 and 2 * len(jobs) >= slots.count
        places = [job.place for job in jobs]
        rows = places if dense else list(range(len(jobs)))
        batch = slots.count if dense else len(jobs)
        lengths, starts = torch.zeros(batch, dtype=torch.long), torch.zeros(batch, dtype=torch.long)
        lengths[rows] = torch.tensor([len(tokens) for tokens in new])
        starts[rows] = torch.from_numpy(self._lengths[places])
        longest = int(lengths.max())
        # Padded on the left: every row's next token follows the last column.
        ids = torch.zeros((batch, longest), dtype=torch.long)
        for row, tokens in zip(rows, new, strict=True):
            ids[row, longest - len(tokens) :] = torch.tensor(tokens)
        column = torch.arange(longest)[None] - (longest - lengths)[:, None]
        at = (starts[:, None] + column).clamp(min=0)
        slots.rows = None if dense else torch.tensor(places, device=device)
        slots.at = at.where(column >= 0, torch.tensor(slots.length)).to(device)
        slots.width = int((starts + lengths).max())
        seen = torch.arange(slots.width)[None, None] <= at[:, :, None]
        logits = self._logits(ids.to(device), at.to(device), seen[:, None].to(device))[rows]
        for place, tokens in zip(places, new, strict=True):
            start = self._lengths[place]
            self._held[place, start : start + len(tokens)] = tokens
            self._lengths[place] += len(tokens)
        return logits

    def _logits(self, ids: torch.Tensor, at: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """The logits after the last column, (batch, vocabulary)."""
        with attending(self.model):
            output = self.model.eval()(
                input_ids=ids,
                attention_mask=seen,
                position_ids=at,
                past_key_values=self._slots,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def _alike(one: Tokens, other: Tokens) -> int:
    """How many first tokens two prompts have in common."""
    length = min(len(one), len(other))
    same = one[:length] == other[:length]
    return length if same.all() else int(same.argmin())
