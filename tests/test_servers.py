"""What is known of a server, and time-outs whose clocks stand still while it is down."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tau2_gym.completion import run_sync
from tau2_gym.completion import servers as servers_module
from tau2_gym.completion.clocks import at_most, stopped_clocks
from tau2_gym.completion.faults import CallFailed, Kind
from tau2_gym.completion.servers import Server, Waiting, waiting


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers_module, "POLL", 0.05)


# What counts against a call


def failing(*kinds: Kind | None) -> Callable[[int], Any]:
    """Fails in these ways, one after the other; then, or for None, answers with the number it was
    given."""
    left = list(kinds)

    async def attempt(number: int) -> int:
        kind = left.pop(0) if left else None
        if kind is not None:
            raise CallFailed(f"no: {kind.value}", kind)
        return number

    return attempt


async def up() -> bool:
    return True


async def keep(server: Server, *kinds: Kind | None, attempts: int = 3) -> Any:
    return await server.keep_trying(failing(*kinds), attempts, lambda failures: 0.0)


def test_what_an_outage_does_to_a_call_changes_nothing_for_it() -> None:
    server = Server("h", up)
    away = [Kind.DOWN] * 20 + [Kind.UNREACHABLE] * 20
    assert asyncio.run(keep(server, *away)) == 1
    assert asyncio.run(keep(server, Kind.BUSY, *away, Kind.BUSY)) == 3
    with pytest.raises(CallFailed, match="no: busy"):
        asyncio.run(keep(server, Kind.BUSY, Kind.BUSY, Kind.BUSY))


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.LATE, Kind.GARBLED, Kind.BUSY])
def test_what_fails_at_a_server_that_is_up_counts(kind: Kind) -> None:
    with pytest.raises(CallFailed, match=f"no: {kind.value}"):
        asyncio.run(keep(Server("h", up), kind, kind, kind))
    assert asyncio.run(keep(Server("h", up), kind, kind)) == 3


def test_a_server_that_breaks_over_a_call_is_not_looked_at() -> None:
    async def looks_up() -> bool:
        raise AssertionError

    assert asyncio.run(keep(Server("h", looks_up), Kind.BUSY, Kind.GARBLED)) == 3


def test_a_call_that_brings_the_server_down_is_not_made_for_ever() -> None:
    """The server is gone after each attempt, and comes back."""
    looks = [False, True] * 10

    async def looks_up() -> bool:
        return looks.pop(0)

    with pytest.raises(CallFailed, match="no: lost"):
        asyncio.run(keep(Server("h", looks_up), *[Kind.LOST] * 20))
    assert len(looks) >= 14


def test_a_server_that_refuses_one_call_and_answers_others_is_not_down() -> None:
    server = Server("h", up, outage=60)

    async def scenario() -> None:
        refused = asyncio.create_task(keep_slowly(server))
        while not refused.done():
            await keep(server, None)
            await asyncio.sleep(0.01)
        with pytest.raises(CallFailed, match="no: down"):
            await refused

    async def keep_slowly(server: Server) -> Any:
        attempt = failing(*[Kind.DOWN] * 1000)
        return await server.keep_trying(attempt, 3, lambda failures: 0.1)

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(bounded())


def test_a_server_that_looks_up_and_never_answers_is_given_up() -> None:
    server = Server("h", up, startup=0.4)
    begun = time.monotonic()
    with pytest.raises(CallFailed, match=r"no: down \(given up after 0\.4 s\)"):
        asyncio.run(server.keep_trying(failing(*[Kind.DOWN] * 1000), 3, lambda failures: 0.05))
    assert 0.4 <= time.monotonic() - begun < 5


def test_an_outage_that_nobody_waited_for_does_not_shorten_the_next_wait() -> None:
    server = Server("h", up, startup=0.5)

    async def scenario() -> None:
        attempt = failing(*[Kind.DOWN] * 1000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.keep_trying(attempt, 3, lambda failures: 0.05), 0.2)
        await asyncio.sleep(0.5)
        assert await keep(server, Kind.DOWN, Kind.DOWN) == 1

    asyncio.run(scenario())


def test_callers_that_wait_for_a_look_go_on_when_it_is_done() -> None:
    async def looks_up() -> bool:
        await asyncio.sleep(0.05)
        return True

    async def scenario() -> None:
        server = Server("h", looks_up)
        begun = time.monotonic()
        await asyncio.gather(*(keep(server, Kind.LOST) for _ in range(2)))
        assert time.monotonic() - begun < 0.9

    asyncio.run(scenario())


# Waiting


def test_what_is_waited_for_is_said_once_for_each_server() -> None:
    since = time.monotonic() - 37
    with Waiting("a", 300, since), Waiting("a", 300, since), Waiting("b", 60) as wait:
        assert waiting() == ["waiting for a, 37 s of 300 s", "waiting for b, 0 s of 60 s"]
        assert 0 <= wait.seconds < 5
    assert waiting() == []


def test_a_server_that_was_given_up_is_looked_at_once_by_a_call() -> None:
    looks = 0

    async def looks_up() -> bool:
        nonlocal looks
        looks += 1
        return False

    async def scenario() -> None:
        server = Server("h", looks_up, startup=0.3, outage=0.6)
        begun = time.monotonic()
        with pytest.raises(
            CallFailed, match=r"no: unreachable \(given up after 0\.3 s\)"
        ) as failed:
            await keep(server, *[Kind.UNREACHABLE] * 9)
        assert failed.value.kind is Kind.UNREACHABLE
        assert 0.3 <= time.monotonic() - begun < 3
        await asyncio.sleep(0.1)
        seen, begun = looks, time.monotonic()
        with pytest.raises(CallFailed, match="given up"):
            await keep(server, None)
        assert looks == seen + 1
        assert time.monotonic() - begun < 0.2

    asyncio.run(scenario())


def test_the_bound_is_that_of_an_outage_once_the_server_has_answered() -> None:
    async def looks_up() -> bool:
        return False

    async def scenario() -> None:
        server = Server("h", looks_up, startup=0.0, outage=0.4)
        assert not server.answered
        with pytest.raises(CallFailed, match=r"^no: down$"):
            await keep(server, Kind.DOWN)
        server = Server("h", looks_up, startup=0.0, outage=0.4)
        assert await keep(server, None) == 1
        assert server.answered
        with pytest.raises(CallFailed, match=r"no: lost \(given up after 0\.4 s\)") as failed:
            await keep(server, Kind.LOST)
        # Whatever it was that was lost, it is the server that is down.
        assert failed.value.kind is Kind.DOWN

    asyncio.run(scenario())


def test_calls_wait_for_one_look_and_go_on_when_another_was_answered() -> None:
    looking, most, state = 0, 0, [False]

    async def looks_up() -> bool:
        nonlocal looking, most
        looking += 1
        most = max(most, looking)
        await asyncio.sleep(0.05)
        looking -= 1
        return state[0]

    async def scenario() -> list[int]:
        server = Server("h", looks_up, startup=30)
        calls = [asyncio.create_task(keep(server, Kind.UNREACHABLE)) for _ in range(20)]
        await asyncio.sleep(0.3)
        assert len(waiting()) == 1
        assert re.fullmatch(r"waiting for h, \d s of 30 s", waiting()[0])
        state[0] = True
        return await asyncio.gather(*calls)

    assert asyncio.run(scenario()) == [1] * 20
    assert most == 1


def test_a_refusal_shows_that_a_server_is_up() -> None:
    async def scenario() -> None:
        server = Server("h", up)
        with pytest.raises(CallFailed, match="no: rejected"):
            await keep(server, Kind.DOWN, Kind.REJECTED)
        assert not server.answered
        assert server._down is None

    asyncio.run(scenario())


def test_a_pause_that_is_asked_for_is_kept_to() -> None:
    async def attempt(number: int) -> int:
        if number == 1:
            raise CallFailed("no", Kind.BUSY, retry_after=0.3)
        return number

    begun = time.monotonic()
    assert asyncio.run(Server("h", up).keep_trying(attempt, 3, lambda failures: 0.0)) == 2
    assert time.monotonic() - begun >= 0.3


def test_pauses_are_told_how_often_a_call_has_failed() -> None:
    told: list[int] = []

    def pause(failures: int) -> float:
        told.append(failures)
        return 0.0

    kinds = [Kind.BUSY, Kind.BUSY, Kind.DOWN, Kind.DOWN, Kind.DOWN, Kind.BUSY]
    assert asyncio.run(Server("h", up).keep_trying(failing(*kinds), 4, pause)) == 4
    assert told == [1, 2, 1, 2, 3, 3]


# Clocks


async def stopping() -> None:
    async with at_most(0.4):
        await asyncio.sleep(0.2)
        with stopped_clocks():
            await asyncio.sleep(0.3)
        await asyncio.sleep(5)


def test_a_clock_that_is_stopped_does_not_strike() -> None:
    async def scenario() -> float:
        async with at_most(5), at_most(0.2):
            with stopped_clocks(), stopped_clocks():
                await asyncio.sleep(0.4)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await stopping()
        return time.monotonic() - begun

    assert 0.7 <= asyncio.run(scenario()) < 3


def test_a_clock_of_another_loop_is_left_alone() -> None:
    async def other() -> None:
        with stopped_clocks():
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        async with at_most(5):
            await asyncio.to_thread(run_sync, other())

    asyncio.run(scenario())


def test_what_is_left_of_a_time_out_is_what_was_left() -> None:
    """Stopped twice over, a clock continues where it stopped, and not before both have let it."""

    async def scenario() -> float:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await overlapping()
        return time.monotonic() - begun

    async def overlapping() -> None:
        async with at_most(0.4):
            first = asyncio.create_task(stopped_for(0.1))
            second = asyncio.create_task(stopped_for(0.6))
            await asyncio.gather(first, second)
            await asyncio.sleep(5)

    async def stopped_for(seconds: float) -> None:
        with stopped_clocks():
            await asyncio.sleep(seconds)

    assert 0.95 <= asyncio.run(scenario()) < 3


def test_clocks_of_a_block_that_is_left_are_forgotten() -> None:
    async def scenario() -> None:
        async with at_most(5):
            pass
        with stopped_clocks():
            await asyncio.sleep(0)

    asyncio.run(scenario())
