from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tau2_gym.code.database import Answer
from tau2_gym.code.tools import KILLED, LIMITS, NOTHING, SHOWN, CodeTools, shortened, told
from tau2_gym.code.tools import run as run_code
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.base import Limits, Result
from tests.code.helpers import Scripted, call, first, make


@pytest.fixture
def env() -> Any:
    env = make()
    env.reset(seed=0, options={"task_id": first("mathematics")})
    return env


def run(env: Any, code: Any) -> str:
    observation: str = env.step(call(code))[0]
    return observation


def test_the_tool_as_models_see_it() -> None:
    (tool,) = get_domain("code").agent_tools.values()
    assert tool.schema["function"]["name"] == "code_interpreter"
    assert list(tool.parameters["properties"]) == tool.parameters["required"] == ["code"]
    assert tool.parameters["properties"]["code"]["type"] == "string"


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("print(6 * 7)", "42"),
        ("6 * 7", "42"),
        ("print('a')\n'b'", "a\nb"),
        ("x = 1", NOTHING),
        ("```python\n6 * 7\n```", "42"),
        ("```\nprint(1)\n```", "1"),
        ("", NOTHING),
        ("import sys; sys.exit(3)", "(Exit code 3.)"),
        ("import sys; sys.exit('bye')", "bye"),
        ("import math\nmath.comb(10, 5)", "252"),
    ],
)
def test_what_code_prints_comes_back(env: Any, code: str, result: str) -> None:
    assert run(env, code) == result
    assert env.snapshot().episode.num_errors == 0


def test_a_traceback_comes_back_and_is_no_failed_call(env: Any) -> None:
    said = run(env, "print('before')\n1 / 0")
    assert said.startswith("before\nTraceback")
    assert said.endswith("ZeroDivisionError: division by zero")
    assert env.snapshot().episode.num_errors == 0


@pytest.mark.parametrize("code", [5, None, ["print(1)"], {"a": 1}, True])
def test_what_is_no_text_is_no_code(env: Any, code: Any) -> None:
    assert run(env, code).startswith("Error: code must be a string, not ")
    assert env.snapshot().episode.num_errors == 1


def test_calls_know_nothing_of_each_other(env: Any) -> None:
    run(env, "x = 1")
    assert "NameError" in run(env, "x")


def test_the_same_code_says_the_same_in_forks(env: Any) -> None:
    code = "import random\nprint(random.random(), hash('a'), {'x', 'y', 'z'})"
    one, other = env.fork(2)
    assert run(one, code) == run(other, code) == run(env, code)
    assert one.snapshot().episode.state_key == other.snapshot().episode.state_key


def test_a_call_has_limits_and_shows_the_last_value(
    env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Scripted(Result("out\n", "", 0))
    monkeypatch.setattr("tau2_gym.code.tools.sandbox", lambda: made)
    assert run(env, "x") == "out"
    assert made.asked == [{"code": "x", "stdin": "", "limits": LIMITS, "echo": True}]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (Result("a\n", "", 0), "a"),
        (Result("", "", 0), NOTHING),
        (Result("a", "b", 1), "a\nb"),
        (Result("", "", -11), "(Ended by signal 11.)"),
        (Result("a", "", None, "time"), f"a\n{KILLED['time']}"),
        (Result("", "", None, "memory"), KILLED["memory"]),
        (Result("", "", None, "output"), KILLED["output"]),
        (Result("", "", None, "patience"), "(Stopped: too much patience.)"),
        (Result("\n\na\n\n", "\n", 0), "a"),
        (Result("  a", "", 0), "  a"),
    ],
)
def test_what_a_model_is_told(result: Result, text: str) -> None:
    assert told(result) == text


def test_long_output_loses_its_middle() -> None:
    assert shortened("x" * SHOWN) == "x" * SHOWN
    said = shortened("a" * SHOWN + "b" * SHOWN)
    half = SHOWN // 2
    assert said == f"{'a' * half}\n… {SHOWN} characters left out …\n{'b' * half}"
    both = told(Result("a" * 10**6, "b" * 10**6, 1))
    assert len(both) < 2 * SHOWN + 100


def test_a_sandbox_that_fails_is_no_fault_of_the_agents(
    env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tau2_gym.code.tools.sandbox", lambda: Scripted(fails=True))
    with pytest.raises(InfrastructureError, match="full of water"):
        run(env, "1")

    def refused() -> Any:
        raise ConfigError("no jail here")

    monkeypatch.setattr("tau2_gym.code.tools.sandbox", refused)
    with pytest.raises(InfrastructureError, match="no jail here"):
        run(env, "1")


def test_a_test_is_passed_if_it_was_answered_and_is_right() -> None:
    tools: Any = CodeTools()
    tools.db = SimpleNamespace(answer=Answer())
    assert not tools.passes(0)
    tools.db.answer = Answer(given=True, passed=[True, False])
    assert [tools.passes(number) for number in range(3)] == [True, False, False]


def test_what_is_given_reaches_the_sandbox(scripted: Scripted) -> None:
    limits = Limits(seconds=3)
    assert run_code("1", limits, stdin="in", echo=True) == scripted.result
    assert scripted.asked == [{"code": "1", "stdin": "in", "limits": limits, "echo": True}]
