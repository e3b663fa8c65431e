"""Calls to servers over HTTP: to OpenAI-compatible ones without LiteLLM, and whatever takes JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from tau2_gym.completion.bodies import MOST, Unreadable, check_headers, limited, read_json
from tau2_gym.completion.faults import CallFailed, Kind, explanation, failure, wished_pause
from tau2_gym.completion.redaction import endpoint, redact, shown_url
from tau2_gym.completion.servers import LOOK
from tau2_gym.completion.wire import Completion, NotACompletion, Request, read_completion

if TYPE_CHECKING:
    import httpx


CONNECT = 10.0
"""Seconds in which a server must accept a connection."""


class HTTPTransport:
    """Posts requests to `base_url`/chat/completions.

    Args:
        base_url: of the server, usually ending in `/v1`.
        api_key: sent as a bearer token, if there is one.
    """

    def __init__(self, base_url: str, api_key: str | None) -> None:
        self.url = endpoint(base_url, "/chat/completions")
        self.place = shown_url(self.url)
        self._base_url = base_url
        self._key = api_key

    async def send(self, request: Request) -> Completion:
        """One attempt.

        Raises:
            CallFailed: it failed.
            ContextOverflow, ContentFiltered: see there.
        """
        body = {name: value for name, value in request.items() if name != "extra_body"}
        body.update(request.get("extra_body") or {})
        response, said = await post(self.url, body, self._key)
        return self._read(response, said, request["model"])

    async def looks_up(self) -> bool:
        """See `looks_up` in this module."""
        return await looks_up(endpoint(self._base_url, "/models"), self._key)

    def _read(self, response: httpx.Response, said: bytes, model: str) -> Completion:
        try:
            body = read_json(said)
        except Unreadable as error:
            if response.status_code == 200:
                reason = (
                    f"{self.place} answered with something that is not a chat completion: {error}"
                )
                raise CallFailed(reason, Kind.GARBLED) from None
            body = said.decode(errors="replace")
        if response.status_code != 200:
            text = redact(explanation(body))
            pause = wished_pause(response.headers.get("retry-after"))
            raise failure(response.status_code, text, self.place, model, pause)
        try:
            return read_completion(body)
        except NotACompletion as error:
            reason = f"{self.place} answered with something that is not a chat completion: {error}"
            raise CallFailed(reason, Kind.GARBLED) from None


async def post(
    url: str, body: Mapping[str, Any], key: str | None, most: int = MOST
) -> tuple[httpx.Response, bytes]:
    """Send JSON to an address, and give the response with its body.

    Args:
        url: the address.
        body: what is sent.
        key: sent as a bearer token, if there is one.
        most: bytes that the response may have.

    Raises:
        CallFailed: there was no response, or its body cannot be read.
    """
    import httpx

    place = shown_url(url)
    headers = {"Content-Type": "application/json", **bearer(key)}
    client = await _client()
    # None of these errors is chained: their own texts can repeat a key.
    try:
        content = json.dumps(body)
        async with client.stream("POST", url, content=content, headers=headers) as response:
            check_headers(response.headers, most)
            chunks = limited(response.aiter_raw(), most)
            return response, b"".join([chunk async for chunk in chunks])
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        reason = f"cannot connect to {place}: {redact(str(error) or repr(error))}"
        raise CallFailed(reason, Kind.UNREACHABLE) from None
    except httpx.TransportError as error:
        reason = f"the connection to {place} was lost: {redact(str(error) or repr(error))}"
        raise CallFailed(reason, Kind.LOST) from None
    except Unreadable as error:
        raise CallFailed(f"{place} answered with {error}", Kind.GARBLED) from None


def bearer(key: str | None) -> dict[str, str]:
    """The header that carries an API key, if there is one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


async def looks_up(url: str, key: str | None) -> bool:
    """Whether a server answers at an address with anything but that it is not available."""
    import httpx

    client = await _client()
    try:
        async with (
            asyncio.timeout(LOOK),
            client.stream("GET", url, headers=bearer(key)) as response,
        ):
            return response.status_code < 500
    except (httpx.TransportError, Unreadable, TimeoutError):
        return False


_CLIENTS: dict[asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, AsyncIterator[None]]] = {}


async def _client() -> httpx.AsyncClient:
    """The client of the running loop, which keeps connections open from call to call.

    It is closed when the loop shuts its asynchronous generators down, as `asyncio.run` does.
    """
    import httpx

    loop = asyncio.get_running_loop()
    if loop not in _CLIENTS:
        # The caller decides how long an answer may take, and the driver how many calls may wait at
        # once. A server that does not even accept the connection is down.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT),
            limits=limits,
            headers={"Accept-Encoding": "identity"},
        )
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
