"""The process that keeps watch over one call, or over one session of calls.

It makes a jail, forks into it, and reads what comes out. When time, memory or output run out, or when
nobody waits for the result any more, it kills all that is in the jail: the first process of a process
namespace takes all others with it, whatever they have forked and called themselves.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

from . import linux, program, wire
from .processes import Processes
from .program import ASKED, CODE, ENDED

TICK = 0.02
"""Seconds between looks at the memory."""


def keep(connection: socket.socket, jail: Jail) -> None:
    """Serve the calls that come over a connection, until one ends the program."""
    request = wire.receive(connection)
    if request is None:
        return
    try:
        jail.fill(request)
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
    """The processes that run a model's code, seen from outside. The first of them is there before there
    is code, because to start it takes longer than most code.

    Args:
        apart: in namespaces of their own. Otherwise nothing but limits holds.
    """

    def __init__(self, apart: bool) -> None:
        self.apart = apart
        # Before anything is mounted over /proc.
        self.processes = Processes()
        if apart:
            user, group = os.geteuid(), os.getegid()
            linux.unshare(linux.APART | linux.NEWUSER)
            linux.become(1000, user, group)
            linux.mount(None, "/", None, linux.REC | linux.PRIVATE)
        else:
            linux.adopt()
        gc.freeze()
        (self.out, out), (self.err, err), (self.ended, ended) = (os.pipe() for _ in range(3))
        code, self.code = os.pipe()
        self.asking, asked = socket.socketpair()
        self.first = os.fork()
        if self.first == 0:
            program.run(apart, {CODE: code, ENDED: ended, ASKED: asked.fileno(), 1: out, 2: err})
        asked.close()
        for end in (out, err, ended, code):
            os.close(end)
        # Says at once that the program has ended; where there is none, that is seen a little later.
        self.end = os.pidfd_open(self.first) if sys.platform == "linux" else -1
        for end in (self.out, self.err, self.code):
            os.set_blocking(end, False)

    def fill(self, request: dict[str, Any]) -> None:
        """Tell the program what it is for.

        Args:
            request: the first of the call or the session.
        """
        self.limits: dict[str, Any] = request["limits"]
        self.session = bool(request["session"])
        if self.apart:
            disk = self.limits["disk_mb"]
            room = f"size={int(disk * 2**20)},nr_inodes={int(64 * disk) + 64},mode=1777"
            linux.mount("tmpfs", "/tmp", "tmpfs", linux.NOSUID | linux.NODEV, room)
        with self.asking:
            wire.send(self.asking, {**request, "code": ""})

    def call(self, request: dict[str, Any], connection: socket.socket) -> dict[str, Any] | None:
        """Have code run, and give what came of it; None if nobody waits for it any more."""
        begun = time.monotonic()
        code = request["code"].encode("utf-8", "surrogatepass")
        todo = memoryview(struct.pack("=I?", len(code), bool(request["echo"])) + code)
        said: dict[int, bytearray] = {self.out: bytearray(), self.err: bytearray()}
        most = int(self.limits["output_kb"] * 1024)
        status, killed, over = None, None, False
        poll = select.poll()
        for end in (self.out, self.err, self.ended, self.end, connection.fileno()):
            if end >= 0:
                poll.register(end, select.POLLIN)
        poll.register(self.code, select.POLLOUT)
        looked = 0.0
        if self.session:
            self.processes.signal(signal.SIGCONT)
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
                    message = os.read(end, 4)
                    if len(message) == 4:
                        status = struct.unpack("=i", message)[0]
                    else:
                        poll.unregister(end)
                elif end == self.end or not self._read(end, said):
                    poll.unregister(end)
            if status is None:
                ended, how = os.waitpid(self.first, os.WNOHANG)
                if ended:
                    status, over, self.first = os.waitstatus_to_exitcode(how), True, 0
            now = time.monotonic()
            if status is not None:
                pass
            elif now - begun > self.limits["seconds"]:
                killed = "time"
            elif max(map(len, said.values())) > most:
                killed = "output"
            elif now - looked > TICK:
                looked = now
                if self._memory() > self.limits["memory_mb"] * 2**20:
                    killed = "memory"
        if killed or over:
            self.destroy()
        else:  # What it has left running waits for the next call, and takes nothing meanwhile.
            self.processes.signal(signal.SIGSTOP)
        for end in said:
            while len(said[end]) <= most and self._read(end, said):
                pass
        if killed is None and max(map(len, said.values())) > most:
            killed = "output"
        return {
            "stdout": bytes(said[self.out][:most]).decode("utf-8", "replace"),
            "stderr": bytes(said[self.err][:most]).decode("utf-8", "replace"),
            "status": None if killed else status,
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

    def _memory(self) -> int:
        """Bytes that the programs take beyond a fresh interpreter's, and their files."""
        taken = self.processes.memory(int(self.limits["memory_mb"] * 2**20))
        if self.apart:
            files = os.statvfs("/tmp")
            taken += (files.f_blocks - files.f_bfree) * files.f_frsize
        return taken

    def destroy(self) -> None:
        """Kill all that is in the jail. With the first process of a process namespace go all others."""
        if not self.apart:
            self.processes.end()
        elif self.first:
            os.kill(self.first, signal.SIGKILL)
            os.waitpid(self.first, 0)
        self.first = 0
