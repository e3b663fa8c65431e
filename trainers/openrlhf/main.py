"""`openrlhf.cli.train_ppo_ray` with our trainers: `python -m trainers.openrlhf.main`.

Takes OpenRLHF's arguments, and the recipe from the file that TAU2_GYM_TRAINING names; `python -m
trainers.grpo` writes both.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trainers
from tau2_gym.sandbox.choice import VARIABLE
from trainers.config import SETTINGS
from trainers.openrlhf.gpu_packages import gpu_packages_optional
from trainers.rollout.executor import settings_of_environment

CLI = "openrlhf.cli.train_ppo_ray"


def runtime_env() -> dict[str, Any]:
    """What every Ray worker of the run must have in its environment.

    Keys of models and trackers are not among it, since Ray shows it to whoever asks: they belong
    into the environment that Ray was started in.
    """
    root = str(Path(trainers.__file__).resolve().parents[1])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    defaults = {
        "TOKENIZERS_PARALLELISM": "true",
        "NCCL_DEBUG": "WARN",
        "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "1",
    }  # as OpenRLHF's own
    return {
        "env_vars": {
            SETTINGS: os.environ[SETTINGS],
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
            **{name: os.environ.get(name, value) for name, value in defaults.items()},
            **sandbox_chosen(),
        }
    }


def sandbox_chosen() -> dict[str, str]:
    """The variable that says where models' code runs, if it is set."""
    return {VARIABLE: os.environ[VARIABLE]} if os.environ.get(VARIABLE) else {}


def main(arguments: Sequence[str]) -> None:
    """Train, on the Ray cluster that is there, or one of this machine.

    Raises:
        ConfigError: there are no settings.
    """
    import ray

    settings_of_environment()
    if not ray.is_initialized():
        ray.init(runtime_env=runtime_env())
    with gpu_packages_optional():
        from openrlhf.trainer import ppo_trainer, ppo_trainer_async

        from trainers.openrlhf.trainer import AsyncTrainer, Trainer

    ppo_trainer.PPOTrainer = ray.remote(Trainer)
    ppo_trainer_async.PPOTrainerAsync = ray.remote(AsyncTrainer)
    sys.argv = [CLI, *arguments]
    runpy.run_module(CLI, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
