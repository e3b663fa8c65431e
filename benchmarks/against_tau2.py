"""The same measurements of tau2-bench's own gym, where that package is installed."""

from __future__ import annotations

import statistics
import time
from importlib import import_module
from typing import Any
from unittest.mock import patch

from benchmarks.baseline import READS
from benchmarks.measure import Times, memory
from tau2_gym.domains.tau2_bench import HOW_TO_INSTALL
from tau2_gym.errors import ConfigError


def require_tau2() -> None:
    """Check that tau2-bench's own gym is there, before anything is measured.

    Raises:
        ConfigError: its package is not installed.
    """
    try:
        import_module("tau2.gym.gym_agent")
    except ImportError as error:
        raise ConfigError(f"{HOW_TO_INSTALL} ({error})") from error


def measure_tau2(domain: str, repeats: int) -> Times:
    """Medians in seconds, and bytes per live environment, of `tau2.gym.AgentGymEnv`.

    Its user is a model; here it answers at once with a constant, so that no model's latency counts.

    Raises:
        ConfigError: tau2-bench's package is not installed.
    """
    require_tau2()
    from loguru import logger
    from tau2.data_model.message import AssistantMessage
    from tau2.gym.gym_agent import AgentGymEnv
    from tau2.registry import registry

    logger.remove()
    tasks = registry.get_tasks_loader(domain)("base")

    def answer(*_: Any, messages: list[Any], **__: Any) -> Any:
        # The opening, then the end: an episode left open would keep its thread.
        content = "Hello, please help." if len(messages) < 4 else "Thanks. ###STOP###"
        return AssistantMessage(role="assistant", content=content, cost=0.0)

    def start() -> Any:
        env = AgentGymEnv(domain=domain, task_id=tasks[0].id)
        env.reset()
        return env

    resets, reads, ends = [], [], []
    with patch("tau2.user.user_simulator.generate", answer):
        for _ in range(repeats):
            begun = time.perf_counter()
            env = start()
            resets.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            env.step(READS[domain])
            reads.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            env.step("Is there anything else?")
            ends.append(time.perf_counter() - begun)
        weight = memory(start, 2)
    return {
        "reset": statistics.median(resets),
        "read step": statistics.median(reads),
        "last step": statistics.median(ends),
        "bytes per environment": weight,
    }
