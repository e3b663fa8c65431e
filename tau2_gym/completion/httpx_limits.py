"""Limits on what LiteLLM's connections read: bodies no larger than `completion.bodies` allows, and
nothing that only looks like an answer.

LiteLLM has no option for this, and others in the process may use it. So we replace a method of its
transports, which behaves as before outside `limits()`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import httpx

from tau2_gym.completion.bodies import Unreadable, check_headers, limited, read_json
from tau2_gym.completion.wire import NotACompletion, read_completion

Transport = TypeVar("Transport", bound=httpx.AsyncBaseTransport)

MOST_OF_ERRORS = 64 * 2**10
"""The most bytes of an error. LiteLLM computes for seconds on one of a megabyte."""

_in_force: ContextVar[bool] = ContextVar("tau2_gym_limits", default=False)


@contextmanager
def limits() -> Iterator[None]:
    """Apply the limits to all calls in the block."""
    token = _in_force.set(True)
    try:
        yield
    finally:
        _in_force.reset(token)


class Limited(httpx.AsyncByteStream):
    """A body that raises an error when it grows too large."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in limited(aiter(self._body)):
            yield chunk

    async def aclose(self) -> None:
        """Close the connection, or give it back."""
        await self._body.aclose()


def bounded(transport: Transport) -> Transport:
    """The transport, which from now on respects the limits where they apply."""
    send = transport.handle_async_request

    async def handle(request: httpx.Request) -> httpx.Response:
        if not _in_force.get():
            return await send(request)
        request.headers["Accept-Encoding"] = "identity"
        response = await send(request)
        try:
            check_headers(response.headers)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = Limited(response.stream)
            _check(request, response.status_code, await response.aread())
        except ValueError:
            await response.aclose()
            raise
        return response

    transport.handle_async_request = handle  # type: ignore[method-assign]
    return transport


def _check(request: httpx.Request, status: int, body: bytes) -> None:
    """Check that a body is what it should be, before LiteLLM parses it.

    Raises:
        Unreadable: it is not.
    """
    if status >= 400:
        if len(body) > MOST_OF_ERRORS:
            raise Unreadable(f"an error of {len(body)} bytes (status {status})")
        return
    try:
        answer = read_json(body)
        if request.url.path.endswith("/chat/completions"):
            read_completion(answer)
    except (Unreadable, NotACompletion) as error:
        raise Unreadable(f"something that is not a chat completion: {error}") from None
