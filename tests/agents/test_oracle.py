from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import agents
from agents import AgentView
from agents.oracle import CLOSING, OracleAgent, plan
from tau2_gym.actions import parse_action
from tau2_gym.types import Criteria, ExpectedAction, Scenario, Task, ToolCall
from tests.helpers import make, some

ACTIONS = (
    ExpectedAction("find", {"name": "Ann"}),
    ExpectedAction("switch", {"on": True, "mode": "4g"}, "user"),
    ExpectedAction("close", {}),
)


def task(**criteria: Any) -> Task:
    return Task("1", "mock", Scenario(""), criteria=Criteria(**criteria))


def play(env: Any, task_id: str, seed: int = 0) -> dict[str, Any]:
    _, info = env.reset(seed=seed, options={"task_id": task_id})
    ended = False
    while not ended:
        action = OracleAgent().act(AgentView.from_info(info), seed)
        _, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    return info  # type: ignore[no-any-return]


def test_it_calls_its_own_tools_and_asks_for_the_users() -> None:
    find, ask, close, closing = plan(task(actions=ACTIONS))
    assert parse_action(find, ()).tool_calls == (ToolCall("find", {"name": "Ann"}, "call_0_0"),)
    assert ask == 'Please run switch(on=true, mode="4g") on your device.'
    assert parse_action(close, ()).tool_calls == (ToolCall("close", {}, "call_0_0"),)
    assert closing == CLOSING


def test_it_says_what_must_be_said_before_it_closes() -> None:
    *_, said, closing = plan(task(actions=ACTIONS[:1], communicate=("12.50", "Ann")))
    assert "12.50" in said
    assert "Ann" in said
    assert closing == CLOSING


def test_without_criteria_it_only_closes() -> None:
    assert plan(Task("1", "mock", Scenario(""))) == [CLOSING]


def test_solo_it_calls_all_tools_and_stops() -> None:
    *calls, stop = plan(task(actions=ACTIONS), solo=True)
    names = [parse_action(move, ()).tool_calls[0].name for move in calls]
    assert names == ["find", "switch", "close"]
    assert stop == "###STOP###"


def test_it_is_a_function_of_the_turn_and_closes_for_ever() -> None:
    agent, moves = OracleAgent(), plan(task(actions=ACTIONS))
    for turn in (2, 0, 3, 50):
        view = AgentView("mock", "", [], [], turn=turn, privileged={"task": task(actions=ACTIONS)})
        assert agent.act(view, seed=0) == moves[min(turn, 3)]


def told(task: Task) -> bool:
    """Whether the task says what to do, and not only what must hold afterwards."""
    assert task.criteria is not None
    return task.criteria.actions is not None or task.criteria.env_assertions is None


@pytest.mark.parametrize("name", ["airline", "retail", "telecom", "mock"])
def test_with_a_scripted_user_it_earns_1_where_a_task_says_what_to_do(name: str) -> None:
    pytest.importorskip("tau2_gym.users.scripted")
    env = make(name, "scripted")
    tasks = [task for task in some(name, 12) if told(task)]
    assert len(tasks) >= 8
    for task in tasks:
        info = play(env, task.id, seed=11)
        assert info["official_reward"] == 1.0, (task.id, info["termination"], info["checks"])


@pytest.mark.parametrize("name", ["telecom", "mock"])
def test_solo_it_earns_1_where_nothing_need_be_said(name: str) -> None:
    env = make(name, solo=True)
    for task in some(name, 12):
        if not task.ticket:
            continue
        info = play(env, task.id)
        assert info["termination"] == "agent_stop"
        assert task.criteria is not None
        assert info["official_reward"] == float(not task.criteria.communicate), task.id


def test_no_other_agent_reads_what_is_privileged() -> None:
    files = Path(agents.__file__).parent.rglob("*.py")
    readers = {path.name for path in files if "view.privileged" in path.read_text(encoding="utf-8")}
    assert readers == {"oracle.py", "exploits.py"}
