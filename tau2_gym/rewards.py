"""Dense rewards: a potential from the grader's checks, and a ledger of what each step earned.

With Φ the partial score in [0, 1] (`partial_score`), α its weight and R the official reward, the
presets give at step t, from state s_t to s_{t+1}:

- `sparse`:     R at the end.
- `shaped`:     R + α·Φ(s_T) at the end (the reward of Tau2-RL-Pipeline).
- `progress`:   α·(Φ(s_{t+1}) − Φ(s_t)) at every step, plus R at the end. Sums to `shaped` less
                α·Φ(s_0). Not policy-invariant: it pays for progress even when the task fails.
- `potential`:  α·(γ·Φ(s_{t+1}) − Φ(s_t)) with Φ = 0 at the end, plus R. Leaves the optimal policy
                unchanged (Ng, Harada, Russell: Policy invariance under reward transformations,
                1999).
                Running into `max_steps` or `max_turns` counts as an end here, too; otherwise a policy could earn
                by waiting.

Every amount is an entry of the ledger, and the reward is their sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from tau2_gym.domains.registry import DomainSpec, spec_of
from tau2_gym.errors import ConfigError, one_of
from tau2_gym.turns import Turn
from tau2_gym.types import Checks, Weights

T = TypeVar("T")

Preset = Literal["sparse", "shaped", "progress", "potential"]
PRESETS: tuple[Preset, ...] = ("sparse", "shaped", "progress", "potential")

Ledger = dict[str, float]
"""Amounts by name, in a fixed order; their sum is the reward."""


WEIGHTS = Weights()
TELECOM_WEIGHTS = Weights(action=0.35, communicate=0.35, env_assertion=0.3, db=0.0)
ALPHA = {"airline": 0.25, "retail": 0.2, "telecom": 0.4, "mock": 0.25}
"""0.25 times 1, 0.8 and 1.6, as in Tau2-RL-Pipeline (`reward.py`)."""


@dataclass(frozen=True, slots=True)
class Overlong:
    """A penalty on the length of what the agent has written so far, paid at the end.

    Zero up to `limit − buffer`, then linear down to −`factor` at `limit` and beyond:
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

    def penalty(self, length: float) -> float:
        """The (negative) amount for a total length."""
        return min((self.limit - self.buffer - length) / self.buffer * self.factor, 0.0)


@dataclass(frozen=True, slots=True)
class Term:
    """How an optional term is paid. Its name and amount are a field of `RewardConfig`.

    Attributes:
        what: what it pays, for the documentation.
        counts: what is counted of a turn.
        pays: what a count earns, given the official reward at the end (None if it needs a judge, or
            before the end).
        at_end: pay once, at the end, for all turns together; else after each turn for that turn.
        kind: the class of its option, which may be given as a mapping; None if it is a number.
    """

    what: str
    counts: Callable[[RewardConfig, Turn], float]
    pays: Callable[[RewardConfig, float, float | None], float]
    at_end: bool = False
    kind: type[Any] | None = None


def _penalty(name: str, what: str, counts: Callable[[Turn], float]) -> dict[str, Term]:
    """The metadata of a term that subtracts its amount for each thing counted."""

    def pays(config: RewardConfig, count: float, official: float | None) -> float:
        rate: float = getattr(config, name)
        return -rate * count

    return {"term": Term(what, lambda config, turn: counts(turn), pays)}


def _bonus(config: RewardConfig, turns: float, official: float | None) -> float:
    bonus = min(config.tool_call_cap, config.tool_call * turns)
    return bonus if (official or 0.0) < 1.0 else 0.0


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """What an environment pays.

    An optional term is one field: its name, what turns it off (0 or None), and its `Term`. Checks,
    the ledger and the logs of training follow from it. `docs/rewards.md` describes each.

    Attributes:
        preset: see the module's docstring.
        alpha: weight of the partial score; by default the domain's (`ALPHA`).
        weights: of its components; by default the domain's.
        gamma: discount of the `potential` preset.
        tool_call_cap: the most that `tool_call` pays in an episode, up to 1.
        lenient_actions: count an expected action towards the partial score as tau2-bench's ACTION
            check does: failed calls, calls without arguments and the other side's calls count, too.
            Only for comparison with Tau2-RL-Pipeline: one message that calls every tool with `{}`
            then earns most of the reward (`docs/rewards.md`).

    Raises:
        ConfigError: an amount is negative, gamma not in [0, 1], tool_call_cap above 1, or the preset
            unknown.
    """

    preset: Preset = "progress"
    alpha: float | None = None
    weights: Weights | None = None
    gamma: float = 1.0
    tool_call: float = field(
        default=0.0,
        metadata={
            "term": Term(
                "at the end of an episode with R < 1: min(`tool_call_cap`, `tool_call` × turns with a "
                "valid call), the cap at most 1. A call is valid if it succeeded and did not repeat one "
                "with the world unchanged since (GRPO-TCR: .1 and .4)",
                lambda config, turn: turn.valid_calls > 0,
                _bonus,
                at_end=True,
            )
        },
    )
    tool_call_cap: float = 0.4
    malformed: float = field(
        default=0.0,
        metadata=_penalty(
            "malformed",
            "minus the amount for each unreadable action",
            lambda turn: turn.malformed,
        ),
    )
    ownership: float = field(
        default=0.0,
        metadata=_penalty(
            "ownership",
            "minus the amount for each call to a tool that only the user has",
            lambda turn: turn.ownership,
        ),
    )
    tool_error: float = field(
        default=0.0,
        metadata=_penalty(
            "tool_error", "minus the amount for each failed call", lambda turn: turn.errors
        ),
    )
    repetition: float = field(
        default=0.0,
        metadata=_penalty(
            "repetition",
            "minus the amount for each call or text that repeats one with the world unchanged",
            lambda turn: turn.repeated,
        ),
    )
    overlong: Overlong | None = field(
        default=None,
        metadata={
            "term": Term(
                "`Overlong(limit, buffer, factor, length)`: at the end min((limit − buffer − L)/buffer · "
                "factor, 0), L the length of what the agent wrote (characters, or what `length` measures)",
                lambda config, turn: config.overlong.length(turn.text),  # type: ignore[union-attr]
                lambda config, length, official: config.overlong.penalty(length),  # type: ignore[union-attr]
                at_end=True,
                kind=Overlong,
            )
        },
    )
    lenient_actions: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise one_of("reward preset", self.preset, PRESETS)
        if not 0 <= self.gamma <= 1:
            raise ConfigError(f"gamma must lie in [0, 1], not {self.gamma}")
        for name in AMOUNTS:
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

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the optional terms that are paid."""
        return tuple(name for name in TERMS if getattr(self, name))

    @property
    def ledger_names(self) -> tuple[str, ...]:
        """The names of all amounts that can be in the ledger, in its order."""
        preset = () if self.preset == "sparse" else (self.preset,)
        return (*preset, "official", *self.terms)

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
        kinds: dict[str, type[Any]] = {"weights": Weights, **KINDS}
        for name, kind in kinds.items():
            if isinstance(options.get(name), Mapping):
                options[name] = _build(kind, f"option of {name}", options[name])
        return _build(cls, "reward option", options)


TERMS: dict[str, Term] = {
    item.name: item.metadata["term"] for item in fields(RewardConfig) if "term" in item.metadata
}
"""The optional terms by name, in the order of the ledger."""

KINDS = {name: term.kind for name, term in TERMS.items() if term.kind is not None}
AMOUNTS = ("alpha", "tool_call_cap", *(name for name in TERMS if name not in KINDS))
"""Options that are numbers, and must not be negative."""


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
Reads are a means to an end, and more than half of the expected actions in airline and retail: with
full weight, an agent that read everything it could find and did nothing would earn a third of the
oracle's dense reward."""


def default_weights(domain: str) -> Weights:
    """The weights that Tau2-RL-Pipeline uses for a domain, or those of one from outside."""
    spec = spec_of(domain)
    if isinstance(spec, DomainSpec):
        return spec.weights
    domain = domain if spec is None else spec.domain
    return TELECOM_WEIGHTS if domain == "telecom" else WEIGHTS


def default_alpha(domain: str) -> float:
    """The weight of the partial score in a domain."""
    spec = spec_of(domain)
    if isinstance(spec, DomainSpec):
        return spec.alpha
    return ALPHA[domain if spec is None else spec.domain]


def partial_score(checks: Checks, weights: Weights, *, lenient: bool = False) -> float:
    """Φ = Σ wᵢ·cᵢ / Σ wᵢ over the components the task has; 0 if it has none with a weight.

    The components are, each in [0, 1]:

    - action: performed / (expected + unexpected), where a read counts a tenth (`READ`): the overlap
      of what was done and what should have been done. A task that expects only reads has no such
      component. With `lenient`, matched / expected, all alike, in every task.
    - communicate, env_assertion: required strings said, and assertions that hold, of all.
    - db: `Checks.db_similarity`.

    The weighted mean is that of Tau2-RL-Pipeline (`env.py`), which is lenient and whose db
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
    counts: dict[str, float] = field(init=False)
    """What has been counted so far, for each optional term that is paid."""

    def __post_init__(self) -> None:
        self.counts = dict.fromkeys(self.config.terms, 0)

    def fork(self) -> Accountant:
        """An independent copy."""
        twin = object.__new__(Accountant)
        twin.config, twin.domain, twin.counts = self.config, self.domain, self.counts.copy()
        return twin

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
        return default_alpha(self.domain) if self.config.alpha is None else self.config.alpha

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
        ledger: Ledger = {}
        if config.preset == "progress":
            ledger["progress"] = alpha * (after - before)
        elif config.preset == "potential":
            ledger["potential"] = alpha * ((0.0 if ended else config.gamma * after) - before)
        elif config.preset == "shaped":
            ledger["shaped"] = alpha * after if ended else 0.0
        ledger["official"] = (official or 0.0) if ended else 0.0
        for name, so_far in self.counts.items():
            term = TERMS[name]
            count = term.counts(config, turn)
            if term.at_end:
                self.counts[name] = count = so_far + count
            due = ended or not term.at_end
            ledger[name] = term.pays(config, count, official) if due else 0.0
        return ledger
