"""Runs in the forms of others: `tau2-gym export`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tau2_gym.errors import ConfigError, one_of
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.results.exchange.hub import export_hub
from tau2_gym.results.exchange.inspect_log import export_inspect
from tau2_gym.results.exchange.placing import new_file, new_folder
from tau2_gym.results.exchange.played import played
from tau2_gym.results.exchange.submission import Statement, export_submission
from tau2_gym.results.exchange.writing import without_result, write_results
from tau2_gym.results.run import Run, read_run
from tau2_gym.results.table import WIDE

app = typer.Typer(add_completion=False)


class Format(StrEnum):
    """What can be written."""

    TAU2 = "tau2"
    SUBMISSION = "submission"
    INSPECT = "inspect"
    HF = "hf"


SUBMITTING = "For --format submission"


def _stated(what: str) -> Any:
    return typer.Option(help=what, rich_help_panel=SUBMITTING)


@app.command(cls=Command)
def main(
    run: Annotated[Path, typer.Argument(help="Results of a run, JSON lines.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write.")],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="tau2: results of tau2-bench 1.0. submission: a folder for its leaderboard. inspect: a "
            "log of inspect_ai (.eval or .json). hf: a folder that datasets.load_dataset reads.",
        ),
    ] = Format.TAU2,
    domain: Annotated[str | None, typer.Option(help="Only the attempts in this domain.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at OUTPUT.")] = False,
    model_name: Annotated[str, _stated("The model, if not as in the run.")] = "",
    model_organization: Annotated[str, _stated("Who made the model.")] = "",
    submitting_organization: Annotated[str, _stated("Who evaluated it, if others.")] = "",
    contact_email: Annotated[str, _stated("Whom to ask.")] = "",
    trained_on_tau2: Annotated[
        bool | None,
        typer.Option(
            "--trained-on-tau2/--not-trained-on-tau2",
            help="Whether the model was trained on tau2-bench's domains, tasks or rewards.",
            rich_help_panel=SUBMITTING,
        ),
    ] = None,
    notes: Annotated[
        str, _stated("How it was done: needed unless it is a standard evaluation.")
    ] = "",
    reference: Annotated[
        list[str] | None, _stated("An address: a paper, a repository, a model card.")
    ] = None,
    date: Annotated[str, _stated("Of the evaluation, YYYY-MM-DD; today by default.")] = "",
) -> None:
    """Write a run in the form of another tool.

    A file of tau2-bench holds one domain. Of a run in several, OUTPUT is a folder with a file for each.
    Nothing is written unless all is, and nothing is replaced without --force. Keys are masked.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    statement = Statement(
        model_name,
        model_organization,
        submitting_organization,
        contact_email,
        trained_on_tau2,
        notes,
        tuple(reference or ()),
        date,
    )
    with ending(console):
        if form is not Format.SUBMISSION and statement != Statement():
            raise ConfigError("what is said of a model goes with --format submission only")
        chosen = _chosen(read_run(run), domain)
        for line in _exported(chosen, output, form, statement, force=force):
            console.print(line, **PLAIN)
        console.print(f"{len(chosen.rows)} attempts: {output}", **PLAIN)


def _exported(
    run: Run, output: Path, form: Format, statement: Statement, *, force: bool
) -> list[str]:
    """Write a run. Returns what there is to say about it."""
    match form:
        case Format.SUBMISSION:
            deviations = export_submission(run, output, statement, force=force)
            return [f"A custom submission: {each}" for each in deviations]
        case Format.INSPECT:
            export_inspect(run, output, force=force)
        case Format.HF:
            export_hub(run, output, force=force)
        case Format.TAU2:
            export_tau2(run, output, force=force)
            return list(without_result(run.rows))
    return []


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
