"""Conversations by turns: who said and did what, and because of which turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.errors import DataError
from tau2_gym.results.page.conversation import messages_of, shown, turns
from tau2_gym.results.run import read_run
from tau2_gym.types import Criteria, Scenario, Task
from tests.results.runs import GREETING, STOP, call, record, result


def row(**more: Any) -> dict[str, Any]:
    return record(**more).to_dict()


def test_a_turn_is_an_action_with_what_came_of_it() -> None:
    start, first, second = shown(row(), None)["turns"]
    assert (start["number"], first["number"], second["number"]) == (0, 1, 2)
    assert start["agent"] == [{"text": GREETING["content"]}]
    assert start["user"] == [{"text": "My order is late."}]
    assert start["ledger"] == {}
    assert first["agent"] == [
        {
            "name": "find_order",
            "arguments": [["order_id", '"W1"']],
            "result": '{"id": "W1", "total": 12345678901234567890.10}',
            "error": False,
        }
    ]
    assert first["user"] == []
    assert second["agent"] == [{"text": "Please restart your phone."}]
    assert second["user"] == [
        {"name": "restart", "arguments": [], "result": "Done.", "error": False},
        {"text": STOP["content"]},
    ]
    assert second["ledger"] == {"progress": 0.1, "official": 1.0}


def test_several_calls_have_their_own_results() -> None:
    two = call("a", number=1)
    two["tool_calls"] += call("b", number=2)["tool_calls"]
    messages = [two, result("of a", number=1, error=True), result("of b", number=2), STOP]
    (turn,) = shown(row(messages=messages, num_turns=1, rewards=[{}]), None)["turns"]
    assert [(item["name"], item["result"], item["error"]) for item in turn["agent"]] == [
        ("a", "of a", True),
        ("b", "of b", False),
    ]
    assert turn["number"] == 1


def test_what_was_said_before_the_first_action_is_the_start() -> None:
    history = [
        GREETING,
        {"role": "user", "content": "Hi."},
        GREETING,
        {"role": "user", "content": "Hi."},
    ]
    messages = [*history, {"role": "assistant", "content": "Bye."}, STOP]
    found = turns(messages_of(row(messages=messages)), 1)
    assert [(turn.number, len(turn.messages)) for turn in found] == [(0, 4), (1, 2)]
    assert turns([], 0) == []


def test_a_call_without_a_result_stays_and_so_does_a_result_without_a_call() -> None:
    messages = [result("from nowhere"), call("find_order")]
    (turn,) = shown(row(messages=messages, num_turns=0, rewards=[{}]), None)["turns"]
    first, second = turn["agent"]
    assert (first["name"], first["result"]) == ("?", "from nowhere")
    assert (second["name"], "result" in second) == ("find_order", False)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Hi."},
        {"content": "Hi."},
        {"role": "user", "content": 3},
        {"role": "assistant", "tool_calls": "none"},
        {"role": "assistant", "tool_calls": [{"arguments": {}}]},
        {"role": "assistant", "tool_calls": [{"name": "a", "arguments": "{}"}]},
    ],
)
def test_messages_of_another_form_are_named(message: dict[str, Any]) -> None:
    with pytest.raises(
        DataError, match="shop, task 1, attempt 0: message 1 is not in tau2-bench's form"
    ):
        shown(row(messages=[GREETING, message]), None)


def test_checks_without_a_task_have_no_names() -> None:
    checks = {"performed": [True, False], "communicate": [True], "env_assertions": [], "db": True}
    found = shown(row(checks=checks), None)["checks"]
    assert [(each["kind"], each["met"]) for each in found] == [
        ("action", True),
        ("action", False),
        ("communicate", True),
        ("database", True),
    ]
    assert {each["name"] for each in found} == {None}
    assert shown(row(checks=None), None)["checks"] == []


def test_checks_of_a_game_have_names_and_the_turns_in_which_they_were_met(telecom: Path) -> None:
    attempt = read_run(telecom).rows[0]
    found = shown(attempt, get_domain("telecom").task(attempt["task_id"]))
    actions = [each for each in found["checks"] if each["kind"] == "action"]
    assert [each["name"] for each in actions] == [
        "user: toggle_data()",
        'refuel_data(customer_id="C1001", line_id="L1002", gb_amount=2.0)',
    ]
    for check in actions:
        turn = found["turns"][check["turn"]]
        calls = [item["name"] for item in (*turn["agent"], *turn["user"]) if "name" in item]
        assert check["met"]
        assert check["name"].removeprefix("user: ").partition("(")[0] in calls
        # An action that is performed raises Φ in its turn.
        assert found["phi"][check["turn"]] > found["phi"][check["turn"] - 1]
    assert all(each["name"] for each in found["checks"] if each["kind"] == "assertion")
    assert "mobile data" in found["task"]["scenario"]


def test_required_strings_are_met_where_the_agent_says_them() -> None:
    criteria = Criteria(communicate=("1,200", "54"), actions=())
    task = Task("1", "shop", Scenario("I want to know."), criteria=criteria)
    messages = [GREETING, STOP, {"role": "assistant", "content": "It is 54."}, STOP]
    checks = {"communicate": [False, True], "db": True}
    found = shown(row(messages=messages, num_turns=1, rewards=[{}], checks=checks), task)["checks"]
    assert [(each["name"], each["turn"]) for each in found[:2]] == [("1,200", None), ("54", 1)]


def test_what_counts_for_the_reward_is_told_apart(telecom: Path) -> None:
    attempt = read_run(telecom).rows[0]
    found = shown(attempt, get_domain("telecom").task(attempt["task_id"]))["checks"]
    assert {each["kind"]: each["counts"] for each in found} == {
        "action": False,
        "assertion": True,
        "database": False,
    }
    assert {each["counts"] for each in shown(attempt, None)["checks"]} == {None}
