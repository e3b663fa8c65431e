"""How much the rollout driver adds to what it waits for: `python -m benchmarks.driver`.

Episodes of a fixed number of turns are played side by side with an agent and a user whose every call
takes a fixed time. The critical path is the waiting of one episode; everything beyond it is our
overhead.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console

from agents.attempts import Attempt, attempt_seed
from agents.base import AgentView, Reply
from agents.rollout import Limits, Player, rollout
from benchmarks.in_process import measure_model
from tau2_gym.domains.base import get_domain
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.results.record import Record
from tau2_gym.rules import Rules
from tau2_gym.types import Message
from tau2_gym.users.base import STOP, UserView
from tau2_gym.values import finite

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class SlowAgent:
    """Looks the customer up, again and again, after a wait."""

    latency: float

    async def aact(self, view: AgentView, memory: Any, seed: int) -> Reply:
        """A tool call and a sentence, alternating."""
        await asyncio.sleep(self.latency)
        if view.turn % 2:
            return Reply(f"I am still looking into it, step {view.turn}.")
        call = '{"name": "get_customer_by_phone", "arguments": {"phone_number": "555-123-2002"}}'
        return Reply(f"<tool_call>{call}</tool_call>")


@dataclass(frozen=True)
class SlowUser:
    """Listens for a number of sentences, after a wait each."""

    sentences: int
    latency: float

    async def arespond(self, view: UserView, seed: int) -> Message:
        """Patience, then the end."""
        await asyncio.sleep(self.latency)
        said = sum(message.role == "user" for message in view.messages)
        return Message("user", "Go on." if said < self.sentences else STOP)


async def play(episodes: int, turns: int, latency: float) -> list[Record]:
    """All episodes, side by side."""
    ids = get_domain("telecom").task_ids("full")[:episodes]
    player = Player(
        SlowAgent(latency),
        SlowUser(turns // 2, latency),
        rules=Rules(max_steps=10 * turns),
        limits=Limits(episodes=episodes, agent_calls=episodes, user_calls=episodes),
    )
    attempts = [Attempt("telecom", name, 0, attempt_seed(0, "telecom", name, 0)) for name in ids]
    return [record async for record in rollout(player.play, attempts, episodes)]


@app.command(cls=Command)
def main(
    episodes: Annotated[int, typer.Option(help="Played side by side.", min=1, max=2285)] = 256,
    turns: Annotated[int, typer.Option(help="Of the agent, in each.", min=2, max=1000)] = 20,
    latency: Annotated[
        float,
        typer.Option(help="Seconds that each call takes.", callback=finite(0.0, 60.0, above=True)),
    ] = 0.2,
    model: Annotated[
        str | None,
        typer.Option(
            help="Instead, time a model in this process, with and without keeping conversations."
        ),
    ] = None,
) -> None:
    """Play episodes against calls of fixed latency, and compare with the waiting of one."""
    console = Console(highlight=False)
    with ending(console):
        if model is not None:
            console.print(measure_model(model, episodes, turns), **PLAIN)
        else:
            console.print(measure(episodes, turns, latency))


def measure(episodes: int, turns: int, latency: float) -> str:
    """Play, and say how long it took."""
    domain = get_domain("telecom")
    for task_id in domain.task_ids("full")[:episodes]:
        domain.start(domain.task(task_id))
        domain.expected(domain.task(task_id))
    begun = time.perf_counter()
    records = asyncio.run(play(episodes, turns, latency))
    took = time.perf_counter() - begun
    users = turns // 2 + 1
    path = (records[0].num_turns + users) * latency
    return (
        f"{len(records)} episodes of {records[0].num_turns} turns: {took:.2f} s; "
        f"critical path {path:.2f} s; ratio {took / path:.2f}"
    )


if __name__ == "__main__":
    app()
