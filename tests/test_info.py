from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import gymnasium as gym
import pytest

import tau2_gym
from tau2_gym.domains import DOMAINS
from tau2_gym.info import Info
from tau2_gym.types import Termination
from tests.helpers import block, gold_moves, make, run, some, written


def misfits(value: Any, hint: Any, where: str = "info") -> list[str]:
    """Where a value is not what a type says."""
    if hint is Any:
        return []
    if is_typeddict(hint):
        hints = get_type_hints(hint)
        if not isinstance(value, dict) or set(value) != set(hints):
            return [f"{where} has other keys than {hint.__name__}: {value}"]
        return [m for key in hints for m in misfits(value[key], hints[key], f"{where}[{key!r}]")]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        fits = value in arguments
    elif origin in (Union, types.UnionType):
        fits = any(not misfits(value, option) for option in arguments)
    elif origin in (list, tuple):
        if isinstance(value, origin):
            return [m for item in value for m in misfits(item, arguments[0], f"{where}[…]")]
        fits = False
    elif origin is dict:
        fits = isinstance(value, dict) and all(
            not misfits(item, kind)
            for pair in value.items()
            for item, kind in zip(pair, arguments, strict=True)
        )
    else:
        # Python's own True is an int, too.
        fits = type(value) is hint or (hint is float and type(value) is int)
    return [] if fits else [f"{where} is no {hint}: {value!r}"]


def test_the_type_is_exported() -> None:
    assert tau2_gym.Info is Info


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("solo", [False, True])
def test_every_info_is_of_its_type(name: str, solo: bool) -> None:
    if solo and name in ("airline", "retail"):
        pytest.skip(f"{name} has no solo mode")
    env = make(name, solo=solo, reward={"malformed": 0.1, "tool_call": 0.1, "repetition": 0.1})
    task = next(task for task in some(name, 9) if not solo or task.ticket)
    moves = ["<tool_call>", *gold_moves(task)]
    seen = 0
    for *_, info in run(env, lambda i, _: moves[i], options={"task_id": task.id}):
        assert misfits(info, Info) == []
        seen += 1
    assert info["termination"] is not None
    assert seen > 2
    assert misfits(env.restore(env.snapshot())[1], Info) == []


def test_a_value_of_another_type_would_be_noticed() -> None:
    _, info = make("telecom").reset(seed=0)
    wrong: list[tuple[str, Any]] = [
        ("steps", 1.5),
        ("steps", True),
        ("policy", None),
        ("termination", "bored"),
        ("official_reward", "1"),
        ("reward_terms", {"a": "1"}),
        ("messages", ({},)),
        ("checks", {**info["checks"], "db": 1}),
        ("privileged", {**info["privileged"], "task": None}),
    ]
    for key, value in wrong:
        assert misfits({**info, key: value}, Info), key
    assert misfits({**info, "more": 1}, Info)


def test_the_types_name_every_way_an_episode_ends() -> None:
    (named,) = (get_args(o) for o in get_args(get_type_hints(Info)["termination"]) if get_args(o))
    assert set(named) == {end.value for end in Termination}


# What a consumer does to an info


def parts(value: Any) -> list[Any]:
    """Every dict and list in an info, the innermost first."""
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = [part for item in value.values() for part in parts(item)]
    elif isinstance(value, list | tuple):
        inner = [part for item in value for part in parts(item)]
    return [*inner, value] if isinstance(value, dict | list) else inner


def wreck(info: dict[str, Any]) -> int:
    """Change everything that can be changed. Returns how much could not be."""
    refused = 0
    for part in parts(info):
        edits: list[Callable[[], Any]] = (
            [part.clear, lambda part=part: part.__setitem__("mine", 1)]  # type: ignore[misc]
            if isinstance(part, dict)
            else [part.clear, lambda part=part: part.append("mine")]  # type: ignore[misc]
        )
        for edit in edits:
            try:
                edit()
            except TypeError:
                refused += 1
    return refused


@pytest.mark.parametrize("name", DOMAINS)
def test_nothing_done_to_an_info_changes_the_game(name: str) -> None:
    task = some(name, 3)[1]
    moves = [*gold_moves(task)[:-1], block("fly"), *gold_moves(task)[-1:]]
    options: dict[str, Any] = {"seed": 5, "options": {"task_id": task.id}}
    clean = [written(outcome) for outcome in run(make(name), lambda i, _: moves[i], **options)]
    env = make(name)
    wrecked, refused = [], 0
    for outcome in run(env, lambda i, _: moves[i], **options):
        wrecked.append(written(outcome))
        refused += wreck(outcome[4])
        snapshot = env.snapshot()
        for branch in (env, *env.fork(2)):
            observation, told = branch.restore(snapshot)
            again = written((*outcome[:4], told))
            assert observation == outcome[0]
            assert again == wrecked[-1]
            refused += wreck(told)
    assert wrecked == clean
    assert refused > 50
    # Nor any other game of the process.
    assert [written(each) for each in run(make(name), lambda i, _: moves[i], **options)] == clean


def test_nothing_done_to_a_vector_info_changes_the_games() -> None:
    envs = [gym.make_vec("tau2/mock-v0", num_envs=3) for _ in range(2)]
    infos = [env.reset(seed=1)[1] for env in envs]
    for _ in range(4):
        for array in (infos[0]["messages"], infos[0]["tools"], infos[0]["checks"]["actions"]):
            for entry in array:
                wreck({"entry": entry})
        infos = [env.step(("get_users()", "Hm.", "f(1)"))[4] for env in envs]
        assert list(infos[0]["messages"]) == list(infos[1]["messages"])
        assert list(infos[0]["tools"]) == list(infos[1]["tools"])
        assert list(infos[0]["state_key"]) == list(infos[1]["state_key"])
