"""A server that answers with any bytes at all, beneath every library that would put them right."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

# The bytes of a response, from the method, the path, the headers and the body of a request.
Answer = Callable[[str, str, bytes, bytes], Iterable[bytes]]


class RawServer:
    """The server, on a thread of its own. Use it as a context manager.

    Attributes:
        answer: makes the responses; may be changed at any time.
        requests: how many have been received.
        port: where it listens.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests = 0
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> RawServer:
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._handle, "127.0.0.1", 0, limit=2**24)
        )
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(found[1])) if found else b""
            method, path = head.split(b" ", 2)[:2]
            self.requests += 1
            for chunk in self.answer(method.decode(), path.decode(), head, body):
                writer.write(chunk)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def response(body: bytes, status: int = 200, headers: str = "") -> bytes:
    """A whole response, of which only the body may be wrong."""
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    )
    return head.encode("latin-1") + body


def chunked(pieces: Iterable[bytes], headers: str = "") -> Iterable[bytes]:
    """A response whose body comes in pieces, without an end if they have none."""
    yield f"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode()
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def chat_answer(content: str = "Hello.", **message: Any) -> dict[str, Any]:
    """A chat completion with exact tokens, in the form of SGLang's."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": content,
                    "refusal": None,
                    "tool_calls": None,
                    **message,
                },
                "finish_reason": "stop",
                "logprobs": {"content": [{"token": "a", "logprob": -0.5, "bytes": None}]},
                "prompt_token_ids": [1, 2, 3],
                "response_token_ids": [4],
                "meta_info": {"output_token_logprobs": [[-0.5, 4, None]]},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }


def generate_answer(prompt: int, ids: Iterable[int] = (5, 6)) -> dict[str, Any]:
    """An answer of SGLang's `/generate`."""
    ids = list(ids)
    return {
        "text": "Hello.",
        "output_ids": ids,
        "meta_info": {
            "id": "r",
            "finish_reason": {"type": "stop", "matched": ids[-1]},
            "prompt_tokens": prompt,
            "completion_tokens": len(ids),
            "cached_tokens": 0,
            "weight_version": "default",
            "weight_versions": [{"version": "default", "start": 0, "end": len(ids)}],
            "output_token_logprobs": [[-0.1, token, None] for token in ids],
        },
    }


def good(method: str, path: str, head: bytes, body: bytes) -> list[bytes]:
    """What a server in order answers, on both wires."""
    if method == "GET":
        found: Any = {
            "/model_info": {"model_path": "tiny"},
            "/v1/models": {"data": [{"max_model_len": 32768}]},
        }.get(path, {})
    elif path == "/generate":
        found = generate_answer(len(json.loads(body)["input_ids"]))
    else:
        found = chat_answer()
    return [response(json.dumps(found).encode())]
