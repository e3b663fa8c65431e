"""The command `tau2-gym`: what is done with environments and results, verb by verb."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from tau2_gym.exits import REFUSED, complain

VERBS = {
    "report": ("tau2_gym.results.report", "One page about runs: numbers, plots, conversations."),
    "view": ("tau2_gym.results.view", "The same page, live while runs go on."),
    "compare": ("tau2_gym.results.compare", "Compare two runs, task by task."),
    "audit": ("benchmarks.audit", "See what policies get that do not do the task."),
    "tasks": ("tau2_gym.results.tasks", "List the tasks of a domain, or show one."),
    "play": ("benchmarks.play", "Be the agent, or the user, in a terminal."),
    "export": ("tau2_gym.results.export", "Write a run in the form of another tool."),
    "regrade": ("tau2_gym.results.regrade", "Grade tau2-bench's recorded simulations again."),
    "serve": ("tau2_gym.adapters.serve", "Serve environments to other processes: OpenEnv, MCP."),
    "conformance": ("tau2_gym.results.conformance", "Grade and play recordings of tau2-bench again."),
}  # fmt: skip
"""Verbs: the module whose `app` each is, which is imported when the verb is used, and what it does."""

PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
"""Whatever stands behind a verb is for its module to read, `--help` too."""

app = typer.Typer(no_args_is_help=True, add_completion=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tau2-gym {version('tau2-gym')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Environments of tau2-bench: results, tasks, and playing."""


def _add(verb: str, module: str, what: str) -> None:
    @app.command(verb, help=what, context_settings=PASSED_ON)
    def run(context: typer.Context) -> None:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module.partition(".")[0]:
                raise
            complain(Console(stderr=True), f"tau2-gym {verb} takes a checkout of the project")
            raise typer.Exit(REFUSED) from None
        found.app(args=context.args, prog_name=f"tau2-gym {verb}")


for _verb, (_module, _what) in VERBS.items():
    _add(_verb, _module, _what)


if __name__ == "__main__":
    app()
