"""The page of runs that are still going on, served on this machine.

The page is the same as in a file, but asks for conversations when they are opened, and every other second whether
there are new attempts. Whoever reaches the port may read the runs and nothing else; so it listens on this machine
alone unless told otherwise, and answers only to its own names: a page from elsewhere, whose name was made to lead
here, gets nothing.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.journal import to_json
from tau2_gym.results.page.build import missing, page
from tau2_gym.results.page.following import follow
from tau2_gym.results.page.index import Attempt, in_order, index, names_of, opened
from tau2_gym.results.page.masking import shown
from tau2_gym.results.page.tasks import Tasks
from tau2_gym.results.run import Run

PAUSE = 1.0
"""Seconds between two looks at the files."""

REST = 5.0
"""Seconds in which the page is not made a second time: its plots take a while."""

IDLE = 30.0
"""Seconds in which a connection must ask for something."""

HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class _Now:
    """The runs at one moment.

    Attributes:
        version: counts the moments at which something was different.
        by_address: attempts by run, trial, domain and task, as the page names them.
    """

    version: int
    problem: str
    runs: list[Run]
    names: list[str]
    index: dict[str, Any]
    by_address: dict[tuple[str, ...], Attempt]


class Site:
    """What is served: the runs as they are now. `look` is for one thread, everything else for any number.

    Args:
        paths: their files, which need not be there yet.

    Raises:
        DataError: a file holds something else than results, or cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = follow(paths)
        self._tasks = Tasks()
        self._making = threading.Lock()
        self._page = b""
        self._made = (0, -REST)
        for file in self._files:
            file.look()
        self._now = self._seen(1, "")

    @property
    def attempts(self) -> int:
        """How many there are."""
        return len(self._now.by_address)

    def look(self) -> None:
        """See what has been added."""
        changed, problem = False, ""
        for file in self._files:
            try:
                changed |= file.look()
            except DataError as error:
                problem = problem or shown(error)
        if changed or problem != self._now.problem:
            self._now = self._seen(self._now.version + 1, problem)

    def _seen(self, version: int, problem: str) -> _Now:
        runs = [file.run for file in self._files]
        names = names_of(runs)
        attempts = in_order(runs)
        # Domains are loaded now, and not when somebody waits for a conversation.
        for each in {(each.run, each.row["domain"]): each for each in attempts}.values():
            self._tasks.of(runs[each.run], each.row)
        waiting = [name for run, name in zip(runs, names, strict=True) if not run.rows]
        status = problem or (f"waiting for {', '.join(waiting)}" if waiting else "live")
        data = {**index(attempts, names), "version": version, "status": status}
        by_address: dict[tuple[str, ...], Attempt] = {
            (names[each.run], str(each.row["trial"]), shown(each.row["domain"]), shown(each.row["task_id"])): each
            for each in attempts
        }  # fmt: skip
        return _Now(version, problem, runs, names, data, by_address)

    def index(self, version: str) -> bytes | None:
        """All attempts in short; None if the version asked for is the present one."""
        now = self._now
        return (
            None
            if version == str(now.version)
            else to_json(now.index, separators=(",", ":")).encode()
        )

    def page(self) -> bytes:
        """The page. Made at most every `REST` seconds: it says of which version it is."""
        with self._making:
            now, (version, made) = self._now, self._made
            if version != now.version and time.monotonic() - made > REST:
                text = f"Waiting for the first attempt of {', '.join(now.names)}. It will be shown here when it has ended."
                notes = [*missing(self._tasks), *([now.problem] if now.problem else [])]
                self._page = page(
                    now.runs, now.names, now.index, notes=notes, live=True, waiting=text
                )
                self._made = (now.version, time.monotonic())
            return self._page

    def conversation(self, path: str) -> bytes | None:
        """One conversation; None if there is none at that address.

        Raises:
            DataError: its messages are not in tau2-bench's form.
        """
        now = self._now
        attempt = now.by_address.get(tuple(unquote(part) for part in path.split("/")))
        if attempt is None:
            return None
        return to_json(opened(attempt, now.runs, self._tasks)).encode()


class PageServer(ThreadingHTTPServer):
    """The server.

    Args:
        host, port: where it listens; port 0 is a free one.
        site: what it serves.

    Raises:
        ConfigError: it cannot listen there.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, site: Site) -> None:
        self.site, self.host = site, host
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"the page cannot be served at {host}, port {port}: {reason}"
            ) from error

    @property
    def url(self) -> str:
        """Where the page is."""
        name = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{name}]' if ':' in name else name}:{self.server_address[1]}/"

    def answers_to(self, name: str) -> bool:
        """Whether a request for that host is meant for this server: by a name of this machine, by the one that it
        was told to listen at, or, if that is every one, by any address that is not a name."""
        try:
            host = urlsplit(f"//{name}").hostname or ""
            if host in ("localhost", self.host.lower()):
                return True
            address = ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or self.host in ("0.0.0.0", "::")

    def watch(self) -> None:
        """Look for new attempts from now on, until the process ends."""

        def looking() -> None:
            while True:
                time.sleep(PAUSE)
                self.site.look()

        threading.Thread(target=looking, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """As in the base class, but say nothing of a browser that has hung up."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers a request."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    server_version, sys_version = "tau2-gym", ""

    def do_GET(self) -> None:
        """The page, the index, or a conversation."""
        if not self._is_meant():
            return
        parts = urlsplit(self.path)
        site = self.server.site
        if parts.path == "/":
            self._say(HTTPStatus.OK, site.page(), HTML)
        elif parts.path == "/index.json":
            found = site.index(parse_qs(parts.query).get("version", [""])[0])
            self._say(HTTPStatus.OK if found else HTTPStatus.NO_CONTENT, found or b"", JSON)
        elif parts.path.startswith("/attempt/"):
            try:
                said = site.conversation(parts.path.removeprefix("/attempt/"))
            except DataError as error:
                self._say(
                    HTTPStatus.INTERNAL_SERVER_ERROR, str(error).encode(errors="replace"), TEXT
                )
                return
            if said is None:
                self._say(HTTPStatus.NOT_FOUND, b"There is no such attempt.\n", TEXT)
            else:
                self._say(HTTPStatus.OK, said, JSON)
        else:
            self._say(HTTPStatus.NOT_FOUND, b"There is no such page.\n", TEXT)

    do_HEAD = do_GET  # noqa: N815

    def _is_meant(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) == 1 and self.server.answers_to(hosts[0]):
            return True
        self._say(HTTPStatus.FORBIDDEN, b"This server does not answer to that name.\n", TEXT)
        return False

    def _say(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD" and status is not HTTPStatus.NO_CONTENT:
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the terminal has the address and no more."""
