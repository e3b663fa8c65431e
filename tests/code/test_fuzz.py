"""Steps of random, malformed, hostile and sensible actions in the domain `code`: nothing escapes, nothing is
shared, nothing is paid for that was not earned, nothing makes this process work for long, and its memory does
not grow.

CONTRIBUTING tells how to take more of them.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from typing import Any

import pytest

from tau2_gym.code.tasks import load_tasks
from tau2_gym.domains.base import get_domain
from tests.code.helpers import TASKS, block, call, make
from tests.envs.test_fuzz import MEGABYTES, SECONDS, garbage, megabytes, spoiled

pytestmark = pytest.mark.usefixtures("clean_heap")

STEPS = int(os.environ.get("FUZZ_STEPS", "1000"))

CODES = (
    "print(6 * 7)",
    "1 / 0",
    "x = (",
    "import sys; sys.exit(7)",
    "import os; os._exit(0)",
    "raise SystemExit('bye')",
    "print('x' * 10 ** 6)",
    "import sys; sys.stderr.write('e' * 5000)",
    "[0] * 10 ** 12",
    "def f(): return f()\nf()",
    "import os; os.kill(os.getppid(), 9)",
    "import os\nfor _ in range(40): os.fork()",
    "open('/etc/passwd').read()",
    "print('\\ud83d')",
    "\x00",
    "🙂",
    "print(chr(0) * 3)",
    "eval('(' * 2000)",
    "import threading\nthreading.Thread(target=print, args=('late',)).start()",
    "input()",
    "__builtins__.__dict__.clear()",
    "",
)
ANSWERS = (
    "\\boxed{}",
    "\\boxed{42}",
    "\\boxed{-1/2}",
    "\\boxed{" + "9" * 3000 + "}",
    "\\boxed{\\frac{1}{2}}",
    "\\boxed{\ud83d}",
    "Answer: 12",
    "\\boxed{" * 50,
    block("print(input())"),
    block("def solve(*arguments):\n    return arguments[0] if arguments else None"),
    block("import sys; sys.exit(0)"),
    block("\x00"),
    block("def solve(*arguments):\n    return object()"),
    "```python\n",
)
"""Wrong, with hardly an exception."""


def action(env: Any, chance: random.Random) -> Any:
    kind = chance.random()
    if kind < 0.25:
        return garbage(chance)
    if kind < 0.4:
        return spoiled(call(chance.choice(CODES)), chance)
    if kind < 0.7:
        return call(chance.choice(CODES))
    if kind < 0.8:
        return env.action_space.sample()
    if kind < 0.9:
        return "Let me think about that."
    return chance.choice(ANSWERS)


@pytest.mark.timeout(0 if STEPS > 1000 else 600)
def test_no_action_makes_step_raise() -> None:
    chance = random.Random("fuzz code")
    env, other = make(max_errors=60), make()
    env.action_space.seed(1)
    rows = load_tasks(TASKS).rows
    tasks = list(rows)
    _, info = other.reset(seed=0)
    untouched = info["state_key"]
    digest = get_domain(env.domain.name).sides.agent.database.row(("answer", None)).json
    ended, counts = True, {"episodes": 0, "malformed": 0, "errors": 0, "solved": 0, "answered": 0}
    worked = slowest = warm = 0.0
    begun = time.monotonic()
    for step in range(STEPS):
        if step == STEPS // 10:
            warm = megabytes()
        if ended:
            task = chance.choice(tasks)
            env.reset(seed=step, options={"task_id": task})
            counts["episodes"] += 1
        right = chance.random() < 0.02
        said = rows[task]["evaluation_criteria"]["answer"] if right else action(env, chance)
        started, used = time.monotonic(), time.process_time()
        observation, reward, terminated, truncated, info = env.step(said)
        slowest = max(slowest, time.monotonic() - started)
        worked = max(worked, time.process_time() - used)
        assert worked < SECONDS, said
        assert isinstance(observation, str)
        assert len(observation) < 150_000
        assert math.isfinite(reward)
        assert math.isclose(sum(info["reward_terms"].values()), reward, abs_tol=1e-12)
        ended = terminated or truncated
        assert ended is (info["termination"] is not None)
        assert ended or info["num_turns"] < 16
        assert not right or info["official_reward"] == 1.0
        assert right or (info["official_reward"] or 0.0) == 0.0 or said in ANSWERS
        if ended:
            counts["malformed"] += info["malformed"]
            counts["errors"] += info["num_errors"]
            counts["solved"] += info["official_reward"] == 1.0
            counts["answered"] += info["termination"] == "agent_stop"
            assert json.dumps([message.to_dict() for message in info["privileged"]["trajectory"]])
            assert env.snapshot().fork().episode.state_key == info["state_key"]
    grown = megabytes() - warm
    print(
        f"\ncode: {STEPS} steps in {time.monotonic() - begun:.0f} s, {counts}; slowest {slowest:.1f} s; "
        f"this process worked {worked:.3f} s in a step at most; {megabytes():.0f} MB, grown by {grown:.0f}"
    )
    assert grown < MEGABYTES
    assert counts["malformed"] > STEPS * 0.02
    assert counts["answered"] > counts["solved"] > 0
    assert other.snapshot().episode.state_key == untouched
    assert get_domain(env.domain.name).sides.agent.database.row(("answer", None)).json == digest
