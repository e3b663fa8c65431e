"""Usage of model calls, counted where the caller wants it counted.

>>> with metered() as meter:
...     message = await user.arespond(view, seed)
>>> meter.usage
Usage(prompt_tokens=812, completion_tokens=40, cost=0.0004, calls=1)

The count follows the flow of control (a context variable), through tasks, threads and `run_sync`.
So users, agents and judges stay functions of what they see, and one object serves many episodes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What model calls have used; adds up with `+`. `cost` is in US dollars, 0 where unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
            self.calls + other.calls,
        )


class Meter:
    """A running sum of usage, safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """The sum so far."""
        return self._usage

    def add(self, usage: Usage) -> None:
        """Add to the sum."""
        with self._lock:
            self._usage += usage


_METERS: ContextVar[tuple[Meter, ...]] = ContextVar("tau2_gym_meters", default=())


@contextmanager
def metered() -> Iterator[Meter]:
    """Count every completion in the block, including discarded ones and those from a cassette (with
    the usage when they were recorded). Blocks can be nested: each counts everything inside it."""
    meter = Meter()
    token = _METERS.set((*_METERS.get(), meter))
    try:
        yield meter
    finally:
        _METERS.reset(token)


def charge(usage: Usage) -> None:
    """Count `usage` in every block around the caller."""
    for meter in _METERS.get():
        meter.add(usage)
