"""pass@k, pass^k, mean@k and maj@k, with bootstrap intervals over tasks.

Of n attempts at a task, c succeeded.

pass@k = 1 − C(n−c, k) / C(n, k): the chance that at least one of k attempts succeeds (Chen et al.,
arXiv:2107.03374, the unbiased estimator). pass^k = C(c, k) / C(n, k): the chance that all of k do
(Yao et al., τ-bench, arXiv:2406.12045). Both are averaged over tasks. Where n < k they are undefined,
which is None here and null in results: never 0, never 1.

Where attempts end with an answer, mean@k is the mean score of the first k of them, and maj@k the score of
the answer that most of these k give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, fsum

import numpy as np

Vote = tuple[str, float]
"""What an attempt answered, and its score."""

RESAMPLES = 2000
CONFIDENCE = 0.95


def pass_at_k(attempts: int, successes: int, k: int) -> float | None:
    """1 − C(n−c, k)/C(n, k), or None if there are fewer than k attempts.

    Raises:
        ValueError: k < 1, or the counts are impossible.
    """
    _check(attempts, successes, k)
    if attempts < k:
        return None
    return 1.0 - comb(attempts - successes, k) / comb(attempts, k)


def pass_hat_k(attempts: int, successes: int, k: int) -> float | None:
    """C(c, k)/C(n, k), or None if there are fewer than k attempts.

    Raises:
        ValueError: k < 1, or the counts are impossible.
    """
    _check(attempts, successes, k)
    return comb(successes, k) / comb(attempts, k) if attempts >= k else None


def mean_at_k(scores: Sequence[float], k: int) -> float | None:
    """The mean of the first k scores, or None if there are fewer.

    Raises:
        ValueError: k < 1.
    """
    _check(len(scores), 0, k)
    return fsum(scores[:k]) / k if len(scores) >= k else None


def maj_at_k(votes: Sequence[Vote], k: int) -> float | None:
    """The score of the answer that most of the first k attempts give, or None if there are fewer. Of
    answers that are given equally often, the one given first counts; if there is no answer at all, 0.

    Args:
        votes: what attempts answered, empty for no answer, and its score.
        k: how many attempts vote.

    Raises:
        ValueError: k < 1.
    """
    _check(len(votes), 0, k)
    if len(votes) < k:
        return None
    given = [vote for vote in votes[:k] if vote[0]]
    if not given:
        return 0.0
    (chosen, _), *_ = Counter(answer for answer, _ in given).most_common(1)
    return next(score for answer, score in given if answer == chosen)


def _check(attempts: int, successes: int, k: int) -> None:
    if k < 1 or not 0 <= successes <= attempts:
        raise ValueError(f"impossible counts: {successes} of {attempts} attempts, k={k}")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks with a 95 % interval; all None where no task has a value.

    Attributes:
        value: the mean.
        low, high: percentiles of the means of resampled tasks.
        tasks: how many tasks have a value.
    """

    value: float | None
    low: float | None
    high: float | None
    tasks: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain data."""
        return {"value": self.value, "low": self.low, "high": self.high, "tasks": self.tasks}


def estimate(strata: Mapping[str, Sequence[float | None]], seed: int = 0) -> Estimate:
    """The mean over tasks with a percentile bootstrap interval.

    Tasks are drawn with replacement within each stratum, since the number of tasks in a domain is
    part of the benchmark and not random. Attempts at a task are not resampled. An interval of a
    single task is that task's value.

    Args:
        strata: values of tasks by domain; None is left out.
        seed: of the resampling.
    """
    groups = [
        np.array([value for value in values if value is not None], dtype=float)
        for values in strata.values()
    ]
    groups = [group for group in groups if group.size]
    count = sum(group.size for group in groups)
    if not count:
        return Estimate(None, None, None, 0)
    rng = np.random.default_rng(seed)
    sums = np.zeros(RESAMPLES)
    for group in groups:
        sums += group[rng.integers(group.size, size=(RESAMPLES, group.size))].sum(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(sums / count, [tail, 100 - tail])
    mean = sum(float(group.sum()) for group in groups) / count
    return Estimate(mean, float(low), float(high), count)
