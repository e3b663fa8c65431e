"""Calls of an OpenAI-compatible server, without LiteLLM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from tau2_gym.completion.faults import (
    CallFailed,
    Kind,
    explanation,
    failure,
    redact,
    shown_url,
)
from tau2_gym.completion.wire import Completion, NotACompletion, Request, read_completion

if TYPE_CHECKING:
    import httpx


CONNECT = 10.0
"""Seconds in which a server must take a call."""


class HTTPTransport:
    """Posts requests to `base_url`/chat/completions.

    Args:
        base_url: of the server, usually ending in `/v1`.
        api_key: sent as a bearer token, if there is one.
    """

    def __init__(self, base_url: str, api_key: str | None) -> None:
        self.url = f"{base_url.rstrip('/')}/chat/completions"
        self.place = shown_url(self.url)
        self._key = api_key

    async def send(self, request: Request) -> Completion:
        """One attempt.

        Raises:
            CallFailed: it failed.
            ContextOverflow, ContentFiltered: see there.
        """
        import httpx

        body = {name: value for name, value in request.items() if name != "extra_body"}
        body.update(request.get("extra_body") or {})
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        client = await _client()
        try:
            response = await client.post(self.url, content=json.dumps(body), headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = f"cannot connect to {self.place}: {redact(str(error) or repr(error))}"
            raise CallFailed(reason, Kind.UNREACHABLE) from error
        except httpx.TransportError as error:
            reason = f"the connection to {self.place} was lost: {redact(str(error) or repr(error))}"
            raise CallFailed(reason, Kind.BUSY) from error
        return self._read(response, request["model"])

    def _read(self, response: httpx.Response, model: str) -> Completion:
        try:
            body: Any = response.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            body = response.text
        if response.status_code != 200:
            text = redact(explanation(body), [self._key])
            pause = _seconds(response.headers.get("retry-after"))
            raise failure(response.status_code, text, self.place, model, pause)
        try:
            return read_completion(body)
        except NotACompletion as error:
            reason = f"{self.place} answered with something that is no chat completion: {error}"
            raise CallFailed(reason, Kind.REJECTED) from error


def _seconds(header: str | None) -> float:
    """The value of a Retry-After header in seconds; 0 where there is none, or a date."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0


_CLIENTS: dict[asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, AsyncIterator[None]]] = {}


async def _client() -> httpx.AsyncClient:
    """The client of the running loop, which keeps connections open from call to call.

    It is closed when the loop shuts its asynchronous generators down, as `asyncio.run` does.
    """
    import httpx

    loop = asyncio.get_running_loop()
    if loop not in _CLIENTS:
        # How long an answer may take is the caller's to say; how many calls may wait at once is the
        # driver's to limit. A server that does not even take the call is not there.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        client = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=CONNECT), limits=limits)
        closer = _close_with(loop, client)
        _CLIENTS[loop] = client, closer
        await anext(closer)
    return _CLIENTS[loop][0]


async def _close_with(
    loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient
) -> AsyncIterator[None]:
    try:
        yield
    finally:
        del _CLIENTS[loop]
        await client.aclose()
