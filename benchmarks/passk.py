"""Evaluate an agent on tau2-bench's tasks: `python -m benchmarks.passk`."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
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
from agents.models import ChatOptions, UserModel
from agents.rollout import Limits, Player
from agents.runs.command_line import (
    PLAIN,
    Command,
    WaitingColumn,
    address,
    addresses,
    end_with_faults,
    ending,
    finite,
    listed,
)
from agents.runs.setup import (
    PLAYED,
    Setup,
    agent_model,
    bypass,
    domains_to_play,
    make_player,
    plan,
    results,
    unjudged,
)
from agents.runs.store import Store
from agents.runs.summary import WIDE, summarise, table
from agents.sampling import SamplingParams
from tau2_gym.completion.servers import OUTAGE, STARTUP
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import get_domain
from tau2_gym.journal import to_json, write_json
from tau2_gym.rewards import PRESETS
from tau2_gym.users import USERS, without_address

app = typer.Typer(add_completion=False)


def versions(source: str) -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ["tau2-gym", "gymnasium", "numpy", "pydantic"]
    if source == "inspect-evals":
        packages += ["inspect-evals", "inspect-ai"]
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def default_output(setup: Setup, what: Sequence[str], identity: Mapping[str, Any]) -> Path:
    """Where results go unless told otherwise: a name that tells what was played, with a hash of all
    that results depend on, so that no two set-ups share a file.

    Args:
        setup: the run.
        what: the domains and the split.
        identity: all that results depend on, but for how often each task is played.
    """
    parts = [setup.agent, *([setup.model.name] if setup.model else [])]
    parts += [without_address(setup.user), *what]
    readable = re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip("-.")
    digest = hashlib.sha256(to_json(dict(identity), sort_keys=True).encode()).hexdigest()
    return Path("runs") / "passk" / f"{readable[:120]}-{digest[:8]}.jsonl"


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
        WaitingColumn(),
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
        try:
            for record in results(setup, player, todo, workers):
                store.add(record.to_dict())
                solved += (record.official_reward or 0.0) >= SUCCESS
                progress.update(bar, advance=1, solved=solved)
        except KeyboardInterrupt:
            kept = sum(attempt.key in store.records for attempt in attempts)
            console.print(f"{kept} of {len(attempts)} attempts are in {store.path}.", **PLAIN)
            raise
    store.finish([attempt.key for attempt in attempts])


AGENT_MODEL = "Agents that are models (sglang, transformers, litellm)"
SERVERS = "Servers of agents, users and judges"
USER_MODEL = "Users that are models (litellm:, llm:), and judges"


@app.command(cls=Command)
def main(
    domains: Annotated[
        str | None,
        typer.Option(
            help=f"Comma-separated: {', '.join(DOMAINS)}.",
            show_default=f"those of {','.join(PLAYED)} that the agent plays",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, test, base or full; telecom: small.", show_default="test"),
    ] = None,
    task_ids: Annotated[
        str | None, typer.Option(help="Comma-separated ids of tasks to play instead of a split.")
    ] = None,
    agent: Annotated[
        str, typer.Option(help=f"{', '.join([*AGENTS, *MODEL_AGENTS])}, or MODULE:CLASS.")
    ] = "oracle",
    user: Annotated[str, typer.Option(help=f"{', '.join(USERS)}, or MODULE:CLASS.")] = "scripted",
    num_samples: Annotated[int, typer.Option(help="Attempts at each task (the k of pass@k).")] = 4,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    workers: Annotated[
        int,
        typer.Option(help="Processes to play in, where no model is waited for.", min=1, max=1024),
    ] = os.cpu_count() or 1,
    max_steps: Annotated[int, typer.Option(help="Limit of deliveries of messages.", min=1)] = 100,
    max_errors: Annotated[int, typer.Option(help="Limit of failed tool calls.", min=1)] = 10,
    reward: Annotated[str, typer.Option(help=f"{', '.join(PRESETS)}.")] = "progress",
    source: Annotated[
        str, typer.Option(help="inspect-evals, or tau2 if installed.")
    ] = "inspect-evals",
    data_dir: Annotated[
        Path | None, typer.Option(help="Another revision of tasks and databases.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="JSON lines; the summary is written next to it.", dir_okay=False),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard results already there.")] = False,
    model: Annotated[
        str, typer.Option(help="Name or folder of the model.", rich_help_panel=AGENT_MODEL)
    ] = "",
    sglang_url: Annotated[
        str | None, typer.Option(help="Comma-separated servers.", rich_help_panel=AGENT_MODEL)
    ] = None,
    startup: Annotated[
        float,
        typer.Option(
            help="Seconds to wait for servers that are starting.",
            callback=finite(0.0),
            rich_help_panel=SERVERS,
        ),
    ] = STARTUP,
    outage: Annotated[
        float,
        typer.Option(
            help="Seconds to wait, later on, for a server that is down.",
            callback=finite(0.0),
            rich_help_panel=SERVERS,
        ),
    ] = OUTAGE,
    send_seed: Annotated[
        bool,
        typer.Option(
            help="Whether requests hold seeds, which some servers cannot take.",
            rich_help_panel=SERVERS,
        ),
    ] = True,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible server that litellm is to ask, straight, without LiteLLM.",
            rich_help_panel=AGENT_MODEL,
        ),
    ] = None,
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
        int,
        typer.Option(
            help="Episodes under way at a time.", min=1, max=65536, rich_help_panel=AGENT_MODEL
        ),
    ] = 128,
    keep_tokens: Annotated[
        bool,
        typer.Option(
            "--keep-tokens",
            help="Put token ids, masks and log-probabilities into the results.",
            rich_help_panel=AGENT_MODEL,
        ),
    ] = False,
    user_temperature: Annotated[
        float,
        typer.Option(help="0 as in tau2-bench.", callback=finite(0.0), rich_help_panel=USER_MODEL),
    ] = 0.0,
    judge_model: Annotated[
        str,
        typer.Option(
            help="Judges natural-language assertions, where tasks have them.",
            rich_help_panel=USER_MODEL,
        ),
    ] = "",
    judge_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server.", rich_help_panel=USER_MODEL)
    ] = None,
    cassette: Annotated[
        Path | None,
        typer.Option(
            help="Replay model calls recorded in this file, and record the others.",
        ),
    ] = None,
) -> None:
    """Play every task several times and print pass@k and pass^k.

    Each attempt is written to OUTPUT as it finishes. An interrupted run resumes when the
    same command is given again. At the end a summary with the full set-up is
    written beside it, and a table printed.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    begun = time.perf_counter()
    with ending(console):
        asked = None if domains is None else listed(domains, "--domains")
        ids = () if task_ids is None else listed(task_ids, "--task-ids")
        names, note = domains_to_play(agent, asked)
        judge_server = address(judge_url, "--judge-url")
        reached: dict[str, Any] = {
            "startup": startup,
            "outage": outage,
            "send_seed": send_seed,
        }
        setup = Setup(
            agent=agent,
            user=user,
            seed=seed,
            reward=reward,
            max_steps=max_steps,
            max_errors=max_errors,
            source=source,
            data_dir=None if data_dir is None else str(data_dir),
            model=agent_model(
                agent,
                model,
                addresses(sglang_url, "--sglang-url") or addresses(base_url, "--base-url"),
                prompt,
                thinking,
                SamplingParams(
                    temperature=temperature,
                    top_p=top_p,
                    top_k=top_k,
                    max_new_tokens=max_new_tokens,
                    seed=seed,
                ),
                **reached,
            ),
            user_model=UserModel(user_temperature, **reached),
            judge=ChatOptions(judge_model, judge_server, **reached) if judge_model else None,
            limits=Limits(episodes=concurrency, agent_calls=concurrency, user_calls=concurrency),
            cassette=None if cassette is None else str(cassette),
            keep_tokens=keep_tokens,
        )
        played = split if split is not None or ids else "test"
        setup.check(names, played, num_samples)
        attempts = plan(setup, names, played or "", ids, num_samples)
        loaded = {name: get_domain(name, source, setup.data_dir) for name in names}
        revisions = {name: domain.revision for name, domain in loaded.items()}
        identity = {**setup.identity(), "versions": versions(source)}
        what = {"domains": names, "split": None if ids else played, "task_ids": ids or None}
        path = output or default_output(
            setup,
            [*names, played if played and not ids else "tasks"],
            {**identity, **what, "revisions": revisions},
        )
        player = make_player(setup, path.with_suffix(".verdicts.jsonl"), fresh=fresh)
        store = Store(path, identity, revisions, fresh=fresh)
        for said in filter(None, (note, bypass(setup))):
            console.print(said, **PLAIN)
        evaluate(setup, player, attempts, store, workers=workers, console=console)
        rows = [store.records[attempt.key] for attempt in attempts]
        summary = {
            "config": {
                **store.setup,
                **what,
                "num_samples": num_samples,
                "workers": workers,
                "concurrency": concurrency,
                "revisions": revisions,
                "sources": {name: domain.source for name, domain in loaded.items()},
                "agent_instruction": {
                    name: domain.agent_instruction_source for name, domain in loaded.items()
                },
            },
            "wall_time_seconds": round(time.perf_counter() - begun, 3),
            **summarise(rows, num_samples, seed, unjudged(setup, attempts)),
        }
        write_json(store.summary_path, summary)
        title = f"{agent} with user {without_address(user)}, {len(rows)} attempts, % with 95 % intervals"
        console.print(table(summary, num_samples, title, console.width))
        console.print(f"Attempts: {store.path}\nSummary:  {store.summary_path}", **PLAIN)
        end_with_faults(console, rows)


if __name__ == "__main__":
    app()
