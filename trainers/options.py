"""What the command lines of the trainers have in common: settings over a recipe, the model, the
backend, and errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from agents.checkpoints import RUNS, find_model, looks_local
from tau2_gym.errors import ConfigError, Tau2GymError, one_of
from trainers.sections import Hardware

BACKENDS = ("openrlhf", "local")
GRPO_PACKAGES = ("openrlhf", "ray", "vllm", "deepspeed", "flash_attn")
SFT_PACKAGES = ("openrlhf", "deepspeed", "flash_attn")
LOCAL_PACKAGES = ("openrlhf", "torch", "transformers")


Model = Annotated[
    str, typer.Option(help="A folder, that of a run too, or a name on the Hugging Face hub.")
]
Recipes = Annotated[
    list[Path] | None,
    typer.Option(help="Recipes, later ones over earlier ones; see trainers/recipes."),
]
Seed = Annotated[int | None, typer.Option(help="Decides everything random.")]
Output = Annotated[Path | None, typer.Option(help="Folder for checkpoints, logs and the model.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting of the recipe: section.name=value."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")
]


@contextmanager
def errors(console: Console) -> Iterator[None]:
    """Say in one sentence what is wrong with the settings, and end with code 2; with what went wrong
    later, and end with code 1."""
    try:
        yield
    except Tau2GymError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    except RuntimeError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        raise typer.Exit(1) from error


def settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Values by dotted name, from texts such as `optimizer.lr=2e-6`; values are YAML.

    Raises:
        ConfigError: a text assigns nothing, or its value is not YAML.
    """
    import yaml

    values: dict[str, Any] = {}
    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise ConfigError(
                f"--set takes section.name=value, such as optimizer.lr=2e-6, not {text!r}"
            )
        try:
            values[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text}: {value!r} is not YAML") from error
    return values


def assigned(assignments: Sequence[str]) -> dict[str, str]:
    """The texts that `settings` reads as they were given, by dotted name."""
    return {text.partition("=")[0].strip(): f"--set {text}" for text in assignments}


def choose_backend(
    asked: str, packages: Sequence[str], hardware: Hardware, *, dry_run: bool
) -> tuple[str, str]:
    """The backend to train with, and why.

    Args:
        asked: its name; empty for `openrlhf` if all that it needs is there, else `local`.
        packages: what `openrlhf` needs on a machine that trains.
        hardware: a job of a Ray cluster needs nothing but Ray here.
        dry_run: only a command is wanted, which needs nothing.

    Raises:
        ConfigError: the backend is unknown, or what it needs is missing.
    """
    if asked and asked not in BACKENDS:
        raise one_of("backend", asked, BACKENDS)
    if dry_run:
        return asked or "openrlhf", "as asked" if asked else "which has a command to show"
    job = hardware.launcher == "ray-job"
    absent = _absent(("ray",) if job else packages)
    lacks = ", ".join(absent) or _lacking_gpus(hardware)
    if not asked and lacks and not absent and _gpus():
        raise ConfigError(
            f"the recipe takes {lacks}: set hardware.gpus and hardware.engines, or give "
            "--backend local"
        )
    if asked == "openrlhf" and lacks:
        raise ConfigError(f"backend 'openrlhf' needs {lacks}: see docs/training.md")
    if asked == "openrlhf" or (not asked and not lacks):
        return "openrlhf", "as asked" if asked else "all that it needs is here"
    if missing := _absent(LOCAL_PACKAGES):
        raise ConfigError(f"backend 'local' needs {', '.join(missing)}: see docs/training.md")
    return "local", "as asked" if asked else f"'openrlhf' needs {lacks}"


def _lacking_gpus(hardware: Hardware) -> str:
    """What this machine lacks, if it is the one that trains; empty if nothing."""
    wanted, found = hardware.gpus_per_node, _gpus()
    if hardware.launcher == "ray-job" or "RAY_ADDRESS" in os.environ or found >= wanted:
        return ""
    return f"{wanted} GPUs on this machine, which has {found}" if found else "GPUs"


def _absent(packages: Sequence[str]) -> list[str]:
    return [name for name in packages if find_spec(name) is None]


def _gpus() -> int:
    """GPUs of this machine that may be used, without claiming any."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return sum(path.name[len("nvidia") :].isdigit() for path in Path("/dev").glob("nvidia*"))


def planned_model(name: str) -> str:
    """The model that a dry run is about, as `find_model` finds it; in the folder where runs write, one that
    has yet to be trained, too.

    Raises:
        ConfigError: it is a folder that is not there, or holds no model.
    """
    try:
        return find_model(name)
    except ConfigError:
        if Path(name).expanduser().parts[:1] == (RUNS,):
            return name
        raise


def unchecked(model: str) -> str:
    """What a dry run says of a model that it did not look at."""
    if Path(model).is_dir():
        return ""
    if looks_local(model):
        return f"Model: {model} has yet to be trained."
    return f"Model: there is no folder {model}; on the hub, where a run looks for it, a dry run does not."


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a command line that were given: neither None nor empty."""
    return {name: value for name, value in options.items() if value not in (None, "")}
