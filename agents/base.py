"""The `Agent` protocols and what an agent sees.

An agent is a function of its view of the episode and a seed. One that needs more than the view,
the exact tokens of its conversation for example, hands it over as `memory` with each reply and gets
it back with the next call. Nothing is hidden in the agent, so that episodes can be forked, resumed
and played hundreds at a time by one agent object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from tau2_gym.actions import Action
from tau2_gym.completion.faults import ContextOverflow
from tau2_gym.completion.metering import Usage
from tau2_gym.errors import ConfigError, InfrastructureError


@dataclass(frozen=True, slots=True)
class AgentView:
    """What an agent sees of an episode when it is to act.

    Attributes:
        domain: the domain's name.
        policy: the domain's policy, as tau2-bench gives it to agents.
        tools: OpenAI function schemas of the tools the agent may call.
        messages: the conversation so far in OpenAI chat form, without a system message.
        ticket: the task as a ticket, in solo mode only.
        turn: how many actions the agent has taken.
        privileged: what an agent must not see (expected actions, user scenario). Only `oracle`
            reads it.
    """

    domain: str
    policy: str
    tools: Sequence[dict[str, Any]]
    messages: Sequence[dict[str, Any]]
    ticket: str | None = None
    turn: int = 0
    privileged: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> AgentView:
        """The view from the `info` that an environment's `reset` and `step` return."""
        return cls(
            domain=info["domain"],
            policy=info["policy"],
            tools=info["tools"],
            messages=info["messages"],
            ticket=info["ticket"],
            turn=info["num_turns"],
            privileged=info["privileged"],
        )


@runtime_checkable
class Agent(Protocol):
    """Something that plays the customer-service agent, called in turn.

    An agent may have a class attribute `domains` with the names of the domains it plays. One without
    plays all of them.
    """

    def act(self, view: AgentView, seed: int) -> Action:
        """The next action. The same view and seed give the same action."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An agent's action with what belongs to it.

    Attributes:
        action: the action; None if the agent cannot act any more (`stop` says why).
        memory: what the agent wants to be given with the next view. Immutable, or never changed.
        usage: what the model call took.
        stop: why the agent cannot continue: `context_overflow` when the conversation no longer fits
            the model. Ends the episode with that reason.
    """

    action: Action | None
    memory: Any = None
    usage: Usage = field(default_factory=Usage)
    stop: str | None = None


@runtime_checkable
class AsyncAgent(Protocol):
    """An agent that waits for something, a model server for example."""

    async def aact(self, view: AgentView, memory: Any, seed: int) -> Reply:
        """The next action. `memory` is that of the last reply in this episode, None at first.

        Raises:
            InfrastructureError: the model could not be reached or did not answer. Never charged to
                the agent.
        """
        ...


def first_prompt_too_long(domain: str, error: ContextOverflow) -> Exception:
    """What it means that not even the first prompt fits the model: a wrong set-up, unless the server
    that says so has answered others."""
    kind = InfrastructureError if error.answered else ConfigError
    return kind(
        f"the first prompt in {domain} is too long for the model ({error}): use prompt='compact', "
        "or a model with a longer context"
    )


__all__ = ["Action", "Agent", "AgentView", "AsyncAgent", "Reply", "Usage", "first_prompt_too_long"]
