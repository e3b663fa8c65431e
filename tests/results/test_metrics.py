"""pass@k, pass^k, mean@k, maj@k, and their intervals."""

from __future__ import annotations

from itertools import accumulate, combinations
from math import comb
from statistics import NormalDist, fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau2_gym.results.metrics import (
    Estimate,
    estimate,
    maj_at_k,
    mean_at_k,
    pass_at_k,
    pass_hat_k,
)


@given(st.data())
def test_both_metrics_equal_the_average_over_all_choices_of_k_attempts(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 7))
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    choices = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices))
    assert pass_hat_k(n, c, k) == pytest.approx(sum(map(all, choices)) / len(choices))


@pytest.mark.parametrize("metric", [pass_at_k, pass_hat_k])
def test_fewer_attempts_than_k_are_undefined(metric: object) -> None:
    assert metric(3, 3, 4) is None  # type: ignore[operator]
    assert metric(0, 0, 1) is None  # type: ignore[operator]


@pytest.mark.parametrize("metric", [pass_at_k, pass_hat_k])
@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_impossible_counts_are_refused(metric: object, n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"impossible counts: {c} of {n} attempts, k={k}"):
        metric(n, c, k)  # type: ignore[operator]


def test_mean_at_k_is_the_mean_of_the_first_k_scores() -> None:
    scores = [1.0, 0.0, 0.5, 1.0]
    assert [mean_at_k(scores, k) for k in (1, 2, 3, 4)] == [1.0, 0.5, 0.5, 0.625]
    assert mean_at_k(scores, 5) is None
    with pytest.raises(ValueError, match="k=0"):
        mean_at_k(scores, 0)


@pytest.mark.parametrize(
    ("votes", "score"),
    [
        ([("7", 1.0), ("8", 0.0), ("7", 1.0)], 1.0),
        ([("8", 0.0), ("7", 1.0), ("7", 1.0), ("8", 0.0), ("8", 0.0)], 0.0),
        ([("8", 0.0), ("7", 1.0)], 0.0),  # the one given first
        ([("7", 1.0), ("8", 0.0)], 1.0),
        ([("", 0.0), ("", 0.0), ("7", 1.0)], 1.0),  # no answer is no vote
        ([("", 0.0), ("", 0.0)], 0.0),
        ([("a", 0.25), ("b", 0.5), ("b", 0.5)], 0.5),
    ],
)
def test_maj_at_k_is_the_score_of_the_answer_that_most_give(
    votes: list[tuple[str, float]], score: float
) -> None:
    assert maj_at_k(votes, len(votes)) == score
    assert maj_at_k([*votes, *[("late", 1.0)] * 9], len(votes)) == score  # only the first k vote
    assert maj_at_k(votes, len(votes) + 1) is None
    with pytest.raises(ValueError, match="k=0"):
        maj_at_k(votes, 0)


def test_the_mean_is_over_tasks_of_all_strata() -> None:
    assert estimate({"a": [1.0, 0.0], "b": [1.0, 1.0]}).value == 0.75


def test_undefined_tasks_are_left_out_and_counted() -> None:
    result = estimate({"a": [1.0, None, 0.0]})
    assert (result.value, result.tasks) == (0.5, 2)


def test_nothing_defined_is_null_and_not_one() -> None:
    assert estimate({"a": [None], "b": []}) == Estimate(None, None, None, 0)


def test_the_interval_covers_the_mean_of_a_known_distribution_about_95_times_in_100() -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        values = (rng.random(60) < 0.4).astype(float).tolist()
        found = estimate({"a": values}, seed=trial)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.4 <= found.high
    assert 0.88 <= covered / 200 <= 1.0


def test_the_ends_of_the_interval_are_the_percentiles_at_a_fortieth_from_either_end() -> None:
    # The mean of n values drawn with replacement from n evenly spaced ones is normal, near enough.
    count = 400
    values = [index / (count - 1) for index in range(count)]
    sigma = pstdev(values) / count**0.5
    found = [estimate({"a": values}, seed=seed) for seed in range(40)]
    low = fmean((item.low or 0.0) - 0.5 for item in found) / sigma
    high = fmean((item.high or 0.0) - 0.5 for item in found) / sigma
    assert low == pytest.approx(NormalDist().inv_cdf(0.025), abs=0.05)
    assert high == pytest.approx(NormalDist().inv_cdf(0.975), abs=0.05)


@pytest.mark.parametrize(
    ("successes", "tasks"), [(1, 2), (3, 10), (5, 10), (2, 40), (20, 40), (37, 40)]
)
def test_the_interval_of_a_share_is_that_of_the_binomial_distribution(
    successes: int, tasks: int
) -> None:
    share = successes / tasks
    chances = [comb(tasks, n) * share**n * (1 - share) ** (tasks - n) for n in range(tasks + 1)]
    sums = list(accumulate(chances))
    found = estimate({"a": [1.0] * successes + [0.0] * (tasks - successes)})
    for end, quantile in ((found.low, 0.025), (found.high, 0.975)):
        # Within the error of 2000 draws: what a probability of ±0.01 makes of it.
        around = [
            next(n for n, total in enumerate(sums) if total >= min(chance, 1 - 1e-9)) / tasks
            for chance in (max(quantile - 0.01, 0.0), quantile + 0.01)
        ]
        assert end is not None
        assert around[0] - 1e-9 <= end <= around[1] + 1e-9


def test_strata_are_resampled_apart() -> None:
    # Two domains without any variation inside: the share of each is fixed, so is the mean.
    result = estimate({"a": [1.0] * 20, "b": [0.0] * 40})
    assert result.low == result.high == pytest.approx(1 / 3)


def test_the_same_seed_gives_the_same_interval() -> None:
    values: dict[str, list[float | None]] = {"a": [i / 37 for i in range(37)]}
    assert estimate(values, seed=3) == estimate(values, seed=3)
    assert estimate(values, seed=3) != estimate(values, seed=4)


def test_an_interval_that_was_published_is_found_again() -> None:
    found = estimate({"a": [i / 37 for i in range(37)], "b": [1.0, 0.0, None, 1.0]})
    assert found.to_dict() == {
        "value": pytest.approx(0.5, abs=1e-9), "low": pytest.approx(0.4033783783783784, abs=1e-9),
        "high": pytest.approx(0.5939189189189189, abs=1e-9), "tasks": 40,
    }  # fmt: skip
