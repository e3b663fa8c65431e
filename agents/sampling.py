"""How a model is sampled: checked before a run starts, the same for every backend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tau2_gym.errors import ConfigError, one_of

MAX_STOPS = 32
"""The most stop texts that an SGLang server takes."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one turn is sampled.

    The defaults sample the model's own distribution, as on-policy training must: a recorded
    log-probability is that of the tempered distribution before `top_k`, `top_p` and `min_p` cut it,
    so with these off it is the log-probability of what was drawn.

    Attributes:
        temperature: 0 takes the most probable token each time.
        top_p: the smallest set of tokens with this much probability; 1 is off.
        top_k: this many most probable tokens; −1 is off.
        min_p: tokens at least this probable, relative to the most probable one; 0 is off.
        max_new_tokens: the most tokens in one turn.
        stop: texts that end a turn, kept in what was sampled. None by default: a stop at
            `</tool_call>` would never let a model learn to end its turn.
        seed: of one generation. `TokenAgent` makes that of each turn from this one, the episode's
            and the turn's number. SGLang honours it only if started with
            `--enable-deterministic-inference`.

    Raises:
        ConfigError: a value is not allowed.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    min_p: float = 0.0
    max_new_tokens: int = 1024
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("temperature", "top_p", "min_p"):
            value = getattr(self, name)
            if not _is(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"{name} must be a number, not {value!r}")
        for name in ("top_k", "max_new_tokens", "seed"):
            if not _is(getattr(self, name), int):
                raise ConfigError(f"{name} must be a whole number, not {getattr(self, name)!r}")
        stop: object = self.stop
        texts = tuple(stop) if isinstance(stop, list | tuple) else (None,)
        if len(texts) > MAX_STOPS or not all(isinstance(text, str) and text for text in texts):
            raise ConfigError(
                f"stop must be a list of at most {MAX_STOPS} texts, none empty, not {stop!r}"
            )
        object.__setattr__(self, "stop", texts)
        if self.temperature < 0:
            raise ConfigError(f"temperature must be at least 0, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must lie in (0, 1], not {self.top_p}")
        if self.top_k != -1 and self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, or -1 for none, not {self.top_k}")
        if not 0 <= self.min_p < 1:
            raise ConfigError(f"min_p must lie in [0, 1), not {self.min_p}")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> SamplingParams:
        """The parameters from keyword arguments as a mapping.

        Raises:
            ConfigError: the parameter is unknown, or its value is not allowed.
        """
        allowed = [item.name for item in fields(cls)]
        for name in options:
            if name not in allowed:
                raise one_of("sampling parameter", name, allowed)
        return cls(**options)

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken each time."""
        return self.temperature == 0

    def to_sglang(self) -> dict[str, Any]:
        """The parameters under SGLang's names. All are given, penalties too, lest the server's own
        defaults change the distribution."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "max_new_tokens": self.max_new_tokens,
            "stop": list(self.stop),
            "sampling_seed": self.seed,
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
            "repetition_penalty": 1.0,
            "skip_special_tokens": False,
            "no_stop_trim": True,
        }


def _is(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
