"""tau2-bench's results, graded again: `tau2-gym regrade`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tau2_gym.completion.redaction import redact
from tau2_gym.errors import DataError
from tau2_gym.exits import FAILED, PLAIN, Command, ending
from tau2_gym.results.exchange.comparing import KINDS, Comparison
from tau2_gym.results.exchange.files import find_results
from tau2_gym.results.exchange.regrading import Tasks, compare_file
from tau2_gym.results.table import WIDE

app = typer.Typer(add_completion=False)

LINES = 8
"""How many lines are printed of one simulation."""


@app.command(cls=Command)
def main(
    results: Annotated[
        Path, typer.Argument(help="A file of tau2-bench's results, or a folder of such files.")
    ],
    tasks: Annotated[
        Tasks | None,
        typer.Option(
            help="Grade by the tasks in the file, or by those of the installed revision. By default by "
            "those in the file, and by the installed ones where it does not have them."
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(help="Where the domains come from: inspect-evals or tau2.")
    ] = "inspect-evals",
    data_dir: Annotated[
        Path | None, typer.Option(help="Another revision of tasks and databases.")
    ] = None,
    show: Annotated[
        int, typer.Option(help="How many simulations to print of each kind.", min=0)
    ] = 10,
) -> None:
    """Grade tau2-bench's recorded simulations again and compare with the recorded grades.

    Every call is made again in a fresh world. The reward and each check are compared: of the database,
    of each assertion, each expected action, each text to be said. Simulations that cannot be graded
    without a model are named. The exit code is 0 if all agree, 1 if something differs, 2 if there is
    nothing that can be graded.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    with ending(console):
        files, others = find_results(results)
        for other in others:
            console.print(f"Passed over, not results: {redact(str(other))}", **PLAIN)
        for file in files:
            if tasks is None and not file.tasks:
                where = redact(str(file.path))
                console.print(f"{where} holds no tasks: graded by the installed ones", **PLAIN)
        comparisons = [
            comparison
            for file in files
            for comparison in compare_file(file, tasks, source, data_dir)
        ]
        if not comparisons:
            raise DataError(f"{results} holds no simulations")
        _report(console, comparisons, show)
        differing = sum(bool(each.differences) for each in comparisons)
        ungraded = sum(each.problem is not None for each in comparisons)
        same = sum(bool(each.compared) and not each.differences for each in comparisons)
        console.print(
            f"{same} agree, {differing} differ, {ungraded} cannot be graded completely", **PLAIN
        )
        if not any(each.compared for each in comparisons):
            raise DataError(f"nothing in {results} can be graded: see above")
    raise typer.Exit(FAILED if differing else 0)


def _report(console: Console, comparisons: list[Comparison], show: int) -> None:
    kinds: tuple[tuple[str, list[tuple[str, list[str]]]], ...] = (
        (
            "Found by what was graded, or worth knowing",
            [(each.name, each.notes) for each in comparisons if each.notes],
        ),
        (
            "Cannot be graded, or not completely",
            [(each.name, [each.problem]) for each in comparisons if each.problem is not None],
        ),
        ("Differ", [(each.name, each.differences) for each in comparisons if each.differences]),
    )
    for title, entries in kinds:
        if entries:
            console.print(f"{title} ({len(entries)}):", style="bold", **PLAIN)
        for name, lines in entries[:show]:
            console.print(f"  {name}", **PLAIN)
            for line in lines[:LINES]:
                console.print(f"    {line}", **PLAIN)
            if len(lines) > LINES:
                console.print(f"    … and {len(lines) - LINES} more", **PLAIN)
        if len(entries) > show:
            console.print(f"  … and {len(entries) - show} more: --show {len(entries)}", **PLAIN)
    console.print(_table(comparisons))


def _table(comparisons: list[Comparison]) -> Table:
    compared: Counter[str] = sum((each.compared for each in comparisons), Counter())
    agreed: Counter[str] = sum((each.agreed for each in comparisons), Counter())
    table = Table(box=SIMPLE_HEAD)
    table.add_column("recorded")
    for name in ("compared", "agree", "%"):
        table.add_column(name, justify="right")
    for kind in KINDS:
        row: list[Any] = [compared[kind], agreed[kind]]
        share = f"{100 * agreed[kind] / compared[kind]:.1f}" if compared[kind] else "–"
        table.add_row(kind, *map(str, row), share)
    return table


if __name__ == "__main__":
    app()
