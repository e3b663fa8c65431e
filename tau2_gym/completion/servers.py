"""A server as all its callers know it: whether it has ever answered, and whether it is down.

Calls wait for a server that cannot be reached, or says that it is unavailable. They all wait
together: one of them at a time checks whether the server is up, and when it is they all continue.
This does not count towards their time-outs (`tau2_gym.completion.clocks`), and it is bounded:
`startup` seconds for a server
that has never answered, `outage` seconds for one that has. After that, calls give up: later ones
check once and fail immediately, so a run whose server never comes back soon ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from tau2_gym.completion.clocks import stopped_clocks
from tau2_gym.completion.faults import CallFailed, Kind

T = TypeVar("T")

POLL = 0.5
"""Seconds between two checks of a server that is down."""
LOOK = 10.0
"""Seconds that a check may take."""
STARTUP, OUTAGE = 60.0, 300.0
"""How long calls wait for servers by default, in seconds."""

GLANCE = 0.1
"""Seconds between two looks at whether anyone waits for a server."""

_waited_for: dict[Waiting, None] = {}
_lock = threading.Lock()


class Waiting:
    """A wait for a server, shown as long as the `with` block lasts. Clocks stop in it.

    Args:
        place: the server, for people.
        bound: the most seconds to wait.
        since: when the wait began, as `time.monotonic` says; now by default.
    """

    def __init__(self, place: str, bound: float, since: float | None = None) -> None:
        self.place = place
        self.bound = bound
        self.since = time.monotonic() if since is None else since
        self._stopped = stopped_clocks()

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.since

    def __str__(self) -> str:
        return f"waiting for {self.place}, {self.seconds:.0f} s of {self.bound:.0f} s"

    def __enter__(self) -> Waiting:
        self._stopped.__enter__()
        with _lock:
            _waited_for[self] = None
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            del _waited_for[self]
        self._stopped.__exit__(None, None, None)


def waiting() -> list[str]:
    """The servers that are being waited for, one sentence each: for a progress line."""
    with _lock:
        longest: dict[str, Waiting] = {}
        for wait in _waited_for:
            longest.setdefault(wait.place, wait)
    return [str(wait) for wait in longest.values()]


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Say once on standard error for which servers calls wait, if any do while the block lasts: for what is
    done before there is a progress line."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(GLANCE):
            if found := waiting():
                print("; ".join(found), file=sys.stderr, flush=True)
                return

    watch = threading.Thread(target=look, name="waiting", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


class Server:
    """What is known of a server. Safe to share between tasks, event loops and threads.

    Args:
        place: the server, for people.
        looks_up: checks whether it is up, and never raises; None if that cannot be checked, so that
            calls have to find out.
        startup, outage: how long calls wait for it, in seconds.

    Attributes:
        answered: whether a call has ever succeeded.
    """

    def __init__(
        self,
        place: str,
        looks_up: Callable[[], Awaitable[bool]] | None,
        startup: float = STARTUP,
        outage: float = OUTAGE,
    ) -> None:
        self.place = place
        self.startup = startup
        self.outage = outage
        self.answered = False
        self._looks_up = looks_up
        self._calls = 0
        self._down: float | None = None
        self._failure = CallFailed(f"{place} is down", Kind.DOWN)
        self._given_up = False
        self._worked = -math.inf
        self._looking = threading.Lock()
        self._looked = -math.inf
        self._up = True

    async def keep_trying(
        self,
        attempt: Callable[[int], Awaitable[T]],
        attempts: int,
        pause: Callable[[int], float],
    ) -> T:
        """The result of an attempt, which is repeated while it fails for a reason that may pass.

        Args:
            attempt: makes the call. Its argument is how often the call has failed while the server
                was up, plus one: being lost in an outage does not count.
            attempts: how often the call may fail while the server is up, or bring it down.
            pause: seconds before the next attempt, from the number of failures.

        Raises:
            CallFailed: the last failure, or that the server did not come back.
            Exception: whatever else `attempt` raises.
        """
        if not self._calls and not self._given_up:
            self._down = None  # No call has waited since it failed.
        self._calls += 1
        failed = lost = away = 0
        failed_at = math.inf
        try:
            while True:
                if self._down is not None:
                    await self._wait(0.0)
                try:
                    result = await attempt(failed + 1)
                except CallFailed as error:
                    if error.kind is Kind.REJECTED:
                        self._works()
                        raise
                    # A server that answers other calls in the meantime is not down.
                    lone = self._worked > failed_at
                    failed_at = time.monotonic()
                    if lone or not await self._is_down(error):
                        failed += 1
                        if failed >= attempts:
                            raise
                        await asyncio.sleep(max(pause(failed), error.retry_after))
                        continue
                    lost += error.kind in (Kind.LOST, Kind.LATE)
                    if lost >= attempts:
                        raise
                    away += 1
                    self._fell(error)
                    await self._wait(max(pause(away), error.retry_after), failed=True)
                else:
                    self.answered = True
                    self._works()
                    return result
        finally:
            self._calls -= 1

    async def _wait(self, pause: float, failed: bool = False) -> None:
        """Wait until the server seems up, or has answered a call, and `pause` seconds more.

        Args:
            pause: in seconds.
            failed: whether the caller's own attempt has just failed, however the server seems.

        Raises:
            CallFailed: it is given up.
        """
        bound = self.outage if self.answered else self.startup
        with Waiting(self.place, bound, self._down) as wait:
            while self._down is not None:
                up = await self._look(time.monotonic() - POLL)
                if up and not failed:
                    return
                if self._given_up or wait.seconds >= bound:
                    self._given_up = True
                    said = f" (given up after {bound:g} s)" if bound else ""
                    raise CallFailed(f"{self._failure}{said}", self._failure.kind)
                await asyncio.sleep(pause if up else POLL)
                if up:
                    return

    async def _is_down(self, error: CallFailed) -> bool:
        """Whether a failure is that of the server, and not of the call."""
        if error.kind in (Kind.LOST, Kind.LATE):
            return not await self._look(time.monotonic())
        return error.kind in (Kind.UNREACHABLE, Kind.DOWN)

    async def _look(self, after: float) -> bool:
        """Whether the server was up at the last check, which was after a moment."""
        while self._looks_up is not None and self._looked < after:
            if self._looking.acquire(blocking=False):
                try:
                    begun = time.monotonic()
                    self._up = await self._looks_up()
                    self._looked = begun
                finally:
                    self._looking.release()
            else:
                await asyncio.sleep(0.02)
        return self._up

    def _fell(self, error: CallFailed) -> None:
        if self._down is None:
            self._down = time.monotonic()
        kind = error.kind if error.kind is Kind.UNREACHABLE else Kind.DOWN
        self._failure = CallFailed(str(error), kind)

    def _works(self) -> None:
        self._down = None
        self._given_up = False
        self._worked = time.monotonic()
