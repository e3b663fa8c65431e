"""Advantages: what an episode, or a turn of it, was worth against the others of its group.

A group holds n episodes of one task. With r_{i,t} what turn t of episode i earned and R_i = Σ_t r_{i,t}:

- `trajectory` (GRPO; Shao et al., DeepSeekMath, 2024, arXiv:2402.03300): every turn of episode i gets
  A_i = (R_i − mean_j R_j) / (σ + ε), with σ the standard deviation of the R_j and ε = 1e-6, as in
  Tau2-RL-Pipeline. Without `std_norm`, A_i = R_i − mean_j R_j (Dr. GRPO, arXiv:2503.20783).

- `turn`: turn t gets A_{i,t} = (G_{i,t} − b_t) / (σ + ε), from the rewards still to come,
  G_{i,t} = Σ_{s≥t} γ^{s−t} r_{i,s}, and the group's mean of them, b_t = (1/n) Σ_j G_{j,t}. An
  episode that has ended before turn t counts with G_{j,t} = 0: nothing was still to come. What an
  earlier turn has earned is not credited to a later one, and what a turn leads to is credited to it.

  Why ended episodes count: if b_t were the mean over those still under way, summed from each
  episode's own turns, then how many baselines an episode is charged would depend on when it chose
  to end, and the gradient would reward or punish the ending itself (the bias of normalising MT-GRPO,
  arXiv:2505.11821, by turn index, described in verl's issue 7244). Here b_t is the same number for
  every episode and every action at turn t, apart from an episode's own 1/n of it, which only scales
  the gradient by (n − 1)/n.

  σ = max_t σ_t is one number per group, with σ_t the standard deviation of the G_{j,t} over all n
  episodes: the dispersion of what is normalised, at the turn where it is largest. The deviation of
  the R_j will not do, because episodes of nearly equal totals can differ a lot at later turns, and
  one of the G at each turn would weigh the turns of an episode differently, which changes what is
  optimised. Pooling all G of a group, as DeepSeekMath's process supervision pools its step rewards,
  would give turns that are unlike most others up to the square root of the number of turns. With
  γ = 1, σ is that of the R_j whenever totals differ most, which is at the first turn; so if rewards
  come at the end, and the episodes are equally long, `turn` is `trajectory`.

Both are bounded: |A| < √(n − 1), with n the episodes that are not masked. For the deviations
d_j of n numbers from their mean, d_i = −Σ_{j≠i} d_j, so by Cauchy and Schwarz
d_i² ≤ (n − 1) Σ_{j≠i} d_j² = (n − 1) (n s² − d_i²), where s is their standard deviation, which is
d_i² ≤ (n − 1) s²; and s is σ, or at turn t is σ_t ≤ σ.

In both, a group whose R_i are equal up to rounding (1e-6) gives exactly 0 everywhere, and so do
masked episodes, which count in no mean and no deviation. Dividing by a bare σ instead makes rounding
errors into advantages of nearly 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from tau2_gym.errors import one_of

EPSILON = 1e-6

Rewards = Sequence[Sequence[float]]
"""For each episode of a group, what each of its turns earned."""


@dataclass(frozen=True)
class Estimator:
    """A way to decide what the turns of a group were worth.

    Attributes:
        what: what it gives, in a few words for `--help`.
        advantages: computes them, from the rewards of the episodes that are not masked (at least two,
            whose totals differ), whether to divide by the deviation (`std_norm`), and the discount
            per turn. Returns an array of (episodes, longest episode), or of (episodes, 1) if all
            turns of an episode share one number.
        discounts: whether the discount counts.
    """

    what: str
    advantages: Callable[[Rewards, bool, float], np.ndarray]
    discounts: bool = False


def normalised(values: np.ndarray, std_norm: bool) -> np.ndarray:
    """Each column less its mean; with `std_norm`, divided by the largest deviation of a column."""
    advantages: np.ndarray = values - values.mean(axis=0)
    if std_norm:
        advantages /= values.std(axis=0).max() + EPSILON
    return advantages


def _trajectory(rewards: Rewards, std_norm: bool, gamma: float) -> np.ndarray:
    return normalised(np.array([sum(turns) for turns in rewards])[:, None], std_norm)


def _turn(rewards: Rewards, std_norm: bool, gamma: float) -> np.ndarray:
    values = np.zeros((len(rewards), max(map(len, rewards))))
    for row, turns in zip(values, rewards, strict=True):
        following = 0.0
        for turn in reversed(range(len(turns))):
            following = turns[turn] + gamma * following
            row[turn] = following
    return normalised(values, std_norm)


ESTIMATORS: dict[str, Estimator] = {
    "trajectory": Estimator("one advantage per episode (GRPO)", _trajectory),
    "turn": Estimator("one per turn, from the rewards still to come", _turn, discounts=True),
}
"""Every estimator by its name. To add one, add an entry: settings and `--help` follow."""


def known(credit: str) -> str:
    """The name of an estimator, as it is.

    Raises:
        ConfigError: the estimator is unknown.
    """
    if credit not in ESTIMATORS:
        raise one_of("credit", credit, ESTIMATORS)
    return credit


Credit = Annotated[str, AfterValidator(known)]
"""The name of an estimator, checked where settings are read."""


def group_advantages(
    rewards: Rewards,
    masked: Sequence[bool],
    *,
    credit: Credit = "trajectory",
    std_norm: bool = True,
    gamma: float = 1.0,
) -> list[list[float]]:
    """The advantages of one group.

    Args:
        rewards: for each episode what each of its turns earned.
        masked: for each episode whether to leave it out, because it faulted.
        credit: the name of an estimator (see `ESTIMATORS`, and the module's docstring).
        std_norm: divide by the group's standard deviation σ.
        gamma: discount per turn, of estimators that discount.

    Returns:
        An advantage for each turn of each episode.

    Raises:
        ConfigError: the estimator is unknown.
    """
    estimator = ESTIMATORS[known(credit)]
    found = [[0.0] * len(turns) for turns in rewards]
    valid = [i for i, hidden in enumerate(masked) if not hidden]
    totals = np.array([sum(rewards[i]) for i in valid])
    if len(valid) < 2 or np.ptp(totals) <= EPSILON:
        return found
    played = [rewards[i] for i in valid]
    advantages = estimator.advantages(played, std_norm, gamma)
    for i, row in zip(valid, advantages, strict=True):
        turns = len(rewards[i])
        found[i] = row.tolist() * turns if len(row) == 1 else row[:turns].tolist()
    return found
