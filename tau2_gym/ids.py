"""The ids of environments in Gymnasium's registry."""

from __future__ import annotations

from typing import Any

from gymnasium.envs.registration import register, registry


def add_id(env_id: str, **arguments: Any) -> None:
    """Register an id, unless it is there already, with arguments of `Tau2Env`."""
    if env_id not in registry:
        register(
            id=env_id,
            entry_point="tau2_gym.envs.agent_env:Tau2Env",
            vector_entry_point="tau2_gym.envs.vector_env:Tau2VectorEnv",
            kwargs=arguments,
            # Text is deterministic given a seed.
            nondeterministic=False,
        )


def add_user_id(env_id: str, **arguments: Any) -> None:
    """Register an id, unless it is there already, with arguments of `Tau2UserEnv`."""
    if env_id not in registry:
        register(
            id=env_id,
            entry_point="tau2_gym.envs.user_env:Tau2UserEnv",
            kwargs=arguments,
            nondeterministic=False,
        )
