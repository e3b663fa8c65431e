"""Running models that do not attend to all tokens in all layers: each turn reads its prompt again.

What a sliding window or a recurrent layer keeps of a conversation cannot be cut back to a prefix or
copied to another conversation, so nothing is kept between turns, and a batch runs to its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from agents.backends.jobs import Job

BATCH_TOKENS = 65536
"""The most tokens in a batch, padding and new ones included, where nobody says."""


class Recomputed:
    """One batch at a time, padded on the left, in the cache that the model makes for itself.

    Args:
        model: any causal language model.
        batch_size: the most requests in a batch.
        batch_tokens: the most tokens in it, padding and new ones included.
    """

    def __init__(self, model: Any, batch_size: int, batch_tokens: int | None) -> None:
        self.model = model
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens or BATCH_TOKENS
        self._batch: list[Job] = []
        self._cache: Any = None
        self._mask = self._positions = torch.empty(0)

    def refusal(self, job: Job) -> str | None:
        """A batch of one is always tried."""
        return None

    def admit(self, waiting: Sequence[Job], running: Sequence[Job]) -> list[Job]:
        """As many as fit, once the batch before is through."""
        jobs: list[Job] = []
        longest = 0
        for job in [] if running else waiting[: self.batch_size]:
            longest = max(longest, job.room)
            if jobs and longest * (len(jobs) + 1) > self.batch_tokens:
                break
            jobs.append(job)
        return jobs

    def start(self, jobs: Sequence[Job]) -> Iterator[tuple[list[Job], torch.Tensor]]:
        """Read all prompts."""
        self._batch, self._cache = list(jobs), None
        width = max(len(job.prompt) for job in jobs)
        ids = torch.zeros((len(jobs), width), dtype=torch.long)
        mask = torch.zeros((len(jobs), width), dtype=torch.long)
        for row, job in enumerate(jobs):
            ids[row, width - len(job.prompt) :] = torch.tensor(job.prompt)
            mask[row, width - len(job.prompt) :] = 1
        self._mask = mask.to(self.model.device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        yield self._batch, self._read(ids)

    def advance(self, jobs: Sequence[Job]) -> torch.Tensor:
        """Read a token of every row, those of requests that are over as well."""
        rows = [self._batch.index(job) for job in jobs]
        more = self._mask.new_ones((len(self._batch), 1))
        self._mask = torch.cat([self._mask, more], dim=-1)
        self._positions = self._positions[:, -1:] + 1
        return self._read(torch.tensor([job.ids[-1:] for job in self._batch]))[rows]

    def release(self, job: Job) -> None:
        """Its row runs on until the batch is through."""

    def forget(self) -> None:
        """Nothing is kept between batches."""

    def _read(self, ids: torch.Tensor) -> torch.Tensor:
        """The logits after the last column, (batch, vocabulary)."""
        with torch.inference_mode():
            output = self.model.eval()(
                input_ids=ids.to(self.model.device),
                attention_mask=self._mask,
                position_ids=self._positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self._cache = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1]
        return logits
