"""A server of SandboxFusion's `/run_code` for Python: `python -m tau2_gym.sandbox.server`.

It lets a machine that has isolation run code for others, for example for training containers that may
not make namespaces. Code runs in a `LocalSandbox`. Whoever reaches the port may run code there, and
nothing else; so it listens on this machine alone unless told otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

import typer

from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.api import Refused, serve
from tau2_gym.sandbox.base import Limits
from tau2_gym.sandbox.local import LocalSandbox

LONGEST_BODY = 64 * 2**20
"""Bytes of a request."""

BODIES = 4 * LONGEST_BODY
"""Bytes that the bodies of all requests together may hold: each is in memory until it is answered."""

PIECE = 2**16
"""Bytes that are read of a body at a time."""

CONNECTIONS = 1024
"""Open at a time; further ones are closed."""

IDLE = 120.0
"""Seconds in which a connection must say something."""

app = typer.Typer(add_completion=False)


class Room:
    """Bytes that many threads share.

    Args:
        free: how many there are.
    """

    def __init__(self, free: int) -> None:
        self.free = free
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take some, if there are as many."""
        with self._lock:
            enough = count <= self.free
            self.free -= count * enough
            return enough

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self.free += count


class SandboxServer(ThreadingHTTPServer):
    """The server.

    Args:
        address: host and port; port 0 is a free one.
        sandbox: runs the code. Its limits are the most that a request may ask for.
        waiting: requests that may wait for their turn; further ones are told to come again (503).
        bodies: bytes that the bodies of all requests together may hold; a request that would take more is
            told to come again, too.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(
        self,
        address: tuple[str, int],
        sandbox: LocalSandbox,
        waiting: int = 1024,
        bodies: int = BODIES,
    ) -> None:
        self.sandbox = sandbox
        self.places = threading.BoundedSemaphore(sandbox.at_once + waiting)
        self.room = Room(bodies)
        self.connections: set[socket.socket] = set()
        super().__init__(address, Handler)

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """As in the base class, if there are not too many connections."""
        if len(self.connections) < CONNECTIONS:
            self.connections.add(request)
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """As in the base class, and then there is room for another."""
        self.connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """As in the base class, and hang up on those who are still connected."""
        super().server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: SandboxServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    wbufsize = -1
    disable_nagle_algorithm = True
    server_version = "tau2-gym-sandbox"

    def do_GET(self) -> None:
        """`/v1/ping`."""
        if self.path == "/v1/ping":
            self._say(200, "pong")
        else:
            self._say(404, {"detail": "there are POST /run_code and GET /v1/ping"})

    def do_POST(self) -> None:
        """`/run_code`."""
        try:
            length = self._length()
            with self._place() as free, self._body(length, keep=free) as body:
                if not free:
                    raise Refused(503, "too many requests are waiting")
                if body is None:
                    raise Refused(503, "the requests that are waiting hold too much")
                said = serve(self.server.sandbox, body)
        except Refused as error:
            self._say(error.status, {"detail": str(error)})
        else:
            self._say(200, said)

    @contextlib.contextmanager
    def _place(self) -> Iterator[bool]:
        """Whether there is room for another request; if so, it is taken."""
        free = self.server.places.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self.server.places.release()

    def _length(self) -> int:
        """Bytes of the body."""
        length = self.headers.get("Content-Length", "")
        self.close_connection, keep = True, self.close_connection  # There is a body left to read.
        if self.path != "/run_code":
            raise Refused(404, "there are POST /run_code and GET /v1/ping")
        kind = self.headers.get_content_type()
        if kind != "application/json":
            raise Refused(415, f"the body must be application/json, not {kind}")
        if not (length.isascii() and length.isdecimal()):
            raise Refused(411, "a request must say its Content-Length")
        if len(length) > 12 or int(length) > LONGEST_BODY:
            raise Refused(413, f"a request may have {LONGEST_BODY} bytes")
        self.close_connection = keep
        return int(length)

    @contextlib.contextmanager
    def _body(self, length: int, *, keep: bool) -> Iterator[bytearray | None]:
        """The body, read to its end; None if it is not to be kept, or there is no room for it. The room is
        taken as the body comes, so that whoever announces much and sends little keeps nobody out."""
        body: bytearray | None = bytearray() if keep else None
        room, held = self.server.room, 0
        try:
            while length:
                piece = self.rfile.read1(min(length, PIECE))
                if not piece:
                    self.close_connection = True
                    raise Refused(400, "the body is shorter than its Content-Length")
                length -= len(piece)
                if body is None:
                    continue
                if room.take(len(piece)):
                    held += len(piece)
                    body += piece
                else:
                    body = None
                    room.give_back(held)
                    held = 0
            yield body
        finally:
            room.give_back(held)

    def _say(self, status: int, what: Any) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", "1")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: there are thousands of requests, and what they hold is nobody's business."""


@app.command()
def main(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8080,
    at_once: Annotated[
        int | None,
        typer.Option(help="Calls at a time; by default two per processor.", min=1, max=CONNECTIONS),
    ] = None,
    waiting: Annotated[int, typer.Option(help="Calls that may wait for their turn.", min=0)] = 1024,
    seconds: Annotated[float, typer.Option(help="The longest that a call may ask for.")] = 60.0,
    memory_mb: Annotated[int, typer.Option(help="The most memory that a call may take.")] = 2048,
    disk_mb: Annotated[int, typer.Option(help="The most that a call may write to files.")] = 64,
    processes: Annotated[int, typer.Option(help="Of a call, alive at a time.")] = 32,
    isolate: Annotated[
        bool,
        typer.Option(help="--no-isolate runs code with limits alone: it may do what you may."),
    ] = True,
) -> None:
    """Serve Python over SandboxFusion's HTTP API, until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        limits = Limits(seconds, memory_mb, disk_mb, processes)
        with LocalSandbox(limits, at_once=at_once, isolate=isolate) as sandbox:
            sandbox.run("pass")  # What is wrong with the machine is said now.
            with SandboxServer((host, port), sandbox, waiting) as server:
                typer.echo(f"serving Python on {server.url}, process {os.getpid()}")
                sys.stdout.flush()
                with contextlib.suppress(KeyboardInterrupt):
                    server.serve_forever()
    except (ConfigError, InfrastructureError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        typer.echo(f"error: {host}:{port}: {error.strerror or error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
