"""One event loop for all synchronous callers of a process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from tau2_gym.completion import blocking, run_sync
from tau2_gym.completion.blocking import SharedLoop


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedLoop]:
    own = SharedLoop()
    monkeypatch.setattr(blocking, "SHARED", own)
    yield own
    own.close()


async def where() -> tuple[threading.Thread, asyncio.AbstractEventLoop]:
    return threading.current_thread(), asyncio.get_running_loop()


def test_all_callers_share_one_loop_on_one_thread(shared: SharedLoop) -> None:
    found: set[Any] = set()
    callers = [
        threading.Thread(target=lambda: found.add(run_sync(where()))) for _ in range(8)
    ]  # fmt: skip
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    found.add(run_sync(where()))
    ((thread, _),) = found
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name == "tau2-gym-calls"


def test_inside_a_running_loop_it_works_too(shared: SharedLoop) -> None:
    async def caller() -> Any:
        return run_sync(where())

    assert asyncio.run(caller())[0] is not threading.current_thread()


def test_a_coroutine_sees_the_context_of_its_caller(shared: SharedLoop) -> None:
    name: ContextVar[str] = ContextVar("name")

    async def read() -> str:
        return name.get()

    name.set("me")
    assert run_sync(read()) == "me"


def test_closing_ends_what_is_under_way_and_the_next_call_starts_again(shared: SharedLoop) -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(asyncio.current_task())

    first, loop = run_sync(where())
    waiting = shared.submit(wait())
    run_sync(asyncio.sleep(0.01))
    begun = time.monotonic()
    shared.close()
    assert time.monotonic() - begun < 4
    assert not first.is_alive()
    assert loop.is_closed()
    assert len(ended) == 1
    assert waiting.done()
    second, _ = run_sync(where())
    assert second is not first
    shared.close()
    shared.close()


def test_errors_and_interrupts_come_through(shared: SharedLoop) -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_sync(fail())


def test_an_interrupt_cancels_the_coroutine(
    shared: SharedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    submit = shared.submit

    def interrupted(coroutine: Any) -> Any:
        future = submit(coroutine)
        submit(asyncio.sleep(0.01)).result()

        def result() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(future, "result", result)
        return future

    monkeypatch.setattr(shared, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sync(wait())
    assert cancelled.wait(10)


def test_a_coroutine_that_is_waited_for_must_await(shared: SharedLoop) -> None:
    async def outer() -> None:
        run_sync(where())

    with pytest.raises(RuntimeError, match="must await, not call run_sync again"):
        run_sync(outer())


def test_a_forked_process_starts_over(shared: SharedLoop) -> None:
    first, loop = run_sync(where())
    shared.forget()
    assert run_sync(where())[0] is not first
    loop.call_soon_threadsafe(loop.stop)
    first.join(timeout=10)
    assert not first.is_alive()


EXIT = """
import asyncio
import subprocess
import sys
from tau2_gym.completion.blocking import SHARED, run_sync

async def wait():
    try:
        await asyncio.sleep(100)
    finally:
        print("ended", flush=True)

SHARED.submit(wait())
run_sync(asyncio.sleep(0.01))
"""


def test_a_process_that_ends_ends_what_is_under_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")
