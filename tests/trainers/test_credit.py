"""Advantages: by hand, and against the true gradient of a policy that decides how long it plays."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from tau2_gym.errors import ConfigError
from trainers import credit as estimators
from trainers.config import GRPOConfig, load_config
from trainers.credit import EPSILON, ESTIMATORS, Credit, group_advantages

CREDITS: tuple[Credit, ...] = ("trajectory", "turn")
GROUP = [[0.25, 1.0], [0.25], [0.0, 0.0, 0.0]]
"""Totals 1.25, 0.25 and 0: mean 0.5."""
SPREAD = math.sqrt((0.75**2 + 0.25**2 + 0.5**2) / 3)
"""Their standard deviation."""
PLAYED = [False] * 3


@pytest.mark.parametrize(("std_norm", "scale"), [(False, 1.0), (True, 1 / (SPREAD + EPSILON))])
def test_all_turns_of_an_episode_share_its_advantage(std_norm: bool, scale: float) -> None:
    found = group_advantages(GROUP, PLAYED, std_norm=std_norm)
    expected = [[0.75, 0.75], [-0.25], [-0.5, -0.5, -0.5]]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx([scale * value for value in other])


@pytest.mark.parametrize(
    ("gamma", "to_come"),
    [
        (1.0, [[1.25, 1.0, None], [0.25, None, None], [0.0, 0.0, 0.0]]),
        (0.5, [[0.75, 1.0, None], [0.25, None, None], [0.0, 0.0, 0.0]]),
        (0.0, [[0.25, 1.0, None], [0.25, None, None], [0.0, 0.0, 0.0]]),
    ],
)
@pytest.mark.parametrize("std_norm", [False, True])
def test_a_turn_is_credited_with_what_was_still_to_come(
    gamma: float, to_come: list[list[float | None]], std_norm: bool
) -> None:
    """An episode that has ended counts in the mean and in the deviation, with nothing to come."""
    found = group_advantages(GROUP, PLAYED, credit="turn", std_norm=std_norm, gamma=gamma)
    columns = [[row[turn] or 0.0 for row in to_come] for turn in range(3)]
    means = [sum(column) / 3 for column in columns]
    spread = max(float(np.std(column)) for column in columns)
    scale = 1 / (spread + EPSILON) if std_norm else 1.0
    for turns, row in zip(found, to_come, strict=True):
        assert turns == pytest.approx(
            [
                scale * (value - mean)
                for value, mean in zip(row, means, strict=True)
                if value is not None
            ]
        )


@pytest.mark.parametrize("credit", ESTIMATORS)
def test_an_estimator_says_whether_the_discount_counts(credit: Credit) -> None:
    whole, faded = (group_advantages(GROUP, PLAYED, credit=credit, gamma=g) for g in (1.0, 0.5))
    assert (whole != faded) is ESTIMATORS[credit].discounts


def test_what_was_earned_before_is_no_credit_of_a_later_turn() -> None:
    early, late = [[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]
    two = [False] * 2
    found = [group_advantages(group, two, credit="turn", std_norm=False) for group in (early, late)]
    assert found == [[[0.5, 0.0], [-0.5, 0.0]], [[0.5, 0.5], [-0.5, -0.5]]]


ROUNDED = [[0.1], [0.3 - 0.2], [0.2 - 0.1], [0.7 - 0.6], [0.9, -0.8], [0.05] * 2, [0.02] * 5]
ROUNDED += [[0.01] * 10]
"""A tenth, earned in eight ways that round to three different numbers."""


@pytest.mark.parametrize("credit", CREDITS)
def test_equal_groups_earn_exactly_nothing(credit: Credit) -> None:
    assert len({sum(turns) for turns in ROUNDED}) == 3
    for group in (ROUNDED, [[0.1]] * 8, [[0.1] * 3] * 8):
        found = group_advantages(group, [False] * 8, credit=credit)
        assert found == [[0.0] * len(turns) for turns in group]


def test_a_difference_that_rounding_may_make_is_none() -> None:
    for spread, none in ((EPSILON / 2, True), (EPSILON, True), (2 * EPSILON, False)):
        found = group_advantages([[0.0], [spread]], [False] * 2)
        assert (found == [[0.0], [0.0]]) == none


def test_a_difference_beyond_rounding_is_one() -> None:
    found = group_advantages([[0.1], [0.1 + 1e-4]], [False] * 2)
    assert [turns[0] for turns in found] == pytest.approx([-1, 1], abs=0.05)


@pytest.mark.parametrize("credit", CREDITS)
def test_masked_episodes_count_in_nothing(credit: Credit) -> None:
    faulted = [[100.0], *GROUP[:2], [-7.0] * 9, GROUP[2]]
    found = group_advantages(faulted, [True, False, False, True, False], credit=credit)
    assert [found[0], found[3]] == [[0.0], [0.0] * 9]
    assert [*found[1:3], found[4]] == group_advantages(GROUP, PLAYED, credit=credit)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_rewards_at_the_end_of_equally_long_episodes_are_credited_alike(gamma: float) -> None:
    group = [[0.0, 0.0, reward] for reward in (1.0, 0.4, 0.0, 0.0)]
    by_episode = group_advantages(group, [False] * 4)
    by_turn = group_advantages(group, [False] * 4, credit="turn", gamma=gamma)
    for one, other in zip(by_episode, by_turn, strict=True):
        faded = [value * gamma ** (2 - turn) for turn, value in enumerate(one)]
        assert other == pytest.approx(faded, abs=1e-5)


NEARLY_EQUAL = [[0.0] * 3 + [1.0]] * 2 + [[0.0] * 9 + [1.0]] * 5 + [[0.0] * 8 + [-0.01, 1.0]]
"""Totals of 1 and one of 0.99; what differs is when they were earned."""


def bound(episodes: int) -> float:
    """What no advantage exceeds, with a little for rounding."""
    return math.sqrt(episodes - 1) * (1 + 1e-9)


def largest(advantages: list[list[float]]) -> float:
    return max(abs(advantage) for turns in advantages for advantage in turns)


@pytest.mark.parametrize("credit", CREDITS)
def test_nearly_equal_totals_do_not_blow_advantages_up(credit: Credit) -> None:
    found = group_advantages(NEARLY_EQUAL, [False] * 8, credit=credit)
    assert 0.5 < largest(found) <= bound(8)


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("episodes", [2, 3, 8, 64])
def test_the_bound_is_reached(credit: Credit, episodes: int) -> None:
    """By one that is unlike all others."""
    found = group_advantages([[1.0], *[[0.0]] * (episodes - 1)], [False] * episodes, credit=credit)
    assert largest(found) == pytest.approx(bound(episodes), rel=1e-4)


@st.composite
def similar_groups(draw: st.DrawFn) -> list[list[float]]:
    """Groups of up to 20 turns whose totals are the same, but for some that are off by a little."""
    total = draw(st.sampled_from([0.0, 1.0, -1.0, 1.25]))
    group = []
    for _ in range(draw(st.integers(2, 12))):
        early = draw(st.lists(st.floats(-2, 2), max_size=19))
        off = draw(st.sampled_from([0.0, 0.0, 1e-9, 2e-6, -1e-5, 1e-3, 0.01, 1.0]))
        group.append([*early, total + off - sum(early)])
    return group


@given(
    similar_groups(), st.data(), st.sampled_from(CREDITS), st.sampled_from([1.0, 0.95, 0.5, 0.0])
)
def test_no_advantage_exceeds_its_bound(
    group: list[list[float]], data: st.DataObject, credit: Credit, gamma: float
) -> None:
    masked = data.draw(st.lists(st.booleans(), min_size=len(group), max_size=len(group)))
    found = group_advantages(group, masked, credit=credit, gamma=gamma)
    assert largest(found) <= bound(max(masked.count(False), 1))


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("masked", [[True, True, False], [True] * 3])
def test_one_episode_has_nobody_to_be_compared_with(credit: Credit, masked: list[bool]) -> None:
    assert group_advantages(GROUP, masked, credit=credit) == [[0.0] * 2, [0.0], [0.0] * 3]


amounts = st.floats(-2, 2).map(lambda amount: round(amount, 3))
groups = st.lists(st.lists(amounts, min_size=1, max_size=5), min_size=1, max_size=6)


@given(groups, st.data(), st.sampled_from(CREDITS), st.booleans(), st.sampled_from([1.0, 0.9, 0.0]))
def test_whatever_was_earned(
    group: list[list[float]], data: st.DataObject, credit: Credit, std_norm: bool, gamma: float
) -> None:
    masked = data.draw(st.lists(st.booleans(), min_size=len(group), max_size=len(group)))

    def advantages(rewards: list[list[float]], hidden: list[bool]) -> list[list[float]]:
        return group_advantages(rewards, hidden, credit=credit, std_norm=std_norm, gamma=gamma)

    found = advantages(group, masked)
    assert [len(turns) for turns in found] == [len(turns) for turns in group]
    assert all(math.isfinite(advantage) for turns in found for advantage in turns)
    # An episode's place in its group does not matter.
    order = data.draw(st.permutations(range(len(group))))
    again = advantages([group[i] for i in order], [masked[i] for i in order])
    for i, turns in zip(order, again, strict=True):
        assert turns == pytest.approx(found[i], abs=1e-6)
    # The first turn is one that every episode has: there the group's mean is 0.
    assert sum(turns[0] for turns in found) == pytest.approx(0, abs=1e-6)


# Against the true gradient. Up to three times a policy goes on or stops, which ends the episode; each
# of the three decisions has a parameter of its own, the log-odds of going on.

PARAMETERS = (0.4, -0.3, 0.8)
GOING_ON, STOPPING = (0.5, 0.125, 0.75), (0.25, 1.5, -1.0)
"""What a decision pays."""

N = 3


def episode(length: int, last_goes_on: bool) -> list[bool]:
    return [True] * (length - 1) + [last_goes_on]


EPISODES = [episode(1, False), episode(2, False), episode(3, False), episode(3, True)]
"""All there are: each decision, whether to go on."""

ODDS = [1 / (1 + math.exp(-parameter)) for parameter in PARAMETERS]


def chance(decisions: Sequence[bool]) -> float:
    return math.prod(p if on else 1 - p for p, on in zip(ODDS, decisions, strict=False))


def paid(decisions: Sequence[bool]) -> list[float]:
    return [(GOING_ON if on else STOPPING)[turn] for turn, on in enumerate(decisions)]


def scores(decisions: Sequence[bool]) -> list[float]:
    """The derivative of each decision's log-probability by its parameter."""
    return [on - p for p, on in zip(ODDS, decisions, strict=False)]


def true_gradient() -> np.ndarray:
    """Of the expected reward, over all episodes there are."""
    gradient = np.zeros(3)
    for decisions in EPISODES:
        for turn, score in enumerate(scores(decisions)):
            gradient[turn] += chance(decisions) * score * sum(paid(decisions))
    return gradient


Estimator = Callable[[list[list[float]]], list[list[float]]]


def expected_gradient(advantages: Estimator) -> np.ndarray:
    """What the policy gradient with these advantages is on average, over all groups there can be."""
    gradient = np.zeros(3)
    for group in product(EPISODES, repeat=N):
        weight = math.prod(map(chance, group))
        for decisions, worth in zip(group, advantages([*map(paid, group)]), strict=True):
            for turn, score in enumerate(scores(decisions)):
                gradient[turn] += weight * score * worth[turn] / N
    return gradient


@pytest.mark.parametrize("credit", CREDITS)
def test_the_gradient_is_the_true_one_although_the_policy_decides_when_to_stop(
    credit: Credit,
) -> None:
    totals = sorted(sum(paid(decisions)) for decisions in EPISODES)
    assert min(np.diff(totals)) > 0.1, "different episodes must not count as equal"
    found = expected_gradient(
        lambda group: group_advantages(group, [False] * N, credit=credit, std_norm=False)
    )
    assert found == pytest.approx((N - 1) / N * true_gradient(), abs=1e-12)


def under_way(rows: list[list[float]], turn: int) -> float:
    """The mean over the episodes that have such a turn."""
    there = [row[turn] for row in rows if turn < len(row)]
    return sum(there) / len(there)


def to_come(row: Sequence[float]) -> list[float]:
    return [sum(row[turn:]) for turn in range(len(row))]


def centred_returns(group: list[list[float]]) -> list[list[float]]:
    rows = [to_come(row) for row in group]
    return [[value - under_way(rows, turn) for turn, value in enumerate(row)] for row in rows]


def returns_of_centred(group: list[list[float]]) -> list[list[float]]:
    return [
        to_come([value - under_way(group, turn) for turn, value in enumerate(row)]) for row in group
    ]


@pytest.mark.parametrize("naive", [centred_returns, returns_of_centred])
def test_means_over_those_still_under_way_lead_elsewhere(naive: Estimator) -> None:
    factors = expected_gradient(naive) / true_gradient()
    assert np.ptp(factors) > 0.4, "no step size makes up for that"


def test_means_over_those_still_under_way_can_hide_that_going_on_pays() -> None:
    """Every turn pays 1, whoever takes it: the longer, the better."""
    group = [[1.0], [1.0, 1.0], [1.0, 1.0, 1.0]]
    assert returns_of_centred(group) == [[0.0], [0.0] * 2, [0.0] * 3]
    found = group_advantages(group, [False] * 3, credit="turn", std_norm=False)
    assert found == [[-1.0], [0.0, 0.0], [1.0, 1.0, pytest.approx(2 / 3)]]


def test_an_estimator_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, advantages and `--help` know it."""

    def against_the_others(rewards: estimators.Rewards, std_norm: bool, gamma: float) -> np.ndarray:
        totals = [sum(turns) for turns in rewards]
        others = len(totals) - 1
        return np.array([[total - (sum(totals) - total) / others] for total in totals])

    what = "one per episode, against the mean of the others (RLOO)"
    monkeypatch.setitem(ESTIMATORS, "rloo", estimators.Estimator(what, against_the_others))
    config = load_config(GRPOConfig, None, {"model": "m", "algorithm.credit": "rloo"})
    again = GRPOConfig.model_validate_json(config.model_dump_json())
    assert again.algorithm.credit == "rloo"
    found = group_advantages(
        [[1.0, 1.0], [0.5], [9.0], [0.5]], [False, False, True, False], credit="rloo"
    )
    assert found == [[1.5, 1.5], [-0.75], [0.0], [-0.75]]
    helped = help_of_credit()
    assert all(f"{name}: {entry.what}" in helped for name, entry in ESTIMATORS.items())


def help_of_credit() -> str:
    """What `python -m trainers.grpo --help` says of `--credit`, with the module run again."""
    command = typer.main.get_command(runpy.run_module("trainers.grpo")["app"])
    (credit,) = [item for item in command.params if item.name == "credit"]
    return str(getattr(credit, "help", ""))


def test_every_estimator_is_described() -> None:
    page = Path("docs/training.md").read_text(encoding="utf-8")
    assert [name for name in ESTIMATORS if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("wrong", ["tun", "", "Turn", 3])
def test_an_unknown_estimator_is_refused_with_all_there_are(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.credit"):
        load_config(GRPOConfig, None, {"model": "m", "algorithm.credit": wrong})
    if isinstance(wrong, str):
        with pytest.raises(
            ConfigError, match=f"unknown credit '{wrong}'; allowed: trajectory, turn"
        ):
            group_advantages(GROUP, PLAYED, credit=wrong)
