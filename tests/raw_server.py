"""A server that answers with any bytes at all, beneath every library that would put them right."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
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
        self.port = 0
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
            asyncio.start_server(self._handle, "127.0.0.1", self.port, limit=2**24)
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


# As a process of its own, which can be killed


def choices(texts: list[str], ids: list[list[int]]) -> Answer:
    """A server whose answers depend on nothing but the request."""

    def pick(*asked: Any) -> int:
        return zlib.crc32(json.dumps(asked).encode())

    def answer(method: str, path: str, head: bytes, body: bytes) -> list[bytes]:
        if method == "GET":
            return good(method, path, head, body)
        time.sleep(0.01)
        asked = json.loads(body)
        found: Any
        if path == "/generate":
            prompt = asked["input_ids"]
            number = pick(prompt, asked["sampling_params"]["sampling_seed"])
            found = generate_answer(len(prompt), ids[number % len(ids)])
        else:
            found = chat_answer(texts[pick(asked["messages"], asked["seed"]) % len(texts)])
        return [response(json.dumps(found).encode())]

    return answer


def loading(answer: Answer, seconds: float) -> Answer:
    """A server that says for so long that it is not available."""
    ready = time.monotonic() + seconds

    def answers(method: str, path: str, head: bytes, body: bytes) -> Iterable[bytes]:
        if time.monotonic() < ready:
            return [response(b"loading", 503)]
        return answer(method, path, head, body)

    return answers


class Killable:
    """A server in a process of its own. Use it as a context manager.

    Attributes:
        port: where it listens, each time it is started.
    """

    def __init__(self, texts: list[str], ids: list[list[int]]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._says = json.dumps([texts, ids])
        self._process: subprocess.Popen[str] | None = None

    def start(self, loading: float = 0.0) -> None:
        """Start it, and return when it listens."""
        command = [sys.executable, "-m", "tests.raw_server", str(self.port), str(loading)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._says + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline()

    def kill(self) -> None:
        """Kill it, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Killable:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def main() -> None:
    server = RawServer(loading(choices(*json.loads(sys.stdin.readline())), float(sys.argv[2])))
    server.port = int(sys.argv[1])
    with server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
