"""Evaluate an agent on tau2-bench's tasks: `python -m benchmarks.passk`."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agents.models import ChatOptions
from agents.runs.driver import attempts_at, chosen_tasks, play_missing
from agents.runs.floors import check_floors, play_floors
from agents.runs.options import (
    AGENT_MODEL,
    WHAT,
    PlayOptions,
    option,
    takes,
)
from agents.runs.setup import Setup, bypass, make_player, unjudged
from agents.runs.store import Store
from tau2_gym.exits import PLAIN, Command, end_with_faults, ending
from tau2_gym.journal import check_apart, to_json, write_json
from tau2_gym.results.curves import check_plot, plot
from tau2_gym.results.summary import summarise
from tau2_gym.results.table import WIDE, remarks, table
from tau2_gym.rewards import PRESETS
from tau2_gym.users import without_address
from tau2_gym.values import address, listed

app = typer.Typer(add_completion=False)

JUDGE = "Judges of natural-language assertions, where tasks have them"


@dataclass(frozen=True)
class Evaluation(PlayOptions):
    """An evaluation: what is played, what is paid, who judges, and what is kept."""

    reward: Annotated[str, option(WHAT, f"{', '.join(PRESETS)}.")] = "progress"
    keep_tokens: Annotated[
        bool,
        option(
            AGENT_MODEL,
            "Put token ids, masks and log-probabilities into the results.",
            "--keep-tokens",
        ),
    ] = False
    floors: Annotated[
        str,
        option(
            WHAT,
            "Agents without a model that play the same tasks for comparison, with commas, or none.",
        ),
    ] = "noop"
    judge_model: Annotated[str, option(JUDGE, "For example gpt-4.1.")] = ""
    judge_url: Annotated[str | None, option(JUDGE, "An OpenAI-compatible server.")] = None

    def named_floors(self) -> tuple[str, ...]:
        """The agents of `floors`.

        Raises:
            ConfigError: the option names nothing.
        """
        return () if self.floors == "none" else listed(self.floors, "--floors")

    def setup(self) -> Setup:
        """As its base, with a judge, if there is one."""
        server = address(self.judge_url, "--judge-url")
        judge = (
            ChatOptions(self.judge_model, server, **self.reached()) if self.judge_model else None
        )
        return replace(
            super().setup(), reward=self.reward, judge=judge, keep_tokens=self.keep_tokens
        )


def default_output(
    setup: Setup, what: Sequence[str], identity: Mapping[str, Any], folder: str = "passk"
) -> Path:
    """Where results go unless told otherwise: a name that tells what was played, with a hash of all
    that results depend on, so that no two set-ups share a file.

    Args:
        setup: the run.
        what: the domains and the split.
        identity: all that results depend on, but for how often each task is played.
        folder: below `runs`.
    """
    parts = [setup.agent, *([setup.model.name] if setup.model else [])]
    parts += [without_address(setup.user), *what]
    readable = re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip("-.")
    digest = hashlib.sha256(to_json(dict(identity), sort_keys=True).encode()).hexdigest()
    return Path("runs") / folder / f"{readable[:120]}-{digest[:8]}.jsonl"


@app.command(cls=Command)
@takes(Evaluation)
def main(
    options: Evaluation,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="JSON lines; the summary is written next to it.",
            dir_okay=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Draw pass@k and pass^k over k: PNG, SVG or PDF.", dir_okay=False
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
    with ending(console):
        evaluate(options, output, picture, console)


def evaluate(
    options: Evaluation, output: Path | None, picture: Path | None, console: Console
) -> None:
    """Play what is not yet there, write the summary, and print it.

    Raises:
        ConfigError: the set-up is not possible, or is not that of the results already there.
        DataError: the file holds something else than results, or cannot be read or written.
        typer.Exit: attempts have no result because of faults.
    """
    begun = time.perf_counter()
    ids, split, k = options.named_tasks(), options.named_split(), options.num_samples
    names, note = options.domains_played()
    setup = options.setup()
    setup.check(names, split, k)
    check_floors(floors := options.named_floors(), names)
    if picture is not None:
        check_plot(picture)
    attempts = attempts_at(setup, chosen_tasks(setup, names, split or "", ids), k)
    loaded = {name: setup.domain(name) for name in names}
    revisions = {name: domain.revision for name, domain in loaded.items()}
    what = {"domains": names, "split": None if ids else split, "task_ids": ids or None}
    path = output or default_output(
        setup,
        [*names, "tasks" if ids or split is None else split],
        {**setup.identity(), **what, "revisions": revisions},
    )
    if picture is not None:
        check_apart(picture, "--plot", [path])
    player = make_player(setup, path.with_suffix(".verdicts.jsonl"), fresh=options.fresh)
    store = Store(path, setup.identity(), revisions, fresh=options.fresh)
    for said in filter(None, (note, bypass(setup))):
        console.print(said, **PLAIN)
    play_missing(setup, player, attempts, store, workers=options.workers, console=console)
    rows = [store.records[attempt.key] for attempt in attempts]
    left = unjudged(setup, attempts)
    summary = {
        "config": {
            **store.setup,
            **what,
            "num_samples": k,
            "workers": options.workers,
            "concurrency": options.concurrency,
            "revisions": revisions,
            "sources": {name: domain.source for name, domain in loaded.items()},
            "agent_instruction": {
                name: domain.agent_instruction_source for name, domain in loaded.items()
            },
        },
        "wall_time_seconds": round(time.perf_counter() - begun, 3),
        **summarise(rows, k, setup.seed, left, loaded),
        "floors": {},
    }
    # Whatever becomes of the floors, the run has its summary.
    write_json(store.summary_path, summary)
    # A process that has called models has threads, and is better not forked.
    workers = 1 if player.waits else options.workers
    summary["floors"] = play_floors(floors, setup, attempts, k, workers, left)
    write_json(store.summary_path, summary)
    title = f"{setup.agent} with user {without_address(setup.user)}, {len(rows)} attempts, % with 95 % intervals"
    console.print(table(summary, k, title, console.width))
    for said in remarks(summary):
        console.print(said, **PLAIN)
    if picture is not None:
        plot(summary, k, title.partition(", %")[0], picture)
    console.print(f"Attempts: {store.path}\nSummary:  {store.summary_path}", **PLAIN)
    end_with_faults(console, rows)


if __name__ == "__main__":
    app()
