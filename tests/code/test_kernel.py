"""An interpreter that keeps its state, in episodes that fork."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest

from tau2_gym.code import kernel, tools
from tau2_gym.code.kernel import EARLIER_SECONDS, STARTED_AGAIN, TOO_SLOW
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox import FusionSandbox, Limits, Result, choice
from tests.code.helpers import TASKS, call


@pytest.fixture
def env() -> Any:
    made = gym.make("tau2/code_session-v0", tasks=TASKS, disable_env_checker=True).unwrapped
    made.reset(seed=0)
    return made


def says(env: Any, code: str) -> str:
    observation, *_ = env.step(call(code))
    return str(observation)


def test_state_is_kept_from_call_to_call(env: Any) -> None:
    says(env, "import math\ndef double(n):\n    return 2 * n\nkept = [1]")
    assert "ZeroDivisionError" in says(env, "kept.append(2)\n1 / 0")
    assert says(env, "double(kept[-1]) + math.comb(4, 2)") == "10"
    assert says(env, "```python\nkept\n```") == "[1, 2]"


def test_nothing_is_run_twice_that_can_be_seen(env: Any) -> None:
    assert says(env, "n = 0\nprint('once')") == "once"
    assert says(env, "n += 1\nn") == "1"
    assert says(env, "n += 1\nn") == "2"


def test_episodes_know_nothing_of_each_other(env: Any) -> None:
    says(env, "kept = 1")
    env.reset(seed=0)
    assert "NameError" in says(env, "kept")


def test_a_fork_goes_on_from_the_state_at_which_it_was_made(env: Any) -> None:
    says(env, "import random\nkept = [random.random()]")
    start = env.snapshot()
    (twin,) = env.fork(1)
    assert says(env, "kept.append(1)\nlen(kept)") == "2"
    assert says(twin, "kept.append(1)\nlen(kept)") == "2"
    drawn = says(env, "kept[0], random.random()")
    assert says(twin, "kept[0], random.random()") == drawn
    env.restore(start)
    assert says(env, "len(kept)") == "1"


@pytest.mark.parametrize("end", ["import os; os._exit(0)", "while True: pass"])
def test_after_code_that_ends_it_the_interpreter_is_a_new_one(
    env: Any, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "LIMITS", Limits(seconds=1.0, memory_mb=256))
    says(env, "kept = 1")
    assert says(env, end).endswith(STARTED_AGAIN)
    assert "NameError" in says(env, "kept")
    assert says(env, "kept = 2\nkept") == "2"
    assert says(env, "kept") == "2"


def test_an_interpreter_that_had_nothing_to_lose_says_nothing_of_it(env: Any) -> None:
    assert says(env, "import os; os._exit(3)") == "(Exit code 3.)"


def test_code_that_ends_the_interpreter_only_when_it_is_run_again_is_no_fault(
    env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(env, "import time; time.sleep(1.2); kept = 1")
    monkeypatch.setattr(kernel, "LIMITS", Limits(seconds=0.5, memory_mb=256))
    assert says(env, "kept = 2\nkept") == f"2\n{STARTED_AGAIN}"
    assert says(env, "kept") == "2"


class Clock:
    """A local sandbox whose pieces of code take as many seconds as they say, for which nobody waits."""

    def __init__(self) -> None:
        self.over, self.ran, self.slower = False, list[str](), 0.0

    @contextlib.contextmanager
    def session(self, **_: Any) -> Iterator[Clock]:
        yield self

    def run(self, code: str, *, echo: bool) -> Result:
        self.ran.append(code)
        return Result(f"ran {len(self.ran)}", "", 0, seconds=float(code) + self.slower)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(kernel, "_local", lambda: made)
    return made


def test_earlier_code_is_not_run_again_for_longer_than_a_while(env: Any, clock: Clock) -> None:
    told = [says(env, "9") for _ in range(6)]
    slow = [text.endswith(TOO_SLOW) for text in told]
    assert slow == [False, False, True, False, False, True]
    assert len(clock.ran) == 2 * (1 + 2 + 3)
    assert not any(STARTED_AGAIN in text for text in told)


def test_state_is_dropped_only_beyond_the_bound(env: Any, clock: Clock) -> None:
    assert says(env, str(EARLIER_SECONDS)) == "ran 1"
    assert says(env, "0") == "ran 3"
    assert says(env, "0.5") == f"ran 6\n{TOO_SLOW}"
    assert says(env, "1") == "ran 7"


def test_earlier_code_that_is_slower_this_time_is_given_up(env: Any, clock: Clock) -> None:
    for _ in range(4):
        says(env, "5")
    clock.ran.clear()
    clock.slower = 3.0
    assert says(env, "1") == f"ran 4\n{TOO_SLOW}"
    assert clock.ran == ["5", "5", "5", "1"]
    assert says(env, "2") == "ran 6"  # after the one piece that was kept


def test_a_lone_call_that_takes_too_long_leaves_nothing_behind(env: Any, clock: Clock) -> None:
    assert says(env, "21") == f"ran 1\n{TOO_SLOW}"
    assert says(env, "1") == "ran 2"


def test_an_agent_cannot_make_its_attempt_one_that_is_not_scored(env: Any) -> None:
    says(env, "import os; os.closerange(3, 100)")
    for _ in range(2):
        assert says(env, "1").startswith("1")
    *_, terminated, _, info = env.step("\\boxed{nothing}")
    assert terminated
    assert info["official_reward"] == 0.0


def test_the_agent_is_told_that_state_is_kept(env: Any) -> None:
    (schema,) = env.domain.agent_tools.values()
    assert "are kept" in str(schema.schema)
    assert "are still there" in env.domain.policy
    stateless = gym.make("tau2/code-v0", tasks=TASKS, disable_env_checker=True).unwrapped.domain
    assert stateless.agent_tools.keys() == env.domain.agent_tools.keys()
    assert "knows nothing of earlier calls" in stateless.policy
    assert "knows nothing of earlier calls" not in env.domain.policy


def test_the_answer_is_graded_as_in_the_other_domain(env: Any) -> None:
    _, info = env.reset(seed=0)
    says(env, "kept = 1")
    *_, info = env.step(info["privileged"]["task"].criteria.answer)
    assert info["official_reward"] == 1.0


def test_servers_have_no_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "fusion:http://127.0.0.1:9")
    choice._made.cache_clear()
    assert isinstance(tools.sandbox(), FusionSandbox)
    with pytest.raises(ConfigError, match="set TAU2_GYM_SANDBOX to local"):
        kernel.ready()
    with pytest.raises(InfrastructureError, match="set TAU2_GYM_SANDBOX to local"):
        kernel.continued([], "1")
    monkeypatch.undo()
    choice._made.cache_clear()
    kernel.ready()
