"""What a generation backend is: token ids in, token ids with their log-probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from agents.sampling import SamplingParams
from agents.trajectory import Versions
from tau2_gym.completion import ContextOverflow
from tau2_gym.completion.wire import is_logprob, is_token
from tau2_gym.errors import InfrastructureError

__all__ = ["ContextOverflow", "FinishReason", "Generation", "GenerationBackend"]

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled turn.

    Attributes:
        ids: the sampled tokens, the stop token included if one was sampled.
        logprobs: their natural log-probabilities under softmax(logits / temperature), which no
            `top_k`, `top_p` or `min_p` has cut; under softmax(logits) if greedy.
        finish_reason: `stop`, or `length` if `max_new_tokens` or the context were used up.
        versions: which weights sampled the tokens.
        cached_tokens: how many tokens of the prompt the server had in its cache.

    Raises:
        InfrastructureError: the parts contradict each other, so the backend is not to be trusted.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    versions: Versions
    cached_tokens: int = 0

    def __post_init__(self) -> None:
        if not self.ids:
            raise InfrastructureError("the model server sampled nothing")
        if not all(map(is_token, self.ids)):
            raise InfrastructureError("the model server gave a token id that is none")
        if len(self.ids) != len(self.logprobs) or not all(map(is_logprob, self.logprobs)):
            raise InfrastructureError("the model server gave no log-probability for each token")
        if sum(count for _, count in self.versions) != len(self.ids):
            raise InfrastructureError("the model server's weight versions do not cover the tokens")


@runtime_checkable
class GenerationBackend(Protocol):
    """Generates tokens for many episodes at once. Holds nothing that belongs to an episode."""

    async def ready(self) -> int:
        """Make sure that the model can be used; cheap after the first time.

        Returns:
            The context length in tokens, prompt and turn together.

        Raises:
            ConfigError: there is no server, it is not ready, or it serves another model.
        """
        ...

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        """Sample one turn. Cancelling the call ends the generation.

        Args:
            ids: the prompt.
            params: how to sample.
            rid: `<episode>/<turn>`, for logs; what comes before the slash keeps the requests of an
                episode together, where their prefix is cached.
            stop_ids: tokens that end the turn, beside the model's own.

        Raises:
            ContextOverflow: the prompt leaves no room for a token.
            ConfigError: the request was refused, and will always be.
            InfrastructureError: no answer, after all retries.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and threads. The backend can be used again afterwards."""
        ...
