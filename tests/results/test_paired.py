"""Differences of two agents: their values, their intervals, and what differences can show."""

from __future__ import annotations

import math
from statistics import NormalDist, pstdev

import numpy as np
import pytest

from tau2_gym.results import paired
from tau2_gym.results.compare import metrics
from tau2_gym.results.paired import Counts, common, difference

PASS_1 = metrics(1)["pass@1"]

TRUTH = 0.0907
"""The mean difference of `improved` tasks."""


def counts(*pairs: tuple[int, int], domain: str = "retail") -> Counts:
    return {(domain, str(number)): pair for number, pair in enumerate(pairs)}


def test_a_difference_is_the_mean_of_the_tasks_differences() -> None:
    found = difference(
        [counts((4, 1), (4, 4), (4, 0))], [counts((4, 3), (4, 4), (2, 1))], PASS_1, single=True
    )
    assert found is not None
    assert (found.a, found.b) == (pytest.approx(1.25 / 3), pytest.approx(2.25 / 3))
    assert (found.value, found.tasks) == (pytest.approx(1 / 3), 3)
    # c(n−c)/(n²(n−1)): 3/48 + 3/48 at the first task, 1/4 at the last.
    assert found.rerun == pytest.approx(math.sqrt(2 * 3 / 48 + 1 / 4) / 3)


def test_tasks_that_one_side_lacks_do_not_count() -> None:
    a, b = counts((1, 1), (1, 0)), counts((1, 0), (1, 0), (1, 1))
    assert common([a], [b], PASS_1) == [("retail", "0"), ("retail", "1")]
    found = difference([a], [b], PASS_1, single=True)
    assert found is not None
    assert (found.value, found.tasks, found.rerun) == (-0.5, 2, None)  # One attempt tells no noise.
    assert difference([a], [{}], PASS_1, single=True) is None


def test_tasks_with_fewer_attempts_than_k_do_not_count() -> None:
    a, b = counts((4, 2), (3, 3)), counts((4, 4), (4, 4))
    found = difference([a], [b], metrics(4)["pass^4"], single=False)
    assert found is not None
    assert (found.tasks, found.a, found.b, found.rerun) == (1, 0.0, 1.0, None)


def test_the_standard_error_is_that_of_the_tasks_differences() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 5, size=(2, 60))
    a, b = (counts(*((4, int(c)) for c in side)) for side in pairs)
    found = difference([a], [b], PASS_1, single=True)
    assert found is not None
    deltas = [(y - x) / 4 for x, y in zip(*pairs.tolist(), strict=True)]
    assert found.error == pytest.approx(pstdev(deltas) / math.sqrt(60), rel=0.03)


def test_the_number_of_tasks_in_a_domain_is_no_chance() -> None:
    # The domains differ, and the tasks of each do not: nothing varies.
    a = {**counts((2, 0), (2, 0)), **counts((2, 2), (2, 2), domain="airline")}
    b = dict.fromkeys(a, (2, 2))
    found = difference([a], [b], PASS_1, single=True)
    assert found is not None
    assert (found.value, found.error) == (0.5, 0.0)
    assert found.detectable() is None


@pytest.mark.parametrize(
    ("tasks", "low", "shows"),
    # 1 − .025^(1/N) of all tasks may be otherwise: .7076 of 3, .0881 of 40.
    [(3, 0.2924 - 0.7076, False), (40, 0.9119 - 0.0881, True)],
)
def test_tasks_that_all_agree_do_not_speak_for_all_there_are(
    tasks: int, low: float, shows: bool
) -> None:
    a, b = counts(*[(4, 0)] * tasks), counts(*[(4, 4)] * tasks)
    for metric in ("pass@1", "pass@4", "pass^4"):
        found = difference([a], [b], metrics(4)[metric], single=metric == "pass@1")
        assert found is not None
        assert (found.value, found.high, found.shows) == (1.0, 1.0, shows)
        assert found.low == pytest.approx(low, abs=1e-4)
    same = difference([a], [a], PASS_1, single=True)
    assert same is not None
    assert (same.value, same.low) == (0.0, -same.high)
    assert not same.shows


def improved(rng: np.random.Generator, tasks: int) -> np.ndarray:
    """Chances of success before and after, by task."""
    before = rng.beta(1, 1, size=tasks)
    return np.array([before, np.clip(before + rng.normal(0.1, 0.1, size=tasks), 0, 1)])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    inside, shown, promised = 0, 0, 0.0
    for trial in range(300):
        a, b = (
            counts(*((4, int(rng.binomial(4, chance))) for chance in side))
            for side in improved(rng, 60)
        )
        found = difference([a], [b], PASS_1, single=True, seed=trial)
        assert found is not None
        inside += found.low <= TRUTH <= found.high
        shown += found.shows
        promised += NormalDist().cdf(TRUTH / found.error - 1.96)
    assert inside / 300 == pytest.approx(0.95, abs=0.03)
    assert shown / 300 == pytest.approx(promised / 300, abs=0.06)


def test_the_mean_of_the_simulated_differences() -> None:
    before, after = improved(np.random.default_rng(2), 2_000_000)
    assert float((after - before).mean()) == pytest.approx(TRUTH, abs=0.0003)


def test_the_noise_of_attempts_is_how_far_the_same_tasks_move_again() -> None:
    rng = np.random.default_rng(3)
    chances = rng.beta(1, 1, size=(2, 40))
    values, errors = [], []
    for _ in range(300):
        a, b = (counts(*((4, int(rng.binomial(4, p))) for p in side)) for side in chances)
        found = difference([a], [b], PASS_1, single=True)
        assert found is not None
        assert found.rerun is not None
        values.append(found.value)
        errors.append(found.rerun)
    assert np.mean(np.square(errors)) == pytest.approx(np.var(values), rel=0.2)


def test_runs_are_drawn_too_where_there_are_several() -> None:
    alike, apart = [counts((8, 4), (8, 4))] * 2, [counts((8, 2), (8, 2)), counts((8, 6), (8, 6))]
    other = [counts((8, 4), (8, 4))]
    same = difference(other, alike, metrics(8)["pass@8"], single=False)
    assert same is not None
    assert same.error == 0.0
    found = difference(other, apart, PASS_1, single=False)
    assert found is not None
    # Two runs that are ±.25 from their mean tell of runs with a deviation of .25·√2, and of means of two with .25.
    assert (found.value, found.error) == (0.0, pytest.approx(0.25, rel=0.03))
    # One degree of freedom: the quantile of Student's t is 12.7 instead of 1.96.
    assert found.widened == pytest.approx(12.706 / 1.96, rel=0.1)
    assert (found.low, found.high) == (-1.0, 1.0)


@pytest.mark.parametrize(("runs", "deviation"), [(2, 0.15), (3, 0.15), (3, 0.0)])
def test_intervals_hold_the_truth_with_few_runs_that_vary(runs: int, deviation: float) -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for trial in range(200):
        chances = rng.uniform(size=40)
        a, b = (
            [
                counts(*((4, int(rng.binomial(4, p))) for p in np.clip(chances + shift, 0, 1)))
                for shift in rng.normal(0, deviation, size=runs)
            ]
            for _ in range(2)
        )
        found = difference(a, b, PASS_1, single=True, seed=trial)
        assert found is not None
        inside += found.low <= 0 <= found.high
    assert inside / 200 >= 0.9


def test_one_task_tells_nothing_of_others() -> None:
    found = difference([counts((4, 0))], [counts((4, 4))], PASS_1, single=True)
    assert found is not None
    assert (found.value, found.low, found.high, found.shows) == (1.0, -1.0, 1.0, False)
    assert math.isnan(found.error)
    assert found.detectable() is None
    assert found.detectable(4) is None


def test_the_interval_is_the_same_however_many_replicates_are_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = counts((4, 1), (4, 4), (4, 0)), counts((4, 3), (4, 2), (4, 1))
    whole = difference([a], [b], PASS_1, single=True)
    monkeypatch.setattr(paired, "AT_ONCE", 7)
    assert difference([a], [b], PASS_1, single=True) == whole


def test_rare_successes_vary_no_less_than_attempts_do() -> None:
    a, b = counts(*[(4, 0)] * 39, (4, 1)), counts(*[(4, 0)] * 39, (4, 2))
    found = difference([a], [b], PASS_1, single=True)
    assert found is not None
    assert found.rerun is not None
    assert found.error == found.rerun
    half = NormalDist().inv_cdf(0.975) * found.rerun
    assert found.low == pytest.approx(found.value - half)
    assert not found.shows


def test_what_a_difference_must_be_to_show() -> None:
    rng = np.random.default_rng(4)
    pairs = rng.integers(0, 5, size=(2, 60))
    a, b = (counts(*((4, int(c)) for c in side)) for side in pairs)
    found = difference([a], [b], PASS_1, single=True)
    assert found is not None
    z = 1.959964 + 0.841621  # the quantiles of .975 and .8
    assert found.detectable() == pytest.approx(z * found.error, rel=1e-5)
    assert found.rerun is not None
    tasks = found.error**2 - found.rerun**2
    assert found.detectable(4) == pytest.approx(z * math.sqrt(tasks + found.rerun**2 / 4), rel=1e-5)
    assert found.detectable(math.inf) == pytest.approx(z * math.sqrt(tasks), rel=1e-5)
    assert difference([a], [b], metrics(4)["pass@4"], single=False).detectable(4) is None  # type: ignore[union-attr]


def test_the_same_seed_gives_the_same_interval() -> None:
    a, b = counts((4, 1), (4, 4), (4, 0)), counts((4, 3), (4, 2), (4, 1))
    one, again, other = (difference([a], [b], PASS_1, single=True, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other
