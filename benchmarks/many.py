"""Steps of many environments at once, next to those of one alone in the same run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence

from benchmarks.baseline import READS
from benchmarks.measure import Times
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.envs.vector_env import Tau2VectorEnv

STEPS = 10
"""Steps of every episode that is timed."""


def measure_many(domain: str, source: str, sizes: Sequence[int], steps: int) -> Times:
    """Median seconds of processor time of a step of one environment: alone, and among `sizes`.

    Whole runs of steps are timed, including what Python's garbage collector does in between.

    Args:
        sizes: numbers of environments.
        steps: how many steps of environments to time for each number, about.
    """
    times = {}
    alone = [_alone(domain, source, steps // 2)]
    for size in sizes:
        times[f"step among {size}"] = _among(domain, source, size, steps)
    alone.append(_alone(domain, source, steps // 2))
    return {"step alone": statistics.mean(alone), **times}


def _alone(domain: str, source: str, steps: int) -> float:
    env, read = Tau2Env(domain, source=source), READS[domain]
    times = []
    for seed in range(max(3, steps // STEPS)):
        env.reset(seed=seed)
        begun = time.process_time()
        for _ in range(STEPS):
            env.step(read)
        times.append((time.process_time() - begun) / STEPS)
    return statistics.median(times)


def _among(domain: str, source: str, size: int, steps: int) -> float:
    envs, actions = Tau2VectorEnv(size, domain, source=source), (READS[domain],) * size
    times = []
    for seed in range(max(3, steps // size // STEPS)):
        envs.reset(seed=seed)
        gc.collect()
        begun = time.process_time()
        for _ in range(STEPS):
            outcome = envs.step(actions)
        del outcome
        times.append((time.process_time() - begun) / STEPS / size)
    envs.close()
    del envs
    gc.collect()
    return statistics.median(times)
