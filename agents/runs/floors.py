"""What agents without a model get on the tasks of a run: the numbers to hold its own against."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from agents import agent_domains
from agents.attempts import Attempt
from agents.models import MODEL_AGENTS
from agents.runs import setup as setups
from agents.runs.driver import results
from agents.runs.setup import Setup, make_player
from tau2_gym.errors import ConfigError
from tau2_gym.results.record import TaskKey
from tau2_gym.results.summary import summarise


def check_floors(names: Sequence[str], domains: Sequence[str]) -> None:
    """Check that these agents can be floors.

    Raises:
        ConfigError: one is unknown, is a model, or does not play a domain.
    """
    for name in names:
        if name in MODEL_AGENTS:
            raise ConfigError(f"a floor is an agent without a model, and {name!r} is one")
        able = agent_domains(name)
        for domain in domains:
            if domain.partition(":")[0] not in able:
                raise ConfigError(f"agent {name!r} plays {', '.join(able)} only, not {domain}")


def play_floors(
    names: Sequence[str],
    setup: Setup,
    attempts: Sequence[Attempt],
    k: int,
    workers: int,
    unjudged: Collection[TaskKey],
) -> dict[str, dict[str, Any]]:
    """The summaries of agents on the same attempts, with the scripted user, by their names. They have no judge, so
    the tasks that need one are left out of them, whether or not the run has one.

    Args:
        names: the agents. The agent of the run itself is left out.
        setup: the run.
        attempts: what it plays.
        k: up to which k to compute pass@k and pass^k.
        workers: processes.
        unjudged: tasks that need a judge, in a run without one.
    """
    found = {}
    for name in names:
        if name == setup.agent:
            continue
        own = replace(setup, agent=name, user="scripted", model=None, judge=None, cassette=None)
        played = {
            (record.domain, record.task_id, record.trial): record.to_dict()
            for record in results(own, make_player(own), attempts, workers)
        }
        rows = [played[attempt.key] for attempt in attempts]
        left = {*unjudged, *setups.unjudged(own, attempts)}
        found[name] = summarise(rows, k, setup.seed, left)
    return found
