"""SkyRL-gym's environments are ours: the same texts, the same rewards."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

skyrl = pytest.importorskip("skyrl_gym", reason="skyrl-gym is not installed")

from agents.oracle import plan  # noqa: E402
from tau2_gym.adapters import skyrl_gym as adapter  # noqa: E402
from tau2_gym.domains.base import get_domain  # noqa: E402
from tau2_gym.errors import ConfigError  # noqa: E402
from tests.helpers import make  # noqa: E402

DOMAINS = ("airline", "retail", "telecom", "mock")


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_actions_earn_the_same(domain: str) -> None:
    name, alone = adapter.register(domain), make(domain, user="scripted")
    for number, task in enumerate(get_domain(domain).task_ids("base")[:6]):
        env = skyrl.make(name, env_config={}, extras={"task_id": task, "seed": number, "other": 1})
        given, _ = env.init([{"role": "system", "content": "x"}])
        observation, _ = alone.reset(seed=number, options={"task_id": task})
        assert given == [
            {"role": "system", "content": "x"},
            {"role": "user", "content": observation},
        ]
        moves, turn, ended, total = plan(get_domain(domain).task(task)), 0, False, 0.0
        while not ended:
            move = moves[min(turn, len(moves) - 1)]
            observation, reward, terminated, truncated, info = alone.step(move)
            step = env.step(move)
            ended, total, turn = terminated or truncated, total + reward, turn + 1
            assert (step["reward"], step["done"]) == (reward, ended)
            assert step["observations"] == (
                [] if ended else [{"role": "user", "content": observation}]
            )
            assert step["metadata"]["state_key"] == info["state_key"]
            assert "privileged" not in step["metadata"]
        metrics = env.get_metrics()
        assert metrics["reward"] == pytest.approx(total)
        assert metrics["solved"] == float((info["official_reward"] or 0) >= 1)
        with pytest.raises(RuntimeError, match="no episode is in progress"):
            env.step("Hello?")


def test_the_example_of_the_module() -> None:
    assert doctest.testmod(adapter).failed == 0


def test_the_prompt_has_the_policy_and_the_tools() -> None:
    prompt = adapter.prompt("retail")
    assert get_domain("retail").policy in prompt
    assert all(f'"name": "{name}"' in prompt for name in get_domain("retail").agent_tools)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"domain": "hotel"}, "unknown domain 'hotel'"),
        ({"domain": "retail", "user": "nobody"}, "unknown user"),
        ({"domain": "retail", "reward": "big"}, "unknown reward preset"),
    ],
)
def test_what_cannot_be_registered(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        adapter.register(**options)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"task_id": "x"}, "unknown task 'x'"),
        ({"seed": "1"}, "seed must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_rows_that_cannot_be(row: dict[str, Any], said: str) -> None:
    name = adapter.register("retail")
    with pytest.raises(ConfigError, match=said):
        skyrl.make(name, env_config={}, extras=row)
