"""OpenRLHF's vLLM engines on a cluster as what agents generate with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.backends.base import Generation
from agents.sampling import SamplingParams
from tau2_gym.errors import InfrastructureError, Tau2GymError


@dataclass(frozen=True)
class EngineBackend:
    """A `GenerationBackend` on an engine of OpenRLHF's.

    Attributes:
        engine: has `generate(ids, sampling_params)`, which answers as vLLM does.
        template: sampling parameters of the engine's kind, as OpenRLHF gives them.
        context: the most tokens of an episode.
        loop: the event loop that the engine lives on, if it is another one than the episode's.
    """

    engine: Any
    template: Any
    context: int
    loop: asyncio.AbstractEventLoop | None = None

    async def ready(self) -> int:
        """The most tokens of an episode."""
        return self.context

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        """Sample one turn; see `GenerationBackend`."""
        asked = _copy(self.template)
        asked.max_tokens = params.max_new_tokens
        asked.seed = params.seed % 2**63
        asked.stop_token_ids = list(stop_ids)
        asked.logprobs = asked.logprobs or 1
        call = self.engine.generate(list(ids), asked)
        if self.loop is not None:
            call = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self.loop))
        try:
            output = (await call).outputs[0]
        except (Tau2GymError, InfrastructureError):
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise InfrastructureError(f"the engine failed: {cause}") from error
        reason = output.finish_reason
        if reason not in ("stop", "length"):  # vLLM says `abort` of a request that it gave up
            raise InfrastructureError(f"the engine ended a turn with {reason!r}")
        tokens = tuple(output.token_ids)
        if output.logprobs is None:
            raise InfrastructureError("the engine gave no log-probabilities")
        logprobs = tuple(
            float(known[token].logprob)
            for token, known in zip(tokens, output.logprobs, strict=True)
        )
        return Generation(tokens, logprobs, reason, (("", len(tokens)),))

    async def close(self) -> None:
        """Nothing to let go of: the engine is OpenRLHF's."""


def _copy(params: Any) -> Any:
    """A copy of sampling parameters: vLLM's can be cloned, its stand-in's are plain."""
    return params.clone() if hasattr(params, "clone") else replace(params)
