"""Ten thousand steps of random and malformed actions: nothing escapes, nothing is shared."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from tau2_gym.actions import parse_action
from tests.helpers import Restless, assert_pristine, gold_moves, make, some

STEPS = 2_500

WORDS = (
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    '{"name": ',
    '"arguments": ',
    "{}",
    "[",
    "]",
    "null",
    "NaN",
    "1e999",
    "-0",
    "###STOP###",
    "###TRANSFER###",
    "get_details_by_id(",
    "id='L1001'",
    ")",
    "\x00",
    "\ud83d",
    "🙂",
    "\\u0000",
    "\n",
    "'",
    '"',
    ",",
    "9" * 5000,
    "[" * 400,
    "done",
    "respond",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    10**400,
    10**5000,
    "",
    "L1001",
    "\ud800",
    "é",
    [],
    ["a", None],
    [[]] * 3,
    {},
    {"": {"a": [1, {}]}},
    {1: 2},
    {("a", 1): 2, "b": 3},
    {1, 2},
    object(),
    b"bytes",
    (1, 2),
)


def garbage(chance: random.Random) -> Any:
    """Text or a message made of pieces of actions in any order."""
    if chance.random() < 0.6:
        return "".join(chance.choices(WORDS, k=chance.randrange(8)))
    call = {
        key: chance.choice(VALUES)
        for key in ("name", "arguments", "function", "id", "type", "requestor")
        if chance.random() < 0.5
    }
    if chance.random() < 0.5:
        call = {"id": "x", "function": call}
    message = {
        "content": chance.choice([*VALUES, "Hello", [{"text": "a"}, {"text": None}]]),
        "tool_calls": chance.choice([*VALUES, [call], [call, call]]),
        chance.choice(["name", "refusal", "audio"]): chance.choice(VALUES),
    }
    return {key: value for key, value in message.items() if chance.random() < 0.8}


def spoiled(action: str, chance: random.Random) -> Any:
    """A sensible call with one of its arguments replaced by something else."""
    message = parse_action(action, ())
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in message.tool_calls]
    for call in calls:
        arguments: Any = call["arguments"]
        name = chance.choice([*arguments, "extra", "self"])
        arguments[name] = chance.choice(VALUES)
        inner = next((item for item in arguments.values() if isinstance(item, list) and item), None)
        if inner is not None and chance.random() < 0.5:
            inner[0] = chance.choice(VALUES)
    return {"role": "assistant", "content": message.content, "tool_calls": calls}


@pytest.mark.parametrize("name", ["airline", "retail", "telecom", "mock"])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_no_action_makes_step_raise_or_touches_the_shared_database(name: str) -> None:
    chance = random.Random(f"fuzz {name}")
    env = make(
        name, Restless(), reward={"malformed": 0.1, "repetition": 0.1}, max_errors=25, max_steps=80
    )
    other = make(name, Restless())
    env.action_space.seed(1)
    tasks = some(name, 30)
    other.reset(seed=0)
    before = other.snapshot().episode.state_key
    ended, counts = True, {"malformed": 0, "errors": 0, "calls": 0}
    expected: list[str] = []
    for step in range(STEPS):
        if ended:
            task = chance.choice(tasks)
            env.reset(seed=step, options={"task_id": task.id})
            expected = gold_moves(task)[:-1]
        kind = chance.random()
        if kind < 0.35:
            action = garbage(chance)
        elif kind < 0.6:
            action = spoiled(chance.choice(expected or [env.action_space.sample()]), chance)
        elif kind < 0.75 and expected:
            action = expected.pop(0)
        else:
            action = env.action_space.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        assert isinstance(observation, str)
        assert math.isfinite(reward)
        assert math.isclose(sum(info["reward_terms"].values()), reward, abs_tol=1e-12)
        ended = terminated or truncated
        assert ended is (info["termination"] is not None)
        if ended or step % 20 == 0:
            assert json.dumps([message.to_dict() for message in info["privileged"]["trajectory"]])
            assert json.dumps(info["messages"])
            assert env.snapshot().fork().episode.state_key == info["state_key"]
        if ended:
            counts["malformed"] += info["malformed"]
            counts["errors"] += info["num_errors"]
            counts["calls"] += sum(len(m.get("tool_calls", ())) for m in info["messages"])
    assert counts["malformed"] > STEPS * 0.1
    assert counts["errors"] > STEPS * 0.3
    assert counts["calls"] > counts["errors"]
    assert other.snapshot().episode.state_key == before
    assert_pristine(name)
