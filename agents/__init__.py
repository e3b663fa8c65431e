"""Agents that can be plugged into the environments.

One from outside is named by its place, `my_module:Clerk`, or by an entry point of the group
`tau2_gym.agents` in an installed package. It has the method `act` of `agents.base.Agent`, or `aact`
of `AsyncAgent`, and is made without arguments. One that does not play every domain names those it
does in a class attribute `domains`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.base import Action, Agent, AgentView, AsyncAgent
from agents.models import MODEL_AGENTS
from tau2_gym.completion.blocking import run_sync
from tau2_gym.domains import known_domains
from tau2_gym.errors import ConfigError
from tau2_gym.plugins import find, make

AGENTS = {
    "oracle": "agents.oracle:OracleAgent",
    "noop": "agents.noop:NoopAgent",
    "random": "agents.random:RandomAgent",
    "workflow": "agents.workflow:WorkflowAgent",
    "fixall": "agents.fixall:FixAllAgent",
}


GROUP = "tau2_gym.agents"
"""The group of entry points by which installed packages name agents."""


def make_agent(name: str) -> Agent | AsyncAgent:
    """An agent from its name, with its defaults. For models see `agents.models`.

    Args:
        name: one of `AGENTS`, `MODULE:CLASS`, or an entry point of the group `tau2_gym.agents`.

    Raises:
        ConfigError: the agent is unknown, or cannot be made.
    """
    known = [*AGENTS, *MODEL_AGENTS]
    agent: Agent | AsyncAgent = make("agent", AGENTS.get(name, name), GROUP, known, "act,aact")
    return agent


def agent_domains(name: str) -> tuple[str, ...]:
    """The domains that an agent plays: its attribute `domains`, else all. Models play all.

    Raises:
        ConfigError: the agent is unknown, or its `domains` are not names.
    """
    if name in MODEL_AGENTS:
        return known_domains()
    known = [*AGENTS, *MODEL_AGENTS]
    domains: Any = getattr(find("agent", AGENTS.get(name, name), GROUP, known), "domains", None)
    if domains is None:
        return known_domains()
    if not isinstance(domains, tuple | list | set | frozenset) or not domains:
        raise ConfigError(f"agent {name!r}: domains must be a tuple of names, not {domains!r}")
    if not all(isinstance(domain, str) for domain in domains):
        raise ConfigError(f"agent {name!r}: domains must be a tuple of names, not {domains!r}")
    return tuple(domains)


def player(name: str, domain: str) -> Callable[[dict[str, Any], Any, int], tuple[Any, Any]]:
    """An agent as `tau2_gym.envs.user_env` takes it.

    Raises:
        ConfigError: the agent is unknown, is a model, whose options a name does not tell, or does not play the
            domain.
    """
    if name in MODEL_AGENTS:
        raise ConfigError(f"agent {name!r} is a model: pass serving(make_model_agent(...)) instead")
    if domain not in agent_domains(name):
        raise ConfigError(
            f"agent {name!r} plays {', '.join(agent_domains(name))} only, not {domain}"
        )
    return serving(make_agent(name))


def serving(agent: Agent | AsyncAgent) -> Callable[[dict[str, Any], Any, int], tuple[Any, Any]]:
    """Any agent as the function that `tau2_gym.envs.user_env` calls."""

    def serve(info: dict[str, Any], memory: Any, seed: int) -> tuple[Any, Any]:
        view = AgentView.from_info(info)
        if isinstance(agent, AsyncAgent):
            reply = run_sync(agent.aact(view, memory, seed))
            return reply.action, reply.memory
        return agent.act(view, seed), None

    return serve


__all__ = [
    "AGENTS",
    "MODEL_AGENTS",
    "Action",
    "Agent",
    "AgentView",
    "AsyncAgent",
    "agent_domains",
    "make_agent",
    "player",
    "serving",
]
