"""A model that learns in this process: OpenRLHF's `Actor` with AdamW, a schedule and checkpoints."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tau2_gym.errors import ConfigError
from trainers.sections import Hardware, Optimizer, Run

if TYPE_CHECKING:
    import torch

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
STATE = "state.pt"
CHECKPOINTS = f"[0-9]*/{STATE}"
"""Whole checkpoints, in a run's folder `checkpoints`."""


def load_tokenizer(path: str) -> Any:
    """The tokenizer of a model.

    Raises:
        ConfigError: none can be loaded from there, or transformers is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ConfigError(
            "a tokenizer takes transformers: pip install 'tau2-gym[train]'"
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"no tokenizer can be loaded from {path!r}: {_first(error)}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_actor(path: str, hardware: Hardware, temperature: float = 1.0) -> Any:
    """OpenRLHF's `Actor` on this process's device.

    Args:
        path: a folder, or a name on the Hugging Face hub.
        hardware: only `dtype` and `attention` are used.
        temperature: its log-probabilities are those of softmax(logits / temperature), the
            distribution that episodes are sampled from.

    Raises:
        ConfigError: no model can be loaded from there.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    from trainers.openrlhf.gpu_packages import gpu_packages_optional

    with gpu_packages_optional():
        from openrlhf.models import Actor
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            path,
            trust_remote_code=False,
            dtype=getattr(torch, DTYPES[hardware.dtype]),
            attn_implementation=hardware.attention,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"no model can be loaded from {path!r}: {_first(error)}") from error
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    model.config.use_cache = False
    if hardware.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    actor = Actor(model, temperature=temperature)
    actor.packing_samples = False  # which OpenRLHF sets only on models that it loads itself
    return actor


class Learner:
    """Takes optimiser steps, and remembers how far it has come.

    A step is smaller than what bf16 can tell apart in most weights, so AdamW works on copies of them
    in float32, as DeepSpeed does.

    Args:
        actor: what learns.
        optimizer: how.
        steps: optimiser steps in all, for the schedule.

    Attributes:
        updates: optimiser steps taken.

    Raises:
        ConfigError: the weights are in float16, whose gradients would vanish without loss scaling.
    """

    def __init__(self, actor: Any, optimizer: Optimizer, steps: int) -> None:
        import torch
        from transformers import get_scheduler

        self.actor = actor
        self.max_norm = optimizer.max_norm
        self.updates = 0
        weights = list(actor.parameters())
        if any(weight.dtype == torch.float16 for weight in weights):
            raise ConfigError("backend 'local' trains in bf16 or fp32: set hardware.dtype to bf16")
        self._masters = [
            weight if weight.dtype == torch.float32 else weight.detach().float()
            for weight in weights
        ]
        self._copied = [
            (weight, master)
            for weight, master in zip(weights, self._masters, strict=True)
            if weight is not master
        ]
        self._adam = torch.optim.AdamW(
            self._masters,
            lr=optimizer.lr,
            betas=optimizer.betas,
            weight_decay=optimizer.weight_decay,
        )
        name, options = "constant_with_warmup", {}
        if optimizer.schedule == "cosine":
            name, options = "cosine_with_min_lr", {"min_lr_rate": optimizer.min_lr}
        self._schedule = get_scheduler(
            name,
            self._adam,
            num_warmup_steps=round(optimizer.warmup * steps),
            num_training_steps=steps,
            scheduler_specific_kwargs=options,
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.actor.parameters()).device
        return device

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def step(self) -> float:
        """Take an optimiser step with the gradients there are.

        Returns:
            Their norm, before it was clipped.
        """
        import torch

        for weight, master in self._copied:
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self._masters, self.max_norm)
        self._adam.step()
        self._schedule.step()
        self._adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            for weight, master in self._copied:
                weight.copy_(master)
        self.updates += 1
        return float(norm)

    def state(self) -> dict[str, Any]:
        """Everything but the model's weights."""
        import torch

        return {
            "updates": self.updates,
            "masters": [master for _, master in self._copied],
            "adam": self._adam.state_dict(),
            "schedule": self._schedule.state_dict(),
            "torch_rng": torch.get_rng_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Resume from there."""
        import torch

        self.updates = state["updates"]
        for (_, master), saved in zip(self._copied, state["masters"], strict=True):
            master.copy_(saved)
        self._adam.load_state_dict(state["adam"])
        self._schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["torch_rng"])


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
            f"from the one before, or begin with another output ({_first(error)})"
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


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
