"""A chat model behind an API: how it is reached, how it is to answer, and asking it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from tau2_gym.completion.faults import (
    CallFailed,
    CallTimeout,
    ContentFiltered,
    Kind,
    shown_url,
)
from tau2_gym.completion.http import HTTPTransport
from tau2_gym.completion.metering import charge
from tau2_gym.completion.via_litellm import LiteLLMTransport
from tau2_gym.completion.wire import Completion, Request
from tau2_gym.errors import ConfigError, InfrastructureError

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from tau2_gym.cassette import Cassette

SECRETS = ("api_key", "authorization", "headers", "extra_headers")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the first retry, doubled with each further one, and the most they come to."""

_jitter = random.Random()


class Transport(Protocol):
    """A way to a service."""

    place: str

    async def send(self, request: Request) -> Completion:
        """One attempt. Raises `CallFailed`, `ContextOverflow` or `ContentFiltered`."""
        ...


@dataclass
class Health:
    """What is known of a service: whether it has ever answered."""

    answered: bool = False


@dataclass(frozen=True)
class ChatModel:
    """A model that answers chats, through LiteLLM or straight from an OpenAI-compatible server.

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
        retries: further attempts if the service is busy, broken, late or cannot be reached. A
            request that the service rejects is not repeated.
        extra_body: what else the body of each request holds, for example
            `{"chat_template_kwargs": {"enable_thinking": False}}`, or `EXACT_TOKENS`.
        cassette: where calls are recorded or replayed.

    Raises:
        ConfigError: a value is not allowed.
    """

    model: str
    base_url: str | None = None
    litellm: bool | None = None
    api_key: str | None = field(default=None, repr=False)
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    send_seed: bool = True
    timeout: float = 120.0
    retries: int = 5
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    cassette: Cassette | None = field(default=None, repr=False)
    _health: Health = field(default_factory=Health, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("the model's name is empty")
        if self.base_url is not None:
            parts = urlsplit(self.base_url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ConfigError(
                    f"base URL {self.base_url!r} is not of the form http://HOST:PORT/v1"
                )
        elif self.litellm is False:
            raise ConfigError(f"without LiteLLM, model {self.model!r} needs a base URL")
        if self.temperature is not None and self.temperature < 0:
            raise ConfigError(f"temperature must not be negative: {self.temperature}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be in (0, 1], not {self.top_p}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.timeout <= 0 or self.retries < 0:
            raise ConfigError("timeout must be a positive number of seconds, retries not negative")
        for name in self.extra_body:
            if name.lower() in SECRETS:
                raise ConfigError(f"extra_body is recorded, so it must not hold {name!r}")

    @cached_property
    def _transport(self) -> Transport:
        if self.base_url is None or self.litellm:
            return LiteLLMTransport(self.base_url, self.api_key, self.timeout)
        return HTTPTransport(self.base_url, self.api_key)

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
            seed: decides the answer as far as the provider can be made to repeat itself.

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
        """The body of the request, by which a cassette knows it."""
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

    def public(self) -> dict[str, Any]:
        """What decides the answers, for results: nothing secret is in it."""
        shown = {"base_url": None if self.base_url is None else shown_url(self.base_url)}
        return shown | self.request(())

    async def _ask(self, request: Request) -> Completion:
        """The service's answer, after retries."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        if not self.send_seed:
            request = {name: value for name, value in request.items() if name != "seed"}
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self.retries + 1),
            wait=_pause,
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    number = attempt.retry_state.attempt_number
                    completion = await self._attempt(self._transport, _reseeded(request, number))
        except CallFailed as error:
            raise self._verdict(error) from error.__cause__
        self._health.answered = True
        if completion.finish_reason == "content_filter":
            raise ContentFiltered(f"the content filter kept back an answer of {self.model!r}")
        return completion

    async def _attempt(self, transport: Transport, request: Request) -> Completion:
        try:
            async with asyncio.timeout(self.timeout):
                return await transport.send(request)
        except TimeoutError as error:
            sentence = f"{transport.place} did not answer within {self.timeout:g} s"
            raise CallFailed(sentence, Kind.LATE) from error

    def _verdict(self, error: CallFailed) -> Exception:
        """Who is to hear of it. A service that has answered before fails; one that has never
        answered is not the one that was meant."""
        if error.kind in (Kind.REJECTED, Kind.UNREACHABLE) and not self._health.answered:
            return ConfigError(str(error))
        if error.kind is Kind.REJECTED:
            return InfrastructureError(str(error))
        sentence = f"{error} (after {self.retries + 1} attempts)"
        return (CallTimeout if error.kind is Kind.LATE else InfrastructureError)(sentence)


def call_seed(seed: int, turn: int, attempt: int = 0) -> int:
    """The seed of one call, in the range that providers take. Later turns and repeated attempts
    have seeds of their own."""
    digest = hashlib.sha256(f"{seed}/{turn}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _reseeded(request: Request, number: int) -> Request:
    """The request of the first two attempts unchanged, that of later ones with another seed: a
    server that breaks over what its model says (`transformers serve` does, over a tool call that is
    no JSON) would break over it every time."""
    if number <= 2 or "seed" not in request:
        return request
    return request | {"seed": call_seed(request["seed"], 0, number)}


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, CallFailed) and error.kind is not Kind.REJECTED


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: doubled each time, up to half of it by chance so that many
    episodes do not return at once, and never less than the service asked for."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (state.attempt_number - 1))
    error = state.outcome.exception() if state.outcome is not None else None
    wanted = error.retry_after if isinstance(error, CallFailed) else 0.0
    return max(wanted, longest * _jitter.uniform(0.5, 1.0))
