"""Nothing that an agent or a user sends takes more than a second or 100 MB, and other episodes go on."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tau2_gym.actions import MAX_CHARACTERS, parse_action
from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.domains.world import MAX_GROWTH, MAX_RESULT, World
from tau2_gym.spaces import examples, sample_arguments
from tau2_gym.types import INVALID_CALL, Message, Requestor
from tau2_gym.users.base import UserView
from tests.helpers import assert_pristine, block, make, some, user_call

pytestmark = pytest.mark.usefixtures("clean_heap")

SECOND, MEGABYTE = 1.0, 2**20


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": [value]}
    return value


LARGE: dict[str, Any] = {
    "a megabyte of text": "x" * MEGABYTE,
    "a long list": [1] * 100_000,
    "a list of lists": [[1] * 300] * 300,
    "a list of texts": ["HAT001"] * 100_000,
    "a wide object": {f"k{number}": number for number in range(20_000)},
}
FITTING: dict[str, Any] = {
    "text": "x" * 7000,
    "a list": [{"a": 1}] * 300,
    "flights": [{"flight_number": "HAT001", "date": "2024-05-16"}] * 100,
    "an object": {f"k{number}": number for number in range(300)},
    "depth": nested(30),
}
"""Values that several parameters may have within the limit of a message."""


@contextmanager
def bounded() -> Iterator[None]:
    """At most a second of CPU time and 100 MB."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        yield
        took, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert took < 3 * SECOND  # three, since looking at the memory makes it slower
    assert peak < 100 * MEGABYTE


def sides(domain: Domain) -> Iterator[tuple[Requestor, Any]]:
    for tool in domain.agent_tools.values():
        yield "assistant", tool
    for tool in domain.user_tools.values():
        yield "user", tool


def valid_arguments(domain: Domain, world: World, tool: Any, side: Requestor) -> dict[str, Any]:
    """Arguments that the tool takes here; after many tries, some that fit its schema."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        arguments = sample_arguments(tool, examples(domain), rng)
        if not world.fork().call(tool.name, arguments, side)[1]:
            break
    return arguments


def test_every_tool_can_be_called_thirty_times(domain: Domain) -> None:
    task = some(domain.name, 1)[0]
    for side, tool in sides(domain):
        world = domain.start(task)
        arguments = valid_arguments(domain, world, tool, side)
        for _ in range(30):
            begun = time.process_time()
            text, failed = world.call(tool.name, arguments, side)
            assert time.process_time() - begun < SECOND, tool.name
            assert len(text) <= MAX_RESULT or failed
        size = sum(len(row) for row in world.difference().values())
        assert size < 2 * MAX_GROWTH, tool.name


class TestGrowth:
    """Cancelling a reservation appends its payments to its payments."""

    @staticmethod
    def start() -> tuple[World, dict[str, str]]:
        airline = get_domain("airline")
        reservation = next(iter(airline.sides.agent.database.fields["reservations"]))
        return airline.start(some("airline", 1)[0]), {"reservation_id": reservation}

    def test_a_row_that_grows_without_end_is_not_kept(self) -> None:
        world, arguments = self.start()
        with bounded():
            results = [world.call("cancel_reservation", arguments, "assistant") for _ in range(40)]
        text, failed = results[-1]
        assert failed
        assert text.startswith("Error: nothing was changed: reservations ")
        assert text.endswith(f" bytes, and may grow by {MAX_GROWTH}")
        assert [failed for _, failed in results] == sorted(failed for _, failed in results)

    def test_the_call_that_is_refused_changes_nothing(self) -> None:
        world, arguments = self.start()
        while True:
            before, version = world.digest, world.version
            if world.call("cancel_reservation", arguments, "assistant")[1]:
                break
        assert (world.digest, world.version) == (before, version)
        # The world is as usable as before.
        details = world.call("get_reservation_details", arguments, "assistant")
        assert not details[1]
        assert json.loads(details[0])["status"] == "cancelled"
        assert_pristine("airline")

    def test_the_episode_and_others_go_on(self) -> None:
        _, arguments = self.start()
        env, other = make("airline", max_errors=100), make("airline")
        for each in (env, other):
            each.reset(seed=0)
        for _ in range(30):
            *_, info = env.step(block("cancel_reservation", **arguments))
        assert info["num_errors"] > 10
        assert info["termination"] is None
        text, *_ = other.step(block("get_reservation_details", **arguments))
        assert json.loads(text)["status"] is None

    def test_what_the_other_side_had_changed_is_not_kept_either(self) -> None:
        telecom = get_domain("telecom")
        world = telecom.start(some("telecom", 1)[0])
        before = world.digest
        settings = {"apn_settings": {"apn_name": "internet", "mmsc_url": "x" * (2 * MAX_GROWTH)}}
        text, failed = world.call("set_apn_settings", settings, "user")
        assert failed
        assert "would grow by" in text
        assert world.digest == before

    def test_expected_actions_and_small_changes_are_far_from_it(self, domain: Domain) -> None:
        for task_id in domain.task_ids("base"):
            changed = domain.expected(domain.task(task_id))
            assert all(len(row) < MAX_GROWTH / 8 for row in changed.values())


def test_a_result_that_is_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    world = get_domain("airline").start(some("airline", 1)[0])
    airports, failed = world.call("list_all_airports", {}, "assistant")
    assert not failed
    monkeypatch.setattr("tau2_gym.domains.world.MAX_RESULT", len(airports))
    assert world.call("list_all_airports", {}, "assistant") == (airports, False)
    monkeypatch.setattr("tau2_gym.domains.world.MAX_RESULT", len(airports) - 1)
    assert world.call("list_all_airports", {}, "assistant") == (
        f"Error: the result has {len(airports)} characters, and is not passed on: "
        f"at most {len(airports) - 1} are",
        True,
    )


@pytest.mark.parametrize("what", [*LARGE, *FITTING])
def test_large_arguments(domain: Domain, what: str) -> None:
    env = make(domain.name, max_errors=10_000, max_steps=10_000)
    env.reset(seed=0)
    # What does not fit is refused before it reaches any tool.
    tools = list(env.domain.agent_tools.values())[: 1 if what in LARGE else None]
    for tool in tools:
        value = (LARGE | FITTING)[what]
        arguments = {"x": value} | dict.fromkeys([*tool.parameters["properties"]][:3], value)
        call = {"name": tool.name, "arguments": arguments}
        for action in (
            {"tool_calls": [{"function": call}]},
            {"tool_calls": [{"function": {**call, "arguments": json.dumps(arguments)}}]},
            f"<tool_call>{json.dumps(call)}</tool_call>",
            f"{tool.name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})",
        ):
            with bounded():
                *_, info = env.step(action)
        assert len(json.dumps(info["messages"][-2:])) < 10 * MAX_CHARACTERS


@dataclass(frozen=True)
class Bloated:
    """A user whose calls are as large as they like."""

    value: Any

    def respond(self, view: UserView, seed: int) -> Message:
        tool = view.tools[len(view.messages) // 2 % len(view.tools)]
        return user_call(tool.name, dict.fromkeys(tool.parameters["properties"], self.value))


@pytest.mark.parametrize("name", ["telecom", "mock"])
@pytest.mark.parametrize("what", [*LARGE, *FITTING])
def test_large_arguments_of_the_user(name: str, what: str) -> None:
    env = make(name, Bloated((LARGE | FITTING)[what]), max_errors=40)
    begun = time.process_time()
    _, info = env.reset(seed=0)
    assert info["termination"] in ("too_many_errors", "max_steps")
    assert time.process_time() - begun < info["steps"] * SECOND / 10


@pytest.mark.parametrize("length", [0, 1, 30_000])
@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9{}",
        "((9**99)**99)**99{}",
        "2**100000000{}",
        "{}9",
        "1{}",
    ],
)
def test_no_sum_takes_long(expression: str, length: int) -> None:
    world = get_domain("airline").start(some("airline", 1)[0])
    for filling in ("9", "+1", "*9", "**9", "-", "(", "()", ".", "/3.7", " "):
        with bounded():
            world.call(
                "calculate", {"expression": expression.format(filling * length)}, "assistant"
            )


class TestMessages:
    """How long a message of the agent may be."""

    def test_longer_ones_cannot_be_read(self) -> None:
        assert not parse_action("a" * MAX_CHARACTERS, ()).is_tool_call
        (call,) = parse_action("a" * (MAX_CHARACTERS + 1), ()).tool_calls
        assert call.name == INVALID_CALL
        assert f"a message may have {MAX_CHARACTERS} characters" in call.arguments["reason"]
        assert call.arguments["text"] == "a" * 1000 + "…"

    def test_thinking_does_not_count(self) -> None:
        thought = f"<think>{'hm ' * MAX_CHARACTERS}</think>"
        assert parse_action(thought + "Hello", ()) == Message("assistant", "Hello")
        assert parse_action(thought + "a" * (MAX_CHARACTERS + 1), ()).is_tool_call

    @pytest.mark.parametrize("key", ["content", "arguments", "name"])
    def test_messages_with_calls_are_measured_in_all_their_parts(self, key: str) -> None:
        long = "a" * MAX_CHARACTERS
        function = {"name": "f", "arguments": {}}
        message = {"content": "", "tool_calls": [{"function": function}]}
        if key == "content":
            message["content"] = long
        elif key == "name":
            function["name"] = long
        else:
            function["arguments"] = {long: 1}
        (call,) = parse_action(message, ()).tool_calls
        assert call.name == INVALID_CALL

    @pytest.mark.parametrize(
        "value",
        [nested(10_000), 10**200_000, [[]] * MAX_CHARACTERS],
        ids=["depth", "digits", "members"],
    )
    def test_size_is_not_characters_alone(self, value: Any) -> None:
        with bounded():
            (call,) = parse_action(
                {"tool_calls": [{"function": {"name": "f", "arguments": {"x": value}}}]}, ()
            ).tool_calls
        assert call.name == INVALID_CALL

    def test_an_action_that_contains_itself_ends(self) -> None:
        arguments: dict[str, Any] = {}
        arguments["x"] = arguments
        with bounded():
            message = parse_action(
                {"tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}, ()
            )
        assert message.tool_calls[0].name == INVALID_CALL

    @pytest.mark.parametrize(
        "text",
        [
            "f(x={}1)",
            "f({}x",
            "f{}(",
            "{}f(x=1)",
            "f(x='{}')",
            '{{"name": "f", "arguments": {}',
            "<tool_call>{}",
            "<think>{}",
            "{}</tool_call>",
        ],
    )
    @pytest.mark.parametrize(
        "filling",
        ["-", "(", "[", "{", "1,", "1+", " ", "\n", "not ", "a.", "1<", "lambda:", "9", "f'{",
         "<tool_call>", "<tool_call>{}</tool_call>", "<think>", "x=1,", "'", '"', "\\", "[[", ")"],
    )  # fmt: skip
    def test_reading_is_quick(self, text: str, filling: str) -> None:
        whole = text.format(filling * ((MAX_CHARACTERS - 60) // len(filling)))
        begun = time.process_time()
        parse_action(whole, ["f"])
        assert time.process_time() - begun < SECOND / 2
