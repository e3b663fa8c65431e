"""Messages between the sandbox and its jail: a length, and JSON."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LONGEST = 128 * 2**20
"""Bytes of a message at most. The longest code and the longest standard input take 80 million."""


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send a message."""
    body = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    connection.sendall(struct.pack("!I", len(body)) + body)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """The next message; None if the other side has hung up.

    Raises:
        ValueError: what arrives is not a message.
    """
    head = _exactly(connection, 4)
    if head is None:
        return None
    (length,) = struct.unpack("!I", head)
    if length > LONGEST:
        raise ValueError(f"a message of {length} bytes is too long")
    body = _exactly(connection, length)
    if body is None:
        return None
    message = json.loads(body.decode("utf-8", "surrogatepass"))
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return message


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    got = bytearray()
    while len(got) < count:
        more = connection.recv(min(count - len(got), 2**20))
        if not more:
            return None
        got += more
    return bytes(got)
