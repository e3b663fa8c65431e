"""The warm interpreter that every call is forked from: `python -I jail DESCRIPTOR OPTIONS`.

It is started with an empty environment, so that it holds no secret, imports what code is likely to
import, and takes connections over the socket that it is given. When that is closed it ends, and
with it every process it has forked, because it is the first of a process namespace of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys

import keeper
import linux
import wire


def main() -> None:
    """Make a jail of this process, and serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    options = json.loads(sys.argv[2])
    if options["apart"]:
        try:
            _move_apart(options["shown"])
        except (OSError, linux.Refused) as error:
            wire.send(control, {"refused": str(error)})
            return
    elif sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    for name in options["preload"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Ended keepers need no burial.
    wire.send(control, {"ready": True})
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        connection = socket.socket(fileno=descriptors[0])
        try:
            child = os.fork()
        except OSError as error:
            with contextlib.suppress(OSError):
                wire.send(connection, {"fault": f"no process could be made: {error}"})
            connection.close()
            continue
        if child:
            connection.close()
            continue
        _serve(control, connection, options["apart"])


def _serve(control: socket.socket, connection: socket.socket, apart: bool) -> None:
    """Be a keeper, for as long as it takes."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        keeper.keep(connection, apart)
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
    linux.mount("proc", "/proc", "proc", linux.NOSUID | linux.NODEV)
    linux.close_root()
    if not user:  # Limits on the number of processes do not hold for root.
        os.setgroups([])
        os.setresgid(linux.NOBODY, linux.NOBODY, linux.NOBODY)
        os.setresuid(linux.NOBODY, linux.NOBODY, linux.NOBODY)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # Its own /proc entries are its own again.


if __name__ == "__main__":
    main()
