"""What a run leaves behind: its model and its checkpoints, each written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tau2_gym.errors import ConfigError, first_line
from trainers.sections import Run

STATE = "state.pt"
CHECKPOINTS = f"[0-9]*/{STATE}"
"""Whole checkpoints, in a run's folder `checkpoints`."""


def save_model(actor: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer, in the form that `from_pretrained` reads; all or nothing."""
    _replace(folder, lambda fresh: _write(actor, tokenizer, fresh))


def save_checkpoint(run: Run, step: int, actor: Any, tokenizer: Any, state: dict[str, Any]) -> Path:
    """Write `output/checkpoints/<step>`, all or nothing, and delete the oldest beyond `run.keep`.

    Args:
        state: plain data and tensors, which is all that `latest_checkpoint` reads.
    """
    import torch

    def write(fresh: Path) -> None:
        _write(actor, tokenizer, fresh)
        torch.save(state, fresh / STATE)

    folder = run.output / "checkpoints" / f"{step:06d}"
    _replace(folder, write)
    for old in _checkpoints(run)[: -run.keep]:
        shutil.rmtree(old)
    return folder


def latest_checkpoint(run: Run) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint of a run, and its state; None if there is none.

    Reading it cannot run code: write access to a folder of results must not let someone run
    programs on the machine that resumes.

    Raises:
        ConfigError: its state holds more than plain data and tensors, or cannot be read.
    """
    import torch

    found = _checkpoints(run)
    if not found:
        return None
    newest = found[-1]
    try:
        return newest, torch.load(newest / STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make an unpickler raise almost anything
        raise ConfigError(
            f"{newest / STATE} is not a checkpoint of plain data and tensors: delete {newest} to resume "
            f"from the one before, or begin with another output ({first_line(error)})"
        ) from error


def _checkpoints(run: Run) -> list[Path]:
    return sorted(path.parent for path in (run.output / "checkpoints").glob(CHECKPOINTS))


def _write(actor: Any, tokenizer: Any, folder: Path) -> None:
    actor.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _replace(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder under another name first, so that a kill never leaves half of one."""
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(fresh, folder)
