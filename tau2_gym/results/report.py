"""One page about runs, in one file: `tau2-gym report`."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.journal import replace_file, writing
from tau2_gym.results.page.build import MARK, report, require_packages
from tau2_gym.results.run import read_run

app = typer.Typer(add_completion=False)

NEAR = 2000
"""Within how many bytes from the beginning a report says that it is one."""

Runs = Annotated[
    list[Path],
    typer.Argument(metavar="RUN", help="Results, JSON lines; several are shown side by side."),
]


@app.command(cls=Command)
def main(
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, one HTML file.")] = Path(
        "report.html"
    ),
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is not a report.")
    ] = False,
) -> None:
    """Make one self-contained page of runs: numbers, plots, and every conversation.

    It needs no network and no server. An earlier report of that name is replaced; any other file only
    with --force.
    """
    console = Console()
    with ending(console):
        require_packages()
        check_output(output, runs, force=force)
        with without_garbage():
            content = report([read_run(path) for path in distinct(runs)])
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        replace_file(output, content)
        console.print(f"Report: {output} ({len(content) / 1e6:.1f} MB)", **PLAIN)


@contextmanager
def without_garbage() -> Iterator[None]:
    """Look for no garbage: results are millions of small objects without cycles, and going through all of them
    again and again takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def distinct(runs: Sequence[Path]) -> list[Path]:
    """The files of runs.

    Raises:
        ConfigError: a file is named twice.
    """
    resolved = [path.resolve() for path in runs]
    for number, path in enumerate(resolved):
        if path in resolved[:number]:
            raise ConfigError(f"{runs[number]} is named twice")
    return list(runs)


def check_output(output: Path, runs: Sequence[Path], *, force: bool) -> None:
    """Check that a report may be written there.

    Raises:
        ConfigError: it would replace a run, or a file that is not a report; the latter only unless forced to.
        DataError: it is a folder, or cannot be read.
    """
    if output.is_dir():
        raise DataError(f"{output} is a folder: name a file with -o")
    kept = {
        path.resolve() for run in runs for path in (run, *run.parent.glob(f"{run.stem}.*.json*"))
    }
    if output.resolve() in kept:
        raise ConfigError(f"{output} belongs to a run: name another file with -o")
    if force or not output.is_file():
        return
    try:
        with output.open("rb") as file:
            beginning = file.read(NEAR)
    except OSError as error:
        raise DataError(f"{output} cannot be read: {error.strerror or error}") from error
    if MARK not in beginning:
        raise ConfigError(
            f"{output} is there and is not a report: name another file with -o, or replace it with --force"
        )


if __name__ == "__main__":
    app()
