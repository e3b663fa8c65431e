"""Agents that can be plugged into the environments.

To add one: write a class with the method `act` of `agents.base.Agent`, and name it below. One that
does not play every domain names those it does in a class attribute `domains`.
"""

from __future__ import annotations

import importlib
from typing import Any

from agents.base import Action, Agent, AgentView
from agents.models import MODEL_AGENTS
from tau2_gym.domains import DOMAINS
from tau2_gym.errors import one_of

AGENTS = {
    "oracle": "agents.oracle:OracleAgent",
    "noop": "agents.noop:NoopAgent",
    "random": "agents.random:RandomAgent",
    "workflow": "agents.workflow:WorkflowAgent",
    "fixall": "agents.fixall:FixAllAgent",
}


def make_agent(name: str) -> Agent:
    """An offline agent from its name, with its defaults. For models see `agents.models`.

    Raises:
        ConfigError: there is no agent of that name.
    """
    agent: Agent = _agent_class(name)()
    return agent


def agent_domains(name: str) -> tuple[str, ...]:
    """The domains that an agent plays: its attribute `domains`, else all. Models play all.

    Raises:
        ConfigError: there is no agent of that name.
    """
    if name in MODEL_AGENTS:
        return DOMAINS
    domains: tuple[str, ...] = getattr(_agent_class(name), "domains", DOMAINS)
    return domains


def _agent_class(name: str) -> Any:
    if name not in AGENTS:
        raise one_of("agent", name, [*AGENTS, *MODEL_AGENTS])
    module, _, attribute = AGENTS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


__all__ = [
    "AGENTS",
    "MODEL_AGENTS",
    "Action",
    "Agent",
    "AgentView",
    "agent_domains",
    "make_agent",
]
