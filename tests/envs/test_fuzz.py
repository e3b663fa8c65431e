"""Steps of random, malformed, repeated and enormous actions: nothing escapes, nothing is shared, nothing
takes long, and the memory does not grow.

CONTRIBUTING tells how to take a million of them.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from tau2_gym.actions import parse_action
from tau2_gym.spaces import examples, sample_arguments
from tests.helpers import Restless, assert_pristine, block, gold_moves, make, some

pytestmark = pytest.mark.usefixtures("clean_heap")

STEPS = int(os.environ.get("FUZZ_STEPS", "20000")) // 4
"""In each of the four domains."""

REPEATS = 30
SECONDS = 1.0
"""The most CPU time of a step."""

MEGABYTES = 100
"""The most that the memory may grow by, once a tenth of the steps were made."""

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
    "x" * 20_000,
    "x" * 200_000,
    [1] * 100_000,
    [{"a": [1, {}]}] * 1000,
)


def nested(depth: int) -> Any:
    value: Any = "L1001"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


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
        deep = chance.random() < 0.1
        arguments[name] = nested(chance.randrange(3000)) if deep else chance.choice(VALUES)
        inner = next((item for item in arguments.values() if isinstance(item, list) and item), None)
        if inner is not None and chance.random() < 0.5:
            inner[0] = chance.choice(VALUES)
    return {"role": "assistant", "content": message.content, "tool_calls": calls}


def bursts(env: Any, chance: random.Random) -> Iterator[str]:
    """Each of the agent's tools in turn, called `REPEATS` times with the same valid arguments."""
    for tool in cycle(env.domain.agent_tools.values()):
        rng = np.random.default_rng(chance.getrandbits(64))
        arguments = sample_arguments(tool, examples(env.domain), rng)
        yield from [block(tool.name, **arguments)] * REPEATS


def megabytes() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


@pytest.mark.parametrize("name", ["airline", "retail", "telecom", "mock"])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_no_action_makes_step_raise_or_touches_the_shared_database(name: str) -> None:
    chance = random.Random(f"fuzz {name}")
    env = make(
        name, Restless(), reward={"malformed": 0.1, "repetition": 0.1}, max_errors=60, max_steps=200
    )
    other = make(name, Restless())
    env.action_space.seed(1)
    tasks = some(name, 30)
    other.reset(seed=0)
    before = other.snapshot().episode.state_key
    ended, counts = True, {"malformed": 0, "errors": 0, "calls": 0}
    expected: list[str] = []
    repeated, burst = bursts(env, chance), 0
    slowest = warm = 0.0
    for step in range(STEPS):
        if step == STEPS // 10:
            warm = megabytes()
        if ended:
            task = chance.choice(tasks)
            env.reset(seed=step, options={"task_id": task.id})
            expected = gold_moves(task)[:-1]
        kind = chance.random()
        if burst or kind < 0.01:
            burst = (burst or REPEATS) - 1
            action: Any = next(repeated)
        elif kind < 0.35:
            action = garbage(chance)
        elif kind < 0.6:
            action = spoiled(chance.choice(expected or [env.action_space.sample()]), chance)
        elif kind < 0.75 and expected:
            action = expected.pop(0)
        else:
            action = env.action_space.sample()
        begun = time.process_time()
        observation, reward, terminated, truncated, info = env.step(action)
        slowest = max(slowest, time.process_time() - begun)
        assert slowest < SECONDS, action
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
    grown = megabytes() - warm
    print(
        f"\n{name}: {STEPS} steps, {counts['calls']} calls, {counts['errors']} errors, "
        f"{counts['malformed']} unreadable; slowest {slowest:.3f} s of CPU; "
        f"{megabytes():.0f} MB, grown by {grown:.0f}"
    )
    assert grown < MEGABYTES
    assert counts["malformed"] > STEPS * 0.1
    assert counts["errors"] > STEPS * 0.3
    assert counts["calls"] > counts["errors"]
    assert other.snapshot().episode.state_key == before
    assert_pristine(name)
