"""Evaluate an agent on tau2-bench's tasks: `python -m benchmarks.passk`."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agents import AGENTS, MODEL_AGENTS
from agents.attempts import SUCCESS, Attempt
from agents.models import AgentModel, ChatOptions
from agents.rollout import Limits, Player
from agents.sampling import SamplingParams
from benchmarks.run import MODEL_USERS, Setup, make_player, plan, results
from benchmarks.store import Store, write_json
from benchmarks.summary import FAULTS, WIDE, summarise, table
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, Tau2GymError, one_of

app = typer.Typer(add_completion=False)


def versions(source: str) -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ["tau2-gym", "gymnasium", "numpy", "pydantic"]
    if source == "inspect-evals":
        packages += ["inspect-evals", "inspect-ai"]
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def default_output(setup: Setup, split: str) -> Path:
    """Where results go unless told otherwise."""
    parts = [setup.agent, *([setup.model.name] if setup.model else [])]
    parts += [setup.user, *([setup.user_model.name] if setup.user_model else []), split]
    return Path("runs") / "passk" / (re.sub(r"[^\w.-]+", "-", "-".join(parts)) + ".jsonl")


def evaluate(
    setup: Setup,
    player: Player,
    attempts: Sequence[Attempt],
    store: Store,
    *,
    workers: int,
    console: Console,
) -> None:
    """Play what is not yet in the store, showing progress."""
    todo = [attempt for attempt in attempts if attempt.key not in store.records]
    if len(todo) < len(attempts):
        console.print(f"{len(attempts) - len(todo)} attempts are already in {store.path}.")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("solved {task.fields[solved]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    solved = sum(
        (store.records[attempt.key]["official_reward"] or 0.0) >= SUCCESS
        for attempt in attempts
        if attempt.key in store.records
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(
            "playing", total=len(attempts), completed=len(attempts) - len(todo), solved=solved
        )
        for record in results(setup, player, todo, workers):
            store.add(record.to_dict())
            solved += (record.official_reward or 0.0) >= SUCCESS
            progress.update(bar, advance=1, solved=solved)
    store.finish([attempt.key for attempt in attempts])


AGENT_MODEL = "Agents that are models (sglang, transformers, litellm)"
USER_MODEL = "Users that are models (litellm), and judges"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command()
def main(
    domains: Annotated[
        str, typer.Option(help=f"Comma-separated: {', '.join(DOMAINS)}.")
    ] = "airline,retail,telecom",
    split: Annotated[str, typer.Option(help="train, test, base or full; telecom: small.")] = "test",
    task_ids: Annotated[
        str, typer.Option(help="Comma-separated ids of tasks to play instead of a split.")
    ] = "",
    agent: Annotated[
        str, typer.Option(help=f"One of: {', '.join([*AGENTS, *MODEL_AGENTS])}.")
    ] = "oracle",
    user: Annotated[str, typer.Option(help="scripted, replay:FILE, or litellm.")] = "scripted",
    num_samples: Annotated[int, typer.Option(help="Attempts at each task (the k of pass@k).")] = 4,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    workers: Annotated[
        int, typer.Option(help="Processes to play in, where no model is waited for.", min=1)
    ] = os.cpu_count() or 1,
    max_steps: Annotated[int, typer.Option(help="Limit of deliveries of messages.", min=1)] = 100,
    max_errors: Annotated[int, typer.Option(help="Limit of failed tool calls.", min=1)] = 10,
    reward: Annotated[
        str, typer.Option(help="sparse, shaped, progress or potential.")
    ] = "progress",
    source: Annotated[
        str, typer.Option(help="inspect-evals, or tau2 if installed.")
    ] = "inspect-evals",
    data_dir: Annotated[
        Path | None, typer.Option(help="Another revision of tasks and databases.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="JSON lines; the summary goes beside it.", dir_okay=False)
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard results already there.")] = False,
    faults: Annotated[
        str, typer.Option(help="In the table, exclude faulty attempts, or let them fail.")
    ] = "exclude",
    model: Annotated[
        str, typer.Option(help="Name or folder of the model.", rich_help_panel=AGENT_MODEL)
    ] = "",
    sglang_url: Annotated[
        str, typer.Option(help="Comma-separated servers.", rich_help_panel=AGENT_MODEL)
    ] = "",
    startup: Annotated[
        float,
        typer.Option(
            help="Seconds to wait for a server that is starting.", rich_help_panel=AGENT_MODEL
        ),
    ] = 60.0,
    base_url: Annotated[
        str,
        typer.Option(help="An OpenAI-compatible server, for litellm.", rich_help_panel=AGENT_MODEL),
    ] = "",
    prompt: Annotated[
        str, typer.Option(help="official, compact or bare.", rich_help_panel=AGENT_MODEL)
    ] = "official",
    thinking: Annotated[
        bool | None, typer.Option(help="For models that can think.", rich_help_panel=AGENT_MODEL)
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="0 is greedy.", rich_help_panel=AGENT_MODEL)
    ] = 1.0,
    top_p: Annotated[float, typer.Option(help="1 is off.", rich_help_panel=AGENT_MODEL)] = 1.0,
    top_k: Annotated[int, typer.Option(help="-1 is off.", rich_help_panel=AGENT_MODEL)] = -1,
    max_new_tokens: Annotated[
        int, typer.Option(help="The most tokens in a turn.", rich_help_panel=AGENT_MODEL)
    ] = 1024,
    concurrency: Annotated[
        int, typer.Option(help="Episodes under way at a time.", rich_help_panel=AGENT_MODEL)
    ] = 128,
    keep_tokens: Annotated[
        bool,
        typer.Option(
            "--keep-tokens",
            help="Put token ids, masks and log-probabilities into the results.",
            rich_help_panel=AGENT_MODEL,
        ),
    ] = False,
    user_model: Annotated[
        str, typer.Option(help="For example gpt-4.1-mini.", rich_help_panel=USER_MODEL)
    ] = "",
    user_url: Annotated[
        str, typer.Option(help="An OpenAI-compatible server.", rich_help_panel=USER_MODEL)
    ] = "",
    user_temperature: Annotated[
        float, typer.Option(help="0 as in tau2-bench.", rich_help_panel=USER_MODEL)
    ] = 0.0,
    judge_model: Annotated[
        str,
        typer.Option(
            help="Judges natural-language assertions, where tasks have them.",
            rich_help_panel=USER_MODEL,
        ),
    ] = "",
    judge_url: Annotated[
        str, typer.Option(help="An OpenAI-compatible server.", rich_help_panel=USER_MODEL)
    ] = "",
    cassette: Annotated[
        Path | None,
        typer.Option(
            help="Replay model calls recorded in this file, and record the others.",
        ),
    ] = None,
) -> None:
    """Play every task several times and print pass@k and pass^k.

    Each attempt is written to OUTPUT as it finishes. A run that was interrupted goes on where it
    stopped when the same command is given again. At the end a summary with the full set-up is
    written beside it, and a table printed.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    begun = time.perf_counter()
    try:
        if faults not in FAULTS:
            raise one_of("treatment of faults", faults, FAULTS)
        setup = Setup(
            agent=agent,
            user=user,
            seed=seed,
            reward=reward,
            max_steps=max_steps,
            max_errors=max_errors,
            source=source,
            data_dir=None if data_dir is None else str(data_dir),
            model=_agent_model(
                agent,
                AgentModel(
                    model,
                    tuple(_names(sglang_url) or _names(base_url)),
                    prompt,
                    thinking,
                    SamplingParams(
                        temperature=temperature,
                        top_p=top_p,
                        top_k=top_k,
                        max_new_tokens=max_new_tokens,
                        seed=seed,
                    ),
                    startup,
                ),
            ),
            user_model=(
                ChatOptions(user_model, user_url or None, user_temperature)
                if user in MODEL_USERS
                else None
            ),
            judge=ChatOptions(judge_model, judge_url or None) if judge_model else None,
            limits=Limits(episodes=concurrency, agent_calls=concurrency, user_calls=concurrency),
            cassette=None if cassette is None else str(cassette),
            keep_tokens=keep_tokens,
        )
        names, ids = _names(domains), _names(task_ids)
        attempts = plan(setup, names, split, ids, num_samples)
        path = output or default_output(setup, split)
        verdicts = path.with_suffix(".verdicts.jsonl")
        if fresh:
            verdicts.unlink(missing_ok=True)
        player = make_player(setup, verdicts)
        loaded = {name: get_domain(name, source, setup.data_dir) for name in names}
        identity = {**setup.identity(), "versions": versions(source)}
        revisions = {name: domain.revision for name, domain in loaded.items()}
        store = Store(path, identity, revisions, fresh=fresh)
        evaluate(setup, player, attempts, store, workers=workers, console=console)
    except Tau2GymError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    except BrokenProcessPool as error:
        console.print("[red]error:[/red] a worker process died; the same command goes on from here")
        raise typer.Exit(1) from error
    rows = [store.records[attempt.key] for attempt in attempts]
    summary = {
        "config": {
            **store.setup,
            "domains": names,
            "split": None if ids else split,
            "task_ids": ids or None,
            "num_samples": num_samples,
            "workers": workers,
            "concurrency": concurrency,
            "faults": faults,
            "revisions": revisions,
            "sources": {name: domain.source for name, domain in loaded.items()},
            "agent_instruction": {
                name: domain.agent_instruction_source for name, domain in loaded.items()
            },
        },
        "wall_time_seconds": round(time.perf_counter() - begun, 3),
        **summarise(rows, num_samples, seed),
    }
    write_json(store.summary_path, summary)
    title = f"{agent} with user {user}, {len(rows)} attempts, % with 95 % intervals"
    console.print(table(summary, num_samples, title, console.width, FAULTS[faults]))
    console.print(f"Attempts: {store.path}\nSummary:  {store.summary_path}", highlight=False)


def _agent_model(agent: str, model: AgentModel) -> AgentModel | None:
    """The model, if the agent is one.

    Raises:
        ConfigError: the agent is none, and yet a model was named.
    """
    if agent in MODEL_AGENTS:
        return model
    if model.name:
        raise ConfigError(f"agent {agent!r} takes no --model; {', '.join(MODEL_AGENTS)} do")
    return None


if __name__ == "__main__":
    app()
