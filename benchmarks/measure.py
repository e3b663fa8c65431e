"""Timing and weighing."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

Times = dict[str, float]


def median(
    action: Callable[[], Any], repeats: int, prepare: Callable[[], Any] = lambda: None
) -> float:
    """The median time of an action in seconds; `prepare` runs before each and is not counted."""
    times = []
    for _ in range(repeats):
        prepare()
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def memory(make: Callable[[], Any], count: int = 20) -> float:
    """Bytes that each of `count` further live objects takes."""
    first = make()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    live = [make() for _ in range(count)]
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del first, live
    return (after - before) / count
