"""Many episodes at once in one process, over one shared database."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError


class Tau2VectorEnv(SyncVectorEnv):
    """`num_envs` environments stepped one after the other, with Gymnasium's autoreset modes.

    They share the domain's database, tools and tasks, so that a further one costs kilobytes. Texts
    are batched as tuples; infos as Gymnasium's vector infos.

    Args:
        num_envs: how many.
        domain: airline, retail, telecom or mock.
        autoreset_mode: NextStep (default), SameStep or Disabled.
        kwargs: arguments of `Tau2Env`, the same for all.

    Raises:
        ConfigError: `num_envs` is less than 1, or an argument of `Tau2Env` is not allowed.
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
        super().__init__(
            [lambda: Tau2Env(domain, **kwargs)] * num_envs, autoreset_mode=autoreset_mode
        )
