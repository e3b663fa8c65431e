"""What policies get for nothing, by domain, split and reward: `tau2-gym audit`.

A task that is passed by doing nothing, and a reward that is paid for nothing, teach a model to do nothing. This
plays policies that do not do the task, and says where one gets more than it should: of the official reward, more
than `--solved` of the tasks; of the dense reward, more than `--dense` of what the oracle earns.
`python -m benchmarks.exploits` holds more policies against stricter bounds, on the default split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from agents.base import Agent, AgentView
from agents.exploits import EXPLOITS, Exploit, expected, moves_of
from agents.oracle import OracleAgent
from agents.random import RandomAgent
from benchmarks.exploits import DEFAULT, SHARE, STANDARD, Earned, play_all
from tau2_gym.domains.base import check_split, get_domain
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.journal import write_json
from tau2_gym.rewards import PRESETS
from tau2_gym.rules import Rules
from tau2_gym.users.base import STOP
from tau2_gym.values import finite, listed

app = typer.Typer(add_completion=False)

WIDE = 100

MAY_STOP = Rules(agent_stop=True)


@dataclass(frozen=True)
class Policy:
    """A policy that does not do the task.

    Attributes:
        what: what it does, for people.
        agent: it.
        rules: those that it plays by.
    """

    what: str
    agent: Agent
    rules: Rules = STANDARD


def _calls(view: AgentView) -> Iterator[str]:
    return (move for move in expected(view) if move.startswith("<tool_call>"))


POLICIES = {
    "noop": Policy("says goodbye", EXPLOITS["noop"]),
    "done": Policy(
        "ends the episode at once, where `agent_stop` lets it",
        Exploit("ends the episode", lambda view: STOP),
        MAY_STOP,
    ),
    "empty": Policy("calls every tool without arguments", EXPLOITS["empty_each"]),
    "reads": Policy("reads with all ids and values that it has seen", EXPLOITS["read_all"]),
    "random": Policy("makes random valid calls, and says random sentences", RandomAgent()),
    "silent": Policy(
        "makes the calls that are expected of the agent, and asks the user for nothing",
        Exploit("calls", moves_of(_calls), knows=True),
    ),
}
"""Policies by name. All but `silent` know nothing of the task."""


@dataclass(frozen=True)
class Row:
    """What a policy gets.

    Attributes:
        domain, split, policy: which.
        solved: share of the tasks that it is officially rewarded for.
        dense: its dense reward under the default preset, as a share of the oracle's.
        returns: its mean return under each preset, the official reward included.
        of_oracle: the same as a share of the oracle's return.
    """

    domain: str
    split: str
    policy: str
    solved: float
    dense: float
    returns: Mapping[str, float]
    of_oracle: Mapping[str, float]

    def warnings(self, solved: float, dense: float) -> Iterator[str]:
        """Where it gets more than it should, as sentences."""
        place = f"{self.domain}, {self.split}: {self.policy}"
        if self.solved > solved:
            yield f"{place} solves {100 * self.solved:.0f} % of the tasks"
        if self.dense > dense:
            yield f"{place} earns {100 * self.dense:.0f} % of the oracle's dense reward"
        for preset, share in self.of_oracle.items():
            if share > 1:
                yield f"{place} earns more than the oracle with {preset!r}"


def audited(domain: str, split: str) -> Iterator[Row]:
    """What each policy gets on the tasks of a split.

    Raises:
        ConfigError: unknown domain or split.
    """
    world = get_domain(domain)
    tasks = [world.task(task_id) for task_id in world.task_ids(split)]
    oracle = play_all(world, tasks, OracleAgent())
    for name, policy in POLICIES.items():
        earned = play_all(world, tasks, policy.agent, policy.rules)
        yield _row(domain, split, name, earned, oracle)


def _row(domain: str, split: str, name: str, earned: Earned, oracle: Earned) -> Row:
    return Row(
        domain=domain,
        split=split,
        policy=name,
        solved=earned.official / earned.tasks,
        dense=_share(earned.dense[DEFAULT], oracle.dense[DEFAULT]),
        returns={preset: earned.returns[preset] / earned.tasks for preset in PRESETS},
        of_oracle={
            preset: _share(earned.returns[preset], oracle.returns[preset]) for preset in PRESETS
        },
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def table(rows: Sequence[Row], solved: float, dense: float) -> Table:
    """The rows for the terminal, in percent; what is more than it should be in red."""
    result = Table(box=SIMPLE_HEAD, padding=(0, 1), title=TITLE, title_justify="left")
    for name in ("domain", "split", "policy"):
        result.add_column(name, no_wrap=True)
    for name in ("solved", "dense", *PRESETS):
        result.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        marked = (
            (row.solved, solved),
            (row.dense, dense),
            *((each, 1.0) for each in row.of_oracle.values()),
        )
        result.add_row(
            row.domain,
            row.split,
            row.policy,
            *(
                f"[red]{100 * share:.0f}[/red]" if share > most else f"{100 * share:.0f}"
                for share, most in marked
            ),
            end_section=row.policy == next(reversed(POLICIES)),
        )
    return result


TITLE = "% of tasks solved; % of the oracle's dense reward; % of its return with each preset"


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as a table in Markdown, line by line."""
    yield f"| domain | split | policy | solved, % | dense | {' | '.join(PRESETS)} |"
    yield "|---" * (5 + len(PRESETS)) + "|"
    for row in rows:
        shares = [row.solved, row.dense, *row.of_oracle.values()]
        said = " | ".join(f"{100 * share:.0f}" for share in shares)
        yield f"| {row.domain} | {row.split} | `{row.policy}` | {said} |"


@app.command(cls=Command)
def main(
    domains: Annotated[str, typer.Option(help="Domains, with commas.")] = "airline,retail,telecom",
    splits: Annotated[str, typer.Option(help="Splits of tasks, with commas.")] = "test,train",
    solved: Annotated[
        float,
        typer.Option(
            help="Warn if a policy solves a larger share of the tasks.", callback=finite(0, 1)
        ),
    ] = 0.1,
    dense: Annotated[
        float,
        typer.Option(
            help="Warn if one earns a larger share of the oracle's dense reward.",
            callback=finite(0),
        ),
    ] = SHARE,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table in Markdown.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the numbers as JSON, too.", dir_okay=False),
    ] = None,
) -> None:
    """Play policies that do not do the task, and print what they get for it.

    Those that get more than they should are named below the table.
    """
    console, notes = Console(), Console(stderr=True)
    if not console.is_terminal:
        console = Console(width=max(console.width, WIDE))
    with ending(notes):
        places = [
            (domain, split)
            for domain in listed(domains, "--domains")
            for split in listed(splits, "--splits")
        ]
        for domain, split in places:
            check_split(domain, split)
        rows = [row for place in places for row in audited(*place)]
        if as_markdown:
            for line in markdown(rows):
                typer.echo(line)
        else:
            console.print(table(rows, solved, dense))
            for name, policy in POLICIES.items():
                console.print(f"{name}: {policy.what}", **PLAIN)
        for row in rows:
            for sentence in row.warnings(solved, dense):
                notes.print(f"Warning: {sentence}.", **PLAIN)
        if output is not None:
            write_json(
                output, {"solved": solved, "dense": dense, "rows": [asdict(row) for row in rows]}
            )
