from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tau2_gym.domains.base import Domain
from tau2_gym.domains.tasks import TaskTable, parse_task
from tau2_gym.errors import DataError
from tau2_gym.types import (
    Criteria,
    EnvFunction,
    ExpectedAction,
    InitialState,
    Message,
    RewardBasis,
    Scenario,
    ToolCall,
)

ROW: dict[str, Any] = {
    "id": 7,
    "user_scenario": {
        "persona": "Impatient.",
        "instructions": {
            "domain": "shop",
            "reason_for_call": "You want\na refund.",
            "known_info": "You are Ann.",
            "task_instructions": "Insist.",
        },
    },
    "ticket": "A refund for Ann.",
    "user_tools": ["look"],
    "initial_state": {
        "initialization_data": {"agent_data": {"a": 1}, "user_data": None},
        "initialization_actions": [
            {"env_type": "user", "func_name": "set_up", "arguments": {"x": 1}}
        ],
        "message_history": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "arguments": {}}]},
        ],
    },
    "evaluation_criteria": {
        "actions": [
            {"action_id": "a1", "name": "refund", "arguments": {"id": "o1"}},
            {"name": "look", "arguments": {}, "requestor": "user", "compare_args": []},
            {"name": "pay", "arguments": {"x": 1, "y": 2}, "compare_args": ["x"]},
        ],
        "env_assertions": [
            {
                "env_type": "assistant",
                "func_name": "is_paid",
                "arguments": {},
                "assert_value": False,
            }
        ],
        "communicate_info": ["12.50"],
        "nl_assertions": ["The agent is kind."],
        "reward_basis": ["DB", "ACTION"],
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The row with the value at a dotted path replaced; an Ellipsis removes the key."""
    *inside, last = path.split(".")
    row = dict(ROW)
    here = row
    for key in inside:
        here[key] = dict(here[key])
        here = here[key]
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return row


def test_a_task_is_read_whole() -> None:
    task = parse_task("shop", ROW)
    assert (task.id, task.domain, task.ticket) == ("7", "shop", "A refund for Ann.")
    assert task.user_tools == ("look",)
    assert task.start == InitialState(
        agent_data={"a": 1},
        functions=(EnvFunction("user", "set_up", {"x": 1}),),
        messages=(Message("user", "Hello"), Message("assistant", None, (ToolCall("f", {}, "1"),))),
    )
    assert task.criteria == Criteria(
        actions=(
            ExpectedAction("refund", {"id": "o1"}),
            ExpectedAction("look", {}, "user", ()),
            ExpectedAction("pay", {"x": 1, "y": 2}, "assistant", ("x",)),
        ),
        env_assertions=(EnvFunction("assistant", "is_paid", {}, expected=False),),
        communicate=("12.50",),
        nl_assertions=("The agent is kind.",),
        basis=(RewardBasis.DB, RewardBasis.ACTION),
    )


def test_a_scenario_has_its_parts_and_tau2_benchs_layout() -> None:
    assert parse_task("shop", ROW).scenario == Scenario(
        text=(
            "Persona:\n\tImpatient.\n"
            "Instructions:\n"
            "\tDomain: shop\n"
            "\tReason for call:\n\t\tYou want\n\t\ta refund.\n"
            "\tKnown info:\n\t\tYou are Ann.\n"
            "\tTask instructions:\n\t\tInsist."
        ),
        persona="Impatient.",
        reason="You want\na refund.",
        known="You are Ann.",
        unknown="",
        instructions="Insist.",
    )


def test_a_scenario_may_be_prose() -> None:
    row = changed("user_scenario", {"instructions": "Do it."})
    assert parse_task("shop", row).scenario == Scenario(
        text="Instructions:\n\tDo it.", instructions="Do it."
    )


def test_what_a_task_leaves_out_has_tau2_benchs_defaults() -> None:
    row = {"id": "1", "user_scenario": {"instructions": "x"}, "evaluation_criteria": {}}
    task = parse_task("shop", row)
    assert task.start == InitialState()
    assert (task.ticket, task.user_tools) == (None, None)
    assert task.criteria == Criteria()
    assert task.criteria.actions is None
    assert task.criteria.basis == (RewardBasis.DB, RewardBasis.COMMUNICATE)
    del row["evaluation_criteria"]
    assert parse_task("shop", row).criteria is None


@pytest.mark.parametrize("key", ["actions", "env_assertions"])
def test_no_list_is_not_an_empty_list(key: str) -> None:
    for value, expected in ((None, None), (..., None), ([], ())):
        task = parse_task("shop", changed(f"evaluation_criteria.{key}", value))
        assert getattr(task.criteria, key) == expected


@pytest.mark.parametrize(
    "row",
    [
        changed("user_scenario", ...),
        changed("user_scenario", "prose"),
        changed("user_scenario.instructions", ...),
        changed("initial_state.initialization_actions", [{"func_name": "f"}]),
        changed("initial_state.message_history", [{"role": "system", "content": ""}]),
        changed("evaluation_criteria.actions", [{"name": "f"}]),
        changed("evaluation_criteria.reward_basis", ["LUCK"]),
    ],
)
def test_a_malformed_task_is_named(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="task 7 of shop is malformed"):
        parse_task("shop", row)


def test_a_table_keeps_the_order_and_reads_each_task_once() -> None:
    table = TaskTable("shop", [changed("id", "b"), changed("id", "a"), {"id": "broken"}])
    assert list(table) == ["b", "a", "broken"]
    assert len(table) == 3
    assert table["a"] is table["a"]
    with pytest.raises(KeyError):
        table["c"]
    with pytest.raises(DataError, match="'broken'"):
        table["broken"]


def test_all_tasks_of_a_domain_can_be_read(domain: Domain) -> None:
    for task_id, task in domain.tasks.items():
        assert task.id == task_id
        assert task.domain == domain.name
        assert task.scenario.text
        assert task.criteria is not None
        for action in task.criteria.actions or ():
            tools = domain.agent_tools if action.requestor == "assistant" else domain.user_tools
            assert action.name in tools
        if task.user_tools is not None:
            assert set(task.user_tools) <= set(domain.user_tools)


def test_scenarios_of_a_domain_lose_nothing_of_their_parts(domain: Domain) -> None:
    for task in list(domain.tasks.values())[:120]:
        scenario = task.scenario
        text = re.sub(r"\s+", " ", scenario.text)
        for part in (scenario.persona, scenario.reason, scenario.known, scenario.instructions):
            assert re.sub(r"\s+", " ", part).strip() in text


def _holders(value: Any) -> Iterator[dict[str, Any] | list[Any]]:
    """The dicts and lists in a task."""
    if isinstance(value, dict | list):
        yield value
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _holders(item)


def test_nothing_in_a_task_which_all_episodes_share_can_be_changed(domain: Domain) -> None:
    tasks = [*map(domain.task, domain.task_ids("base")), parse_task("shop", ROW)]
    holders = [holder for task in tasks for holder in _holders(task)]
    assert len(holders) > len(tasks)
    for holder in holders:
        with pytest.raises(TypeError, match="shared with the environment"):
            holder.clear()
