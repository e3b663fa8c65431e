"""Time-outs whose clocks stop while a server is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar


class Clock:
    """What is left of a time-out. Stopped as often as `stop` has been called more than `go`."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._stops = 0
        self._left = 0.0

    @property
    def is_ours(self) -> bool:
        """Whether the time-out belongs to the running loop and has not expired."""
        ours = self._loop is asyncio.get_running_loop()
        return ours and not self._timeout.expired()

    def stop(self) -> None:
        """Stop the clock."""
        when = self._timeout.when()
        if self._stops == 0 and when is not None:
            self._left = when - self._loop.time()
            self._timeout.reschedule(None)
        self._stops += 1

    def go(self) -> None:
        """Start the clock again."""
        self._stops -= 1
        if self._stops == 0:
            self._timeout.reschedule(self._loop.time() + self._left)


_clocks: ContextVar[tuple[Clock, ...]] = ContextVar("tau2_gym_clocks", default=())


@asynccontextmanager
async def at_most(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`, not counting the time spent in `stopped_clocks` in the block.

    Raises:
        TimeoutError: it took longer.
    """
    async with asyncio.timeout(seconds) as timeout:
        token = _clocks.set((*_clocks.get(), Clock(timeout)))
        try:
            yield
        finally:
            _clocks.reset(token)


@contextmanager
def stopped_clocks() -> Iterator[None]:
    """Stop the clocks of all `at_most` blocks around the caller."""
    clocks = [clock for clock in _clocks.get() if clock.is_ours]
    for clock in clocks:
        clock.stop()
    try:
        yield
    finally:
        for clock in clocks:
            clock.go()
