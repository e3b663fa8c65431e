"""A request to a model in this process, and what runs the model over the requests under way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from agents.backends.base import FinishReason
from agents.sampling import SamplingParams

if TYPE_CHECKING:
    import torch


@dataclass(slots=True, eq=False)
class Job:
    """A request and what has been sampled for it.

    Attributes:
        prompt, params, stop_ids: what was asked.
        limit: the most tokens to sample.
        chance: where its random numbers come from.
        admitted: done when its turn has come.
        answer: done when its last token is there.
        ids, logprobs, reason: what has been sampled, and why it ended.
        failure: why there will be no answer.
        place: where its runner keeps it.
    """

    prompt: list[int]
    params: SamplingParams
    limit: int
    stop_ids: frozenset[int]
    chance: random.Random
    admitted: asyncio.Future[None]
    answer: asyncio.Future[None]
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: FinishReason | None = None
    failure: Exception | None = None
    place: int = -1

    @property
    def finished(self) -> bool:
        """Whether nobody waits for another token."""
        return self.reason is not None or self.failure is not None or self.answer.done()

    def admit(self) -> None:
        """Say that its turn has come, if nobody has."""
        if not self.admitted.done():
            self.admitted.set_result(None)

    def fail(self, why: Exception) -> None:
        """Say why there will be no answer, if there is none yet."""
        if self.reason is None:
            self.failure = why

    @property
    def room(self) -> int:
        """Tokens that it may come to, prompt included."""
        return len(self.prompt) + self.limit


class Runner(Protocol):
    """Runs a model over requests. Used by one thread at a time."""

    def refusal(self, job: Job) -> str | None:
        """Why there can never be room for a request, if so."""
        ...

    def admit(self, waiting: Sequence[Job], running: Sequence[Job]) -> list[Job]:
        """Those of the waiting requests whose turn it is, in the order in which they came."""
        ...

    def start(self, jobs: Sequence[Job]) -> Iterator[tuple[list[Job], torch.Tensor]]:
        """Read the prompts of admitted requests: some of them at a time, with the logits that follow
        each, (requests, vocabulary)."""
        ...

    def advance(self, jobs: Sequence[Job]) -> torch.Tensor:
        """Read the last token of each request: the logits that follow, (requests, vocabulary)."""
        ...

    def release(self, job: Job) -> None:
        """A request is over."""
        ...

    def forget(self) -> None:
        """The weights have changed."""
        ...
