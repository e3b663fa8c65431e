"""Play an episode yourself: `tau2-gym play`."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agents.attempts import Attempt, attempt_seed
from agents.person import Leaves, PersonAgent, PersonUser, Screen
from agents.rollout import Limits
from agents.runs.setup import Setup, agent_model, domains_to_play, make_player
from agents.runs.store import Store
from agents.sampling import SamplingParams
from benchmarks.passk import default_output
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.exits import INTERRUPTED, PLAIN, Command, end_with_faults, ending
from tau2_gym.rewards import PRESETS
from tau2_gym.values import address

app = typer.Typer(add_completion=False)

PERSON = "person"

WEEK = 7 * 24 * 3600.0
"""Seconds: a person may take their time."""


class Side(StrEnum):
    """Who the person is."""

    agent = "agent"
    user = "user"


@app.command(cls=Command)
def main(
    domain: Annotated[str, typer.Argument(help="airline, retail, telecom, mock, or another.")],
    side: Annotated[Side, typer.Option("--as", help="Who you are.")] = Side.agent,
    task: Annotated[str | None, typer.Option(help="Its id; by default the seed picks one.")] = None,
    split: Annotated[str, typer.Option(help="Where the seed picks from.")] = "test",
    seed: Annotated[int, typer.Option(help="Decides everything random.", min=0)] = 0,
    agent: Annotated[str, typer.Option(help="The agent, if you are the user.")] = "oracle",
    model: Annotated[str, typer.Option(help="Of an agent that is a model.")] = "",
    base_url: Annotated[str | None, typer.Option(help="Where that model is served.")] = None,
    user: Annotated[str, typer.Option(help="The user, if you are the agent.")] = "scripted",
    reward: Annotated[str, typer.Option(help=f"{', '.join(PRESETS)}.")] = "progress",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="JSON lines; the attempt is added.", dir_okay=False),
    ] = None,
) -> None:
    """Be the agent, or the user, with the reward of each turn beside the conversation.

    The attempt is written like any other, and `tau2-gym report` shows it.
    """
    console = Console()
    with ending(console):
        if side is Side.user:
            domains_to_play(agent, [domain])
        url = address(base_url, "--base-url")
        found = agent_model(
            agent, model, (url,) if url else (), "official", None, SamplingParams(seed=seed)
        ) if side is Side.user else None  # fmt: skip
        setup = Setup(
            agent="noop" if side is Side.agent else agent,
            user=user if side is Side.agent else "scripted",
            seed=seed,
            reward=reward,
            max_steps=200,
            max_errors=10,
            source="inspect-evals",
            data_dir=None,
            model=found,
            limits=Limits(episode_timeout=WEEK),
        )
        setup.check([domain], None if task else split, 1)
        if side is Side.user and get_domain(domain).answered:
            raise ConfigError(f"{domain} has no user: the agent's answer ends the episode")
        sit(setup, side, domain, _chosen(domain, split, seed, task), output, console)


def _chosen(domain: str, split: str, seed: int, task: str | None) -> str:
    """The task that is played.

    Raises:
        ConfigError: there is none of that id, or no such split.
    """
    world = get_domain(domain)
    if task is None:
        return random.Random(seed).choice(world.task_ids(split))
    return world.task(task).id


def sit(
    setup: Setup, side: Side, domain: str, task: str, output: Path | None, console: Console
) -> None:
    """Play one attempt, and write it.

    Raises:
        ConfigError: the set-up is not that of the results already there.
        typer.Exit: the person left before the end.
    """
    as_agent = side is Side.agent
    played = replace(setup, agent=PERSON) if as_agent else replace(setup, user=PERSON)
    revisions = {domain: setup.domain(domain).revision}
    identity = {**played.identity(), "revisions": revisions}
    path = output or default_output(played, [domain], identity, "play")
    store = Store(path, played.identity(), revisions)
    trial = 1 + max((key[2] for key in store.records if key[:2] == (domain, task)), default=-1)
    screen = Screen(console, console.input, side.value)
    player = replace(make_player(setup), watch=screen.watch)
    player = (
        replace(player, agent=PersonAgent(screen))
        if as_agent
        else replace(player, user=PersonUser(screen))
    )
    console.print(f"{domain}, task {task}. You are the {side}.", **PLAIN)
    for name, what in screen.commands().items():
        console.print(f"  {name:8} {what}", **PLAIN)
    attempt = Attempt(domain, task, trial, attempt_seed(setup.seed, domain, task, trial))
    try:
        record = asyncio.run(player.play(attempt))
    except (Leaves, KeyboardInterrupt):
        if not store.path.exists():
            store.setup_path.unlink(missing_ok=True)
        console.print("\nYou have left before the end: nothing is written.", **PLAIN)
        raise typer.Exit(INTERRUPTED) from None
    store.add(record.to_dict())
    console.print(f"Attempt {trial} at this task: {store.path}", **PLAIN)
    end_with_faults(console, [record.to_dict()])
