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

ROUNDS = 7
"""Timings of each number of environments."""


def measure_many(domain: str, source: str, sizes: Sequence[int], steps: int) -> Times:
    """Median seconds of processor time of a step of one environment: alone, and among `sizes`.

    A processor's speed drifts by more than the difference that is looked for, so each timing among
    many stands between two of an environment alone, and is taken relative to their mean. Whole runs
    of steps are timed, including what Python's garbage collector does in between.

    Args:
        sizes: numbers of environments.
        steps: how many steps of environments to time for each number, about.
    """
    alone: list[float] = []
    slower: dict[int, list[float]] = {size: [] for size in sizes}
    single = Tau2Env(domain, source=source)
    for size in sizes:
        crowd = Tau2VectorEnv(size, domain, source=source)
        for seed in range(ROUNDS):
            before = _alone(single, domain, steps // ROUNDS, seed)
            among = _among(crowd, domain, steps // ROUNDS, seed)
            after = _alone(single, domain, steps // ROUNDS, seed)
            slower[size].append(2 * among / (before + after))
            alone += [before, after]
        crowd.close()
        del crowd
        gc.collect()
    usual = statistics.median(alone)
    ratios = {size: statistics.median(found) for size, found in slower.items()}
    among_sizes = {f"step among {size}": usual * ratio for size, ratio in ratios.items()}
    return {"step alone": usual, **among_sizes}


def _alone(env: Tau2Env, domain: str, steps: int, seed: int) -> float:
    read, times = READS[domain], []
    for episode in range(max(3, steps // STEPS)):
        env.reset(seed=seed + episode)
        begun = time.process_time()
        for _ in range(STEPS):
            env.step(read)
        times.append(time.process_time() - begun)
    return statistics.mean(times) / STEPS


def _among(envs: Tau2VectorEnv, domain: str, steps: int, seed: int) -> float:
    actions, times = (READS[domain],) * envs.num_envs, []
    for episode in range(max(1, steps // envs.num_envs // STEPS)):
        envs.reset(seed=seed + episode)
        gc.collect()
        begun = time.process_time()
        for _ in range(STEPS):
            outcome = envs.step(actions)
        times.append(time.process_time() - begun)
        del outcome
    return statistics.mean(times) / STEPS / envs.num_envs
