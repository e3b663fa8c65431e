"""Many episodes at once in one process, over one shared database."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError, one_of


class Tau2VectorEnv(SyncVectorEnv):
    """`num_envs` environments stepped one after the other, with Gymnasium's autoreset modes.

    They share the domain's database, tools and tasks, so another one costs a few kilobytes. There
    is no `fork` here: use that of the environments in `envs`. Texts
    are batched as tuples; infos as Gymnasium's vector infos: for every key an array with one entry
    per environment, and under `_key` a boolean array that says which entries are set. Keys
    whose value is a mapping become a mapping of such arrays.

    Args:
        num_envs: how many.
        domain: airline, retail, telecom or mock, or one from outside (see `domains.resolve`).
        autoreset_mode: NextStep (default), SameStep or Disabled.
        kwargs: arguments of `Tau2Env`, the same for all.

    Raises:
        ConfigError: `num_envs` is less than 1, or an argument of `Tau2Env` or the mode is not
            allowed.
    """

    def __init__(
        self,
        num_envs: int,
        domain: str,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
        modes = [mode.value for mode in AutoresetMode]
        if not isinstance(autoreset_mode, AutoresetMode) and autoreset_mode not in modes:
            raise one_of("autoreset_mode", autoreset_mode, modes)
        with _collector_paused():
            super().__init__(
                [lambda: Tau2Env(domain, **kwargs)] * num_envs, autoreset_mode=autoreset_mode
            )

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Start an episode in every environment, or in those of `options["reset_mask"]`.

        Args:
            seed: of the first environment, with the following seeds for the others; or one per
                environment.
            options: those of `Tau2Env.reset`, for all; and `reset_mask`, a boolean array.

        Raises:
            ConfigError: as `Tau2Env.reset`.
            ValueError: the number of seeds or the mask does not fit `num_envs`.
        """
        with _collector_paused():
            rows: Any
            observations, rows = super().reset(seed=seed, options=options)
            return observations, columns(rows, self.num_envs)

    def step(
        self, actions: Sequence[Any]
    ) -> tuple[
        tuple[str, ...],
        NDArray[np.float64],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Take one action in each environment, and reset those that have ended as the mode says.

        Raises:
            ValueError: there are not as many actions as environments.
            TypeError, ConfigError, UserFault: as `Tau2Env.step`.
        """
        if len(actions) != self.num_envs:
            raise ValueError(f"{len(actions)} actions for {self.num_envs} environments")
        with _collector_paused():
            rows: Any
            observations, rewards, terminated, truncated, rows = super().step(actions)
            return observations, rewards, terminated, truncated, columns(rows, self.num_envs)

    def _add_info(
        self, vector_infos: dict[Any, Any], env_info: dict[str, Any], env_num: int
    ) -> dict[Any, Any]:
        """Keep the row. Gymnasium fills a few dozen arrays here for every environment, and makes
        masks for them that it throws away; `columns` makes each array once."""
        kept = vector_infos.get(env_num)
        vector_infos[env_num] = env_info if kept is None else {**kept, **env_info}
        return vector_infos


def columns(rows: Mapping[int, dict[str, Any]], num_envs: int) -> dict[str, Any]:
    """Gymnasium's vector info from the infos of single environments.

    Args:
        rows: infos by the number of the environment, at least one.
        num_envs: how many environments there are.

    Returns:
        For each key an array of `num_envs` entries, and under `_key` which of them are set. Arrays
        of only booleans or only numbers have that type, all others hold objects. (Gymnasium uses
        the type of the first entry, whatever the others are.)
    """
    found: dict[str, Any] = {}
    for key, numbers, values in _by_key(rows):
        if isinstance(values[0], dict) and key != "final_obs":
            found[key] = columns(dict(zip(numbers, values, strict=True)), num_envs)
        else:
            found[key] = _spread(numbers, values, _dtype(values), num_envs)
        mask = np.zeros(num_envs, bool)
        mask[numbers if len(numbers) < num_envs else slice(None)] = True
        found[f"_{key}"] = mask
    return found


def _by_key(rows: Mapping[int, dict[str, Any]]) -> Iterator[tuple[str, list[int], list[Any]]]:
    """Each key with the environments that have it and their values."""
    numbers, infos = list(rows), list(rows.values())
    names = list(chain.from_iterable(infos))
    keys = list(infos[0])
    if names == keys * len(infos):
        # Row after row, since the rows of thousands of environments do not fit a cache.
        flat = list(chain.from_iterable(map(dict.values, infos)))
        for place, key in enumerate(keys):
            yield key, numbers, flat[place :: len(keys)]
        return
    for key in dict.fromkeys(names):
        having = [number for number in numbers if key in rows[number]]
        yield key, having, [rows[number][key] for number in having]


def _dtype(values: Sequence[Any]) -> type:
    kinds = set(map(type, values))
    if kinds == {bool}:
        return bool
    if kinds <= {int, float}:
        return float if float in kinds else int
    return object


def _spread(
    numbers: Sequence[int], values: Sequence[Any], dtype: type, num_envs: int
) -> NDArray[Any]:
    """The values in their environments' places, and zero or None in the others."""
    dense: NDArray[Any] = np.fromiter(values, dtype, len(values))
    if len(values) == num_envs:
        return dense
    array: NDArray[Any] = np.full(num_envs, None if dtype is object else 0, dtype=dtype)
    array[numbers] = dense
    return array


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's cyclic garbage collector while thousands of environments step.

    Hardly anything they allocate needs it. But they allocate so much that the collector would run
    several times per step and visit every object of every session: at 8,192 environments that takes
    half as long as the step. It is on again before the call returns.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
