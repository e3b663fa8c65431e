"""The process that keeps watch over one call, or over one session of calls.

It makes a jail, forks into it, and reads what comes out. When time, memory or output run out, or when
nobody waits for the result any more, it kills all that is in the jail: the first process of a process
namespace takes all others with it, whatever they have forked and called themselves.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Any

import interpreter
import linux
import wire

TICK = 0.02
"""Seconds between looks at the memory."""

CODE, ENDED = 60, 61
"""Descriptors of a program: where its code comes from, and where a session says that it has run."""

EXITED, RAN = b"x", b"r"


def keep(connection: socket.socket, apart: bool) -> None:
    """Serve the calls that come over a connection, until one ends the program.

    Args:
        apart: in namespaces of its own. Otherwise nothing but limits holds.
    """
    request = wire.receive(connection)
    if request is None:
        return
    try:
        jail = Jail(request, apart)
    except (OSError, linux.Refused) as error:
        wire.send(connection, {"fault": f"no jail could be made: {error}"})
        return
    try:
        while request is not None:
            answer = jail.call(request, connection)
            if answer is None:
                return
            wire.send(connection, answer)
            if answer["over"]:
                return
            request = wire.receive(connection)
    finally:
        jail.destroy()


class Jail:
    """The processes that run a model's code, seen from outside."""

    def __init__(self, request: dict[str, Any], apart: bool) -> None:
        self.limits: dict[str, Any] = request["limits"]
        self.apart = apart
        self.session = bool(request["session"])
        self.usual = _pages("self")
        if apart:
            user, group = os.geteuid(), os.getegid()
            linux.unshare(linux.APART | linux.NEWUSER)
            linux.become(1000, user, group)
            linux.mount(None, "/", None, linux.REC | linux.PRIVATE)
            disk = self.limits["disk_mb"]
            room = f"size={disk}m,nr_inodes={64 * disk + 64},mode=1777"
            linux.mount("tmpfs", "/tmp", "tmpfs", linux.NOSUID | linux.NODEV, room)
        (self.out, out), (self.err, err), (self.ended, ended) = (os.pipe() for _ in range(3))
        code, self.code = os.pipe()
        self.first = os.fork()
        if self.first == 0:
            _first(self, request, {CODE: code, ENDED: ended, 1: out, 2: err})
        for end in (out, err, ended, code):
            os.close(end)
        for end in (self.out, self.err, self.code):
            os.set_blocking(end, False)

    def call(self, request: dict[str, Any], connection: socket.socket) -> dict[str, Any] | None:
        """Have code run, and give what came of it; None if nobody waits for it any more."""
        begun = time.monotonic()
        code = request["code"].encode("utf-8", "surrogatepass")
        todo = memoryview(struct.pack("=I?", len(code), bool(request["echo"])) + code)
        said: dict[int, bytearray] = {self.out: bytearray(), self.err: bytearray()}
        status, killed = None, None
        poll = select.poll()
        for end in (self.out, self.err, self.ended, connection.fileno()):
            poll.register(end, select.POLLIN)
        poll.register(self.code, select.POLLOUT)
        while status is None and killed is None:
            for end, event in poll.poll(TICK * 1000):
                if end == connection.fileno():
                    return None
                if end == self.code:
                    with contextlib.suppress(BrokenPipeError, BlockingIOError):
                        todo = todo[os.write(end, todo[:65536]) :]
                    if not todo or event & select.POLLERR:
                        poll.unregister(end)
                elif end == self.ended:
                    message = os.read(end, 5)
                    status = struct.unpack("=i", message[1:])[0] if len(message) == 5 else -9
                    over = message[:1] != RAN
                elif not self._read(end, said):
                    poll.unregister(end)
            if time.monotonic() - begun > self.limits["seconds"]:
                killed = "time"
            elif sum(map(len, said.values())) > self.limits["output_kb"] * 1024:
                killed = "output"
            elif self.memory() > self.limits["memory_mb"] * 2**20:
                killed = "memory"
        if killed or over:
            self.destroy()
        most = self.limits["output_kb"] * 1024
        for end in said:
            while len(said[end]) <= most and self._read(end, said):
                pass
        return {
            "stdout": bytes(said[self.out][:most]).decode("utf-8", "replace"),
            "stderr": bytes(said[self.err][:most]).decode("utf-8", "replace"),
            "status": status,
            "killed": killed,
            "seconds": time.monotonic() - begun,
            "over": bool(killed) or over,
        }

    @staticmethod
    def _read(end: int, said: dict[int, bytearray]) -> bool:
        """Read what there is on a pipe, and whether there was anything."""
        try:
            more = os.read(end, 65536)
        except BlockingIOError:
            return False
        said[end] += more
        return bool(more)

    def memory(self) -> int:
        """Bytes that the programs take beyond a fresh interpreter's, and their files."""
        if not os.path.isdir("/proc/self"):
            return 0
        pids = [pid for pid in os.listdir("/proc") if pid.isdigit()] if self.apart else _below()
        taken = sum(max(0, _pages(pid) - self.usual) for pid in pids) * resource.getpagesize()
        if self.apart:
            files = os.statvfs("/tmp")
            taken += (files.f_blocks - files.f_bfree) * files.f_frsize
        return taken

    def destroy(self) -> None:
        """Kill all that is in the jail."""
        if not self.first:
            return
        if not self.apart:
            while below := [pid for pid in _below() if _pages(pid)]:
                for pid in below:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    while os.waitpid(-1, os.WNOHANG)[0]:
                        pass
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.first, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.first, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.first, 0)
        self.first = 0


def _first(jail: Jail, request: dict[str, Any], pipes: dict[int, int]) -> None:
    """The first process of a jail: starts the program, waits for it, and adopts what it leaves."""
    try:
        if jail.apart:
            _own_proc()
            linux.cannot_be_looked_into()
        else:
            os.setsid()
        program = os.fork()
        if program == 0:
            _program(jail, request, pipes)
        for number in (CODE, 1, 2):
            os.close(pipes[number])
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == program:
                os.write(pipes[ENDED], EXITED + struct.pack("=i", os.waitstatus_to_exitcode(status)))
                break
        signal.pause()  # The keeper ends it, and with it all that is left.
    finally:
        os._exit(0)


def _own_proc() -> None:
    """Show the jail's processes under /proc; where that is not allowed, none."""
    flags = linux.NOSUID | linux.NODEV
    try:
        linux.mount("proc", "/proc", "proc", flags)
    except linux.Refused:
        linux.mount("tmpfs", "/proc", "tmpfs", flags | linux.RDONLY)


def _program(jail: Jail, request: dict[str, Any], pipes: dict[int, int]) -> None:
    """The process that runs the code: what it could reach is closed before it begins."""
    try:
        given = os.memfd_create("stdin")
        with open(given, "wb", closefd=False) as file:
            file.write(request["stdin"].encode("utf-8", "surrogatepass"))
        os.lseek(given, 0, os.SEEK_SET)
        for number, end in {0: given, **pipes}.items():
            os.dup2(end, number)
        os.closerange(3, CODE)
        os.closerange(ENDED + 1 if jail.session else ENDED, 4096)
        home = "/tmp" if jail.apart else request["folder"]
        os.chdir(home)
        os.environ.update(HOME=home, TMPDIR=home)
        interpreter.streams()
        main = interpreter.fresh_main()
        _limit(jail.limits)
        if jail.apart:
            linux.give_up_power()
        status = 0
        with open(CODE, "rb", closefd=False) as cells:
            while head := cells.read(5):
                length, echo = struct.unpack("=I?", head)
                code = cells.read(length).decode("utf-8", "surrogatepass")
                status = interpreter.run(code, main, echo=echo)
                if not jail.session:
                    break
                os.write(ENDED, RAN + struct.pack("=i", status))
        os._exit(status)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def _limit(limits: dict[str, Any]) -> None:
    """Limits that hold for each process."""
    space = _space() + limits["memory_mb"] * 2**20
    for which, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_CPU, int(limits["seconds"]) * 4 + 1),
        (resource.RLIMIT_FSIZE, limits["disk_mb"] * 2**20),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (most, most))


def _space() -> int:
    """Bytes of address space that a fresh interpreter takes."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 2**30


def _pages(pid: str) -> int:
    """Pages of memory that a process has; none if it has ended."""
    try:
        return int(Path("/proc", pid, "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0


def _below() -> list[str]:
    """All processes that descend from this one."""
    found: list[str] = []
    waiting = [str(os.getpid())]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            for tasks in Path("/proc", pid, "task").iterdir():
                waiting += (tasks / "children").read_text().split()
        found.append(pid)
    return found[1:]
