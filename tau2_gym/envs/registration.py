"""The ids of all environments."""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

from tau2_gym.domains import DOMAINS

IDS = tuple(f"tau2/{domain}-v0" for domain in DOMAINS)
"""Ids for `gym.make` and `gym.make_vec`."""


def register_all() -> None:
    """Register every environment. Called when `tau2_gym` is imported."""
    for domain, env_id in zip(DOMAINS, IDS, strict=True):
        if env_id not in registry:
            register(
                id=env_id,
                entry_point="tau2_gym.envs.agent_env:Tau2Env",
                vector_entry_point="tau2_gym.envs.vector_env:Tau2VectorEnv",
                kwargs={"domain": domain},
                # Text is deterministic given a seed.
                nondeterministic=False,
            )
