"""Agents that can be plugged into the environments.

To add one: write a class with the method `act` of `agents.base.Agent`, and name it below.
"""

from __future__ import annotations

import importlib

from agents.base import Action, Agent, AgentView
from agents.models import MODEL_AGENTS
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
    if name not in AGENTS:
        raise one_of("agent", name, [*AGENTS, *MODEL_AGENTS])
    module, _, attribute = AGENTS[name].partition(":")
    agent: Agent = getattr(importlib.import_module(module), attribute)()
    return agent


__all__ = ["AGENTS", "MODEL_AGENTS", "Action", "Agent", "AgentView", "make_agent"]
