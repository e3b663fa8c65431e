from __future__ import annotations

import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.registration import registry

import tau2_gym
from tau2_gym.domains import DOMAINS
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.envs.registration import IDS, register_all
from tests.helpers import Puppet, fingerprints

ROOT = Path(__file__).resolve().parents[2]

# Made without importing the package first; then what an import loads, and how games go.
ELSEWHERE = """
import gymnasium, sys
assert not any(name.split(".")[0] == "tau2_gym" for name in sys.modules)
env = gymnasium.make("tau2_gym:tau2/mock-v0")
assert env.unwrapped.domain.name == "mock"
from tests.helpers import fingerprints
print(*fingerprints(), sep="\\n")
"""

UNIMPORTED = """
import gymnasium
assert not hasattr(gymnasium.envs.registration, "load_plugin_envs")
try:
    gymnasium.make("tau2/mock-v0")
except gymnasium.error.Error as error:
    print(type(error).__name__)
"""

LIGHT = """
import sys, tau2_gym
heavy = "inspect_ai inspect_evals torch transformers litellm openai rich typer pettingzoo agents"
print(*set(heavy.split()) & set(sys.modules))
"""


@cache
def elsewhere(script: str, hash_seed: str) -> list[str]:
    """What a script prints in another process, in which sets have another order."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:gymnasium", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_domain_has_an_id() -> None:
    assert IDS == tau2_gym.IDS == tuple(f"tau2/{name}-v0" for name in DOMAINS)
    assert set(IDS) <= set(registry)


def test_registering_again_changes_nothing() -> None:
    before = {env_id: registry[env_id] for env_id in IDS}
    register_all()
    assert {env_id: registry[env_id] for env_id in IDS} == before


@pytest.mark.parametrize("env_id", IDS)
def test_make_gives_the_domains_environment(env_id: str) -> None:
    env = gym.make(env_id, user=Puppet())
    assert isinstance(env.unwrapped, Tau2Env)
    assert env.unwrapped.domain.name in env_id
    assert env.spec is not None
    assert env.spec.nondeterministic is False


@pytest.mark.parametrize("env_id", IDS)
def test_a_pickled_spec_makes_the_same_environment(env_id: str) -> None:
    options: dict[str, Any] = {"user": Puppet(), "reward": "shaped", "max_steps": 7}
    env = gym.make(env_id, **options)
    spec = pickle.loads(pickle.dumps(env.spec))
    assert spec == env.spec
    twin = gym.make(spec)
    assert isinstance(twin.unwrapped, Tau2Env)
    assert isinstance(env.unwrapped, Tau2Env)
    assert twin.unwrapped.domain is env.unwrapped.domain
    assert twin.unwrapped.rules == env.unwrapped.rules
    assert twin.unwrapped.reward_config == env.unwrapped.reward_config
    first, second = env.reset(seed=4), twin.reset(seed=4)
    assert first[0] == second[0]
    assert first[1]["state_key"] == second[1]["state_key"]


@pytest.mark.parametrize("env_id", IDS)
def test_the_plain_spec_survives_json(env_id: str) -> None:
    spec = gym.spec(env_id)
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()) == spec


def test_gymnasium_itself_finds_no_package_that_is_not_imported() -> None:
    # It did before 1.0, by entry points. If it does again, tau2-gym should have one, and the first
    # paragraphs of docs/environment.md are out of date.
    assert elsewhere(UNIMPORTED, "0") == ["NamespaceNotFound"]


def test_unknown_ids_are_gymnasiums_error() -> None:
    with pytest.raises(gym.error.NameNotFound):
        gym.make("tau2/bank-v0")
    with pytest.raises(gym.error.VersionNotFound):
        gym.make("tau2/airline-v9")


def test_an_environment_is_made_without_import_and_plays_the_same_in_every_process() -> None:
    here = fingerprints()
    assert len(here) == len(set(here)) == 2 * len(DOMAINS)
    assert elsewhere(ELSEWHERE, "1") == here
    assert elsewhere(ELSEWHERE, "2") == here


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert elsewhere(LIGHT, "0") == [""]
