"""Collect episodes to learn from: `python -m trainers.collect`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from rich.console import Console

from agents.runs.driver import attempts_at, play_missing
from agents.runs.options import (
    WHAT,
    AgentName,
    Attempts,
    PlayOptions,
    Temperature,
    UserTemperature,
    option,
    takes,
)
from agents.runs.setup import Setup, bypass, make_player
from agents.runs.store import Store
from tau2_gym.exits import PLAIN, Command, end_with_faults, ending
from tau2_gym.results.record import SUCCESS, TaskKey
from trainers.data.dataset import ATTEMPTS
from trainers.sections import Environment, Tasks
from trainers.tasks import FIT, judge_note, pool_note, training_tasks

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Play(PlayOptions):
    """Which episodes are played to learn from, and by whom."""

    DEFAULT_SPLIT: ClassVar[str] = "train"

    # What the oracle does cannot be learned: it knows the answers beforehand.
    agent: AgentName = "workflow"
    # Test tasks are refused.
    split: Annotated[
        str | None,
        option(WHAT, "train; fit: train without dev; telecom: small, too.", show_default="train"),
    ] = None
    pool: Annotated[bool, option(WHAT, "Also telecom's tasks outside base.", "--pool")] = False
    # As Tau2-RL-Pipeline samples what it fine-tunes on.
    num_samples: Attempts = 8
    temperature: Temperature = 0.8
    # The user that GRPO trains with, too: one who does not say the same thing every time.
    user_temperature: UserTemperature = Environment().user_temperature

    def tasks(self) -> tuple[Tasks, str | None]:
        """Which tasks are played, and a note about their domains.

        Raises:
            ConfigError: the agent or domain is unknown, or the agent does not play it.
        """
        domains, note = self.domains_played()
        only, split = self.named_tasks(), self.split or self.DEFAULT_SPLIT
        return Tasks(domains=domains, split=split, pool=self.pool, only=only), note

    def setup(self) -> Setup:
        """As its base. The tokens of agents that know them are kept."""
        return replace(super().setup(), keep_tokens=True)


@dataclass(frozen=True)
class Plan:
    """What is to be played, checked.

    Attributes:
        setup: how.
        pairs: the tasks.
        notes: notes about them.
    """

    setup: Setup
    pairs: list[TaskKey]
    notes: tuple[str, ...]


def plan(play: Play) -> Plan:
    """Plan what to play. Names are checked before anything is loaded.

    Raises:
        ConfigError: the set-up is not possible, or would play test tasks.
    """
    setup, (tasks, note), split = play.setup(), play.tasks(), play.named_split()
    setup.check(tasks.domains, "train" if split == FIT else split, play.num_samples)
    pairs = training_tasks(tasks, setup.source, setup.data_dir)
    where = setup.source, setup.data_dir
    notes = (note, bypass(setup), pool_note(pairs, *where), judge_note(tasks, *where))
    return Plan(setup, pairs, tuple(note for note in notes if note is not None))


def collect(play: Play, planned: Plan, folder: Path, console: Console) -> list[dict[str, Any]]:
    """Play the missing attempts, and return all attempts of this run.

    Args:
        play: what is played.
        planned: what `plan` made of it.
        folder: `attempts.jsonl` in it gets a line for each attempt as it finishes.
        console: shows progress.

    Raises:
        ConfigError: the set-up is not possible, or is not that of the attempts already there.
        DataError: the file holds something other than attempts, or cannot be read or written.
        BrokenProcessPool: a worker process died.
    """
    setup, pairs = planned.setup, planned.pairs
    for note in planned.notes:
        console.print(note, **PLAIN)
    attempts = attempts_at(setup, pairs, play.num_samples)
    player = make_player(setup)
    names = dict.fromkeys(domain for domain, _ in pairs)
    revisions = {name: setup.domain(name).revision for name in names}
    store = Store(folder / ATTEMPTS, setup.identity(), revisions, fresh=play.fresh)
    play_missing(setup, player, attempts, store, workers=play.workers, console=console)
    return [store.records[attempt.key] for attempt in attempts]


@app.command(cls=Command)
@takes(Play)
def main(
    play: Play,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder for the attempts.", file_okay=False)
    ] = Path("data/raw"),
) -> None:
    """Play training tasks several times, and keep every attempt.

    Each attempt is written to OUTPUT/attempts.jsonl as it finishes, in the form of
    `benchmarks.passk`. An interrupted run resumes when the same command is
    given again. Test tasks are refused. `python -m trainers.rft --from OUTPUT` makes rows to train
    on of them.
    """
    console = Console()
    with ending(console):
        attempts = collect(play, plan(play), output, console)
    for name in dict.fromkeys(attempt["domain"] for attempt in attempts):
        here = [attempt for attempt in attempts if attempt["domain"] == name]
        solved = [row for row in here if (row["official_reward"] or 0.0) >= SUCCESS]
        faults = sum(attempt["fault"] is not None for attempt in here)
        console.print(
            f"{name}: {len(solved)} of {len(here)} attempts solved their task, {faults} faults; "
            f"{len({row['task_id'] for row in solved})} of "
            f"{len({attempt['task_id'] for attempt in here})} tasks solved",
            highlight=False,
        )
    console.print(f"Attempts: {output / ATTEMPTS}", **PLAIN)
    end_with_faults(console, attempts)


if __name__ == "__main__":
    app()
