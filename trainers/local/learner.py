"""A model that learns in this process: OpenRLHF's `Actor` with AdamW and a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tau2_gym.errors import ConfigError, first_line
from trainers.sections import Hardware, Optimizer

if TYPE_CHECKING:
    import torch

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


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
        raise ConfigError(f"no model can be loaded from {path!r}: {first_line(error)}") from error
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
            # On a GPU the default makes copies of all it works on: 15 GiB more for a 4B model.
            fused=self.device.type == "cuda" or None,
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
