"""Evaluate an agent on tau2-bench's tasks: `python -m benchmarks.passk`."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
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

from agents import AGENTS
from agents.attempts import SUCCESS, Attempt
from benchmarks.run import Setup, make_player, plan, results
from benchmarks.store import Store, write_json
from benchmarks.summary import WIDE, summarise, table
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import Tau2GymError

app = typer.Typer(add_completion=False)


def versions(source: str) -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ["tau2-gym", "gymnasium", "numpy", "pydantic"]
    if source == "inspect-evals":
        packages += ["inspect-evals", "inspect-ai"]
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def default_output(agent: str, user: str, split: str) -> Path:
    """Where results go unless told otherwise."""
    name = re.sub(r"[^\w.-]+", "-", f"{agent}-{user}-{split}")
    return Path("runs") / "passk" / f"{name}.jsonl"


def evaluate(
    setup: Setup,
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
        for record in results(setup, todo, workers):
            store.add(record)
            solved += (record["official_reward"] or 0.0) >= SUCCESS
            progress.update(bar, advance=1, solved=solved)
    store.finish([attempt.key for attempt in attempts])


Agents = ", ".join(AGENTS)


@app.command()
def main(
    domains: Annotated[
        str, typer.Option(help=f"Comma-separated: {', '.join(DOMAINS)}.")
    ] = "airline,retail,telecom",
    split: Annotated[str, typer.Option(help="train, test, base or full; telecom: small.")] = "test",
    task_ids: Annotated[
        str, typer.Option(help="Comma-separated ids of tasks to play instead of a split.")
    ] = "",
    agent: Annotated[str, typer.Option(help=f"One of: {Agents}.")] = "oracle",
    user: Annotated[str, typer.Option(help="scripted, or replay:FILE.")] = "scripted",
    num_samples: Annotated[int, typer.Option(help="Attempts at each task (the k of pass@k).")] = 4,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes to play in.", min=1)] = os.cpu_count()
    or 1,
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
    setup = Setup(
        agent=agent,
        user=user,
        seed=seed,
        reward=reward,
        max_steps=max_steps,
        max_errors=max_errors,
        source=source,
        data_dir=None if data_dir is None else str(data_dir),
    )
    try:
        names = [name.strip() for name in domains.split(",") if name.strip()]
        ids = [name.strip() for name in task_ids.split(",") if name.strip()]
        attempts = plan(setup, names, split, ids, num_samples)
        make_player(setup)
        loaded = {name: get_domain(name, source, setup.data_dir) for name in names}
        identity = {**asdict(setup), "versions": versions(source)}
        revisions = {name: domain.revision for name, domain in loaded.items()}
        path = output or default_output(agent, user, split)
        store = Store(path, identity, revisions, fresh=fresh)
        try:
            evaluate(setup, attempts, store, workers=workers, console=console)
        finally:
            store.close()
    except Tau2GymError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    except BrokenProcessPool as error:
        console.print("[red]error:[/red] a worker process died; the same command goes on from here")
        raise typer.Exit(1) from error
    rows = [store.records[attempt.key] for attempt in attempts]
    summary = {
        "config": {
            **identity,
            "domains": names,
            "split": None if ids else split,
            "task_ids": ids or None,
            "num_samples": num_samples,
            "workers": workers,
            "revisions": revisions,
            "sources": {name: domain.source for name, domain in loaded.items()},
        },
        "wall_time_seconds": round(time.perf_counter() - begun, 3),
        **summarise(rows, num_samples, seed),
    }
    write_json(store.summary_path, summary)
    title = f"{agent} with user {user}, {len(rows)} attempts, % with 95 % intervals"
    console.print(table(summary, num_samples, title, console.width))
    console.print(f"Attempts: {store.path}\nSummary:  {store.summary_path}", highlight=False)


if __name__ == "__main__":
    app()
