"""The options of command lines that play episodes, each declared once.

A command line takes a dataclass of options with `takes`: every field is an option of that name. One with
more options, or with a default of its own, derives from `PlayOptions` and says why.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

import typer

from agents import AGENTS, MODEL_AGENTS
from agents.models import UserModel
from agents.rollout import Limits
from agents.runs.setup import PLAYED, Setup, agent_model, domains_to_play
from agents.sampling import SamplingParams
from tau2_gym.completion.servers import OUTAGE, STARTUP
from tau2_gym.domains.registry import DOMAINS, SHIPPED
from tau2_gym.users import USERS
from tau2_gym.values import addresses, finite, listed, listed_domains

WHAT = "What is played"
AGENT_MODEL = "Agents that are models (sglang, transformers, litellm)"
USER_MODEL = "Users that are models (litellm:, llm:)"
SERVERS = "Servers"


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option of a panel of `--help`."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


AgentName = Annotated[str, option(WHAT, f"{', '.join([*AGENTS, *MODEL_AGENTS])}, or MODULE:CLASS.")]
Attempts = Annotated[int, option(WHAT, "Attempts at each task.")]
Temperature = Annotated[float, option(AGENT_MODEL, "0 is greedy.")]
UserTemperature = Annotated[float, option(USER_MODEL, "0 is greedy.", callback=finite(0.0))]


@dataclass(frozen=True)
class PlayOptions:
    """Which episodes are played, and by whom."""

    DEFAULT_SPLIT: ClassVar[str] = "test"
    """What is played if neither a split nor tasks are named."""

    agent: AgentName = "oracle"
    user: Annotated[str, option(WHAT, f"{', '.join(USERS)}, or MODULE:CLASS.")] = "scripted"
    domains: Annotated[
        str | None,
        option(
            WHAT,
            f"Comma-separated: {', '.join([*DOMAINS, *SHIPPED])}, or MODULE:SPEC. NAME:TASKS plays other "
            "tasks than the default, as in code:generated:seed=3,count=50.",
            show_default=f"those of {','.join(PLAYED)} that the agent plays",
        ),
    ] = None
    split: Annotated[
        str | None,
        option(WHAT, "train, test, base or full; telecom: small.", show_default="test"),
    ] = None
    task_ids: Annotated[
        str | None, option(WHAT, "Comma-separated ids of tasks to play instead of a split.")
    ] = None
    num_samples: Attempts = 4
    seed: Annotated[int, option(WHAT, "Decides everything random.")] = 0
    workers: Annotated[
        int, option(WHAT, "Processes to play in, if no model is involved.", min=1, max=1024)
    ] = os.cpu_count() or 1
    max_steps: Annotated[int, option(WHAT, "Most messages delivered in an episode.", min=1)] = 100
    max_errors: Annotated[int, option(WHAT, "Most failed tool calls in an episode.", min=1)] = 10
    source: Annotated[str, option(WHAT, "inspect-evals, or tau2 if installed.")] = "inspect-evals"
    data_dir: Annotated[Path | None, option(WHAT, "Another revision of tasks and databases.")] = (
        None
    )
    fresh: Annotated[bool, option(WHAT, "Discard results already there.", "--fresh")] = False
    cassette: Annotated[
        Path | None,
        option(WHAT, "Replay model calls recorded in this file, and record the others."),
    ] = None
    model: Annotated[str, option(AGENT_MODEL, "Name or folder of the model.")] = ""
    sglang_url: Annotated[str | None, option(AGENT_MODEL, "Comma-separated servers.")] = None
    base_url: Annotated[
        str | None,
        option(
            AGENT_MODEL,
            "An OpenAI-compatible server, which agent litellm calls directly, without LiteLLM.",
        ),
    ] = None
    prompt: Annotated[str, option(AGENT_MODEL, "official, compact or bare.")] = "official"
    thinking: Annotated[
        bool | None, option(AGENT_MODEL, "Whether a model that can reason does so.")
    ] = None
    temperature: Temperature = 1.0
    top_p: Annotated[float, option(AGENT_MODEL, "1 is off.")] = 1.0
    top_k: Annotated[int, option(AGENT_MODEL, "-1 is off.")] = -1
    max_new_tokens: Annotated[int, option(AGENT_MODEL, "The most tokens in a turn.")] = 1024
    concurrency: Annotated[
        int, option(AGENT_MODEL, "Episodes in progress at a time.", min=1, max=65536)
    ] = 128
    user_temperature: UserTemperature = 0.0  # as in tau2-bench
    startup: Annotated[
        float,
        option(SERVERS, "Seconds to wait for a server that is starting.", callback=finite(0.0)),
    ] = STARTUP
    outage: Annotated[
        float,
        option(
            SERVERS, "Seconds to wait for a server that has answered before.", callback=finite(0.0)
        ),
    ] = OUTAGE
    send_seed: Annotated[
        bool, option(SERVERS, "Whether to send seeds, which some servers do not accept.")
    ] = True

    def named_tasks(self) -> tuple[str, ...]:
        """The ids of the tasks that are played instead of a split; none if a split is.

        Raises:
            ConfigError: the option names nothing.
        """
        return () if self.task_ids is None else listed(self.task_ids, "--task-ids")

    def named_split(self) -> str | None:
        """The split to play, or the default; None if tasks are named instead."""
        if self.split is not None or self.task_ids is not None:
            return self.split
        return self.DEFAULT_SPLIT

    def domains_played(self) -> tuple[tuple[str, ...], str | None]:
        """The domains to play, and a note about them.

        Raises:
            ConfigError: the agent or domain is unknown, or the agent does not play it.
        """
        asked = None if self.domains is None else listed_domains(self.domains, "--domains")
        return domains_to_play(self.agent, asked)

    def reached(self) -> dict[str, Any]:
        """How to wait for servers and ask them, as keywords of `AgentModel`, `UserModel` and
        `ChatOptions`."""
        return {"startup": self.startup, "outage": self.outage, "send_seed": self.send_seed}

    def setup(self) -> Setup:
        """How they are played.

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
        return Setup(
            agent=self.agent,
            user=self.user,
            seed=self.seed,
            reward="progress",
            max_steps=self.max_steps,
            max_errors=self.max_errors,
            source=self.source,
            data_dir=None if self.data_dir is None else str(self.data_dir),
            model=agent_model(
                self.agent,
                self.model,
                urls,
                self.prompt,
                self.thinking,
                sampling,
                **self.reached(),
            ),
            user_model=UserModel(self.user_temperature, **self.reached()),
            limits=Limits(self.concurrency, self.concurrency, self.concurrency),
            cassette=None if self.cassette is None else str(self.cassette),
        )


Main = Callable[..., None]


def takes(options: type[Any]) -> Callable[[Main], Main]:
    """Let a command take every field of a dataclass as an option; it is given one object of that
    class as its first argument."""
    hints = get_type_hints(options, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    taken = [
        inspect.Parameter(item.name, keyword, default=item.default, annotation=hints[item.name])
        for item in fields(options)
    ]

    def decorate(command: Main) -> Main:
        @wraps(command)
        def run(**given: Any) -> None:
            chosen = options(**{item.name: given.pop(item.name) for item in taken})
            command(chosen, **given)

        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [*(item.replace(kind=keyword) for item in own), *taken]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate
