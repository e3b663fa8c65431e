"""`python -m examples.from_scratch`: everything for one seed, or a report over those there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from examples.from_scratch.plan import ARMS, Plan
from examples.from_scratch.report import write_report
from examples.from_scratch.stages import Pipeline
from tau2_gym.errors import Tau2GymError, one_of
from tau2_gym.exits import Command

app = typer.Typer(add_completion=False)

BEST = ARMS[0]
"""How the whole pipeline's last stage is paid and credited: chosen on the dev tasks."""


@app.command(cls=Command)
def main(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for all of it.")] = Path(
        "runs/from_scratch"
    ),
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    arms: Annotated[
        str, typer.Option(help="GRPO from the fine-tuned model, paid in these ways.")
    ] = ",".join(arm.name for arm in ARMS),
    pipeline: Annotated[
        bool, typer.Option(help="Also run rejection fine-tuning, and GRPO after it.")
    ] = True,
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
    """A small model learns telecom from nothing: SFT, RFT and GRPO on one CPU.

    The same command resumes an interrupted run.
    """
    console = Console()
    try:
        known = {arm.name: arm for arm in ARMS}
        chosen = [name.strip() for name in arms.split(",") if name.strip()]
        for name in chosen:
            if name not in known:
                raise one_of("arm", name, known)
        if report is not None:
            write_report(output, report)
            console.print(f"Report: {report}", highlight=False)
            return
        import torch

        torch.set_num_threads(threads)
        plan = Plan().quick if quick else Plan()
        run = Pipeline(output / f"seed{seed}", seed, plan, console)
        start = run.sft(run.start())
        run.evaluate(start, "sft")
        if pipeline:
            own = run.rft(start)
            run.evaluate(own, "rft")
            run.evaluate(run.rft_grpo(own, BEST), "rft+grpo")
        for name in chosen:
            run.evaluate(run.grpo(start, known[name]), f"grpo-{name}")
    except Tau2GymError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
