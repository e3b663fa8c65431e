"""Gymnasium's wrappers and vector environments, as `docs/environment.md` says."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.wrappers import vector

from tau2_gym.domains.base import get_domain
from tests.helpers import Puppet, block, gold_moves, make

PAGE = Path(__file__).resolve().parents[2] / "docs" / "environment.md"

OPTIONS: dict[str, dict[str, Any]] = {
    "AddWhiteNoise": {"probability_of_noise_per_pixel": 0.5},
    "ArrayConversion": {"env_xp": np, "target_xp": np},
    "ClipReward": {"min_reward": 0, "max_reward": 0.1},
    "DelayObservation": {"delay": 1},
    "DiscretizeAction": {"bins": 3},
    "DiscretizeObservation": {"bins": 3},
    "DtypeObservation": {"dtype": np.float32},
    "FilterObservation": {"filter_keys": ["a"]},
    "FrameStackObservation": {"stack_size": 3},
    "ObstructView": {"obstructed_pixels_ratio": 0.5, "obstruction_width": 1},
    "RecordVideo": {"video_folder": "nowhere"},
    "RepeatAction": {"num_repeats": 2},
    "RescaleAction": {"min_action": 0, "max_action": 1},
    "RescaleObservation": {"min_obs": 0, "max_obs": 1},
    "ReshapeObservation": {"shape": (1,)},
    "ResizeObservation": {"shape": (2, 2)},
    "StickyAction": {"repeat_action_probability": 0.5},
    "TimeLimit": {"max_episode_steps": 3},
    "TransformAction": {"func": lambda action: action, "action_space": None},
    "TransformObservation": {"func": str.upper, "observation_space": None},
    "TransformReward": {"func": lambda reward: 2 * reward},
}
VECTOR_OPTIONS: dict[str, dict[str, Any]] = {
    **OPTIONS,
    "TransformObservation": {
        "func": lambda texts: tuple(map(str.upper, texts)),
        "observation_space": None,
    },
    **{
        f"VectorizeTransform{part}": {
            "wrapper": getattr(wrappers, f"Transform{part}"),
            **OPTIONS[f"Transform{part}"],
        }
        for part in ("Observation", "Action", "Reward")
    },
}


def table(heading: str) -> dict[str, bool]:
    """A table of the page: whether each wrapper works."""
    text = PAGE.read_text(encoding="utf-8")
    rows = text[text.index(f"| {heading} | works | |") :].split("\n\n")[0].splitlines()[2:]
    found = {}
    for row in rows:
        names, verdict, *_ = row.strip("| ").split(" | ")
        verdict = verdict.strip(" |")
        assert verdict in ("yes", "no"), row
        for name in re.findall(r"`(\w+)`", names):
            assert name not in found
            found[name] = verdict == "yes"
    return found


SINGLE, VECTOR = table("wrapper"), table("vector wrapper")


def test_the_page_lists_all_of_gymnasiums_wrappers() -> None:
    assert set(SINGLE) == set(wrappers.__all__) - {"vector"}
    assert set(VECTOR) == set(vector.__all__)


def base() -> Any:
    return gym.make("tau2/mock-v0", user=Puppet(), render_mode="ansi", max_episode_steps=9)


def play(env: Any, action: Any) -> None:
    """A few steps and a picture, and nothing that Gymnasium's checks find wrong."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning, module="gymnasium")
        env.action_space.seed(0)
        observation, info = env.reset(seed=0)
        assert observation in env.observation_space
        assert isinstance(info, dict | list)
        for move in (action, env.action_space.sample()):
            observation, *_ = env.step(move)
            assert observation in env.observation_space
        assert env.render() is not None
    env.close()


@pytest.mark.parametrize("name", [name for name, works in SINGLE.items() if works])
def test_wrappers_that_work(name: str) -> None:
    play(getattr(wrappers, name)(base(), **OPTIONS.get(name, {})), "get_users()")


@pytest.mark.parametrize("name", [name for name, works in SINGLE.items() if not works])
def test_wrappers_that_are_refused_say_why(name: str) -> None:
    with pytest.raises(Exception, match=r"\w+ \w+ \w+"):
        play(getattr(wrappers, name)(base(), **OPTIONS.get(name, {})), "get_users()")


def many() -> Any:
    return gym.make_vec("tau2/mock-v0", num_envs=2, user=Puppet(), render_mode="ansi")


@pytest.mark.parametrize("name", [name for name, works in VECTOR.items() if works])
def test_vector_wrappers_that_work(name: str) -> None:
    play(getattr(vector, name)(many(), **VECTOR_OPTIONS.get(name, {})), ("get_users()", "Hm."))


@pytest.mark.parametrize("name", [name for name, works in VECTOR.items() if not works])
def test_vector_wrappers_that_are_refused_say_why(name: str) -> None:
    with pytest.raises(Exception, match=r"\w+ \w+ \w+"):
        play(getattr(vector, name)(many(), **VECTOR_OPTIONS.get(name, {})), ("get_users()", "Hm."))


# What the wrappers of observations make of text


def test_stacked_observations_are_the_last_ones() -> None:
    env = wrappers.FrameStackObservation(base(), 3)
    first = env.reset(seed=0)[0]
    assert first == (first[0],) * 3
    second = env.step("get_users()")[0]
    third = env.step("Hm.")[0]
    assert second[:2] == first[:2]
    assert third[:2] == second[1:]
    zero = wrappers.FrameStackObservation(base(), 3, padding_type="zero")
    assert zero.reset(seed=0)[0] == ("", "", first[0])


def test_delayed_observations_begin_empty() -> None:
    env = wrappers.DelayObservation(base(), delay=2)
    assert env.reset(seed=0)[0] == ""
    assert env.step("get_users()")[0] == ""
    assert env.step("Hm.")[0] == base().reset(seed=0)[0]


def test_observations_with_the_time() -> None:
    env = wrappers.TimeAwareObservation(base())
    observation, _ = env.reset(seed=0)
    assert observation["obs"] == base().reset(seed=0)[0]
    assert observation["time"].tolist() == [0]
    assert env.step("Hm.")[0]["time"].tolist() == [1]


def test_flattened_text_is_text() -> None:
    env = wrappers.FlattenObservation(base())
    assert env.reset(seed=0)[0] == base().reset(seed=0)[0]
    space = env.observation_space
    assert gym.spaces.unflatten(space, gym.spaces.flatten(space, "Hm.")) == "Hm."


def test_text_can_be_tokenized() -> None:
    tokens = gym.spaces.Sequence(gym.spaces.Discrete(256))
    env = wrappers.TransformObservation(base(), lambda text: tuple(text.encode()), tokens)
    play(env, "get_users()")


# Gymnasium's own vector environments


def solve(env: Any) -> list[Any]:
    """Play the task in one environment while the other dawdles, past the end."""
    task = "update_task_1"
    observations, info = env.reset(seed=[4, 7], options={"task_id": task})
    outcomes: list[Any] = [(tuple(observations), list(info["state_key"]))]
    for move in (*gold_moves(get_domain("mock").task(task)), "Hm.", block("get_users")):
        observations, rewards, ended, cut, info = env.step((move, "Hm."))
        outcomes.append(
            (tuple(observations), rewards.tolist(), ended.tolist(), cut.tolist())
            + (list(info["state_key"]), info["num_turns"].tolist(), list(info["termination"]))
        )
    env.close()
    return outcomes


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize(
    ("way", "options"),
    [
        ("sync", {}),
        ("sync", {"observation_mode": "different"}),
        ("async", {}),
        ("async", {"shared_memory": False}),
        ("async", {"copy": False}),
        ("async", {"observation_mode": "different"}),
    ],
    ids=str,
)
def test_every_way_to_make_many_plays_the_same_games(
    way: str, options: dict[str, Any], mode: str
) -> None:
    made: Callable[..., Any] = gym.make_vec
    arguments = {"num_envs": 2, "user": Puppet()}
    ours = made("tau2/mock-v0", autoreset_mode=mode, **arguments)
    kwargs = {"autoreset_mode": mode, **options}
    theirs = made("tau2/mock-v0", vectorization_mode=way, vector_kwargs=kwargs, **arguments)
    assert solve(theirs) == solve(ours)


def test_processes_that_are_spawned_play_the_same_games() -> None:
    arguments: dict[str, Any] = {"num_envs": 2, "user": Puppet()}
    options: dict[str, Any] = {"vectorization_mode": "async", "vector_kwargs": {"context": "spawn"}}
    spawned = gym.make_vec("tau2/mock-v0", **options, **arguments)
    assert solve(spawned) == solve(gym.make_vec("tau2/mock-v0", **arguments))


def test_any_text_arrives_from_another_process_and_nothing_is_left_behind() -> None:
    import copy
    import pickle

    from gymnasium.vector.utils import (
        create_shared_memory,
        read_from_shared_memory,
        write_to_shared_memory,
    )

    from tau2_gym.spaces import TextSpace

    space = TextSpace()
    memory: Any = create_shared_memory(space, n=3)
    texts: Any = read_from_shared_memory(space, memory, n=3)
    assert copy.deepcopy(texts) == ("", "", "")
    elsewhere = pickle.loads(pickle.dumps(memory))
    said = "naïve\r\n\x00\ud800 " + "x" * 10**6
    write_to_shared_memory(space, 1, said, elsewhere)
    assert copy.deepcopy(texts) == ("", said, "")
    write_to_shared_memory(space, 1, "", elsewhere)
    write_to_shared_memory(space, 2, "Hm.", memory)
    assert list(texts) == ["", "", "Hm."]
    assert (texts[-1], texts[1:]) == ("Hm.", ("", "Hm."))
    with pytest.raises(IndexError):
        texts[3]
    folder = memory._directory
    assert folder.is_dir()
    del elsewhere
    assert folder.is_dir()
    del memory, texts
    assert not folder.exists()


def test_wrapped_environments_run_in_other_processes() -> None:
    env = gym.make_vec(
        "tau2/mock-v0",
        num_envs=2,
        user=Puppet(),
        vectorization_mode="async",
        wrappers=[lambda env: wrappers.FrameStackObservation(env, 2)],
    )
    first, _ = env.reset(seed=0)
    assert first[0] == first[1]
    second = env.step(("get_users()", "Hm."))[0]
    assert second[0] == first[1]
    assert second in env.observation_space
    env.close()


@pytest.mark.parametrize("steps", [0, 2])
def test_a_pickled_environment_plays_on_as_the_first(steps: int) -> None:
    import pickle

    for env in (gym.make("tau2/mock-v0", user=Puppet()), make("telecom")):
        env.reset(seed=0)
        for _ in range(steps):
            env.step("Hm.")
        twin = pickle.loads(pickle.dumps(env))
        for move in ("get_users()", "Hm.", "f(1)"):
            ours, theirs = env.step(move), twin.step(move)
            assert ours[:4] == theirs[:4]
            assert ours[4]["state_key"] == theirs[4]["state_key"]
            assert ours[4]["messages"] == theirs[4]["messages"]
        assert env.reset()[1]["task_id"] == twin.reset()[1]["task_id"]
