"""How much better one agent is than another on the same tasks, and what a difference must be to show.

d_t is the difference of a metric at task t, and D its mean over N tasks. Tasks are crossed with runs: both sides
play the same tasks, and a run (a training seed, say) plays all of them. So tasks are drawn with replacement
within each domain, for both sides at once, and the runs of each side, if there are several, independently of
the tasks: the pigeonhole bootstrap (Owen, arXiv:0712.1111; Owen and Eckles, arXiv:1106.2125). The attempts at
a task go with it, so that the interval covers which tasks there are and how each attempt happened to go.

R runs that are drawn from R vary less than runs do, by (R−1)/R: their weights are spread so much more (Rao and Wu,
JASA 1988). How much runs vary is known badly from a few, so the interval is that of a t distribution, with Welch's
degrees of freedom. Of one task nothing follows for others: the interval is all that a difference can be. Where all N tasks agree, a share
of up to 1 − .025^(1/N) of all there are could be otherwise (Clopper and Pearson, Biometrika 1934), and in the worst case
as much as a difference can be.

Of pass@1, the part that is due to attempts alone is known: V = Σ_t (s²_At/n_At + s²_Bt/n_Bt)/N² with
s² = n/(n−1)·p(1−p), the unbiased variance of one attempt. That is how far the difference moves when the same
agents play the same tasks again. Where hardly any task is ever solved, the tasks drawn vary less than that, by
chance, and the interval is that of V.

The smallest difference that shows is (z_{1−α/2} + z_{power})·SE for a two-sided test at α, and with m times as
many attempts SE² becomes SE² − V + V/m (Miller, arXiv:2411.00640, sections 4 and 5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tau2_gym.results.metrics import CONFIDENCE

RESAMPLES = 10_000
AT_ONCE = 500
"""Replicates whose tasks are drawn at once: all would take gigabytes where there are thousands of tasks."""
STUDENT = 200_000
"""Draws from a t distribution, for its quantile."""
POWER = 0.8

Counts = Mapping[tuple[str, str], tuple[int, int]]
"""Of a run: attempts and successes at each task (domain and id)."""

Formula = Callable[[int, int], float | None]
"""A metric of a task, from attempts and successes."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How a metric of B differs from that of A, as shares of 1.

    Attributes:
        a, b: the metric of each side, over the tasks that both have.
        value: b − a.
        low, high: its 95 % interval, over tasks, attempts and runs; all from −1 to 1 if each domain has one task.
        error: its standard error; nan if each domain has one task.
        rerun: the standard error of attempts alone; None where it is not known: of metrics other than pass@1, and
            where a task has one attempt.
        tasks: how many there are.
        widened: how many times as wide the interval is because runs are few.
    """

    a: float
    b: float
    value: float
    low: float
    high: float
    error: float
    rerun: float | None
    tasks: int
    widened: float = 1.0

    @property
    def shows(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def detectable(self, times: float = 1.0) -> float | None:
        """The smallest difference that would show in four of five comparisons like this one; None where nothing
        varied or each domain has one task, and for other `times` than 1 where `rerun` is not known.

        Args:
            times: how many times as many attempts there are at each task; infinity, too.
        """
        if not self.error or math.isnan(self.error):
            return None
        variance = self.error**2
        if times != 1:
            if self.rerun is None:
                return None
            variance = max(variance - self.rerun**2, 0.0) + self.rerun**2 / times
        normal = NormalDist()
        z = self.widened * normal.inv_cdf(1 - (1 - CONFIDENCE) / 2) + normal.inv_cdf(POWER)
        return z * math.sqrt(variance)


def difference(
    a: Sequence[Counts], b: Sequence[Counts], formula: Formula, *, single: bool, seed: int = 0
) -> Difference | None:
    """Compare two sides on the tasks that all their runs have a value for; None if there are none.

    Args:
        a, b: the runs of each side.
        formula: the metric.
        single: whether it is pass@1, of which the noise of attempts is known.
        seed: of the bootstrap.
    """
    tasks = common(a, b, formula)
    if not tasks:
        return None
    rng = np.random.default_rng(seed)
    values = [_values(side, tasks, formula) for side in (a, b)]
    means = [float(side.mean()) for side in values]
    sums = _drawn_sums(values, tasks, rng)
    replicates = [_over_runs(side, rng) / len(tasks) for side in sums]
    drawn = replicates[1] - replicates[0]
    tail = (1 - CONFIDENCE) / 2
    low, high = map(float, np.percentile(drawn, [100 * tail, 100 * (1 - tail)]))
    value, error = means[1] - means[0], float(drawn.std(ddof=1))
    rerun = _rerun_error(a, b, tasks) if single else None
    if rerun is not None and rerun > error:
        error, half = rerun, NormalDist().inv_cdf(1 - tail) * rerun
        low, high = min(low, value - half), max(high, value + half)
    widened = _widened(values, error, rng)
    low, high = value - widened * (value - low), value + widened * (high - value)
    if not error:
        other = 1 - tail ** (1 / len(tasks))
        low, high = (value * (1 - other) + end * other for end in (-1.0, 1.0))
    if len(tasks) == len({domain for domain, _ in tasks}):
        low, high, error = -1.0, 1.0, math.nan
    low, high = max(low, -1.0), min(high, 1.0)
    return Difference(means[0], means[1], value, low, high, error, rerun, len(tasks), widened)


def common(a: Sequence[Counts], b: Sequence[Counts], formula: Formula) -> list[tuple[str, str]]:
    """The tasks for which every run has a value, by domain."""
    runs = [*a, *b]
    return sorted(
        task
        for task in set.intersection(*(set(run) for run in runs))
        if all(formula(*run[task]) is not None for run in runs)
    )


def _values(
    side: Sequence[Counts], tasks: Sequence[tuple[str, str]], formula: Formula
) -> NDArray[np.float64]:
    """The metric by run and task."""
    return np.array([[formula(*run[task]) for task in tasks] for run in side], dtype=float)


def _drawn_sums(
    values: Sequence[NDArray[np.float64]],
    tasks: Sequence[tuple[str, str]],
    rng: np.random.Generator,
) -> list[NDArray[np.float64]]:
    """Of each side, the sum of each run's values over the tasks drawn, by run and replicate. Tasks are drawn within
    their domain, whose number of tasks is no chance."""
    domains = np.array([domain for domain, _ in tasks])
    sums = [np.zeros((len(side), RESAMPLES)) for side in values]
    for domain in dict.fromkeys(domains.tolist()):
        (where,) = np.nonzero(domains == domain)
        share = np.full(where.size, 1 / where.size)
        for begin in range(0, RESAMPLES, AT_ONCE):
            count = min(AT_ONCE, RESAMPLES - begin)
            times = rng.multinomial(where.size, share, size=count).astype(float)
            for total, side in zip(sums, values, strict=True):
                total[:, begin : begin + count] += side[:, where] @ times.T
    return sums


def _over_runs(sums: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The mean of a side's runs as they are drawn, by replicate."""
    runs = len(sums)
    mean: NDArray[np.float64] = sums.mean(axis=0)
    if runs == 1:
        return mean
    weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=RESAMPLES) / runs
    # Deviations from the mean, so that runs that are alike do not vary by a rounding error.
    mean += math.sqrt(runs / (runs - 1)) * (weights * (sums - mean).T).sum(axis=1)
    return mean


def _widened(
    values: Sequence[NDArray[np.float64]], error: float, rng: np.random.Generator
) -> float:
    """How many times as wide as a normal distribution's the interval is, by Welch's degrees of freedom."""
    parts = [
        (float(side.mean(axis=1).var(ddof=1)) / len(side), len(side) - 1)
        for side in values
        if len(side) > 1
    ]
    spread = math.fsum(variance**2 / freedom for variance, freedom in parts)
    if not spread:
        return 1.0
    freedom = max(error**4 / spread, 1.0)
    tail = (1 - CONFIDENCE) / 2
    quantile = float(np.quantile(np.abs(rng.standard_t(freedom, size=STUDENT)), CONFIDENCE))
    return max(1.0, quantile / NormalDist().inv_cdf(1 - tail))


def _rerun_error(
    a: Sequence[Counts], b: Sequence[Counts], tasks: Sequence[tuple[str, str]]
) -> float | None:
    """The square root of V, above; with several runs of a side, each has the same say."""
    total = 0.0
    for side in (a, b):
        for run in side:
            for task in tasks:
                n, c = run[task]
                if n < 2:
                    return None
                total += c * (n - c) / (n * (n - 1)) / n / len(side) ** 2
    return math.sqrt(total) / len(tasks)
