"""`tau2-gym compare`: two agents, or two stages of one, task by task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tau2_gym.errors import ConfigError
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.journal import check_apart, write_json
from tau2_gym.results.metrics import pass_at_k, pass_hat_k
from tau2_gym.results.page.masking import presentable, shown
from tau2_gym.results.paired import Counts, Difference, Formula, common, difference
from tau2_gym.results.record import SUCCESS, TaskKey
from tau2_gym.results.run import Run, read_run, task_of, ungraded
from tau2_gym.values import listed

app = typer.Typer(add_completion=False)

SAME = ("user", "user_model", "judge", "max_steps", "max_errors", "source", "data_dir")
"""What of two set-ups must be the same, beside revisions and tasks, for their difference to be the agents'."""

WIDE = 100
"""Columns that the table takes."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes:
        name: what it is called.
        runs: its results: several, if it was trained or played several times.
        counts: of each run, attempts and successes by task, without faults and without tasks that were not
            graded.
        faults: attempts that have no result.
    """

    name: str
    runs: Sequence[Run]
    counts: Sequence[Counts]
    faults: int

    @classmethod
    def read(cls, text: str, option: str) -> Side:
        """The runs of a comma-separated text.

        Raises:
            ConfigError: it names none.
            DataError: a file holds something other than results.
        """
        runs = [presentable(read_run(name)) for name in listed(text, option)]
        faults = sum(row["fault"] is not None for run in runs for row in run.rows)
        return cls(
            shown(", ".join(run.name for run in runs)), runs, list(map(_counts, runs)), faults
        )


def _counts(run: Run) -> Counts:
    left_out = ungraded(run.rows)
    found: dict[TaskKey, tuple[int, int]] = {}
    for row in run.rows:
        if row["fault"] is None and task_of(row) not in left_out:
            attempts, successes = found.get(task_of(row), (0, 0))
            found[task_of(row)] = (attempts + 1, successes + (row["official_reward"] >= SUCCESS))
    return found


def unlike(a: Side, b: Side) -> Iterator[str]:
    """What keeps the difference of two sides from being that of their agents, as sentences."""
    runs = [*a.runs, *b.runs]
    first = runs[0]
    for run in runs:
        if not run.config:
            yield f"{run.path} has no {run.path.with_suffix('.config.json').name} that says how it was played"
    for run in runs[1:]:
        for name in SAME:
            if first.config and run.config and first.config.get(name) != run.config.get(name):
                yield f"{name} is {first.config.get(name)!r} in {first.path}, and {run.config.get(name)!r} in {run.path}"
        one, other = _revisions(first), _revisions(run)
        for domain in sorted(one.keys() & other.keys()):
            if one[domain] != other[domain]:
                yield f"the revision of {domain} is {_said(one[domain])} in {first.path}, and {_said(other[domain])} in {run.path}"
        mine, theirs = set(map(task_of, first.rows)), set(map(task_of, run.rows))
        if mine != theirs:
            yield f"{first.path} has {len(mine)} tasks, {run.path} has {len(theirs)}, and {len(mine & theirs)} of them are the same"


def _revisions(run: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in run.rows:
        found.setdefault(row["domain"], set()).add(row["revision"])
    return found


def _said(revisions: set[str]) -> str:
    return " and ".join(sorted(revisions))


def metrics(k: int) -> dict[str, Formula]:
    """What is compared."""
    chosen: dict[str, Formula] = {"pass@1": partial(_of, pass_at_k, k=1)}
    if k > 1:
        chosen[f"pass@{k}"] = partial(_of, pass_at_k, k=k)
        chosen[f"pass^{k}"] = partial(_of, pass_hat_k, k=k)
    return chosen


def _of(formula: Any, attempts: int, successes: int, *, k: int) -> float | None:
    result: float | None = formula(attempts, successes, k)
    return result


def compared(a: Side, b: Side, k: int, seed: int) -> dict[str, dict[str, Difference]]:
    """The differences of two sides, by domain and metric; `overall`, too, where there are several domains."""
    names = list(
        dict.fromkeys(domain for domain, _ in common(a.counts, b.counts, metrics(1)["pass@1"]))
    )
    groups = {name: {name} for name in names}
    if len(names) > 1:
        groups["overall"] = set(names)
    found: dict[str, dict[str, Difference]] = {}
    for group, domains in groups.items():
        one, other = (
            [{task: run[task] for task in run if task[0] in domains} for run in side.counts]
            for side in (a, b)
        )
        every = {
            metric: difference(one, other, formula, single=metric == "pass@1", seed=seed)
            for metric, formula in metrics(k).items()
        }
        found[group] = {metric: each for metric, each in every.items() if each is not None}
    return found


def most(a: Side, b: Side) -> int:
    """The most attempts that every task has on both sides.

    Raises:
        ConfigError: there is no task that both have graded attempts at.
    """
    runs = [*a.counts, *b.counts]
    tasks = set.intersection(*map(set, runs))
    if not tasks:
        raise ConfigError("there is no task that both sides have graded attempts at")
    return min(run[task][0] for run in runs for task in tasks)


def table(found: dict[str, dict[str, Difference]], title: str) -> Table:
    """The differences for the terminal, in points of a percent."""
    result = Table(
        title=Text(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1),
        caption=CAPTION,
        caption_justify="left",
    )
    for name in ("domain", "metric"):
        result.add_column(name, no_wrap=True)
    for name in ("tasks", "A", "B", "B − A", "again", "shows from"):
        result.add_column(name, justify="right", no_wrap=True)
    for domain, differences in found.items():
        for number, (metric, each) in enumerate(differences.items()):
            mark = "*" if each.shows else " "
            result.add_row(
                Text(domain if number == 0 else ""),
                metric,
                str(each.tasks),
                f"{100 * each.a:.1f}",
                f"{100 * each.b:.1f}",
                f"{100 * each.value:+.1f} [{100 * each.low:+.1f}, {100 * each.high:+.1f}]{mark}",
                "–" if each.rerun is None else f"±{196 * each.rerun:.1f}",
                "–" if (least := each.detectable()) is None else f"{100 * least:.1f}",
                style="bold" if domain == "overall" else None,
            )
    return result


CAPTION = (
    "B − A has its 95 % interval over tasks, attempts and runs; * leaves out 0. again: how far it moves if the same "
    "agents play the same tasks again. shows from: the smallest true difference that would be told from 0 in four of "
    "five comparisons like this one."
)


def advice(found: dict[str, dict[str, Difference]]) -> str | None:
    """What more attempts would bring, in one sentence, where that can be told."""
    each = next(reversed(found.values())).get("pass@1")
    if each is None:
        return None
    four, endless = each.detectable(4), each.detectable(math.inf)
    if four is None or endless is None:
        return None
    return (
        f"Four times the attempts would tell differences of pass@1 from {100 * four:.1f} points, and endless attempts "
        f"from {100 * endless:.1f}; beyond that it takes more tasks."
    )


@app.command(cls=Command)
def main(
    a: Annotated[
        str, typer.Argument(metavar="A", help="Results; several runs of one agent with commas.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Those they are compared with.")],
    k: Annotated[
        int | None,
        typer.Option(
            "--k",
            help="Of pass@k and pass^k; by default the most that every task has attempts for.",
            min=1,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.", min=0)] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the numbers as JSON, too.", dir_okay=False),
    ] = None,
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway",
            help="Compare runs of different users, revisions, limits or tasks, on the tasks that both have.",
        ),
    ] = False,
) -> None:
    """Compare two runs, paired by task.

    A and B are results that `python -m benchmarks.passk` has written. A difference is B's number less A's.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, WIDE))
    with ending(console):
        one, other = Side.read(a, "A"), Side.read(b, "B")
        if output is not None:
            check_apart(output, "--output", [run.path for run in (*one.runs, *other.runs)])
        reasons = list(map(shown, unlike(one, other)))
        if reasons and not anyway:
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            raise ConfigError(
                f"{reasons[0]}{more}: their difference is not the agents' alone; --anyway compares them"
            )
        for reason in reasons:
            console.print(f"Note: {reason}.", **PLAIN)
        attempts = most(one, other)
        found = compared(one, other, k or attempts, seed)
        for group, differences in found.items():
            if len(differences) < len(metrics(k or attempts)):
                raise ConfigError(
                    f"no task of {group} has the {k} graded attempts in each run that --k takes; --k {attempts} goes "
                    "for all tasks"
                )
        for side in (one, other):
            if side.faults:
                console.print(
                    f"Note: {side.faults} attempts of {side.name} have no result because of faults, and are left out.",
                    **PLAIN,
                )
        console.print(table(found, f"A: {one.name}\nB: {other.name}"))
        if said := advice(found):
            console.print(said, **PLAIN)
        if output is not None:
            write_json(output, as_data(one, other, found, seed, reasons))


def as_data(
    a: Side, b: Side, found: dict[str, dict[str, Difference]], seed: int, notes: Sequence[str]
) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "a": [str(run.path) for run in a.runs],
        "b": [str(run.path) for run in b.runs],
        "seed": seed,
        "notes": list(notes),
        "faults": {"a": a.faults, "b": b.faults},
        "differences": {
            domain: {
                metric: {**asdict(each), "detectable": each.detectable()}
                for metric, each in group.items()
            }
            for domain, group in found.items()
        },
    }
