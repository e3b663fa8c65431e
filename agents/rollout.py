"""Playing episodes, one or hundreds at a time, on one thread.

An episode is an asyncio task. What takes long, calls of models, is awaited; what an environment does
takes a fraction of a millisecond and runs in between. Only domains that say that they are slow, because
their tools run programs, are given an action on a thread of a pool. A failing server, a failing user and a failing
agent are kept apart, and none of them counts as the policy's failure.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from agents.attempts import Attempt
from agents.base import Agent, AgentView, AsyncAgent, Reply
from tau2_gym.actions import Action, check_action
from tau2_gym.completion.clocks import at_most, stopped_clocks
from tau2_gym.completion.metering import metered
from tau2_gym.completion.redaction import redact
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, InfrastructureError, Tau2GymError, UserFault
from tau2_gym.judge import Judge, judged_reward
from tau2_gym.results.record import Record
from tau2_gym.rewards import Ledger, RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.session import Outcome, Session
from tau2_gym.types import Fault, Message, Role
from tau2_gym.users.base import AsyncUser, User

if TYPE_CHECKING:
    from agents.trajectory import Trajectory

T = TypeVar("T")

SLOW_ACTIONS = 64
"""Actions under way at a time in slow domains. How many programs run at a time is for the sandbox to say."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may run at once, and how long it may take.

    Attributes:
        episodes: episodes under way at a time.
        agent_calls, user_calls: calls of models that wait at a time, for each side.
        call_timeout: seconds for one call, retries included.
        episode_timeout: seconds for one episode. Neither counts the time for which a server is down
            and waited for (`tau2_gym.completion.servers`).

    Raises:
        ConfigError: a limit is not positive.
    """

    episodes: int = 256
    agent_calls: int = 128
    user_calls: int = 128
    call_timeout: float = 600.0
    episode_timeout: float = 3600.0

    def __post_init__(self) -> None:
        if min(self.episodes, self.agent_calls, self.user_calls) < 1:
            raise ConfigError("at least one episode and one call must be allowed at a time")
        if not (self.call_timeout > 0 and self.episode_timeout > 0):
            raise ConfigError("time-outs must be positive numbers of seconds")


class AgentFault(RuntimeError):
    """The agent's own code failed."""


@runtime_checkable
class KeepsTokens(Protocol):
    """An agent that knows the tokens of its conversation."""

    def trajectory(self, memory: Any, ledgers: Sequence[Ledger], /, **meta: Any) -> Trajectory:
        """The tokens of an episode that has ended."""
        ...


@runtime_checkable
class Closes(Protocol):
    """An agent or user that holds connections."""

    async def close(self) -> None:
        """Let go of them."""
        ...


@dataclass
class Player:
    """Lets one agent and one user play attempts at tasks.

    Attributes:
        agent: called in turn, or awaited if it has `aact`.
        user: called in turn, or awaited if it has `arespond`.
        rules, reward, source, data_dir: of the environment.
        limits: see `Limits`.
        judge: decides natural-language assertions; without one such tasks stay ungraded.
        keep_tokens: put the tokens of an agent that knows them into the records.
        watch: called after every turn, and at the start, with the episode and what the turn led to.
    """

    agent: Agent | AsyncAgent
    user: User | AsyncUser
    rules: Rules = field(default_factory=Rules)
    reward: RewardConfig = field(default_factory=RewardConfig)
    source: str = "inspect-evals"
    data_dir: str | None = None
    limits: Limits = field(default_factory=Limits)
    judge: Judge | None = None
    keep_tokens: bool = False
    watch: Callable[[Session, Outcome], None] | None = None

    def __post_init__(self) -> None:
        self._agent_gate = asyncio.Semaphore(self.limits.agent_calls)
        self._user_gate = asyncio.Semaphore(self.limits.user_calls)

    @property
    def waits(self) -> bool:
        """Whether a model is involved. If so, many episodes are played side by side in one process."""
        waiting = isinstance(self.agent, AsyncAgent) or isinstance(self.user, AsyncUser)
        return waiting or self.judge is not None

    async def play(self, attempt: Attempt) -> Record:
        """Play one attempt to its end, and record how it went.

        Raises:
            Tau2GymError: the run is set up wrongly (an agent that cannot play this domain, say),
                which no other attempt would cure.
        """
        domain = get_domain(attempt.domain, self.source, self.data_dir)
        task = domain.task(attempt.task_id)
        session = Session(domain, task, self.rules, self.reward, attempt.seed)
        record = Record(
            attempt.domain, attempt.task_id, attempt.trial, attempt.seed, domain.revision
        )
        try:
            async with at_most(self.limits.episode_timeout):
                await self._play(session, attempt, record)
        except Tau2GymError:
            raise
        except UserFault as error:
            _blame(record, Fault.USER, error)
        except AgentFault as error:
            _blame(record, Fault.AGENT, error.__cause__ or error)
        except TimeoutError:
            limit = self.limits.episode_timeout
            _blame(record, Fault.INFRASTRUCTURE, TimeoutError(f"no end after {limit} s"))
        except Exception as error:
            _blame(record, Fault.INFRASTRUCTURE, error)
        record.messages = [message.to_dict() for message in session.episode.messages]
        return record

    async def close(self) -> None:
        """Let go of the connections that agent and user hold."""
        for party in (self.agent, self.user):
            if isinstance(party, Closes):
                await party.close()

    async def _play(self, session: Session, attempt: Attempt, record: Record) -> None:
        outcome = await self._answer(session, record)
        memory: Any = None
        while session.turn is Role.AGENT:
            reply = await self._act(AgentView.from_info(outcome.info), memory, attempt.seed)
            record.usage += reply.usage
            memory = reply.memory
            if reply.action is None:
                record.termination, record.official_reward = reply.stop, 0.0
                if record.rewards:
                    record.amend(_sum(record.rewards[-1], session.cut()))
                break
            await self._deliver(session, reply.action)
            outcome = await self._answer(session, record)
            record.pay(outcome.info["reward_terms"])
        if session.awaits_agent and session.episode.done:
            # Over before the agent's first turn: what the episode earned counts all the same.
            session.agent_acts("")
            record.pay(session.settle().info["reward_terms"])
        if session.ungraded:
            await self._judge(session, record)
        if self.keep_tokens and isinstance(self.agent, KeepsTokens) and memory is not None:
            meta = {"domain": attempt.domain, "task_id": attempt.task_id, "trial": attempt.trial}
            record.tokens = self.agent.trajectory(memory, record.rewards, **meta).to_json()

    async def _deliver(self, session: Session, action: Action) -> None:
        if session.episode.domain.slow:
            here = asyncio.get_running_loop()
            await here.run_in_executor(_threads(), session.agent_acts, action)
        else:
            session.agent_acts(action)

    async def _answer(self, session: Session, record: Record) -> Outcome:
        """Let the user act until it is the agent's turn, or the end."""
        with metered() as meter:
            while session.turn is Role.USER:
                session.user_acts(await self._respond(session))
        record.user_usage += meter.usage
        outcome = session.settle()
        record.observe(outcome.info)
        if self.watch is not None:
            self.watch(session, outcome)
        return outcome

    async def _judge(self, session: Session, record: Record) -> None:
        """Ask the judge, if there is one, for what only a reader can decide."""
        episode = session.episode
        assert episode.termination is not None
        judgement = await judged_reward(
            episode.task, session.checks(), episode.termination, episode.messages, self.judge
        )
        record.verdicts = [asdict(verdict) for verdict in judgement.verdicts]
        if judgement.reward is not None:
            outcome = session.judged(judgement.reward)
            record.official_reward, record.ungraded = judgement.reward, None
            record.amend(outcome.info["reward_terms"])
        if judgement.fault is not None:
            record.fault, record.error = judgement.fault.value, judgement.reason

    async def _act(self, view: AgentView, memory: Any, seed: int) -> Reply:
        agent = self.agent
        try:
            if isinstance(agent, AsyncAgent):
                reply = await self._call(self._agent_gate, lambda: agent.aact(view, memory, seed))
            else:
                reply = Reply(agent.act(view, seed))
        except (Tau2GymError, InfrastructureError):
            raise
        except (Exception, SystemExit) as error:
            raise AgentFault(str(error)) from error
        _check_reply(reply)
        return reply

    async def _respond(self, session: Session) -> Message:
        user, view = self.user, session.user_view()
        try:
            if isinstance(user, AsyncUser):
                return await self._call(
                    self._user_gate, lambda: user.arespond(view, session.user_seed)
                )
            return user.respond(view, session.user_seed)
        except (Tau2GymError, InfrastructureError, UserFault):
            raise
        except (Exception, SystemExit) as error:
            raise UserFault(f"{type(error).__name__}: {error}") from error

    async def _call(self, gate: asyncio.Semaphore, call: Callable[[], Awaitable[T]]) -> T:
        """Await a model's answer when there is room for the call.

        Raises:
            InfrastructureError: no answer in time.
        """
        limit = self.limits.call_timeout
        with stopped_clocks():  # Those before it may be waiting for a server that is down.
            await gate.acquire()
        try:
            async with at_most(limit):
                return await call()
        except TimeoutError as error:
            raise InfrastructureError(f"no answer after {limit} s") from error
        finally:
            gate.release()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(SLOW_ACTIONS, "slow-action")


os.register_at_fork(after_in_child=_threads.cache_clear)  # a fork has none of the threads


def _check_reply(reply: Any) -> None:
    """See that an agent gave an action, or a reason why it gives none.

    Raises:
        AgentFault: it did not.
    """
    try:
        if not isinstance(reply, Reply):
            raise TypeError(f"aact must return a Reply, not a {type(reply).__name__}")
        if reply.action is not None or not isinstance(reply.stop, str):
            check_action(reply.action)
    except (TypeError, ConfigError) as error:
        raise AgentFault(str(error)) from error


def _sum(one: Ledger, other: Ledger) -> Ledger:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


def _blame(record: Record, fault: Fault, error: BaseException) -> None:
    record.fault = fault.value
    record.error = redact(f"{type(error).__name__}: {error}")
    record.official_reward = None


async def rollout(
    play: Callable[[Attempt], Awaitable[Record]], attempts: Iterable[Attempt], episodes: int
) -> AsyncGenerator[Record, None]:
    """Play attempts, `episodes` at a time, and give the records as they finish.

    Attempts are started in the order given, so that the samples of a group start together if they
    follow one another. Closing the iterator cancels what is under way and waits until it is gone.
    """
    queue = iter(attempts)
    pending: set[asyncio.Future[Record]] = set()
    finished: set[asyncio.Future[Record]] = set()
    try:
        while True:
            for attempt in itertools.islice(queue, episodes - len(pending)):
                pending.add(asyncio.ensure_future(play(attempt)))
            if not pending:
                return
            finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                yield task.result()
    finally:
        for task in pending:
            task.cancel()
        # Those that finished, too: if one of them raised, the others were not looked at.
        await asyncio.gather(*finished, *pending, return_exceptions=True)
