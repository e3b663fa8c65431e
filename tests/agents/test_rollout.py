"""Episodes played side by side: nothing lost, nobody blamed for another's fault."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, field
from typing import Any

import pytest

from agents.attempts import Attempt, attempt_seed
from agents.base import AgentView, Reply, Usage
from agents.noop import NoopAgent
from agents.oracle import OracleAgent
from agents.rollout import Limits, Player, rollout
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, InfrastructureError, UserFault
from tau2_gym.types import Message
from tau2_gym.users.base import UserView
from tau2_gym.users.scripted import ScriptedUser


def attempts(domain: str, count: int, trials: int = 1) -> list[Attempt]:
    ids = get_domain(domain).task_ids("base")[:count]
    return [
        Attempt(domain, task_id, trial, attempt_seed(0, domain, task_id, trial))
        for task_id in ids
        for trial in range(trials)
    ]


async def collect(player: Player, todo: list[Attempt], episodes: int = 8) -> list[Any]:
    return [record async for record in rollout(player.play, todo, episodes)]


@dataclass
class Waiting:
    """The oracle, behind a server that takes its time. Counts its calls."""

    latency: float = 0.0
    most: int = 0
    now: int = 0
    memories: list[Any] = field(default_factory=list)

    async def aact(self, view: AgentView, memory: Any, seed: int) -> Reply:
        self.now += 1
        self.most = max(self.most, self.now)
        self.memories.append(memory)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.now -= 1
        return Reply(OracleAgent().act(view, seed), (memory or 0) + 1, Usage(1, 2, 0.5, 1))


def test_a_waiting_agent_and_a_direct_one_play_the_same_episodes() -> None:
    todo = attempts("retail", 4) + attempts("telecom", 4)
    direct = Player(OracleAgent(), ScriptedUser())
    waiting = Player(Waiting(), ScriptedUser())
    one = {record.task_id: record for record in asyncio.run(collect(direct, todo))}
    other = {record.task_id: record for record in asyncio.run(collect(waiting, todo))}
    assert one.keys() == other.keys()
    for task_id, record in one.items():
        assert record.official_reward == 1.0
        assert record.messages == other[task_id].messages
        assert other[task_id].usage.calls == record.num_turns
        assert other[task_id].usage.cost == 0.5 * record.num_turns


def test_memory_is_handed_from_turn_to_turn_within_an_episode() -> None:
    agent = Waiting()
    (record,) = asyncio.run(collect(Player(agent, ScriptedUser()), attempts("retail", 1)))
    assert agent.memories == [None, *range(1, record.num_turns)]


def test_the_limits_on_calls_and_episodes_hold() -> None:
    agent = Waiting(latency=0.002)
    player = Player(agent, ScriptedUser(), limits=Limits(agent_calls=3))
    asyncio.run(collect(player, attempts("retail", 12), episodes=12))
    assert agent.most == 3
    agent = Waiting(latency=0.002)
    asyncio.run(collect(Player(agent, ScriptedUser()), attempts("retail", 12), episodes=5))
    assert agent.most <= 5


def test_all_episodes_wait_at_the_same_time() -> None:
    agent = Waiting(latency=0.05)
    todo = attempts("retail", 64, trials=2)
    asyncio.run(collect(Player(agent, ScriptedUser()), todo, episodes=128))
    assert agent.most == 128


class Failing:
    """A user or an agent that raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def act(self, view: AgentView, seed: int) -> str:
        raise type(self.error)(*self.error.args)

    async def arespond(self, view: UserView, seed: int) -> Message:
        raise self.error


@pytest.mark.parametrize(
    ("agent", "user", "fault"),
    [
        (Failing(ValueError("bug")), ScriptedUser(), "agent"),
        (Failing(InfrastructureError("down")), ScriptedUser(), "infrastructure"),
        (NoopAgent(), Failing(UserFault("mumbled")), "user"),
        (NoopAgent(), Failing(ValueError("bug")), "user"),
        (NoopAgent(), Failing(InfrastructureError("down")), "infrastructure"),
    ],
)
def test_each_fault_is_put_down_to_who_is_to_blame(agent: Any, user: Any, fault: str) -> None:
    (record,) = asyncio.run(collect(Player(agent, user), attempts("retail", 1)))
    assert record.fault == fault
    assert record.official_reward is None
    assert str(getattr(agent, "error", getattr(user, "error", ""))) in record.error
    # What was said until then is kept: the user's greeting, or the agent's.
    assert record.messages
    assert record.messages[0]["role"] == "assistant"


def test_a_wrong_setup_stops_the_run_with_one_error(caplog: pytest.LogCaptureFixture) -> None:
    player = Player(Failing(ConfigError("cannot play this")), ScriptedUser())
    said = ""
    try:
        asyncio.run(collect(player, attempts("retail", 3)))
    except ConfigError as error:
        said = str(error)
    assert said == "cannot play this"
    # An exception that nobody has looked at is reported when its task is collected.
    player.agent = NoopAgent()
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_calls_and_episodes_that_take_too_long_are_infrastructure_faults() -> None:
    for limits, words in (
        (Limits(call_timeout=0.01), "no answer after 0.01 s"),
        (Limits(episode_timeout=0.02), "no end after 0.02 s"),
    ):
        player = Player(Waiting(latency=0.5), ScriptedUser(), limits=limits)
        (record,) = asyncio.run(collect(player, attempts("retail", 1)))
        assert record.fault == "infrastructure"
        assert words in record.error


class Full:
    """A model whose context is full at once."""

    async def aact(self, view: AgentView, memory: Any, seed: int) -> Reply:
        return Reply(None, stop="context_overflow")


def test_a_full_context_ends_the_episode_as_the_agents_own_failure() -> None:
    (record,) = asyncio.run(collect(Player(Full(), ScriptedUser()), attempts("retail", 1)))
    assert (record.termination, record.official_reward) == ("context_overflow", 0.0)
    assert record.fault is None


def test_closing_a_rollout_cancels_everything_under_way() -> None:
    async def scenario() -> tuple[int, int]:
        agent = Waiting(latency=5.0)
        player = Player(agent, ScriptedUser())
        records = rollout(player.play, attempts("retail", 8), 8)
        waiting = asyncio.ensure_future(anext(records))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await records.aclose()
        return agent.now, len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == (0, 1)


@pytest.mark.parametrize(
    "limits", [{"episodes": 0}, {"agent_calls": 0}, {"call_timeout": 0}, {"episode_timeout": -1}]
)
def test_limits_must_be_positive(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Limits(**limits)
