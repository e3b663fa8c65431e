"""`python -m examples.tool_reward`: one seed, or a report over those there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from examples.tool_reward.report import write_report
from examples.tool_reward.study import ARMS, STARTS, Plan, Study
from tau2_gym.errors import Tau2GymError, one_of
from tau2_gym.exits import Command

app = typer.Typer(add_completion=False)


@app.command(cls=Command)
def main(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for all of it.")] = Path(
        "runs/tool_reward"
    ),
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    starts: Annotated[str, typer.Option(help="What the model has learned before GRPO.")] = ",".join(
        start.name for start in STARTS
    ),
    arms: Annotated[str, typer.Option(help="Rewards for tool calls in GRPO.")] = ",".join(ARMS),
    threads: Annotated[int, typer.Option(help="Threads to compute with.", min=1)] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="A minute or two; learns nothing.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write tables and plots of all seeds in OUTPUT here, and do nothing else."
        ),
    ] = None,
) -> None:
    """Does a reward for tool calls keep a model that hardly ever answers right from giving up its tool?

    A small model learns from demonstrations to solve generated problems, with a tool or without, and
    then by GRPO. The same command resumes an interrupted run.
    """
    console = Console()
    try:
        begun = {start.name: start for start in STARTS}
        for known, asked in ((begun, starts), (ARMS, arms)):
            for name in asked.split(","):
                if name not in known:
                    raise one_of("arm" if known is ARMS else "start", name, known)
        if report is not None:
            write_report(output, report)
            console.print(f"Report: {report}", highlight=False)
            return
        import torch

        torch.set_num_threads(threads)
        run = Study(output / f"seed{seed}", seed, Plan().quick if quick else Plan(), console)
        for name in starts.split(","):
            start = begun[name].quick if quick else begun[name]
            model = run.start(start)
            run.evaluate(model, name)
            for arm in arms.split(","):
                run.evaluate(run.grpo(model, start, arm), f"{name}-{arm}")
    except Tau2GymError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
