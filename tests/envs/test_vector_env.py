from __future__ import annotations

import gc
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tau2_gym.domains.base import get_domain
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.envs.registration import IDS
from tau2_gym.envs.vector_env import Tau2VectorEnv, columns
from tau2_gym.errors import ConfigError
from tests.helpers import CLOSING, Puppet, gold_moves, make

TASK = "update_task_1"


def vector(name: str = "mock", num_envs: int = 3, **kwargs: Any) -> Tau2VectorEnv:
    env = gym.make_vec(f"tau2/{name}-v0", num_envs=num_envs, user=Puppet(), **kwargs)
    assert isinstance(env, Tau2VectorEnv)
    return env


@pytest.mark.parametrize("env_id", IDS)
def test_environments_share_what_never_changes(env_id: str) -> None:
    env = gym.make_vec(env_id, num_envs=64, user=Puppet())
    assert isinstance(env, Tau2VectorEnv)
    assert env.num_envs == 64
    domains = {id(each.unwrapped.domain) for each in env.envs}  # type: ignore[attr-defined]
    assert domains == {id(get_domain(env_id.removeprefix("tau2/").removesuffix("-v0")))}
    _, info = env.reset(seed=0)
    assert len({id(schemas[0]) for schemas in info["tools"]}) == 1


def test_each_environment_plays_as_it_would_alone() -> None:
    env = vector("telecom", 4, reward="shaped")
    env.action_space.seed(3)
    alone = [make("telecom", reward="shaped") for _ in range(4)]
    observations, _ = env.reset(seed=10)
    assert list(observations) == [each.reset(seed=10 + i)[0] for i, each in enumerate(alone)]
    for _ in range(8):
        actions = env.action_space.sample()
        assert actions in env.action_space
        observations, rewards, ended, cut, info = env.step(actions)
        assert not ended.any()
        assert not cut.any()
        assert observations in env.observation_space
        outcomes = [each.step(action) for each, action in zip(alone, actions, strict=True)]
        assert list(observations) == [outcome[0] for outcome in outcomes]
        assert rewards.tolist() == [outcome[1] for outcome in outcomes]
        assert list(info["state_key"]) == [outcome[4]["state_key"] for outcome in outcomes]


def solve(env: Tau2VectorEnv, count: int) -> list[Any]:
    """Solve the task in the first environments, while the others dawdle."""
    env.reset(seed=0, options={"task_id": TASK})
    outcomes = []
    for move in gold_moves(get_domain("mock").task(TASK)):
        actions = [move if i < count else "Hm." for i in range(env.num_envs)]
        outcomes.append(env.step(tuple(actions)))
    return outcomes


def test_rewards_and_ends_are_those_of_each_environment() -> None:
    env = vector(autoreset_mode=AutoresetMode.DISABLED, reward="sparse")
    *_, (_, rewards, ended, cut, info) = solve(env, 2)
    assert rewards.tolist() == [1.0, 1.0, 0.0]
    assert ended.tolist() == [True, True, False]
    assert cut.tolist() == [False] * 3
    assert info["official_reward"][0] == info["official_reward"][1] == 1.0
    assert list(info["termination"]) == ["user_stop", "user_stop", None]


def test_the_next_step_resets_by_default() -> None:
    env = vector()
    *_, (_, _, ended, _, _) = solve(env, 1)
    assert ended.tolist() == [True, False, False]
    observations, rewards, ended, _, info = env.step(("ignored",) + ("Hm.",) * 2)
    assert not ended.any()
    assert rewards[0] == 0.0
    assert info["num_turns"].tolist() == [0, 3, 3]
    assert observations[0].startswith("Hm. I am caller")


def test_the_same_step_resets_where_asked_to_and_keeps_the_end() -> None:
    env = vector(autoreset_mode=AutoresetMode.SAME_STEP)
    *_, (observations, rewards, ended, _, info) = solve(env, 1)
    assert ended.tolist() == [True, False, False]
    assert rewards.tolist() == [1.0, 0.0, 0.0]
    assert info["num_turns"].tolist() == [0, 2, 2]
    assert info["final_obs"][0] == "Thank you. ###STOP###"
    assert info["final_info"]["official_reward"][0] == 1.0
    assert observations[0].startswith("Hm. I am caller")


def test_nothing_resets_by_itself_where_disabled() -> None:
    env = vector(autoreset_mode="Disabled")
    solve(env, 1)
    mask = np.array([True, False, False])
    _, info = env.reset(options={"reset_mask": mask})
    assert info["num_turns"][0] == 0
    _, _, ended, _, info = env.step(("Hm.",) * 3)
    assert not ended.any()
    assert info["num_turns"].tolist() == [1, 3, 3]


def test_truncation_is_each_environments_own() -> None:
    env = vector(max_steps=6, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    actions = ("get_users()", "Hm.", "Hm.")
    cuts = [env.step(actions)[3].tolist() for _ in range(3)]
    assert cuts == [[False] * 3, [False] * 3, [True] * 3]


def test_an_episode_that_ends_at_once_is_reset_like_any_other() -> None:
    env = vector(num_envs=2, max_steps=1)
    env.reset(seed=0)
    for _ in range(3):
        assert env.step((CLOSING,) * 2)[3].all()
        assert not env.step((CLOSING,) * 2)[3].any()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_envs must be at least 1, not 0"):
        Tau2VectorEnv(0, "mock", user=Puppet())
    with pytest.raises(ConfigError, match="unknown argument 'users'"):
        vector(users="scripted")
    with pytest.raises(ConfigError, match="unknown autoreset_mode 'Never'; allowed: Disabled, Nex"):
        vector(autoreset_mode="Never")


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_wrong_number_of_actions_is_refused_before_anybody_moves(count: int) -> None:
    env = vector()
    _, before = env.reset(seed=0)
    with pytest.raises(ValueError, match=f"{count} actions for 3 environments"):
        env.step(("Hm.",) * count)
    turns = env.step(("Hm.",) * 3)[4]["num_turns"].tolist()
    assert turns == (before["num_turns"] + 1).tolist()


def same(ours: Any, theirs: Any) -> None:
    """Two vector infos hold the same. Gymnasium's None is NaN where the first entry is a number, and
    numbers are objects where the first is None."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for key in ours:
            same(ours[key], theirs[key])
    else:
        assert ours.shape == theirs.shape
        entries = [None if value != value else value for value in theirs.tolist()]
        assert ours.tolist() == entries
        assert ours.dtype == theirs.dtype or object in (ours.dtype, theirs.dtype)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_infos_are_batched_as_gymnasium_batches_them(mode: AutoresetMode) -> None:
    options: dict[str, Any] = {"user": Puppet(), "max_steps": 12}
    ours = Tau2VectorEnv(4, "mock", autoreset_mode=mode, **options)
    theirs: SyncVectorEnv[Any, Any] = SyncVectorEnv(
        [lambda: Tau2Env("mock", **options)] * 4, autoreset_mode=mode
    )
    moves = gold_moves(get_domain("mock").task(TASK))
    infos = [env.reset(seed=3, options={"task_id": TASK})[1] for env in (ours, theirs)]
    same(*infos)
    for number in range(12):
        done = moves[number] if number < len(moves) else "Hm."
        outcomes = [env.step((done, "Hm.", "get_users()", "<tool_call>")) for env in (ours, theirs)]
        for mine, other in zip(outcomes[0][1:4], outcomes[1][1:4], strict=True):
            assert mine.tolist() == other.tolist()
        assert list(outcomes[0][0]) == list(outcomes[1][0])
        same(outcomes[0][4], outcomes[1][4])
        ended = outcomes[0][2] | outcomes[0][3]
        if mode is AutoresetMode.DISABLED and ended.any():
            infos = [env.reset(options={"reset_mask": ended.copy()})[1] for env in (ours, theirs)]
            same(*infos)


def test_columns_have_the_type_of_all_their_entries() -> None:
    rows = {0: {"r": None, "n": 1, "b": True}, 2: {"r": 1.0, "n": 2, "b": False, "d": {"x": 1}}}
    found = columns(rows, 3)
    assert {key: array.dtype.kind for key, array in found.items() if key not in ("d", "_d")} == {
        "r": "O", "_r": "b", "n": "i", "_n": "b", "b": "b", "_b": "b"
    }  # fmt: skip
    assert found["r"].tolist() == [None, None, 1.0]
    assert found["_r"].tolist() == [True, False, True]
    assert columns({0: {"r": 1.0}, 1: {"r": None}}, 2)["r"].tolist() == [1.0, None]
    assert columns({0: {"r": 1}, 1: {"r": 0.5}}, 2)["r"].tolist() == [1.0, 0.5]
    assert found["d"]["x"].tolist() == [0, 0, 1]
    assert found["_d"].tolist() == found["d"]["_x"].tolist() == [False, False, True]


def test_environments_share_the_tools_that_their_action_spaces_sample() -> None:
    env = vector("telecom", 5)
    spaces = list(env.action_space)  # type: ignore[call-overload]
    assert len(spaces) == 5
    assert len({id(tool) for space in spaces for tool in space.tools.values()}) == 13
    draws = [[space.sample() for _ in range(3)] for space in spaces]
    assert len({tuple(draw) for draw in draws}) == 5


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_of_cyclic_garbage_is_left_as_it_was(enabled: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        env = vector()
        env.reset(seed=0)
        env.step(("Hm.",) * 3)
        with pytest.raises(TypeError, match="an action is"):
            env.step((None,) * 3)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
