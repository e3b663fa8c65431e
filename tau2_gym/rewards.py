"""Dense rewards: a potential from the grader's checks, and a ledger of what each step earned.

With Φ the partial score in [0, 1] (`partial_score`), α its weight and R the official reward, the
presets give at step t, from state s_t to s_{t+1}:

- `sparse`:     R at the end.
- `shaped`:     R + α·Φ(s_T) at the end (the reward of Barnes' tau2 pipeline).
- `progress`:   α·(Φ(s_{t+1}) − Φ(s_t)) at every step, plus R at the end. Sums to `shaped` less
                α·Φ(s_0). Not policy-invariant: it pays for progress even when the task fails.
- `potential`:  α·(γ·Φ(s_{t+1}) − Φ(s_t)) with Φ = 0 at the end, plus R. Leaves the optimal policy as
                it is (Ng, Harada, Russell: Policy invariance under reward transformations, 1999).
                The end by `max_steps` counts as an end here too, or a policy would earn by waiting.

Every amount is a line of the ledger, and the reward is the ledger's sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from tau2_gym.errors import ConfigError, one_of
from tau2_gym.turns import Turn
from tau2_gym.types import Checks

T = TypeVar("T")

Preset = Literal["sparse", "shaped", "progress", "potential"]
PRESETS: tuple[Preset, ...] = ("sparse", "shaped", "progress", "potential")

Ledger = dict[str, float]
"""Amounts by name, in a fixed order; their sum is the reward."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each component counts towards the partial score. Only their ratio matters.

    The defaults are those of Barnes' tau2 pipeline (`env.py`, `reward.py`).
    """

    action: float = 0.5
    communicate: float = 0.15
    env_assertion: float = 0.35
    db: float = 0.0

    def __post_init__(self) -> None:
        if any(getattr(self, item.name) < 0 for item in fields(self)):
            raise ConfigError(f"weights must not be negative: {self}")


WEIGHTS = Weights()
TELECOM_WEIGHTS = Weights(action=0.35, communicate=0.35, env_assertion=0.3, db=0.0)
ALPHA = {"airline": 0.25, "retail": 0.2, "telecom": 0.4, "mock": 0.25}
"""0.25 times 1, 0.8 and 1.6, as in Barnes' tau2 pipeline (`reward.py`)."""


@dataclass(frozen=True, slots=True)
class Overlong:
    """A penalty on the length of what the agent has written so far, paid at the end.

    Nothing up to `limit − buffer`, then linearly down to −`factor` at `limit` and on from there:
    min((limit − buffer − L)/buffer · factor, 0) (DAPO, arXiv:2503.14476, equation 13, without its
    floor, as in GRPO-TCR). Only the agent's own text counts.

    Attributes:
        limit, buffer: in units of `length`.
        factor: the penalty at `limit`.
        length: how to measure a text; characters by default, a tokenizer's count if you have one.
    """

    limit: int
    buffer: int
    factor: float = 1.0
    length: Callable[[str], int] = len

    def __post_init__(self) -> None:
        if not 0 < self.buffer <= self.limit or self.factor < 0:
            raise ConfigError(
                f"overlong needs 0 < buffer <= limit and factor >= 0, not {self.buffer}, "
                f"{self.limit} and {self.factor}"
            )

    def penalty(self, length: int) -> float:
        """The (negative) amount for a total length."""
        return min((self.limit - self.buffer - length) / self.buffer * self.factor, 0.0)


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """What an environment pays.

    Attributes:
        preset: see the module's docstring.
        alpha: weight of the partial score; by default the domain's (`ALPHA`).
        weights: of its components; by default the domain's.
        gamma: discount of the `potential` preset.
        tool_call: paid at the end of an episode that earned less than 1, for each turn with a valid
            call, up to `tool_call_cap` (GRPO-TCR: 0.1 and 0.4). Failed and repeated calls are not
            valid.
        tool_call_cap: the most that `tool_call` pays in an episode, up to 1.
        malformed, ownership, tool_error, repetition: taken for each such event (see `Turn`).
        overlong: penalty on the agent's total length, or None.
        lenient_actions: count an expected action towards the partial score as tau2-bench's ACTION
            check does: failed calls, calls without arguments and the other side's calls count, too.
            For parity with Barnes' tau2 pipeline alone: one message that calls every tool with `{}`
            then earns most of what there is (`docs/rewards.md`).

    Raises:
        ConfigError: an amount is negative, gamma not in [0, 1], tool_call_cap above 1, or the preset
            unknown.
    """

    preset: Preset = "progress"
    alpha: float | None = None
    weights: Weights | None = None
    gamma: float = 1.0
    tool_call: float = 0.0
    tool_call_cap: float = 0.4
    malformed: float = 0.0
    ownership: float = 0.0
    tool_error: float = 0.0
    repetition: float = 0.0
    overlong: Overlong | None = None
    lenient_actions: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise one_of("reward preset", self.preset, PRESETS)
        if not 0 <= self.gamma <= 1:
            raise ConfigError(f"gamma must lie in [0, 1], not {self.gamma}")
        for name in (
            "alpha",
            "tool_call",
            "tool_call_cap",
            "malformed",
            "ownership",
            "tool_error",
            "repetition",
        ):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(
                    f"{name} must not be negative, and is {value}: penalties are given as amounts"
                )
        if self.tool_call_cap > 1:
            raise ConfigError(
                f"tool_call_cap must not exceed 1, and is {self.tool_call_cap}: failing would pay "
                "more than solving the task"
            )

    @classmethod
    def of(cls, reward: str | Mapping[str, Any] | RewardConfig) -> RewardConfig:
        """A config from a preset's name, from keyword arguments as a mapping, or as it is.

        Raises:
            ConfigError: unknown preset or keyword.
        """
        if isinstance(reward, RewardConfig):
            return reward
        if isinstance(reward, str):
            return cls(preset=reward)  # type: ignore[arg-type]
        if not isinstance(reward, Mapping):
            raise ConfigError(
                f"reward must be a preset's name ({', '.join(PRESETS)}), a mapping of options or a "
                f"RewardConfig, not {type(reward).__name__}"
            )
        options = dict(reward)
        for name, kind in (("weights", Weights), ("overlong", Overlong)):
            if isinstance(options.get(name), Mapping):
                options[name] = _build(kind, f"option of {name}", options[name])
        return _build(cls, "reward option", options)


def _build(kind: type[T], what: str, options: Mapping[str, Any]) -> T:
    allowed = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    for name in options:
        if name not in allowed:
            raise one_of(what, name, allowed)
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigError(f"{what}s {dict(options)} do not fit: {error}") from error


READ = 0.1
"""What an expected read counts in the action component, where a call that does something counts 1.
Reads are means to an end, and more than half of what is expected in airline and retail: an agent
that read all it could find and did nothing would earn a third of the oracle's dense reward."""


def default_weights(domain: str) -> Weights:
    """The weights that Barnes' tau2 pipeline uses for a domain."""
    return TELECOM_WEIGHTS if domain == "telecom" else WEIGHTS


def partial_score(checks: Checks, weights: Weights, *, lenient: bool = False) -> float:
    """Φ = Σ wᵢ·cᵢ / Σ wᵢ over the components the task has; 0 if it has none with a weight.

    The components are, each in [0, 1]:

    - action: performed / (expected + unexpected), where a read counts a tenth (`READ`): the overlap of
      what was done with what was to be done. A task that expects nothing but reads has no such
      component. With `lenient`, matched / expected, all alike, in every task.
    - communicate, env_assertion: required strings said, and assertions that hold, of all.
    - db: `Checks.db_similarity`.

    The weighted mean is that of Barnes' tau2 pipeline (`env.py`), which is lenient and whose db
    component is 0 or 1.
    """
    done: float = sum(checks.actions)
    expected: float = len(checks.actions)
    if not lenient:
        reads = itertools.chain(checks.reads, itertools.repeat(False))
        counts = [READ if read else 1.0 for _, read in zip(checks.performed, reads, strict=False)]
        done = sum(itertools.compress(counts, checks.performed))
        expected = sum(counts) + checks.unexpected if 1.0 in counts else 0.0
    total = score = 0.0
    for weight, met, of in (
        (weights.action, done, expected),
        (weights.communicate, sum(checks.communicate), len(checks.communicate)),
        (weights.env_assertion, sum(checks.env_assertions), len(checks.env_assertions)),
    ):
        if weight and of:
            total += weight
            score += weight * met / of
    if weights.db:
        total += weights.db
        score += weights.db * checks.db_similarity
    return score / total if total else 0.0


@dataclass(slots=True)
class Accountant:
    """Keeps the books of one episode.

    Args:
        config: what is paid.
        domain: whose defaults apply.
    """

    config: RewardConfig
    domain: str
    valid_turns: int = 0
    length: int = 0

    def fork(self) -> Accountant:
        """An independent copy."""
        return Accountant(self.config, self.domain, self.valid_turns, self.length)

    @property
    def weights(self) -> Weights:
        """The weights in force."""
        return self.config.weights or default_weights(self.domain)

    def score(self, checks: Checks) -> float:
        """Φ, as the config has it."""
        return partial_score(checks, self.weights, lenient=self.config.lenient_actions)

    @property
    def alpha(self) -> float:
        """The weight of the partial score in force."""
        return ALPHA[self.domain] if self.config.alpha is None else self.config.alpha

    def step(
        self, before: float, after: float, turn: Turn, *, ended: bool, official: float | None
    ) -> Ledger:
        """The ledger of one step.

        Args:
            before, after: Φ(s_t) and Φ(s_{t+1}).
            turn: the agent's turn.
            ended: whether the episode has ended with this step.
            official: the official reward then; None if it takes a judge, which pays nothing here.
        """
        config, alpha = self.config, self.alpha
        self.valid_turns += turn.valid_calls > 0
        ledger: Ledger = {}
        if config.preset == "progress":
            ledger["progress"] = alpha * (after - before)
        elif config.preset == "potential":
            ledger["potential"] = alpha * ((0.0 if ended else config.gamma * after) - before)
        elif config.preset == "shaped":
            ledger["shaped"] = alpha * after if ended else 0.0
        ledger["official"] = (official or 0.0) if ended else 0.0
        if config.tool_call:
            earns = ended and (official or 0.0) < 1.0
            bonus = min(config.tool_call_cap, config.tool_call * self.valid_turns)
            ledger["tool_call"] = bonus if earns else 0.0
        for name, rate, count in (
            ("malformed", config.malformed, turn.malformed),
            ("ownership", config.ownership, turn.ownership),
            ("tool_error", config.tool_error, turn.errors),
            ("repetition", config.repetition, turn.repeated),
        ):
            if rate:
                ledger[name] = -rate * count
        if config.overlong is not None:
            self.length += config.overlong.length(turn.text)
            ledger["overlong"] = config.overlong.penalty(self.length) if ended else 0.0
        return ledger
