"""Fine-tune a model on conversations: `python -m trainers.sft`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from agents.checkpoints import find_model
from agents.codec import ChatCodec
from agents.tokenizer import load_tokenizer
from tau2_gym.errors import ConfigError
from tau2_gym.exits import Command
from trainers.config import SFTConfig, load_config
from trainers.data.chat_template import FlatTemplate, UnfitError
from trainers.data.conversations import flat_rows, has_tools
from trainers.data.dataset import DATA, read_rows
from trainers.memory_estimate import needs
from trainers.openrlhf.launch import Launch, check_same, sft_launch
from trainers.options import (
    SFT_PACKAGES,
    DryRun,
    Model,
    Output,
    Recipes,
    Seed,
    Set,
    assigned,
    choose_backend,
    errors,
    given,
    planned_model,
    settings,
    unchecked,
)

app = typer.Typer(add_completion=False)

Rows = list[dict[str, Any]]


@app.command(cls=Command)
def main(
    model: Model = "",
    data: Annotated[
        Path | None, typer.Option(help="What trainers.rft has written, or a file of rows.")
    ] = None,
    eval_data: Annotated[Path | None, typer.Option(help="The same, to compute a loss on.")] = None,
    config: Recipes = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, instead of epochs.")] = None,
    seed: Seed = None,
    output: Output = None,
    backend: Annotated[
        str,
        typer.Option(
            help="openrlhf (GPUs, DeepSpeed), or local (this process); by default openrlhf where all "
            "it needs is there."
        ),
    ] = "",
    set_: Set = None,
    dry_run: DryRun = False,
) -> None:
    """Train a model to speak as the assistant of conversations does.

    Options override the recipe, and the recipe the defaults. The same command resumes an
    interrupted run. The trained model is in OUTPUT/model.
    """
    console = Console(soft_wrap=True)
    notes = Console(soft_wrap=True, stderr=True)  # a dry run's output is a script
    with errors(console):
        recipe = load_config(
            SFTConfig,
            config,
            given(
                {
                    "model": model,
                    "data": None if data is None else str(data),
                    "eval_data": None if eval_data is None else str(eval_data),
                    "run.steps": steps,
                    "run.seed": seed,
                    "run.output": None if output is None else str(output),
                }
            )
            | settings(set_ or ()),
            assigned(set_ or ()),
        )
        chosen, why = choose_backend(backend, SFT_PACKAGES, recipe.hardware, dry_run=dry_run)
        rows = read_rows(recipe.data)
        eval_rows = None if recipe.eval_data is None else read_rows(recipe.eval_data)
        if dry_run:
            recipe = recipe.model_copy(update={"model": planned_model(recipe.model)})
            if note := unchecked(recipe.model):
                notes.print(note, highlight=False)
            notes.print(needs(recipe, chosen, offline=True), highlight=False)
            if any(map(has_tools, [*rows, *(eval_rows or ())])):
                template = _template_here(recipe)
                if template is None:
                    notes.print(
                        f"Rows: those with tool calls take the chat template of {recipe.model}, which is "
                        f"not on this machine; they are not checked, and not written to "
                        f"{recipe.run.output}.",
                        highlight=False,
                    )
                    _show(recipe, len(rows), _later(recipe), chosen, console)
                    return
                rows = flat_rows(rows, template)
                eval_rows = None if eval_rows is None else flat_rows(eval_rows, template)
            files = _written(recipe, rows, eval_rows) if chosen == "openrlhf" else _later(recipe)
            _show(recipe, len(rows), files, chosen, console)
            return
        recipe = recipe.model_copy(update={"model": find_model(recipe.model)})
        check_same(recipe.run.output, recipe.model_dump(mode="json"), chosen)
        template = _template(recipe)
        rows = flat_rows(rows, template)
        eval_rows = None if eval_rows is None else flat_rows(eval_rows, template)
        check_rows(recipe, template, [*rows, *(eval_rows or ())])
        notes.print(needs(recipe, chosen), highlight=False)
        console.print(f"Backend: {chosen} ({why}).", highlight=False)
        console.print(f"Model: {_train(recipe, rows, eval_rows, chosen)}", highlight=False)


def _template(config: SFTConfig) -> FlatTemplate:
    """The chat template of the model.

    Raises:
        ConfigError: it is unsuitable, or the model's tokenizer cannot be loaded.
    """
    return FlatTemplate(ChatCodec.load(config.model, tools=False).tokenizer)


def _template_here(config: SFTConfig) -> FlatTemplate | None:
    """The chat template of the model, if it can be had without the hub.

    Raises:
        ConfigError: it is unsuitable, or a folder of a model has no tokenizer that can be loaded.
    """
    try:
        tokenizer = load_tokenizer(config.model, offline=True)
    except ConfigError:
        if Path(config.model).is_dir():
            raise
        return None
    return FlatTemplate(ChatCodec(tokenizer, tools=False).tokenizer)


def check_rows(config: SFTConfig, template: FlatTemplate, rows: Rows) -> None:
    """Check that every row fits into the context, and that exactly what the assistant says is
    trained.

    Args:
        config: the recipe.
        template: of the model that is trained.
        rows: by role and content.

    Raises:
        ConfigError: one does not fit, or cannot be trained on with this template.
    """
    for number, row in enumerate(rows, start=1):
        try:
            length = len(template.encode(row["messages"]).ids)
        except UnfitError as error:
            raise ConfigError(f"row {number} cannot be trained on: {error}") from error
        if length >= config.context:
            raise ConfigError(
                f"row {number} has {length} tokens and the context holds {config.context}: raise "
                "context, or make the rows with it"
            )


Files = tuple[Path, Path | None]
"""Of rows to train on, and to compute a loss on."""


def launch(config: SFTConfig, rows: Rows, eval_rows: Rows | None) -> Launch:
    """How OpenRLHF is started. Rows from elsewhere are written out in the format it takes.

    Args:
        config: the recipe.
        rows, eval_rows: by role and content.

    Raises:
        ConfigError: OpenRLHF cannot do what the recipe says.
    """
    return sft_launch(config, *_written(config, rows, eval_rows), len(rows))


def _written(config: SFTConfig, rows: Rows, eval_rows: Rows | None) -> Files:
    """The files of rows, written out where theirs are not what OpenRLHF takes."""
    file, eval_file = _later(config)
    if config.eval_data is not None and eval_file is not None:
        eval_file = _plain(config.eval_data, eval_rows or [], eval_file)
    return _plain(config.data, rows, file), eval_file


def _later(config: SFTConfig) -> Files:
    """Where rows are written out."""
    folder = config.run.output
    return folder / "rows.jsonl", None if config.eval_data is None else folder / "eval_rows.jsonl"


def _plain(path: Path, rows: Rows, copy: Path) -> Path:
    """The file of the rows, or a copy that holds nothing but messages."""
    file = path / DATA if path.is_dir() else path
    if file.is_file() and file.suffix == ".jsonl":
        lines = file.read_text(encoding="utf-8").splitlines()
        if [json.loads(line).get("messages") for line in lines] == [r["messages"] for r in rows]:
            return file
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(
        "".join(json.dumps({"messages": row["messages"]}) + "\n" for row in rows), encoding="utf-8"
    )
    return copy


def _show(config: SFTConfig, rows: int, files: Files, backend: str, console: Console) -> None:
    if backend == "openrlhf":
        print(sft_launch(config, *files, rows).script())
        return
    console.print(f"In this process, on {rows} rows, with these settings:", highlight=False)
    print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), end="")


def _train(config: SFTConfig, rows: Rows, eval_rows: Rows | None, backend: str) -> Path:
    if backend == "openrlhf":
        launch(config, rows, eval_rows).run()
        return config.run.output / "model"
    from trainers.local import sft

    train: Any = sft.train
    folder: Path = train(config)
    return folder


if __name__ == "__main__":
    app()
