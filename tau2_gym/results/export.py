"""Runs in the forms of others: `tau2-gym export`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tau2_gym.errors import one_of
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.results.exchange.placing import new_file, new_folder
from tau2_gym.results.exchange.played import played
from tau2_gym.results.exchange.writing import without_result, write_results
from tau2_gym.results.run import Run, read_run
from tau2_gym.results.table import WIDE

app = typer.Typer(add_completion=False)


class Format(StrEnum):
    """What can be written."""

    TAU2 = "tau2"


@app.command(cls=Command)
def main(
    run: Annotated[Path, typer.Argument(help="Results of a run, JSON lines.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write.")],
    form: Annotated[
        Format, typer.Option("--format", help="tau2: results of tau2-bench 1.0.")
    ] = Format.TAU2,
    domain: Annotated[str | None, typer.Option(help="Only the attempts in this domain.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at OUTPUT.")] = False,
) -> None:
    """Write a run in the form of another tool.

    A file of tau2-bench holds one domain. Of a run in several, OUTPUT is a folder with a file for each.
    Nothing is written unless all is, and nothing is replaced without --force. Keys are masked.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    with ending(console):
        chosen = _chosen(read_run(run), domain)
        for line in without_result(chosen.rows):
            console.print(line, **PLAIN)
        export_tau2(chosen, output, force=force)
        console.print(f"{len(chosen.rows)} attempts: {output}", **PLAIN)


def export_tau2(run: Run, output: Path, *, force: bool = False) -> None:
    """Write a run as results of tau2-bench.

    Args:
        run: the run.
        output: the file; of a run in several domains, a folder.
        force: whether it may replace what is there.

    Raises:
        ConfigError: the run is not one of tau2-bench's domains, or there is something at `output`.
        DataError: it cannot be written.
    """
    parts = played(run)
    if len(parts) == 1:
        with new_file(output, force=force) as file:
            write_results(parts[0], file)
        return
    with new_folder(output, force=force) as folder:
        for part in parts:
            with (folder / f"{part.domain.name}.json").open("wb") as file:
                write_results(part, file)


def _chosen(run: Run, domain: str | None) -> Run:
    """The run, or its part in one domain.

    Raises:
        ConfigError: it was not played in that domain.
    """
    if domain is None:
        return run
    if domain not in run.domains:
        raise one_of(f"domain of {run.path}", domain, run.domains)
    return replace(run, rows=[row for row in run.rows if row["domain"] == domain])


if __name__ == "__main__":
    app()
