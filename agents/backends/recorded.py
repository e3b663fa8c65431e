"""Turns recorded in a cassette, and replayed from it without a server and without weights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agents.backends.base import Generation, GenerationBackend
from agents.sampling import SamplingParams
from tau2_gym.cassette import Cassette, Form
from tau2_gym.completion.wire import Request, digest

LAST = 8
"""How many tokens of a prompt its description shows."""


class RecordedBackend:
    """A backend whose answers are kept in a cassette: what it sampled and how long its context is.

    Replayed turns are the same bit by bit, the versions of the weights and the failures included. A
    turn is known by model, prompt, sampling parameters (the seed among them) and stop tokens.

    Args:
        cassette: where calls are recorded or replayed.
        model: its name, by which the turns of several models are told apart.
        make: makes the backend to ask, when first one must be asked; None if all is to be replayed.
    """

    def __init__(
        self, cassette: Cassette, model: str, make: Callable[[], GenerationBackend] | None = None
    ) -> None:
        self.cassette = cassette
        self.model = model
        self._make = make
        self._backend: GenerationBackend | None = None
        self._context: int | None = None
        self._asking = asyncio.Lock()

    async def ready(self) -> int:
        """The context length, of the backend or as it was recorded.

        Raises:
            ConfigError: as the backend.
            DataError: it was not recorded, and there is no backend.
        """
        async with self._asking:
            if self._context is None:
                ask = None if self._make is None else self._ask_context
                self._context = await self.cassette.call(CONTEXT, {"context_of": self.model}, ask)
        return self._context

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        """Sample one turn, or replay it; see `GenerationBackend`.

        Raises:
            DataError: the turn was not recorded, and there is no backend.
        """

        async def ask(request: Request) -> Generation:
            backend = self._open()
            # Unless the context length was recorded, nobody has asked yet whether all is well.
            await backend.ready()
            return await backend.generate(ids, params, rid, stop_ids)

        request = {
            "model": self.model,
            "ids": list(ids),
            "sampling": {**asdict(params), "stop": list(params.stop)},
            "stop_ids": list(stop_ids),
        }
        return await self.cassette.call(TURN, request, None if self._make is None else ask)

    async def close(self) -> None:
        """Close the backend, if there is one."""
        if self._backend is not None:
            await self._backend.close()
        self._asking = asyncio.Lock()  # The old one may belong to an event loop that has ended.

    async def _ask_context(self, request: Request) -> int:
        return await self._open().ready()

    def _open(self) -> GenerationBackend:
        if self._backend is None:
            assert self._make is not None
            self._backend = self._make()
        return self._backend


def describe_turn(request: Request) -> dict[str, Any]:
    """A turn in short."""
    ids = request["ids"]
    sampling = dict(request["sampling"])
    return {
        "model": request["model"],
        "seed": sampling.pop("seed"),
        "parameters": sampling,
        "stop_ids": request["stop_ids"],
        "tokens": len(ids),
        "prompt": digest(ids)[:12],
        "last": ids[-LAST:],
    }


def _turn_named(wanted: Mapping[str, Any]) -> str:
    return f"turn of {wanted['model']!r} after {wanted['tokens']} tokens (seed {wanted['seed']})"


def _read_turn(data: dict[str, Any]) -> Generation:
    names = {"ids": tuple(data["ids"]), "logprobs": tuple(data["logprobs"])}
    versions = tuple((str(name), int(count)) for name, count in data["versions"])
    return Generation(**{**data, **names, "versions": versions})


TURN = Form(describe_turn, _turn_named, asdict, _read_turn)
"""A prompt in tokens, and the turn sampled after it."""

CONTEXT: Form[int] = Form(
    describe=dict,
    name=lambda wanted: f"context length of {wanted['context_of']!r}",
    write=int,
    read=int,
)
"""How long a model's context is."""
