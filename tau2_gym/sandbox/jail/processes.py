"""The processes below this one: what memory they have, and ending them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal

PAGE = resource.getpagesize()


class Processes:
    """All that descend from this process, whatever it mounts over /proc afterwards."""

    def __init__(self) -> None:
        known = os.path.isdir("/proc/self")
        self._proc = os.open("/proc", os.O_RDONLY | os.O_CLOEXEC) if known else None
        self._usual = self._resident(os.getpid())
        self._own = os.getpid()

    def below(self) -> list[int]:
        """Their ids, as this process knows them."""
        found: list[int] = []
        waiting = [self._own]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                for thread in self._threads(pid):
                    waiting += map(int, self._text(f"{pid}/task/{thread}/children").split())
            found.append(pid)
        return found[1:]

    def memory(self, enough: int) -> int:
        """Bytes they take. Counted is at first all that each of them has, which is quick; what they
        share with each other and with interpreters outside only if that is more than `enough`."""
        pids = self.below()
        if sum(map(self._resident, pids)) <= enough:
            return 0
        return sum(map(self._share, pids))

    def signal(self, number: int) -> None:
        """Send a signal to all, until there are none that have not had it."""
        done: set[int] = set()
        while new := set(self.below()) - done:
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            done |= new

    def end(self) -> None:
        """Kill all, and bury those that this process has adopted."""
        while below := self.below():
            for pid in below:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)

    def _resident(self, pid: int) -> int:
        """Bytes in memory, shared or not; none of a process that has ended."""
        try:
            return int(self._text(f"{pid}/statm").split()[1]) * PAGE
        except (OSError, IndexError):
            return 0

    def _share(self, pid: int) -> int:
        """Bytes in memory, of what is shared only this process's part (Pss in proc(5))."""
        try:
            for line in self._text(f"{pid}/smaps_rollup").splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        except PermissionError:
            return max(0, self._resident(pid) - self._usual)
        except OSError:
            pass  # It has ended.
        return 0

    def _threads(self, pid: int) -> list[str]:
        folder = self._open(f"{pid}/task", os.O_DIRECTORY)
        try:
            return os.listdir(folder)
        finally:
            os.close(folder)

    def _text(self, path: str) -> str:
        with open(self._open(path, os.O_RDONLY), encoding="utf-8") as file:
            return file.read()

    def _open(self, path: str, flags: int) -> int:
        if self._proc is None:
            raise FileNotFoundError("this system has no /proc")
        return os.open(path, flags | os.O_CLOEXEC, dir_fd=self._proc)
