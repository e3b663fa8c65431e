from __future__ import annotations

import inspect
from dataclasses import asdict, replace
from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.episode import Episode
from tau2_gym.rewards import RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.session import Outcome, Session
from tau2_gym.types import Message, RewardBasis, Role
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
    with pytest.raises(RuntimeError, match="it is the user's turn"):
        played.settle()
    played.user_acts(HELLO)
    assert played.awaits_agent
    with pytest.raises(RuntimeError, match="it is the turn of agent"):
        played.user_acts(HELLO)


def test_a_ticket_is_for_an_agent_without_a_user() -> None:
    task = next(task for task in get_domain("mock").tasks.values() if task.ticket)
    with_user = session(task_id=task.id)
    with_user.user_acts(HELLO)
    assert with_user.settle().info["ticket"] is None
    assert session(task_id=task.id, solo=True).settle().info["ticket"] == task.ticket


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


def waits_for_a_judge() -> Session:
    """An episode that has ended as it should, with progress in its last turn, and that only a judge
    can grade."""
    domain = get_domain("mock")
    task = domain.task("create_task_1")
    assert task.criteria is not None
    basis = (*task.criteria.basis, RewardBasis.NL_ASSERTION)
    criteria = replace(task.criteria, basis=basis, communicate=("all done",))
    task = replace(task, id="judged", criteria=criteria)
    played = Session(domain, task, Rules(), RewardConfig(tool_call=0.1), user_seed=3)
    played.user_acts(HELLO)
    played.settle()
    for move in gold_moves(task)[:-1]:
        played.agent_acts(move)
        if played.turn is Role.AGENT:
            played.settle()
    played.user_acts(Message("user", STOP))
    played.settle()
    return played


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_what_a_judge_decides_is_paid_once_and_in_one_fork_alone(reward: float) -> None:
    played = waits_for_a_judge()
    assert played.last is not None
    before, twin = played.last, played.fork()
    assert (before.info["official_reward"], before.info["ungraded"]) == (None, ["NL_ASSERTION"])
    outcome = played.judged(reward)
    assert played.last is outcome
    told = {"official_reward", "ungraded"} | ({"reward_terms"} if reward else set())
    assert {key for key in before.info if before.info[key] != outcome.info[key]} == told
    ledger = outcome.info["reward_terms"]
    assert ledger["progress"] == before.info["reward_terms"]["progress"] > 0
    assert (ledger["official"], ledger["tool_call"]) == (reward, 0.0 if reward else 0.1)
    assert outcome.reward == sum(ledger.values())
    assert twin.ungraded
    assert twin.last is before
    assert as_step(twin.judged(reward)) == as_step(outcome)
    with pytest.raises(RuntimeError, match="nothing to judge"):
        played.judged(reward)


def test_nothing_is_to_be_judged_before_the_end_or_where_it_is_graded() -> None:
    played = session()
    with pytest.raises(RuntimeError, match="nothing to judge"):
        played.judged(1.0)
    played.user_acts(HELLO)
    played.settle()
    with pytest.raises(RuntimeError, match="nothing to judge"):
        played.judged(1.0)
    played.agent_acts("Yes?")
    played.user_acts(Message("user", STOP))
    assert played.settle().info["official_reward"] == 0.0
    with pytest.raises(RuntimeError, match="nothing to judge"):
        played.judged(1.0)


def test_forks_keep_books_of_their_own() -> None:
    domain = get_domain("mock")
    task = domain.task("create_task_1")
    played = Session(domain, task, Rules(), RewardConfig(tool_call=0.1), user_seed=3)
    played.user_acts(HELLO)
    played.settle()
    twin = played.fork()
    twin.agent_acts("get_users()")
    twin.settle()
    for each in (played, twin):
        each.agent_acts("Bye.")
        each.user_acts(Message("user", STOP))
    bonuses = [each.settle().info["reward_terms"]["tool_call"] for each in (played, twin)]
    assert bonuses == [0.0, 0.1]


def test_the_rules_are_those_of_an_episode_and_of_an_environment_by_default() -> None:
    mock = get_domain("mock")
    assert Episode(mock, mock.task("create_task_1")).rules == Rules()
    parameters = inspect.signature(Tau2Env.__init__).parameters
    rules = asdict(Rules())
    assert {name: parameters[name].default for name in rules} == rules


def test_every_rule_reaches_the_episode_from_the_environment() -> None:
    rules = Rules(7, 3, 5, validate_communication=True, solo=True, agent_stop=True, max_turns=4)
    assert all(asdict(rules)[name] != value for name, value in asdict(Rules()).items())
    env = Tau2Env("telecom", **asdict(rules))
    env.reset(seed=0)
    assert env._session is not None
    assert env._session.episode.rules == rules


@pytest.mark.parametrize("said", ["done()", STOP, "respond(content='Bye.')"])
@pytest.mark.parametrize("agent_stop", [True, False])
def test_an_agent_ends_the_episode_only_where_it_may(said: str, agent_stop: bool) -> None:
    played = session(agent_stop=agent_stop)
    played.user_acts(HELLO)
    message = played.agent_acts(said)
    ends = agent_stop and not said.startswith("respond")
    assert played.episode.done is ends
    assert (message.content == "Bye.") is (agent_stop and said.startswith("respond"))
