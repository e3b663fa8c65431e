"""A CPU that answers for a GPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from trainers.openrlhf.gpu_packages import gpu_packages_optional


class CpuDevice(str):
    """The name of the CPU as a device. Where OpenRLHF writes it behind `cuda:`, it is a number."""

    def __format__(self, spec: str) -> str:
        return "0"


def _nothing() -> Callable[..., None]:
    return lambda *_, **__: None


def install() -> None:
    """Make this process believe in a GPU. Ray calls it at the start of every worker."""
    import torch

    cuda: Any = torch.cuda
    cuda.current_device = lambda: CpuDevice("cpu")
    for name in ("synchronize", "set_device", "current_stream"):
        setattr(cuda, name, _nothing())  # each its own: PyTorch wants to tell them apart
    torch.set_num_threads(1)
    with gpu_packages_optional():
        import openrlhf.trainer.ray.ppo_actor as ppo_actor
        import openrlhf.utils.deepspeed  # noqa: F401

    from tests.trainers.openrlhf_cpu.weights import GlooGroup

    ppo_actor.stateless_init_process_group = GlooGroup
    if folder := os.environ.get("TAU2_GYM_TEST_EXPERIENCE"):
        _keep_experience(folder)


def _keep_experience(folder: str) -> None:
    """Write down every experience that reaches an actor's replay buffer, which is what it trains on."""
    import torch
    from openrlhf.trainer.ppo_utils.replay_buffer import NaiveReplayBuffer

    append = NaiveReplayBuffer.append

    def keeping(self: Any, experience: Any) -> None:
        number = len(os.listdir(folder))
        names = ("sequences", "action_mask", "advantages", "returns", "action_log_probs")
        kept = {name: getattr(experience, name).clone() for name in names}
        kept |= {"rollout_log_probs": experience.rollout_log_probs.clone()}
        kept |= {"labels": experience.labels, "info": experience.info}
        torch.save(kept, f"{folder}/{number:04}.pt")
        append(self, experience)

    NaiveReplayBuffer.append = keeping
