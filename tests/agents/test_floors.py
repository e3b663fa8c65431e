"""The agents that know nothing: `noop` and `random`."""

from __future__ import annotations

import json

import pytest

from agents import AGENTS, Agent, AgentView, make_agent
from agents.noop import NoopAgent
from agents.random import RandomAgent
from tau2_gym.actions import parse_action
from tau2_gym.domains.base import Domain
from tau2_gym.errors import ConfigError
from tests.helpers import Restless, make


def view(domain: Domain, turn: int = 0, *, solo: bool = False) -> AgentView:
    specs = {**domain.agent_tools, **(domain.user_tools if solo else {})}
    return AgentView(
        domain.name, domain.policy, [tool.schema for tool in specs.values()], [], turn=turn
    )


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_can_be_made_by_its_name(name: str) -> None:
    assert isinstance(make_agent(name), Agent)


def test_an_unknown_agent_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown agent 'nobody'; allowed: .*noop, oracle"):
        make_agent("nobody")


def test_a_view_is_what_info_tells() -> None:
    env = make("telecom", solo=True)
    _, info = env.reset(seed=0)
    seen = AgentView.from_info(info)
    assert seen.ticket == info["ticket"]
    assert (seen.domain, seen.turn, seen.policy) == ("telecom", 0, env.domain.policy_solo)
    assert seen.privileged is info["privileged"]
    *_, info = env.step("check_status_bar()")
    assert AgentView.from_info(info).turn == 1
    assert AgentView.from_info(info).messages == info["messages"]


def test_noop_speaks_and_never_acts(domain: Domain) -> None:
    env = make(domain.name, Restless(calls=0.0, stops=0.0))
    _, info = env.reset(seed=0)
    before = env.snapshot().episode.world.digest
    for _ in range(5):
        *_, info = env.step(NoopAgent().act(AgentView.from_info(info), 0))
    assert env.snapshot().episode.world.digest == before
    assert all("tool_calls" not in message for message in info["messages"][2:])


def test_random_actions_are_texts_and_well_formed_calls_of_own_tools(domain: Domain) -> None:
    for solo in (False, True):
        called = set()
        for turn in range(300):
            action = RandomAgent().act(view(domain, turn, solo=solo), seed=4)
            assert isinstance(action, str)
            called |= {call.name for call in parse_action(action, ()).tool_calls}
        own = {*domain.agent_tools, *(domain.user_tools if solo else {})}
        assert called == own


def test_random_is_a_function_of_seed_and_turn(domain: Domain) -> None:
    def actions(seed: int, turns: list[int]) -> dict[int, object]:
        agent = RandomAgent()
        return {turn: agent.act(view(domain, turn), seed) for turn in turns}

    turns = list(range(30))
    first = actions(1, turns)
    assert actions(1, turns[::-1]) == first
    assert actions(2, turns) != first
    assert len({json.dumps(action) for action in first.values()}) > 10
