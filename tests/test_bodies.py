"""How much of a body is taken in, and what is read of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from tau2_gym.completion.bodies import MOST, Unreadable, check_headers, limited, read_json


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Encoding": "identity"},
        {"Content-Encoding": " Identity "},
        {"Content-Encoding": ""},
        {"Content-Length": "0"},
        {"Content-Length": str(MOST)},
        {"Content-Length": "many"},
        {"Content-Length": "-1"},
    ],
)
def test_headers_that_announce_nothing_wrong(headers: Mapping[str, str]) -> None:
    check_headers(headers)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Content-Encoding": "gzip"}, "a body compressed with 'gzip', which was not asked for"),
        ({"Content-Encoding": "x" * 999}, f"'{'x' * 40}'"),
        ({"Content-Length": str(MOST + 1)}, "a body of more than 8 MiB"),
        ({"Content-Length": "9" * 4000}, "a body of more than 8 MiB"),
    ],
)
def test_headers_that_are_enough_to_refuse_a_body(headers: Mapping[str, str], words: str) -> None:
    with pytest.raises(Unreadable) as refused:
        check_headers(headers)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 120


async def gathered(*chunks: bytes, most: int) -> bytes:
    async def coming() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return b"".join([chunk async for chunk in limited(coming(), most)])


def test_chunks_are_taken_up_to_the_limit() -> None:
    assert asyncio.run(gathered(b"abc", b"de", most=5)) == b"abcde"
    with pytest.raises(Unreadable, match="a body of more than 1 MiB"):
        asyncio.run(gathered(b"x" * 2**20, b"x", most=2**20))
    with pytest.raises(Unreadable, match="a body of more than 2 MiB"):
        check_headers({"Content-Length": str(2**21 + 1)}, 2**21)


def test_json_is_read_in_the_encodings_it_may_have() -> None:
    assert read_json('{"a": "½"}'.encode()) == {"a": "½"}
    assert read_json('{"a": "½"}'.encode("utf-16")) == {"a": "½"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "a body that is not JSON"),
        (b"\xff\xfe\x80", "a body that is not JSON"),
        (b"1" * 10_000, "a body that is not JSON"),
        (b"[" * 100_000, "JSON that is nested too deeply"),
    ],
)
def test_what_cannot_be_read(body: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=f"^{words}$"):
        read_json(body)
