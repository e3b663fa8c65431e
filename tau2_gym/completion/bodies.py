"""Bodies of responses, read no further than an answer can be long.

Compressed bodies are neither requested nor accepted: a few kilobytes can expand to gigabytes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

MOST = 8 * 2**20
"""Bytes of the largest body: a turn of 100,000 tokens with log-probabilities takes half of it.
Parsed, a body can take 25 times its size."""


class Unreadable(ValueError):
    """A body that cannot be read, or is not what it should be. The text says why."""


def check_headers(headers: Mapping[str, str], most: int = MOST) -> None:
    """Check from its headers that a body can be read.

    Args:
        headers: of the response.
        most: bytes that the body may have.

    Raises:
        Unreadable: it is compressed, or too large.
    """
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Unreadable(f"a body compressed with {encoding[:40]!r}, which was not asked for")
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise _too_large(most)


async def limited(chunks: AsyncIterator[bytes], most: int = MOST) -> AsyncIterator[bytes]:
    """The chunks of a body.

    Raises:
        Unreadable: they are more than `most` bytes.
    """
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        yield chunk


def read_json(body: bytes) -> Any:
    """The JSON in a body.

    Raises:
        Unreadable: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise Unreadable("JSON that is nested too deeply") from None
    except ValueError:
        raise Unreadable("a body that is not JSON") from None


def _too_large(most: int) -> Unreadable:
    return Unreadable(f"a body of more than {most // 2**20} MiB")
