"""The process that a model's code runs in: what it could reach is closed before the code begins.

It is the first process of its process namespace. When it ends, the kernel kills what it has left.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

from . import interpreter, linux, wire

CODE, ENDED, ASKED = 60, 61, 62
"""Descriptors of a program: where its code comes from, where a session says that it has run, and where
the first request comes from."""

FILES = 64
"""Descriptors that a process may have. Each can hold some hundred KiB of the kernel's memory."""


def run(apart: bool, pipes: dict[int, int]) -> NoReturn:
    """Wait for the first request of a call or a session, run its pieces of code, and exit.

    Args:
        apart: in namespaces of its own.
        pipes: what `CODE`, `ENDED`, `ASKED` and the standard streams are.
    """
    try:
        os.setsid()  # A signal to its process group must not reach the keeper.
        linux.die_with_parent()
        if apart:
            _own_proc()
        stdin = os.memfd_create("stdin", os.MFD_ALLOW_SEALING)
        for number, end in {0: stdin, **pipes}.items():
            os.dup2(end, number)
        os.closerange(3, CODE)
        os.closerange(ASKED + 1, 4096)
        main = interpreter.fresh_main()
        _seed()
        if apart:
            linux.give_up_power()
            linux.can_be_looked_into()  # The keeper asks for its memory.
        # Until here it does what every call needs. This is done before there is one.
        with socket.socket(fileno=ASKED) as asked:
            request = wire.receive(asked)
        if request is None:
            os._exit(0)
        if not request["session"]:
            os.close(ENDED)
        _fill(request["stdin"])
        home = "/tmp" if apart else request["folder"]
        os.chdir(home)
        os.environ.update(HOME=home, TMPDIR=home)
        interpreter.streams()
        _limit(request)
        own, status = os.getpid(), 0
        with open(CODE, "rb", closefd=False) as cells:
            while head := cells.read(5):
                length, echo = struct.unpack("=I?", head)
                code = cells.read(length).decode("utf-8", "surrogatepass")
                status = interpreter.run(code, main, echo=echo)
                if not request["session"] or os.getpid() != own:
                    break
                os.write(ENDED, struct.pack("=i", status))
        os._exit(status)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(1)


def _seed() -> None:
    """The same code draws the same numbers every time."""
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed(0)


def _own_proc() -> None:
    """Show the jail's processes under /proc; where that is not allowed, none."""
    flags = linux.NOSUID | linux.NODEV
    try:
        linux.mount("proc", "/proc", "proc", flags)
    except linux.Refused:
        linux.mount("tmpfs", "/proc", "tmpfs", flags | linux.RDONLY)


def _fill(text: str) -> None:
    """Make standard input a file in memory to read, and not to write."""
    with open(0, "wb", closefd=False) as file:
        file.write(text.encode("utf-8", "surrogatepass"))
    os.lseek(0, 0, os.SEEK_SET)
    fcntl.fcntl(0, fcntl.F_ADD_SEALS, 0xF)  # No more seals, shrinking, growing, writing.


def _limit(request: dict[str, Any]) -> None:
    """Limits that hold for each process."""
    limits = request["limits"]
    space = _space() + int(limits["memory_mb"] * 2**20)
    most = [
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, int(limits["disk_mb"] * 2**20)),
        (resource.RLIMIT_NPROC, int(limits["processes"])),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_CORE, 0),
    ]
    if not request["session"]:
        most.append((resource.RLIMIT_CPU, int(limits["seconds"]) * 4 + 1))
    for which, value in most:
        resource.setrlimit(which, (value, value))


def _space() -> int:
    """Bytes of address space that a fresh interpreter takes."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 2**30
    return int(pages) * resource.getpagesize()
