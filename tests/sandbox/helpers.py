"""What is left behind, and a server of a sandbox."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tau2_gym.sandbox import LocalSandbox
from tau2_gym.sandbox.server import SandboxServer

ROOT = Path(__file__).parents[2]


def descendants(pid: int) -> set[int]:
    """All processes below one, zombies included."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def marked(marker: str) -> set[int]:
    """Processes that have the marker in their command line."""
    found = set()
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and marker.encode() in Path("/proc", entry, "cmdline").read_bytes():
                found.add(int(entry))
        except OSError:
            continue
    return found


def settles(condition: object, seconds: float = 20.0) -> bool:
    """Whether a condition comes to hold."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def serving(sandbox: LocalSandbox, **options: int) -> Iterator[SandboxServer]:
    """A server of SandboxFusion's API, on a thread."""
    with SandboxServer(("127.0.0.1", 0), sandbox, **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
