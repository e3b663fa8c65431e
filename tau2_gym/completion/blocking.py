"""Waiting for a coroutine from synchronous code, inside or outside a running event loop.

One event loop on one thread, started at the first call, serves all synchronous callers of the
process. Connections live on from call to call, and the number of threads does not grow.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class SharedLoop:
    """The event loop of a process that belongs to no caller."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start again, as a forked process must, in which the thread does not exist."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop, in a copy of the caller's context."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="tau2-gym-calls", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on the loop's own thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Stop the loop and its thread. The next call starts new ones."""
        with self._lock:
            if self._loop is not None and self._thread is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(timeout=5)
            self._loop = self._thread = None


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


SHARED = SharedLoop()
atexit.register(SHARED.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SHARED.forget)


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, waited for. An interrupt cancels it.

    Raises:
        RuntimeError: called from a coroutine that `run_sync` itself is waiting for.
    """
    if SHARED.is_current:
        coroutine.close()
        raise RuntimeError("a coroutine under run_sync must await, not call run_sync again")
    future = SHARED.submit(coroutine)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
