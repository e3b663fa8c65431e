"""Episodes go to another process, and go on there as if they had stayed."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.base import AgentView
from agents.oracle import OracleAgent
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import Domain, get_domain, load_domain
from tau2_gym.domains.overlay import Overlay
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError
from tau2_gym.session import Session

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 100_000


def begun(name: str, turns: int, **options: Any) -> Tau2Env:
    """An environment in the middle of the task with the longest plan, at a turn that writes."""
    env = Tau2Env(name, **options)
    tasks = [env.domain.task(task_id) for task_id in env.domain.task_ids("base")]
    task = max(tasks, key=lambda task: len((task.criteria and task.criteria.actions) or ()))
    _, info = env.reset(seed=3, options={"task_id": task.id})
    for _ in range(turns):
        _, _, terminated, truncated, info = env.step(
            OracleAgent().act(AgentView.from_info(info), 0)
        )
        assert not terminated
        assert not truncated
    return env


def plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def finish(env: Tau2Env, snapshot: Session) -> list[str]:
    """All that an environment says from a snapshot to the end of the episode, as text."""
    _, info = env.restore(snapshot)
    said, done = [plain(info)], False
    while not done:
        *outcome, info = env.step(OracleAgent().act(AgentView.from_info(info), 0))
        said.append(plain([outcome, info]))
        done = outcome[2] or outcome[3]
    return said


def copies(value: Any) -> list[Any]:
    return [
        copy.deepcopy(value),
        *(pickle.loads(pickle.dumps(value, protocol)) for protocol in (2, pickle.HIGHEST_PROTOCOL)),
    ]


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_copy_goes_on_to_the_same_end_and_the_original_does_not_notice(
    name: str, turns: int
) -> None:
    env = begun(name, min(turns, 1) if name == "mock" else turns)
    snapshot = env.snapshot()
    key = snapshot.episode.state_key
    original = finish(env, snapshot)
    for twin in copies(snapshot):
        assert twin.episode.domain is env.domain
        assert twin.episode.world is not snapshot.episode.world
        assert finish(env, twin) == original
    assert snapshot.episode.state_key == key
    assert finish(env, snapshot) == original


ELSEWHERE = """
import pickle, sys
from tests.test_pickling import finish
from tau2_gym.envs.agent_env import Tau2Env
name, options, snapshot = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(finish(Tau2Env(name, **options), snapshot)))
"""


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in DOMAINS), ("telecom", {"solo": True}), ("mock", {"solo": True})],
)
def test_an_episode_goes_on_in_another_process(name: str, options: dict[str, Any]) -> None:
    env = begun(name, 1, **options)
    snapshot = env.snapshot()
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=pickle.dumps((name, options, snapshot)),
        cwd=ROOT, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    assert pickle.loads(done.stdout) == finish(env, snapshot)


PARTS: dict[str, Callable[[Session], Any]] = {
    "session": lambda session: session,
    "episode": lambda session: session.episode,
    "world": lambda session: session.episode.world,
    "overlay": lambda session: session.episode.world._agent_db,
    "grader": lambda session: session._grader,
    "domain": lambda session: session.episode.domain,
}


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_an_episode_is_pickled_without_the_domain(name: str, part: str) -> None:
    thing = PARTS[part](begun(name, 1).snapshot())
    assert len(pickle.dumps(thing)) < MOST_BYTES
    for twin in copies(thing):
        assert type(twin) is type(thing)
        if isinstance(thing, Domain):
            assert twin is thing
        elif isinstance(thing, Overlay):
            assert twin is not thing
            assert twin.base is thing.base
            assert twin.difference() == thing.difference()


@pytest.mark.parametrize("name", DOMAINS)
def test_an_environment_is_pickled_as_it_is(name: str) -> None:
    env = begun(name, 1)
    env.action_space.seed(5)
    for twin in copies(env):
        assert twin.domain is env.domain
        assert plain(twin.snapshot().last.info) == plain(env.snapshot().last.info)
        assert twin.reset()[0] == env.fork()[0].reset()[0]
        assert plain(twin.action_space.sample()) == plain(env.fork()[0].action_space.sample())


def test_every_tool_of_a_domain_leaves_a_world_that_can_be_pickled() -> None:
    # Tools store values of classes that are made at run time: settings of the phone, for example.
    domain = get_domain("telecom")
    for task_id in domain.task_ids("base"):
        task = domain.task(task_id)
        world = domain.start(task)
        for action in (task.criteria and task.criteria.actions) or ():
            world.call(action.name, action.arguments, action.requestor)
        world.call("reset_apn_settings", {}, "user")
        world.call("set_apn_settings", {"apn_settings": {"apn_name": "internet"}}, "user")
        for twin in copies(world):
            assert twin.digest == world.digest
            assert twin.version == world.version


def test_another_revision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(begun("mock", 1).snapshot())
    domain = load_domain("mock", "inspect-evals", None)
    monkeypatch.setattr(domain, "revision", "0123456789ab")
    with pytest.raises(ConfigError, match=r"was pickled on revision \w{12} of mock, and 0123"):
        pickle.loads(data)


def test_a_write_is_not_pickled_half_done() -> None:
    overlay = Overlay(get_domain("mock").sides.agent.database)
    overlay.begin()
    with pytest.raises(TypeError, match="in the middle of a write"):
        pickle.dumps(overlay)
