from __future__ import annotations

from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.rewards import RewardConfig
from tau2_gym.session import Outcome, Rules, Session
from tau2_gym.types import Message, Role
from tau2_gym.users.base import STOP
from tests.helpers import CLOSING, Restless, gold_moves, make, some, user_call, written

HELLO = Message("user", "Hello")


def session(name: str = "mock", task_id: str = "update_task_1", **rules: Any) -> Session:
    domain = get_domain(name)
    return Session(domain, domain.task(task_id), Rules(**rules), RewardConfig(), user_seed=3)


def as_step(outcome: Outcome) -> tuple[Any, ...]:
    return (
        outcome.observation,
        outcome.reward,
        outcome.terminated,
        outcome.truncated,
        outcome.info,
    )


@pytest.mark.parametrize("name", ["airline", "telecom", "mock"])
def test_a_loop_over_a_session_is_the_environment(name: str) -> None:
    user = Restless(calls=0.3, stops=0.05)
    env = make(name, user, max_steps=30)
    for task in some(name, 5):
        moves = iter(gold_moves(task))
        observation, info = env.reset(seed=4, options={"task_id": task.id})
        seed = env.snapshot().user_seed
        played = Session(env.domain, task, env.rules, env.reward_config, seed)
        ended = info["termination"] == "user_stop"
        step: tuple[Any, ...] = (observation, 0, ended, False, info)
        while True:
            while played.turn is Role.USER:
                played.user_acts(user.respond(played.user_view(), played.user_seed))
            outcome = played.settle()
            assert written(as_step(outcome)) == written(step)
            assert played.last is outcome
            if outcome.terminated or outcome.truncated:
                break
            move = next(moves, CLOSING)
            played.agent_acts(move)
            step = env.step(move)


def test_only_the_party_whose_turn_it_is_may_act() -> None:
    played = session()
    assert not played.awaits_agent
    with pytest.raises(RuntimeError, match="it is the turn of user"):
        played.agent_acts("Hello")
    with pytest.raises(RuntimeError, match="the user is to act"):
        played.settle()
    played.user_acts(HELLO)
    assert played.awaits_agent
    with pytest.raises(RuntimeError, match="it is the turn of agent"):
        played.user_acts(HELLO)


def test_a_turn_is_settled_with_all_that_the_user_did_in_it() -> None:
    played = session()
    played.user_acts(HELLO)
    assert played.settle().observation == "Hello"
    played.agent_acts("Look.")
    for message in (user_call("check_notifications"), user_call("nothing")):
        played.user_acts(message)
    played.user_acts(Message("user", "Nothing."))
    outcome = played.settle()
    assert outcome.observation == "Nothing."
    assert [call["name"] for call in outcome.info["attribution"]] == [
        "check_notifications",
        "nothing",
    ]
    assert (outcome.info["num_turns"], outcome.info["num_errors"]) == (1, 1)


def test_what_an_action_was_read_as_is_returned() -> None:
    played = session()
    played.user_acts(HELLO)
    (call,) = played.agent_acts("get_users()").tool_calls
    assert (call.name, call.id) == ("get_users", "call_0_0")
    (call,) = played.agent_acts("get_users()").tool_calls
    assert call.id == "call_1_0"


def test_an_episode_that_ended_before_the_agents_turn_is_settled_by_one_action() -> None:
    played = session()
    played.user_acts(Message("user", STOP))
    assert played.settle().terminated
    assert played.awaits_agent
    played.agent_acts("Hello?")
    outcome = played.settle()
    assert outcome.terminated
    assert outcome.info["reward_terms"].keys() == {"progress", "official"}
    assert not played.awaits_agent
    with pytest.raises(RuntimeError, match="may not act"):
        played.agent_acts("Hello?")


def test_a_fork_in_the_middle_of_a_turn_comes_to_the_same() -> None:
    played = session()
    played.user_acts(HELLO)
    played.settle()
    played.agent_acts(gold_moves(played.episode.task)[0])
    played.agent_acts("Anything else?")
    twin = played.fork()
    for each in (played, twin):
        each.user_acts(Message("user", STOP))
    assert written(as_step(twin.settle())) == written(as_step(played.settle()))
