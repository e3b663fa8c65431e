"""Both sides as PettingZoo's agents: its own tests, and the same game as in Tau2Env."""

from __future__ import annotations

import doctest
import warnings
from typing import Any

import pytest

pettingzoo = pytest.importorskip("pettingzoo", reason="pettingzoo is not installed")

from pettingzoo.test import (  # noqa: E402
    api_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
)

from agents.base import AgentView  # noqa: E402
from agents.oracle import OracleAgent  # noqa: E402
from tau2_gym.actions import as_assistant  # noqa: E402
from tau2_gym.adapters import pettingzoo as adapter  # noqa: E402
from tau2_gym.errors import ConfigError  # noqa: E402
from tau2_gym.users.scripted import ScriptedUser  # noqa: E402
from tests.helpers import make  # noqa: E402

DOMAINS = ("airline", "retail", "telecom", "mock")


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    # Its tests recommend arrays as observations, and names such as player_0.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("domain", DOMAINS)
def test_pettingzoos_own_tests(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"max_steps": 30}
    api_test(adapter.env(domain, **options), num_cycles=60)
    parallel_api_test(adapter.parallel_env(domain, **options), num_cycles=60)
    seed_test(lambda: adapter.env(domain, **options), num_cycles=40)
    parallel_seed_test(lambda: adapter.parallel_env(domain, **options), num_cycles=40)
    render_test(lambda render_mode: adapter.env(domain, render_mode=render_mode), {
        "ansi": lambda text: isinstance(text, str),
    })  # fmt: skip


def test_the_example_of_the_module() -> None:
    assert doctest.testmod(adapter).attempted > 5
    assert doctest.testmod(adapter).failed == 0


def _played(env: Any, task: str) -> tuple[float, float, list[str]]:
    """What both sides earned, when our agent and our user play the sides; and who acted."""
    env.reset(seed=0, options={"task_id": task})
    earned = {"agent": 0.0, "user": 0.0}
    acted = []
    user, agent = ScriptedUser(), OracleAgent()
    for side in env.agent_iter():
        _, reward, terminated, truncated, info = env.last()
        earned[side] += reward
        if terminated or truncated:
            env.step(None)
            continue
        acted.append(side)
        session = env._sides.session
        if side == "agent":
            env.step(agent.act(AgentView.from_info(info), 0))
        else:
            message = user.respond(session.user_view(), session.user_seed)
            env.step(as_assistant(message))
    return earned["agent"], earned["user"], acted


@pytest.mark.parametrize("domain", DOMAINS)
def test_both_sides_play_the_game_that_the_environment_plays(domain: str) -> None:
    both, alone = adapter.env(domain), make(domain, user="scripted")
    for task in both._sides.domain.task_ids("base")[:6]:
        agents, users, acted = _played(both, task)
        _, info = alone.reset(seed=0, options={"task_id": task})
        total, ended = 0.0, False
        while not ended:
            action = OracleAgent().act(AgentView.from_info(info), 0)
            _, reward, terminated, truncated, info = alone.step(action)
            total, ended = total + reward, terminated or truncated
        assert agents == pytest.approx(total)
        assert users == pytest.approx(total)
        assert both._sides.session.episode.messages == alone.unwrapped._session.episode.messages
        if domain == "telecom":
            assert "user" in acted


def test_what_one_side_does_not_see() -> None:
    env = adapter.env("telecom")
    env.reset(seed=0)
    assert env.agent_selection == "user"
    info = env.infos["user"]
    assert info["scenario"]
    assert {tool["function"]["name"] for tool in info["tools"]} >= {"toggle_data"}
    assert "privileged" not in info
    env.step("toggle_data()")
    assert env.agent_selection == "user"  # Who calls a tool goes on.
    assert "Mobile Data" in env.observe("user")
    assert env.observe("agent") == ""
    env.step("My data does not work.")
    assert env.observe("agent") == "My data does not work."
    env.step('get_customer_by_phone(phone_number="555-123-2002")')
    assert "C1001" in env.observe("agent")
    assert env.observe("user") == ""
    roles = [message["role"] for message in env.infos["user"]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant"]


def test_the_users_slips_come_back_to_the_user() -> None:
    env = adapter.env("telecom")
    env.reset(seed=0)
    for slip in ('<tool_call>{"name": ', "", {"role": "assistant", "content": None}):
        env.step(slip)
        assert env.agent_selection == "user"
        assert env.observe("user").startswith("Error: ")
    assert env._sides.session.episode.malformed == 0  # That counts the agent's.
    assert env._sides.session.episode.num_errors == 3
    env.step("refuel_data(customer_id='C1001', line_id='L1002', gb_amount=2.0)")
    assert env.agent_selection == "agent"  # The user has no such tool, so that was said.


def test_in_parallel_only_the_side_whose_turn_it_is_acts() -> None:
    env = adapter.parallel_env("retail")
    observations, infos = env.reset(seed=0)
    assert [infos[side]["acts"] for side in ("agent", "user")] == [False, True]
    assert observations["user"] == "Hi! How can I help you today?"
    actions = {"agent": "Ignored.", "user": "I want to return something."}
    observations, rewards, *_, infos = env.step(actions)
    assert observations["agent"] == "I want to return something."
    assert [infos[side]["acts"] for side in ("agent", "user")] == [True, False]
    assert rewards == {"agent": 0.0, "user": 0.0}
    with pytest.raises(ConfigError, match="it is the turn of 'agent', which has no action"):
        env.step({"user": "Hello?"})
    env.step({"agent": "Bye."})
    *_, terminated, truncated, _ = env.step({"user": "###STOP###"})
    assert (terminated, truncated) == (
        {"agent": True, "user": True},
        {"agent": False, "user": False},
    )
    assert env.agents == []
    with pytest.raises(RuntimeError, match="no episode is in progress"):
        env.step({})


def test_nothing_is_played_before_a_reset() -> None:
    with pytest.raises(RuntimeError, match="no episode is in progress"):
        adapter.env("mock").step("Hello.")


@pytest.mark.parametrize(
    ("domain", "options", "said"),
    [
        ("hotel", {}, "unknown domain 'hotel'"),
        ("code", {}, "code has no user, and so only one side"),
        ("retail", {"task_split": "dev"}, "unknown split"),
        ("retail", {"task_ids": []}, "at least one id"),
        ("retail", {"task_ids": "1"}, "at least one id, not '1'"),
        ("retail", {"task_ids": ["x"]}, "unknown task 'x'"),
        ("retail", {"reward": "big"}, "unknown reward preset"),
        ("retail", {"render_mode": "rgb_array"}, "unknown render_mode"),
        ("retail", {"max_steps": 0}, "max_steps"),
    ],
)
def test_what_cannot_be_is_refused(domain: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        adapter.env(domain, **options)
