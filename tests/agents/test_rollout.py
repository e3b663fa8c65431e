"""Episodes played side by side: nothing lost, nobody blamed for another's fault."""

from __future__ import annotations

import asyncio
import gc
import json
from dataclasses import dataclass, field, fields
from types import SimpleNamespace
from typing import Any

import pytest

from agents import rollout as rollout_module
from agents.attempts import Attempt, attempt_seed
from agents.base import AgentView, Reply, Usage
from agents.noop import NoopAgent
from agents.oracle import OracleAgent
from agents.rollout import Limits, Player, rollout
from tau2_gym.completion.metering import charge
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, InfrastructureError, UserFault
from tau2_gym.session import Session
from tau2_gym.types import Message, ToolCall
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
    assert agent.most == 5


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


class Says:
    """An agent or a user that gives one thing, whatever it is."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def act(self, view: AgentView, seed: int) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    respond = act


class SaysLater:
    """The same, but waiting."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def aact(self, view: AgentView, memory: Any, seed: int) -> Any:
        return self.answer

    async def arespond(self, view: UserView, seed: int) -> Any:
        return self.answer


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

NO_ACTION = [
    (None, "not NoneType"),
    (0.5, "not float"),
    ({"role": "user", "content": "I am the user now."}, "allowed: assistant"),
    (SystemExit("bye"), "SystemExit: bye"),
]
NO_REPLY = [
    *[(Reply(answer), said) for answer, said in NO_ACTION if not isinstance(answer, SystemExit)],
    (Reply(None, stop=42), "not NoneType"),  # type: ignore[arg-type]
    ("hello", "must return a Reply, not a str"),
    (None, "must return a Reply, not a NoneType"),
]
NO_MESSAGE = [
    (None, "answered with a NoneType"),
    ("hello", "answered with a str"),
    (Message("assistant", "Hello"), "of role 'assistant'"),
    (Message("tool", "Hello"), "of role 'tool'"),
    (Message("user", ""), "message is empty"),
    (Message("user", 5), "text is a int"),  # type: ignore[arg-type]
    (Message("user", None, (ToolCall("look", {"where": {1, 2}}),)), "set is not JSON"),
    (Message("user", None, (ToolCall("look", {"where": CYCLE}),)), "Circular reference"),
    (Message("user", None, ("look",)), "it is a str"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("agent", "user", "fault", "said"),
    [
        *[(Says(answer), ScriptedUser(), "agent", said) for answer, said in NO_ACTION],
        *[(SaysLater(answer), ScriptedUser(), "agent", said) for answer, said in NO_REPLY],
        *[(NoopAgent(), kind(answer), "user", said)
          for answer, said in NO_MESSAGE for kind in (Says, SaysLater)],
        (NoopAgent(), Says(SystemExit("bye")), "user", "SystemExit: bye"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_the_fault_of_who_gave_it(
    agent: Any, user: Any, fault: str, said: str
) -> None:
    (record,) = asyncio.run(collect(Player(agent, user), attempts("retail", 1)))
    assert record.fault == fault
    assert said in record.error
    assert record.official_reward is None
    json.dumps(record.to_dict())  # It can be kept.


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


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_limits_must_be_positive(name: str) -> None:
    assert getattr(Limits(**{name: 1}), name) == 1
    for value in (0, -1):
        with pytest.raises(ConfigError):
            Limits(**{name: value})


def test_the_default_limits() -> None:
    assert Limits() == Limits(256, 128, 128, 600.0, 3600.0)


@dataclass
class Elsewhere:
    """The scripted user, behind a server that takes its time. Counts its calls."""

    latency: float = 0.0
    most: int = 0
    now: int = 0
    seeds: set[int] = field(default_factory=set)

    async def arespond(self, view: UserView, seed: int) -> Message:
        self.now += 1
        self.most = max(self.most, self.now)
        self.seeds.add(seed)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.now -= 1
        charge(Usage(3, 4, 0.25, 1))
        return ScriptedUser().respond(view, seed)


def test_a_user_that_is_waited_for_plays_the_same_episodes() -> None:
    todo = attempts("retail", 3)
    direct = asyncio.run(collect(Player(OracleAgent(), ScriptedUser()), todo))
    user = Elsewhere()
    waited = asyncio.run(collect(Player(OracleAgent(), user), todo))
    by_task = {record.task_id: record for record in waited}
    for record in direct:
        other = by_task[record.task_id]
        assert (record.messages, record.rewards) == (other.messages, other.rewards)
        turns = sum(message["role"] == "user" for message in other.messages)
        assert other.user_usage == Usage(3 * turns, 4 * turns, 0.25 * turns, turns)
        assert (other.usage, record.user_usage) == (Usage(), Usage())
        assert other.revision == get_domain("retail").revision
    assert len(user.seeds) == 3


def test_the_limits_on_a_users_calls_hold() -> None:
    user = Elsewhere(latency=0.002)
    player = Player(OracleAgent(), user, limits=Limits(user_calls=3))
    asyncio.run(collect(player, attempts("retail", 12), episodes=12))
    assert user.most == 3
    late = Player(OracleAgent(), Elsewhere(latency=0.5), limits=Limits(call_timeout=0.01))
    (record,) = asyncio.run(collect(late, attempts("retail", 1)))
    assert (record.fault, record.official_reward) == ("infrastructure", None)
    assert "no answer after 0.01 s" in record.error


@dataclass
class Filling(Waiting):
    """The oracle, until its context is full. Knows its tokens, and holds a connection."""

    turns: int = 3
    closed: bool = False

    async def aact(self, view: AgentView, memory: Any, seed: int) -> Reply:
        if view.turn >= self.turns:
            return Reply(None, memory, stop="context_overflow")
        return await super().aact(view, memory, seed)

    def trajectory(self, memory: Any, ledgers: Any, /, **meta: Any) -> Any:
        kept = {"memory": memory, "ledgers": ledgers, **meta}
        return SimpleNamespace(to_json=lambda: json.dumps(kept))

    async def close(self) -> None:
        self.closed = True


def test_what_the_end_of_a_full_context_pays_belongs_to_the_last_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    todo = attempts("airline", 9)[-1:]
    (whole,) = asyncio.run(collect(Player(Waiting(), ScriptedUser()), todo))
    monkeypatch.setattr(Session, "cut", lambda self: {"overlong": -0.5, "official": 0.0})
    (cut,) = asyncio.run(collect(Player(Filling(), ScriptedUser()), todo))
    assert whole.num_turns > 4
    assert cut.rewards[:2] == whole.rewards[:2]
    last = whole.rewards[2]
    assert list(cut.rewards[2].items()) == [*last.items(), ("overlong", -0.5)]
    assert cut.reward == pytest.approx(sum(sum(each.values()) for each in cut.rewards))


def test_what_it_pays_is_added_to_no_other_turns_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    todo = attempts("retail", 1)
    (whole,) = asyncio.run(collect(Player(Waiting(), ScriptedUser()), todo))
    *earlier, last = whole.rewards[:5]
    assert last not in earlier
    monkeypatch.setattr(Session, "cut", lambda self: {"overlong": -0.5})
    (cut,) = asyncio.run(collect(Player(Filling(turns=5), ScriptedUser()), todo))
    assert cut.rewards == [*earlier, {**last, "overlong": -0.5}]


@pytest.mark.parametrize("keep", [True, False])
def test_tokens_are_kept_of_agents_that_know_them(keep: bool) -> None:
    todo = attempts("airline", 1, trials=2)[1:]
    for agent, known in ((Filling(), True), (Waiting(), False), (OracleAgent(), False)):
        player = Player(agent, ScriptedUser(), keep_tokens=keep)
        (record,) = asyncio.run(collect(player, todo))
        assert (record.tokens is not None) == (keep and known)
        if record.tokens is not None:
            assert json.loads(record.tokens) == {
                "memory": record.num_turns,
                "ledgers": record.rewards,
                "domain": "airline",
                "task_id": todo[0].task_id,
                "trial": 1,
            }
    # Of an agent that never said anything there are none.
    (record,) = asyncio.run(
        collect(Player(Filling(turns=0), ScriptedUser(), keep_tokens=keep), todo)
    )
    assert record.tokens is None


def test_connections_are_let_go_of() -> None:
    agent, user = Filling(), Filling()
    asyncio.run(Player(agent, user).close())  # type: ignore[arg-type]
    assert agent.closed
    assert user.closed
    asyncio.run(Player(OracleAgent(), ScriptedUser()).close())


def test_episodes_are_played_on_the_source_and_the_folder_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def get(*where: Any) -> Any:
        asked.append(where)
        return get_domain(where[0])

    monkeypatch.setattr(rollout_module, "get_domain", get)
    for options in ({"source": "elsewhere", "data_dir": "there"}, {}):
        player = Player(OracleAgent(), ScriptedUser(), **options)  # type: ignore[arg-type]
        asyncio.run(collect(player, attempts("mock", 1)))
    assert asked == [("mock", "elsewhere", "there"), ("mock", "inspect-evals", None)]
