"""Episodes between an asynchronous agent and an asynchronous user, played one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.base import AgentView, AsyncAgent, Usage
from tau2_gym.completion import metered
from tau2_gym.domains.base import get_domain
from tau2_gym.rewards import RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.session import Outcome, Session
from tau2_gym.types import Role, Task
from tau2_gym.users.base import AsyncUser


async def play(
    agent: AsyncAgent,
    user: AsyncUser,
    task: Task,
    seed: int = 0,
    *,
    max_steps: int = 100,
    keep: Callable[[Any], object] = lambda memory: None,
) -> tuple[Outcome, Usage]:
    """The last outcome of an episode, and what the agent's calls took. `keep` is given each of the
    agent's memories."""
    rules = Rules(max_steps=max_steps)
    session = Session(get_domain(task.domain), task, rules, RewardConfig(), seed)
    memory, took = None, Usage()
    while True:
        while session.turn is Role.USER:
            session.user_acts(await user.arespond(session.user_view(), session.user_seed))
        outcome = session.settle()
        if session.turn is None:
            return outcome, took
        reply = await agent.aact(AgentView.from_info(outcome.info), memory, seed)
        assert reply.action is not None
        memory, took = reply.memory, took + reply.usage
        keep(memory)
        session.agent_acts(reply.action)


async def play_metered(
    agent: AsyncAgent, user: AsyncUser, task: Task, seed: int = 0, *, max_steps: int = 100
) -> tuple[Outcome, Usage, Usage]:
    """As `play`, with what the calls of both sides took together."""
    with metered() as meter:
        outcome, took = await play(agent, user, task, seed, max_steps=max_steps)
    return outcome, took, meter.usage
