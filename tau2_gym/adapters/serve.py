"""`tau2-gym serve`: the environments behind a port, for other processes."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.journal import Journal
from tau2_gym.rewards import PRESETS
from tau2_gym.values import finite, listed

app = typer.Typer(no_args_is_help=True, add_completion=False)

LONGEST_MESSAGE = 2**20
"""Bytes that a client may send at once."""


@app.callback()
def main() -> None:
    """Serve episodes to other processes."""


@app.command(cls=Command)
def mcp(
    domain: Annotated[str, typer.Argument(help="airline, retail, telecom, mock, or another.")],
    task: Annotated[str | None, typer.Option(help="Its id; by default the seed picks one.")] = None,
    split: Annotated[str, typer.Option(help="Where the seed picks from.")] = "test",
    seed: Annotated[int, typer.Option(help="Decides everything random.", min=0)] = 0,
    user: Annotated[str, typer.Option(help="Who plays the user.")] = "scripted",
    reward: Annotated[str, typer.Option(help=f"{', '.join(PRESETS)}.")] = "progress",
    max_steps: Annotated[int, typer.Option(min=1, help="Most messages in the episode.")] = 100,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="JSON lines that the attempt is added to.", dir_okay=False
        ),
    ] = None,
) -> None:
    """Serve one episode as an MCP server on standard input and output: the client is the agent."""
    console = Console(stderr=True)
    with ending(console):
        try:
            import anyio

            from tau2_gym.adapters import mcp as adapter
        except ModuleNotFoundError as error:
            raise missing(error, "mcp") from None
        played = split if task is None else "base"
        env = Tau2Env(domain, task_split=played, user=user, reward=reward, max_steps=max_steps)
        if env.domain.answered:
            raise ConfigError(f"{domain} has no user to respond to")
        episode = adapter.Episode(env, seed, task)
        anyio.run(adapter.serve, episode)
        record = episode.finished()
        if output is not None:
            Journal(output).append(record.to_dict())
        console.print(
            f"{record.task_id}: {record.termination}, official reward {record.official_reward}, reward "
            f"{record.reward:.3f}",
            **PLAIN,
        )


def missing(error: ModuleNotFoundError, extra: str) -> ConfigError:
    """What to say of a package that is not installed."""
    return ConfigError(
        f"this takes the package {error.name}, not installed here: pip install 'tau2-gym[{extra}]'"
    )


@app.command(cls=Command)
def openenv(
    domains: Annotated[str, typer.Option(help="Domains, with commas.")] = "airline,retail,telecom",
    host: Annotated[
        str, typer.Option(help="Where to listen. Whoever reaches it may play, and sees the tasks.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    sessions: Annotated[int, typer.Option(min=1, help="Clients at a time.")] = 64,
    idle: Annotated[
        float,
        typer.Option(
            help="Seconds before a silent session is closed.", callback=finite(0, above=True)
        ),
    ] = 3600.0,
    user: Annotated[str, typer.Option(help="Who plays the user.")] = "scripted",
    reward: Annotated[str, typer.Option(help=f"{', '.join(PRESETS)}.")] = "progress",
    max_steps: Annotated[int, typer.Option(min=1, help="Most messages in an episode.")] = 100,
) -> None:
    """Serve environments in OpenEnv's protocol, until interrupted."""
    console = Console()
    with ending(console):
        try:
            import uvicorn

            from tau2_gym.adapters import openenv as adapter
        except ModuleNotFoundError as error:
            raise missing(error, "openenv") from None
        served = adapter.app(
            listed(domains, "--domains"),
            sessions=sessions,
            idle=idle,
            user=user,
            reward=reward,
            max_steps=max_steps,
        )
        # Listening before the line below is printed, so that whoever reads it can connect.
        with _listening(host, port) as listening:
            place = listening.getsockname()
            console.print(f"serving {domains} on http://{place[0]}:{place[1]}", **PLAIN)
            config = uvicorn.Config(served, log_level="warning", ws_max_size=LONGEST_MESSAGE)
            uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise ConfigError(f"{host}:{port}: {error.strerror or error}") from error
