"""A chat model behind an API: how it is reached, how it is to answer, and asking it."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from tau2_gym.completion.faults import (
    CallFailed,
    CallTimeout,
    ContentFiltered,
    ContextOverflow,
    Kind,
)
from tau2_gym.completion.http import HTTPTransport
from tau2_gym.completion.metering import charge
from tau2_gym.completion.redaction import checked_url, keep_secret
from tau2_gym.completion.servers import OUTAGE, STARTUP, Server
from tau2_gym.completion.via_litellm import LiteLLMTransport
from tau2_gym.completion.wire import Completion, Request
from tau2_gym.errors import ConfigError, InfrastructureError

if TYPE_CHECKING:
    from tau2_gym.cassette import Cassette

SECRETS = ("api_key", "authorization", "headers", "extra_headers")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the first retry, which double with each one, and their maximum."""

_jitter = random.Random()


class Transport(Protocol):
    """A way to a service."""

    place: str

    @property
    def looks_up(self) -> Callable[[], Awaitable[bool]] | None:
        """Checks whether the service is up; None if it has no address to check."""
        ...

    async def send(self, request: Request) -> Completion:
        """One attempt. Raises `CallFailed`, `ContextOverflow` or `ContentFiltered`."""
        ...


@dataclass(frozen=True)
class ChatModel:
    """A model that answers chats, through LiteLLM or directly from an OpenAI-compatible server.

    Attributes:
        model: its name: for LiteLLM with the provider (`openai/gpt-4.1`), else as the server has it.
        base_url: of the server, usually ending in `/v1`. Without it LiteLLM knows the address.
        litellm: whether calls go through LiteLLM; by default if there is no `base_url`.
        api_key: by default what LiteLLM finds in the provider's environment variable. A server
            called without LiteLLM gets this key or none.
        temperature, top_p, max_tokens: of the answer; None leaves them to the provider.
        send_seed: whether the provider is sent the seed. LiteLLM sends it where the provider takes
            one.
        timeout: seconds for one attempt.
        retries: further attempts if the service is busy, broken or late, or its answer cannot be
            read. A request that the service rejects is not repeated.
        startup, outage: seconds to wait for a server that has never answered, and for one that has,
            while it cannot be reached or says that it is not available (`completion.servers`).
        extra_body: what else the body of each request holds, for example
            `{"chat_template_kwargs": {"enable_thinking": False}}`, or `EXACT_TOKENS`.
        cassette: where calls are recorded or replayed.

    Raises:
        ConfigError: a value is not allowed.
    """

    model: str
    base_url: str | None = field(default=None, repr=False)
    litellm: bool | None = None
    api_key: str | None = field(default=None, repr=False)
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    send_seed: bool = True
    timeout: float = 120.0
    retries: int = 5
    startup: float = STARTUP
    outage: float = OUTAGE
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    cassette: Cassette | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("the model's name is empty")
        if self.base_url is not None:
            checked_url(self.base_url, self.api_key)
        elif self.litellm is False:
            raise ConfigError(f"without LiteLLM, model {self.model!r} needs a base URL")
        if self.temperature is not None and self.temperature < 0:
            raise ConfigError(f"temperature must not be negative: {self.temperature}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be in (0, 1], not {self.top_p}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if not 0 < self.timeout < math.inf or self.retries < 0:
            raise ConfigError("timeout must be a positive number of seconds, retries not negative")
        if not (0 <= self.startup < math.inf and 0 <= self.outage < math.inf):
            raise ConfigError("startup and outage must be numbers of seconds, not negative")
        keep_secret(self.api_key)
        for name in self.extra_body:
            if name.lower() in SECRETS:
                raise ConfigError(f"extra_body is recorded, so it must not hold {name!r}")

    @cached_property
    def _transport(self) -> Transport:
        url = None if self.base_url is None else checked_url(self.base_url, self.api_key)
        if url is None or self.litellm:
            return LiteLLMTransport(url, self.api_key, self.timeout)
        return HTTPTransport(url, self.api_key)

    @cached_property
    def _server(self) -> Server:
        transport = self._transport
        return Server(transport.place, transport.looks_up, self.startup, self.outage)

    async def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
    ) -> Completion:
        """The model's answer to a chat.

        Args:
            messages: in OpenAI chat form, the system message first.
            tools: OpenAI function schemas of what the model may call.
            seed: decides the answer as far as the provider is deterministic.

        Raises:
            ConfigError: the service has never answered, and will not: no key, unknown model, wrong
                address, a parameter it does not take.
            InfrastructureError: it failed, after all retries (`CallTimeout`: it was late each time;
                `ContentFiltered`: its filter refused).
            ContextOverflow: the chat is too long for the model.
            DataError: a cassette is to answer and does not hold this call.
        """
        request = self.request(messages, tools, seed)
        if self.cassette is None:
            completion = await self._ask(request)
        else:
            completion = await self.cassette.play(request, self._ask)
        charge(completion.usage)
        return completion

    def request(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
    ) -> Request:
        """The body of the request, which identifies it in a cassette."""
        request: Request = {
            "model": self.model,
            "messages": list(messages),
            "tools": list(tools),
            "temperature": None if self.temperature is None else float(self.temperature),
            "top_p": None if self.top_p is None else float(self.top_p),
            "max_tokens": self.max_tokens,
            "seed": seed,
            "extra_body": dict(self.extra_body),
        }
        return {name: value for name, value in request.items() if value not in (None, [], {})}

    async def _ask(self, request: Request) -> Completion:
        """The service's answer, after retries."""
        if not self.send_seed:
            request = {name: value for name, value in request.items() if name != "seed"}
        try:
            completion = await self._server.keep_trying(
                lambda number: self._attempt(_reseeded(request, number)), self.retries + 1, pause
            )
        except CallFailed as error:
            raise self._verdict(error) from None
        except ContextOverflow as error:
            error.answered = self._server.answered
            raise
        if completion.finish_reason == "content_filter":
            raise ContentFiltered(f"the content filter kept back an answer of {self.model!r}")
        return completion

    async def _attempt(self, request: Request) -> Completion:
        try:
            async with asyncio.timeout(self.timeout):
                return await self._transport.send(request)
        except TimeoutError:
            sentence = f"{self._transport.place} did not answer within {self.timeout:g} s"
            raise CallFailed(sentence, Kind.LATE) from None
        except CallFailed as error:
            if error.kind is Kind.GARBLED and not self._server.answered:
                raise CallFailed(str(error), Kind.REJECTED) from None
            error.retry_after = min(error.retry_after, self.timeout)
            raise

    def _verdict(self, error: CallFailed) -> Exception:
        """Whose error it is. A service that has answered before has failed; one that has never
        answered was set up wrongly."""
        if error.kind in (Kind.REJECTED, Kind.UNREACHABLE) and not self._server.answered:
            return ConfigError(str(error))
        if error.kind in (Kind.REJECTED, Kind.UNREACHABLE, Kind.DOWN):
            return InfrastructureError(str(error))
        sentence = f"{error} (after {self.retries + 1} attempts)"
        return (CallTimeout if error.kind is Kind.LATE else InfrastructureError)(sentence)


def call_seed(seed: int, turn: int, attempt: int = 0) -> int:
    """The seed of one call, in the range that providers take. Later turns and repeated attempts
    have their own seeds."""
    digest = hashlib.sha256(f"{seed}/{turn}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _reseeded(request: Request, number: int) -> Request:
    """The request of the first two attempts unchanged, that of later ones with another seed: a
    server that breaks on what its model says (`transformers serve` does on a tool call that is not
    JSON) would break on it every time."""
    if number <= 2 or "seed" not in request:
        return request
    return request | {"seed": call_seed(request["seed"], 0, number)}


def pause(failures: int) -> float:
    """Seconds until the next attempt: doubled each time, up to half of it by chance so that many
    episodes do not return at once."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 30))
    return longest * _jitter.uniform(0.5, 1.0)
