"""What differs from tau2-bench on purpose: a test for each line of the list in `docs/architecture.md`.

What tau2-bench itself does there is shown in `tests/domains/test_tau2_bench.py`, where it is installed.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.actions import parse_action
from tau2_gym.domains.base import get_domain
from tau2_gym.episode import Episode
from tau2_gym.errors import ConfigError, UserFault
from tau2_gym.grading import Grader, official_reward
from tau2_gym.rules import Rules
from tau2_gym.types import (
    INVALID_CALL,
    Criteria,
    EnvFunction,
    InitialState,
    Message,
    RewardBasis,
    Role,
    Task,
    Termination,
)
from tau2_gym.users.base import STOP, check_answer
from tests.helpers import after_gold, agent_call, block, make

HELLO = Message("user", "Hello")
DOC = Path(__file__).parents[1] / "docs" / "architecture.md"
TOOLS = ("get_users",)


def mock_task(**changes: Any) -> Task:
    return replace(get_domain("mock").task("create_task_1"), id=f"{changes}", **changes)


def begun(**rules: Any) -> Episode:
    episode = Episode(get_domain("mock"), get_domain("mock").task("create_task_1"), Rules(**rules))
    episode.act(HELLO)
    return episode


def test_the_list_names_these_tests_and_no_others() -> None:
    section = (
        DOC.read_text(encoding="utf-8").split("## What differs on purpose")[1].split("\n## ")[0]
    )
    named = re.findall(r"`(test_\w+)`", section)
    here = [name for name in globals() if name.startswith("test_") and "list_names" not in name]
    assert named == here


# Playing


def test_bills_have_repeatable_names() -> None:
    domain = get_domain("telecom")
    call = ("refuel_data", {"customer_id": "C1001", "line_id": "L1002", "gb_amount": 1.0})
    task = domain.task(domain.task_ids("base")[0])
    results = []
    for _ in range(2):
        world = domain.start(task)
        world.call(*call, "assistant")
        results.append(world.difference())
    assert results[0] == results[1] != {}


def test_a_phone_has_a_vpn_profile_of_its_own() -> None:
    domain = get_domain("telecom")
    task = domain.task(domain.task_ids("base")[0])
    broken, other = domain.start(task), domain.start(task)
    broken.initialise((EnvFunction("user", "break_vpn", {}),))
    other.call("connect_vpn", {}, "user")
    details = other._user.default_vpn_details  # type: ignore[union-attr]
    assert details.server_performance.value == "excellent"


@pytest.mark.parametrize(
    "action", ["get_users(", "get_users('a')", "get_users(a=b.c)", '{"name": "x", "arguments": 3}']
)
def test_what_cannot_be_read_as_a_call_is_not_said(action: str) -> None:
    assert [call.name for call in parse_action(action, TOOLS).tool_calls] == [INVALID_CALL]


@pytest.mark.parametrize(
    "value", ['"\\ud800"', "[" * 100 + "]" * 100, "1" * 4000, "NaN", "[-Infinity]", "1e999"]
)
def test_arguments_that_no_database_holds_cannot_be_read(value: str) -> None:
    text = f'<tool_call>{{"name": "get_users", "arguments": {{"a": {value}}}}}</tool_call>'
    assert [call.name for call in parse_action(text, TOOLS).tool_calls] == [INVALID_CALL]


@pytest.mark.parametrize("action", ["", " \n", {"role": "assistant", "content": None}])
def test_an_empty_message_of_the_agent_is_an_unreadable_call(action: Any) -> None:
    env = make("mock")
    env.reset(options={"task_id": "create_task_1"})
    observation, _, terminated, _, info = env.step(action)
    assert "the message is empty" in observation
    assert (terminated, info["num_errors"], info["malformed"]) == (False, 1, 1)


@pytest.mark.parametrize("role", ["assistant", "user"])
def test_an_empty_message_is_its_senders_error_where_communication_is_validated(role: str) -> None:
    episode = begun(validate_communication=True)
    if role == "user":
        episode.act(Message("assistant", "Yes?"))
    episode.act(Message(role, " "))  # type: ignore[arg-type]
    assert episode.termination is not None
    assert episode.termination.value == ("agent_error" if role == "assistant" else "user_error")


def test_a_function_that_is_no_tool_is_text() -> None:
    assert parse_action("nope(x=1)", TOOLS) == Message("assistant", "nope(x=1)")


def test_json_names_in_a_function_call_are_what_they_are_in_json() -> None:
    (call,) = parse_action("get_users(a=true, b=null, c=True, d=L1)", TOOLS).tool_calls
    assert call.arguments == {"a": True, "b": None, "c": True, "d": "L1"}


def test_a_requestor_in_an_action_is_ignored() -> None:
    text = json.dumps({"name": "get_users", "arguments": {}, "requestor": "user"})
    (call,) = parse_action(text, TOOLS).tool_calls
    assert call.requestor == "assistant"


def test_the_stop_token_beside_a_tool_call_stops_nothing() -> None:
    calls = agent_call("get_users").tool_calls
    for rules in ({"agent_stop": True}, {}):
        episode = begun(**rules)
        episode.act(Message("assistant", f"Bye. {STOP}", calls))
        assert episode.turn is Role.AGENT
        assert episode.messages[-1].role == "tool"


def test_an_agent_may_not_stop_unless_it_is_allowed_to() -> None:
    for allowed in (False, True):
        episode = begun(agent_stop=allowed)
        episode.act(Message("assistant", STOP))
        assert episode.done is allowed


@pytest.mark.parametrize("calls", [20, 21, 300])
def test_a_message_makes_20_calls_at_most(calls: int) -> None:
    env = make("mock")
    env.reset(options={"task_id": "create_task_1"})
    observation, *_, info = env.step(block("get_users") * calls)
    assert info["num_errors"] == (calls > 20)
    assert ("a message may make at most 20" in observation) is (calls > 20)


@pytest.mark.parametrize("expression", ["2(3)", "()", "9**9**9**9", "7**9999999", "2*(1.5)()"])
def test_calculate_refuses_what_is_no_arithmetic_and_what_takes_for_ever(expression: str) -> None:
    domain = get_domain("retail")
    world = domain.start(domain.task("0"))
    content, error = world.call("calculate", {"expression": expression}, "assistant")
    assert error
    assert content.startswith(("Error: Invalid", "Error: Exponentiation result is too large"))


def test_a_message_has_32768_characters_at_most() -> None:
    thought = f"<think>{'a' * 40_000}</think>"
    for text, fits in (("a" * 32_768, True), (thought + "a", True), ("a" * 32_769, False)):
        assert parse_action(text, TOOLS).is_tool_call is not fits


def test_a_user_says_100000_characters_at_most() -> None:
    check_answer(Message("user", "a" * 100_000))
    with pytest.raises(UserFault, match="the user's text has 100001 characters, and may have"):
        check_answer(Message("user", "a" * 100_001))


def test_a_result_has_100000_characters_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    world = get_domain("mock").start(mock_task())
    for length, error in ((100_000, False), (100_001, True)):
        monkeypatch.setattr("tau2_gym.domains.world.render", lambda result, n=length: "a" * n)
        text, failed = world.call("get_users", {}, "assistant")
        assert failed is error
        assert len(text) == length or "has 100001 characters" in text


def test_a_row_grows_by_65536_bytes_at_most() -> None:
    mock = get_domain("mock")
    frame = '{"task_id":"task_2","title":"","description":null,"status":"pending"}'
    for length, error in ((65_536 - len(frame), False), (65_537 - len(frame), True)):
        world = mock.start(mock_task())
        call = {"user_id": "user_1", "title": "a" * length}
        text, failed = world.call("create_task", call, "assistant")
        assert failed is error, text
        assert bool(world.difference()) is not error
    assert "tasks task_2 would grow by 65537 bytes, and may grow by 65536" in text


def test_data_for_the_agents_database_leave_the_users() -> None:
    domain = get_domain("mock")
    world = domain.start(domain.task("update_task_with_initialization_data"))
    assert "task_2" in world.difference()["assistant", ("tasks", "task_2")]
    assert world.call("check_notifications", {}, "user") == ("[]", False)


def test_a_history_that_ends_in_an_open_call_is_refused() -> None:
    task = mock_task(start=InitialState(messages=(HELLO, agent_call("get_users"))))
    with pytest.raises(ConfigError, match="ends in a call without a result"):
        Episode(get_domain("mock"), task)


# Grading


@pytest.mark.parametrize("expected", [True, False])
def test_an_assertion_on_a_missing_row_does_not_hold(expected: bool) -> None:
    missing = EnvFunction(
        "assistant", "assert_task_status", {"task_id": "task_9", "expected_status": "pending"},
        expected,
    )  # fmt: skip
    basis = (RewardBasis.ENV_ASSERTION,)
    task = mock_task(criteria=Criteria(env_assertions=(missing,), basis=basis))
    domain = get_domain("mock")
    grader, world = Grader(domain, task), domain.start(task)
    grader.update((), world)
    checks = grader.checks(world)
    assert checks.env_assertions == (False,)
    assert official_reward(task, checks, Termination.USER_STOP) == 0.0


def test_the_world_that_was_played_is_graded_without_a_replay() -> None:
    """A result that no replay would repeat, a bill's new name say, spoils nothing."""
    domain = get_domain("telecom")
    task = next(
        task for task in map(domain.task, domain.task_ids("full"))
        if task.criteria and any(a.name == "refuel_data" for a in task.criteria.actions or ())
    )  # fmt: skip
    world = after_gold(domain, task)
    grader = Grader(domain, task)
    grader.update((), world)
    checks = grader.checks(world)
    assert all(checks.env_assertions)
    assert not checks.db


# Data


def test_the_inbox_of_mock_is_empty_by_default() -> None:
    world = get_domain("mock").start(mock_task())
    assert world.call("check_notifications", {}, "user") == ("[]", False)


def test_instructions_to_agents_are_our_own_by_default() -> None:
    assert get_domain("retail").agent_instruction_source == "tau2-gym"
