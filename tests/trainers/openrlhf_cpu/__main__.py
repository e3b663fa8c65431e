"""See the package."""

from __future__ import annotations

import os
import runpy
import sys

from tests.trainers.openrlhf_cpu.device import install
from trainers.openrlhf.gpu_packages import gpu_packages_optional

GPUS = 8
"""That do not exist."""


def sft(arguments: list[str]) -> None:
    """`openrlhf.cli.train_sft` in this process."""
    os.environ |= {"LOCAL_RANK": "-1", "RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    install()
    sys.argv = ["openrlhf.cli.train_sft", *arguments]
    runpy.run_module("openrlhf.cli.train_sft", run_name="__main__", alter_sys=True)


def grpo(arguments: list[str]) -> None:
    """`trainers.openrlhf.main` on a Ray of this machine."""
    import ray

    from trainers.openrlhf.main import main, runtime_env

    environment = runtime_env()
    environment["env_vars"] |= {
        name: os.environ[name]
        for name in ("TAU2_GYM_TEST_EXPERIENCE", "OMP_NUM_THREADS")
        if name in os.environ
    }
    environment["worker_process_setup_hook"] = "tests.trainers.openrlhf_cpu.device.install"
    ray.init(num_cpus=8, num_gpus=GPUS, include_dashboard=False, runtime_env=environment)
    install()
    with gpu_packages_optional():
        import openrlhf.trainer.ray

        from tests.trainers.openrlhf_cpu.engine import create_engines

        openrlhf.trainer.ray.create_vllm_engines = create_engines
        main(arguments)


if __name__ == "__main__":
    {"sft": sft, "grpo": grpo}[sys.argv[1]](sys.argv[2:])
