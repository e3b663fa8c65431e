"""The `Agent` protocol and what an agent sees.

An agent is a function of its view of the episode and a seed, without hidden state, so that forked
and resumed episodes need nothing but their messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Action = str | dict[str, Any]
"""What an environment's `step` takes: text in any accepted form, or an OpenAI assistant message."""


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
        privileged: what an agent must not see (gold actions, user scenario). Only `oracle` reads it.
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
    """Something that plays the customer-service agent."""

    def act(self, view: AgentView, seed: int) -> Action:
        """The next action. The same view and seed give the same action."""
        ...
