"""The warm interpreter that every call is forked from.

It is started with an empty environment, so that it holds no secret, imports what code is likely to
import, and takes connections over the socket that it is given. When that is closed it ends, and
with it every process it has forked, because it is the first of a process namespace of its own.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path

from . import keeper, linux, wire


def main() -> None:
    """Make a jail of this process, and serve.

    It is called with two arguments: the descriptor of a socket, and options as JSON.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    options = json.loads(sys.argv[2])
    with contextlib.suppress(OSError):  # Where memory is short, this goes first.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if options["apart"]:
        try:
            _move_apart(options["shown"])
        except (OSError, linux.Refused) as error:
            wire.send(control, {"refused": str(error)})
            return
    for name in options["preload"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    exec(options["prepare"], {"__name__": "__main__"})
    gc.collect()
    gc.freeze()
    linux.make_forks_cheap()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Ended keepers need no burial.
    wire.send(control, {"ready": True})
    _keepers(control, options["apart"], options["spare"])


def _keepers(control: socket.socket, apart: bool, spare: int) -> None:
    """See that there are always some keepers, each with a jail of its own, who wait for a call: to
    make one takes longer than most calls."""
    taken, taking = os.pipe()
    waiting: set[int] = set()
    poll = select.poll()
    poll.register(control, 0)  # When it is hung up, that is said unasked.
    poll.register(taken, select.POLLIN)
    while True:
        while len(waiting) < spare:
            try:
                child = os.fork()
            except OSError:
                break  # There is no room for more now, and calls wait a little.
            if child == 0:
                _serve(control, taking, apart)
            waiting.add(child)
        for end, _ in poll.poll(1000):
            if end != taken:
                return
            pids = os.read(taken, 4096)
            waiting -= {pid for (pid,) in struct.iter_unpack("=i", pids)}
        waiting = {pid for pid in waiting if _lives(pid)}


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _serve(control: socket.socket, taking: int, apart: bool) -> None:
    """Be a keeper: wait for a call, say that it is taken, and serve it."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        own = os.getpid()
        jail: keeper.Jail | str
        try:
            jail = keeper.Jail(apart)
        except (OSError, linux.Refused) as error:
            jail = f"no jail could be made: {error}"
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        control.close()
        os.write(taking, struct.pack("=i", own))
        os.close(taking)
        if descriptors:
            connection = socket.socket(fileno=descriptors[0])
            if isinstance(jail, str):
                wire.send(connection, {"fault": jail})
            else:
                keeper.keep(connection, jail)
    except (OSError, ValueError):
        pass  # Whoever waited has hung up, and is told nothing.
    finally:
        os._exit(0)


def _move_apart(shown: list[str]) -> None:
    """Go where there is no network, no process of others, and no file but those shown."""
    linux.machine()
    user, group = os.getuid(), os.getgid()
    linux.unshare(linux.APART | (linux.NEWUSER if user else 0))
    if user:
        linux.become(0, user, group)
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    linux.new_root(shown)
    linux.close_root()
    linux.name_host(b"sandbox")
    if not user:  # Limits on the number of processes do not hold for root.
        os.setgroups([])
        os.setresgid(linux.NOBODY, linux.NOBODY, linux.NOBODY)
        os.setresuid(linux.NOBODY, linux.NOBODY, linux.NOBODY)
        linux.can_be_looked_into()  # Its own /proc entries are its own again.
