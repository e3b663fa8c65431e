"""A sandbox on this machine: Linux namespaces, forked from a warm interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.base import Limits, Result, refused
from tau2_gym.sandbox.jail import wire

HERE = str(Path(__file__).parent)
START = (
    f"import sys; sys.path.insert(0, {HERE!r}); from jail import warm; del sys.path[0]; warm.main()"
)
"""The package `jail` alone, and none of this one's imports."""

PRELOAD: tuple[str, ...] = (
    "collections",
    "decimal",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "json",
)
PRELOAD += ("math", "random", "re", "statistics", "string", "numpy", "numpy.random", "sympy")
"""What is imported once, if it is installed, so that calls need not."""

SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/alternatives",
)
"""What programs may read, beside the interpreter's own folders."""

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # sets of strings have the same order in every process
}

STARTING = 60.0
"""Seconds that the warm interpreter may take to start."""

SPARE = 4
"""Jails that are made before they are needed."""

MARGIN = 10.0
"""Seconds beyond its limit after which an answer counts as lost."""


class LocalSandbox:
    """Runs each call in a jail of its own: no network, no file of the machine but the interpreter's, no
    process but its own, no environment, limits on all that it takes. All that it starts and writes is
    gone when it ends.

    Args:
        limits: what a call may take.
        at_once: calls that run at the same time; others wait. By default two per processor.
        isolate: False runs the code with limits alone: it then reads and writes what this user may.
            For trusted code, or where all is a container anyway.
        prepare: code that is run once, before any call, in the interpreter that all calls are forked
            from: imports that take long, say. It must start no thread.

    Raises:
        ConfigError: this machine has not got what isolation needs.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        at_once: int | None = None,
        isolate: bool = True,
        prepare: str = "",
    ) -> None:
        self.limits = limits or Limits()
        self.isolate = isolate
        self.prepare = prepare
        self.at_once = 2 * (os.cpu_count() or 1) if at_once is None else at_once
        if self.at_once < 1:
            raise ConfigError(f"at least one call must be allowed at a time, not {at_once}")
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._begin()
        _ALL.add(self)

    def _begin(self) -> None:
        """Start over, without a warm interpreter."""
        self._slots = threading.BoundedSemaphore(self.at_once)
        self._lock = threading.Lock()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None

    def run(
        self, code: str, *, stdin: str = "", limits: Limits | None = None, echo: bool = False
    ) -> Result:
        """See `Sandbox.run`."""
        with self.session(stdin=stdin, limits=limits, _once=True) as session:
            return session.run(code, echo=echo)

    @contextlib.contextmanager
    def session(
        self, *, stdin: str = "", limits: Limits | None = None, _once: bool = False
    ) -> Iterator[Session]:
        """A program that takes piece after piece of code, and keeps its variables."""
        refused("", stdin)
        request = {
            "stdin": stdin,
            "limits": asdict(limits or self.limits),
            "session": not _once,
        }
        with self._slots, contextlib.ExitStack() as stack:
            if not self.isolate:
                request["folder"] = stack.enter_context(tempfile.TemporaryDirectory())
            session = Session(self._connect(), request)
            stack.callback(session.close)
            yield session

    def close(self) -> None:
        """End the warm interpreter and every call under way."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        control, process = self._control, self._process
        self._control = self._process = None
        if control is not None:
            _hang_up(control)
        if process is not None:
            try:
                process.wait(timeout=STARTING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> LocalSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        control, process = getattr(self, "_control", None), getattr(self, "_process", None)
        if control is not None:
            _hang_up(control)
        if process is not None:
            process.wait()

    def __getstate__(self) -> dict[str, Any]:
        names = ("limits", "at_once", "isolate", "prepare")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        _CONNECTIONS.update((ours, theirs))
        try:
            with self._lock:
                for attempt in range(2):
                    control = self._started()
                    try:
                        socket.send_fds(control, [b"c"], [theirs.fileno()])
                        return ours
                    except OSError:
                        self._end()
                        if attempt:
                            raise
            raise AssertionError
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                raise InfrastructureError(f"the sandbox does not answer: {error}") from error
            raise
        finally:
            theirs.close()

    def _started(self) -> socket.socket:
        """The control socket of the warm interpreter, which is started if there is none."""
        if self._control is not None:
            return self._control
        ours, theirs = socket.socketpair()
        options = {"apart": self.isolate, "preload": PRELOAD, "shown": _shown()}
        options["spare"] = min(self.at_once, SPARE)
        options["prepare"] = self.prepare
        with theirs, tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-s",
                    "-P",
                    "-c",
                    START,
                    str(theirs.fileno()),
                    json.dumps(options),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
            theirs.close()
            ours.settimeout(STARTING)
            try:
                answer = wire.receive(ours)
            except (OSError, ValueError):
                answer = None
            ours.settimeout(None)
            if answer is None or "ready" not in answer:
                ours.close()
                process.kill()
                process.wait()
                said.seek(0)
                self._refuse(answer, said.read().decode("utf-8", "replace"))
        self._process, self._control = process, ours
        return ours

    def _refuse(self, answer: dict[str, Any] | None, said: str) -> None:
        if answer is not None:
            raise ConfigError(
                "code of a model needs a jail, and this machine allows none "
                f"({answer.get('refused')}): allow user namespaces, use a sandbox server, or say "
                "isolate=False if the code may do all that you may"
            )
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        raise InfrastructureError(f"the sandbox did not start: {last[0]}")


class Session:
    """A program in a jail. See `LocalSandbox.session`."""

    def __init__(self, connection: socket.socket, request: dict[str, Any]) -> None:
        self._connection, self._request = connection, request
        self.over = False

    def run(self, code: str, *, echo: bool = False) -> Result:
        """Run a piece of code.

        Raises:
            InfrastructureError: the sandbox failed, or an earlier piece has ended the program.
        """
        if self.over:
            raise InfrastructureError("the program of this session has ended")
        if (result := refused(code)) is not None:
            return result
        connection = self._connection
        connection.settimeout(self._request["limits"]["seconds"] + MARGIN)
        try:
            wire.send(connection, {**self._request, "code": code, "echo": echo})
            answer = wire.receive(connection)
        except (OSError, ValueError) as error:
            raise InfrastructureError(f"the sandbox failed: {error}") from error
        if answer is None or "fault" in answer:
            said = "it hung up" if answer is None else answer["fault"]
            raise InfrastructureError(f"the sandbox failed: {said}")
        self.over = answer.pop("over")
        return Result(**answer)

    def close(self) -> None:
        """End the program."""
        self.over = True
        _hang_up(self._connection)


_ALL: weakref.WeakSet[LocalSandbox] = weakref.WeakSet()
_CONNECTIONS: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _forked() -> None:
    """In a fork of this process: leave the warm interpreters and the calls to the parent. A keeper sees
    that nobody waits once the last copy of its connection is closed."""
    for sandbox in _ALL:
        sandbox._begin()
    for connection in _CONNECTIONS:
        connection.close()


os.register_at_fork(after_in_child=_forked)


def _hang_up(connection: socket.socket) -> None:
    """Close a connection, even if a fork of this process has it, too."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _shown() -> list[str]:
    """What can be seen in a jail: the system's programs and the interpreter's."""
    own = {os.path.realpath(place) for place in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    own |= {sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable))}
    return [*SYSTEM, *sorted(place for place in own if not place.startswith("/usr/"))]


def available() -> str | None:
    """Why no isolated sandbox can be had on this machine; None if one can."""
    try:
        with LocalSandbox() as sandbox:
            sandbox.run("pass")
    except ConfigError as error:
        return str(error)
    return None


__all__: Sequence[str] = ("LocalSandbox", "Session", "available")
