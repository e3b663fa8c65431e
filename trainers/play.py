"""Options of the command lines that play episodes for training."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from agents import AGENTS, MODEL_AGENTS
from agents.models import UserModel
from agents.rollout import Limits
from agents.runs.command_line import addresses, finite, listed
from agents.runs.setup import MOST_SAMPLES, PLAYED, Setup, agent_model, domains_to_play
from agents.sampling import SamplingParams
from tau2_gym.completion.servers import OUTAGE, STARTUP
from tau2_gym.domains import DOMAINS
from tau2_gym.users import USERS
from trainers.sections import Tasks

WHAT = "What is played"
AGENT_MODEL = "Agents that are models (sglang, transformers, litellm)"
USER_MODEL = "Users that are models (litellm:, llm:)"
SERVERS = "Servers of agents and users"


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


@dataclass(frozen=True)
class Play:
    """Which episodes are played, and by whom. Each field is an option of that name."""

    agent: Annotated[
        str, _option(WHAT, f"{', '.join([*AGENTS, *MODEL_AGENTS])}, or MODULE:CLASS.")
    ] = "workflow"
    user: Annotated[str, _option(WHAT, f"{', '.join(USERS)}, or MODULE:CLASS.")] = "scripted"
    domains: Annotated[
        str | None,
        _option(
            WHAT,
            f"Comma-separated: {', '.join(DOMAINS)}.",
            show_default=f"those of {','.join(PLAYED)} that the agent plays",
        ),
    ] = None
    split: Annotated[str, _option(WHAT, "train; fit: train without dev; telecom: small, too.")] = (
        "train"
    )
    pool: Annotated[bool, _option(WHAT, "Also telecom's tasks outside base.", "--pool")] = False
    task_ids: Annotated[
        str | None, _option(WHAT, "Comma-separated ids of tasks of one domain instead of a split.")
    ] = None
    num_samples: Annotated[
        int, _option(WHAT, "Attempts at each task.", min=1, max=MOST_SAMPLES)
    ] = 8
    seed: Annotated[int, _option(WHAT, "Decides everything random.", min=0)] = 0
    workers: Annotated[
        int,
        _option(WHAT, "Processes to play in, where no model is waited for.", min=1, max=1024),
    ] = os.cpu_count() or 1
    max_steps: Annotated[int, _option(WHAT, "Limit of deliveries of messages.", min=1)] = 100
    max_errors: Annotated[int, _option(WHAT, "Limit of failed tool calls.", min=1)] = 10
    source: Annotated[str, _option(WHAT, "inspect-evals, or tau2 if installed.")] = "inspect-evals"
    data_dir: Annotated[Path | None, _option(WHAT, "Another revision of tasks and databases.")] = (
        None
    )
    fresh: Annotated[bool, _option(WHAT, "Discard attempts already there.", "--fresh")] = False
    model: Annotated[str, _option(AGENT_MODEL, "Name or folder of the model.")] = ""
    sglang_url: Annotated[str | None, _option(AGENT_MODEL, "Comma-separated servers.")] = None
    base_url: Annotated[
        str | None,
        _option(
            AGENT_MODEL,
            "An OpenAI-compatible server that litellm is to ask, straight, without LiteLLM.",
        ),
    ] = None
    prompt: Annotated[str, _option(AGENT_MODEL, "official, compact or bare.")] = "official"
    thinking: Annotated[bool | None, _option(AGENT_MODEL, "For models that can think.")] = None
    temperature: Annotated[float, _option(AGENT_MODEL, "0 is greedy.")] = 0.8
    top_p: Annotated[float, _option(AGENT_MODEL, "1 is off.")] = 1.0
    top_k: Annotated[int, _option(AGENT_MODEL, "-1 is off.")] = -1
    max_new_tokens: Annotated[int, _option(AGENT_MODEL, "The most tokens in a turn.")] = 1024
    concurrency: Annotated[
        int, _option(AGENT_MODEL, "Episodes under way at a time.", min=1, max=65536)
    ] = 128
    user_temperature: Annotated[
        float, _option(USER_MODEL, "Of the user's answers.", callback=finite(0.0))
    ] = 0.7
    startup: Annotated[
        float,
        _option(SERVERS, "Seconds to wait for servers that are starting.", callback=finite(0.0)),
    ] = STARTUP
    outage: Annotated[
        float,
        _option(
            SERVERS, "Seconds to wait, later on, for a server that is down.", callback=finite(0.0)
        ),
    ] = OUTAGE
    send_seed: Annotated[
        bool, _option(SERVERS, "Whether requests hold seeds, which some servers cannot take.")
    ] = True
    cassette: Annotated[
        Path | None,
        _option(USER_MODEL, "Replay chats recorded in this file, and record the others."),
    ] = None

    def tasks(self) -> tuple[Tasks, str | None]:
        """Which tasks are played, and what must be said of their domains.

        Raises:
            ConfigError: the agent or domain is unknown, or the agent does not play it.
        """
        asked = None if self.domains is None else listed(self.domains, "--domains")
        domains, note = domains_to_play(self.agent, asked)
        only = () if self.task_ids is None else listed(self.task_ids, "--task-ids")
        return Tasks(domains=domains, split=self.split, pool=self.pool, only=only), note

    def setup(self) -> Setup:
        """How they are played. The tokens of agents that know them are kept.

        Raises:
            ConfigError: an option has a value that is not allowed.
        """
        sampling = SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )
        urls = addresses(self.sglang_url, "--sglang-url") or addresses(self.base_url, "--base-url")
        reached: dict[str, Any] = {
            "startup": self.startup,
            "outage": self.outage,
            "send_seed": self.send_seed,
        }
        model = agent_model(
            self.agent, self.model, urls, self.prompt, self.thinking, sampling, **reached
        )
        return Setup(
            agent=self.agent,
            user=self.user,
            seed=self.seed,
            reward="progress",
            max_steps=self.max_steps,
            max_errors=self.max_errors,
            source=self.source,
            data_dir=None if self.data_dir is None else str(self.data_dir),
            model=model,
            user_model=UserModel(self.user_temperature, **reached),
            limits=Limits(self.concurrency, self.concurrency, self.concurrency),
            cassette=None if self.cassette is None else str(self.cassette),
            keep_tokens=True,
        )


Command = Callable[..., None]


def takes(options: type[Any]) -> Callable[[Command], Command]:
    """Let a command take every field of a dataclass as an option; it is given one object of that
    class as its first argument."""
    hints = get_type_hints(options, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    taken = [
        inspect.Parameter(item.name, keyword, default=item.default, annotation=hints[item.name])
        for item in fields(options)
    ]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**given: Any) -> None:
            chosen = options(**{item.name: given.pop(item.name) for item in taken})
            command(chosen, **given)

        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [*(item.replace(kind=keyword) for item in own), *taken]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate
