"""What connections of httpx take in while the limits are in force, and that they are as ever otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import pytest

httpx = pytest.importorskip("httpx", reason="httpx is not installed")

from tau2_gym.completion.bodies import MOST, Unreadable  # noqa: E402
from tau2_gym.completion.httpx_limits import bounded, limits  # noqa: E402
from tests.raw_server import chat_answer  # noqa: E402

CHAT = "http://host/v1/chat/completions"
GOOD = json.dumps(chat_answer()).encode()
ERROR = 65_536
"""Bytes of the longest error."""


class Body(httpx.AsyncByteStream):  # type: ignore[misc, name-defined]
    """A body in chunks, which knows how much of it was taken and whether it was closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks, self.taken, self.closed = chunks, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


def post(
    body: bytes | Body, status: int = 200, url: str = CHAT, within: bool = True, **headers: str
) -> tuple[Any, Any]:
    """The request as it was sent, and the response."""
    sent = []

    def answer(request: Any) -> Any:
        sent.append(request)
        content = {"stream": body} if isinstance(body, Body) else {"content": body}
        return httpx.Response(status, headers=headers, **content)

    async def ask() -> Any:
        transport = bounded(httpx.MockTransport(answer))
        with limits() if within else nullcontext():
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.post(url, headers={"Accept-Encoding": "gzip"}, json={})

    response = asyncio.run(ask())
    return sent[0], response


def test_an_answer_in_order_passes_and_nothing_compressed_is_asked_for() -> None:
    request, response = post(Body(GOOD[:50], GOOD[50:]))
    assert response.content == GOOD
    assert request.headers["Accept-Encoding"] == "identity"


def test_without_limits_a_connection_is_as_ever() -> None:
    for body in (b"<html>", b"x" * (MOST + 1)):
        request, response = post(body, within=False)
        assert response.content == body
        assert request.headers["Accept-Encoding"] == "gzip"
    assert len(post(b"x" * (ERROR + 1), 500, within=False)[1].content) > ERROR


def test_limits_end_with_their_block() -> None:
    with pytest.raises(Unreadable), limits():
        post(b"<html>", within=False)
    assert post(b"<html>", within=False)[1].content == b"<html>"


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"{}", b'{"choices": []}', GOOD[:-5]])
def test_what_only_looks_like_an_answer_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable, match="something that is not a chat completion: "):
        post(body)


def test_other_calls_may_be_answered_with_any_json() -> None:
    assert post(b'{"data": []}', url="http://host/v1/models")[1].json() == {"data": []}
    with pytest.raises(Unreadable):
        post(b"<html>", url="http://host/v1/models")


@pytest.mark.parametrize("status", [400, 429, 500])
def test_errors_are_short(status: int) -> None:
    assert post(b"x" * ERROR, status)[1].status_code == status
    message = rf"an error of {ERROR + 1} bytes \(status {status}\)"
    with pytest.raises(Unreadable, match=message):
        post(b"x" * (ERROR + 1), status)


def test_a_body_is_left_where_it_grows_too_large() -> None:
    body = Body(*[b" " * (MOST // 4)] * 20)
    with pytest.raises(Unreadable, match="a body of more than"):
        post(body)
    assert body.taken == 5
    assert body.closed


def test_a_compressed_body_is_refused_unread() -> None:
    body = Body(b"\x1f\x8b")
    with pytest.raises(Unreadable, match="compressed"):
        post(body, **{"Content-Encoding": "gzip"})
    assert body.taken == 0
    assert body.closed
