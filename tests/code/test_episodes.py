"""Whole episodes of the domain `code`, alone and many at a time, and through the command lines."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from typer.testing import CliRunner

import tau2_gym
from agents import make_agent
from agents.attempts import Attempt
from agents.base import AgentView, Reply
from agents.oracle import plan
from agents.prompts import make_prompt
from agents.rollout import Player, rollout
from benchmarks import passk
from tau2_gym.code import CODE, tasks
from tau2_gym.code.answers import NO_PROGRAM, NO_VALUE
from tau2_gym.domains import SHIPPED
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.results.record import Record
from tau2_gym.rewards import default_alpha, default_weights
from tau2_gym.sandbox import choice
from tau2_gym.sandbox.base import Limits, Result
from tau2_gym.sandbox.local import LocalSandbox
from tau2_gym.users import make_user
from tau2_gym.values import listed_domains
from tests.code.helpers import TASKS, Scripted, block, call, first, make, oracle_program, two_tasks
from tests.sandbox.helpers import serving

NAME = f"code:{TASKS}"


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two tasks, `six` and `double`."""
    monkeypatch.setitem(tasks.LOADERS, "hand", "tests.code.helpers:two_tasks")
    assert two_tasks("").source == "by hand"
    yield "hand"
    domain = get_domain("code:hand")
    domain.forget()


def begin(env: Any, task: str) -> tuple[str, dict[str, Any]]:
    observation, info = env.reset(seed=0, options={"task_id": task})
    return observation, info


def test_it_is_a_domain_of_the_package_and_none_of_tau2_benchs() -> None:
    assert SHIPPED["code"] == "tau2_gym.code:CODE"
    env = gym.make("tau2/code-v0")
    assert env.unwrapped.domain is get_domain("code")  # type: ignore[attr-defined]
    assert "tau2/code-v0" not in tau2_gym.IDS
    check_env(gym.make("tau2/code-v0", tasks=TASKS).unwrapped, skip_render_check=True)
    assert default_alpha(NAME) == CODE.alpha == 0.25
    assert default_weights(NAME) == CODE.weights


def test_a_value_is_found_with_the_tool_and_answered(by_hand: str) -> None:
    env = make(by_hand)
    observation, info = begin(env, "six")
    assert observation == "What is 2 * 3?"
    assert [message["role"] for message in info["messages"]] == ["user"]
    assert env.step(call("2 * 3"))[0] == "6"
    observation, reward, *_ = env.step("It is six.")
    assert (observation, reward) == (NO_VALUE, 0.0)
    _, reward, terminated, truncated, info = env.step(r"So \boxed{6}.")
    assert (reward, terminated, truncated) == (1.25, True, False)
    assert info["checks"]["env_assertions"] == [True]
    begin(env, "six")
    _, reward, terminated, _, info = env.step(r"\boxed{7}")
    assert (reward, terminated, info["official_reward"]) == (0.0, True, 0.0)


def test_what_was_answered_is_told_in_one_form(by_hand: str) -> None:
    env = make(by_hand)
    _, info = begin(env, "six")
    assert info["answer"] == ""
    for text, answer in {
        "+6": "6",
        "12/2": "6",
        "6.0": "6",
        r"\frac{1}{-2}": r"\frac{1}{-2}",
        " x \n y": "xy",
    }.items():
        begin(env, "six")
        assert env.step(rf"\boxed{{{text}}}")[4]["answer"] == answer
    _, info = begin(env, "double")
    assert info["answer"] is None
    assert env.step(block("solve = lambda n: 2 * n"))[4]["answer"] is None


def test_of_a_program_each_test_is_paid_for(by_hand: str) -> None:
    env = make(by_hand)
    begin(env, "double")
    observation, *_ = env.step(r"\boxed{6}")
    assert observation == NO_PROGRAM
    _, reward, terminated, _, info = env.step(block("def solve(n):\n    return 2 * n * (n < 5)"))
    assert info["checks"]["env_assertions"] == [True, True, False, False]
    assert (info["partial_score"], info["official_reward"], terminated) == (0.5, 0.0, True)
    assert reward == 0.125
    begin(env, "double")
    _, reward, *_, info = env.step(block("solve = lambda n: n + n"))
    assert (reward, info["official_reward"], info["partial_score"]) == (1.25, 1.0, 1.0)


def test_hidden_tests_are_hidden(by_hand: str) -> None:
    env = make(by_hand)
    _, info = begin(env, "double")
    shown = json.dumps({key: value for key, value in info.items() if key != "privileged"})
    assert "[3]" not in shown
    assert '"6"' not in shown


def test_sixteen_turns_are_the_end(by_hand: str) -> None:
    env = make(by_hand)
    begin(env, "six")
    for _ in range(15):
        assert not any(env.step("Hm.")[2:4])
    *_, truncated, info = env.step("Hm.")
    assert (truncated, info["termination"]) == (True, "max_turns")


def test_what_the_model_is_told(by_hand: str) -> None:
    env = make(by_hand)
    _, info = begin(env, "six")
    view = AgentView.from_info(info)
    for name in ("official", "compact"):
        prompt = make_prompt(name)(view)
        assert "customer service" not in prompt
        assert "\\boxed{42}" in prompt
    assert "clerk" not in env.domain.policy


def test_the_tool_call_reward_is_paid_to_those_who_fail(by_hand: str) -> None:
    reward = {"preset": "sparse", "tool_call": 0.05, "tool_call_cap": 0.2}
    paid = {}
    for answer in ("6", "7"):
        env = make(by_hand, reward=reward)
        begin(env, "six")
        for code in ("1", "2", "2", "1 / 0", "5", "6", "7"):
            env.step(call(code))
        paid[answer] = env.step(rf"\boxed{{{answer}}}")[4]["reward_terms"]
    assert paid["6"] == {"official": 1.0, "tool_call": 0.0}
    assert paid["7"] == {"official": 0.0, "tool_call": 0.2}


def test_an_answer_with_half_an_emoji_is_an_answer(by_hand: str) -> None:
    env = make(by_hand)
    begin(env, "six")
    assert env.step("\\boxed{\ud83d}")[4]["official_reward"] == 0.0
    begin(env, "double")
    _, _, terminated, *_ = env.step(block("solve = lambda n: 2 * n  # \ud83d"))
    assert terminated


def test_forks_and_snapshots(by_hand: str) -> None:
    env = make(by_hand)
    begin(env, "double")
    env.step(call("1"))
    right, wrong, late = env.fork(3)
    snapshot = pickle.loads(pickle.dumps(env.snapshot()))
    assert right.step(block("solve = lambda n: 2 * n"))[4]["official_reward"] == 1.0
    assert wrong.step(block("solve = lambda n: n"))[4]["official_reward"] == 0.0
    late.restore(snapshot)
    assert late.step(block("solve = lambda n: 2 * n"))[4]["official_reward"] == 1.0


def play(
    agent: Any, todo: list[Attempt], episodes: int = 64, user: Any = "scripted"
) -> dict[tuple[str, int], Record]:
    player = Player(agent, make_user(user))

    async def run() -> dict[tuple[str, int], Record]:
        played = rollout(player.play, todo, episodes)
        return {(record.task_id, record.trial): record async for record in played}

    return asyncio.run(run())


def test_the_oracle_solves_all_and_the_others_none() -> None:
    domain = get_domain(NAME)
    todo = [Attempt(NAME, task, 0, 1) for task in domain.task_ids("full")]
    for name, earned in {"oracle": 1.0, "noop": 0.0, "random": 0.0}.items():
        records = play(make_agent(name), todo if name == "oracle" else todo[:6]).values()
        assert {(record.official_reward, record.fault) for record in records} == {(earned, None)}
        assert {record.partial_score for record in records} == {earned}


class Meeting(Scripted):
    """A sandbox in which as many calls as there are episodes must meet before any returns."""

    def __init__(self, count: int) -> None:
        super().__init__(Result("met\n", "", 0))
        self.barrier = threading.Barrier(count)

    def run(
        self, code: str, *, stdin: str = "", limits: Limits | None = None, echo: bool = False
    ) -> Result:
        self.barrier.wait(timeout=120)
        return super().run(code, stdin=stdin, limits=limits, echo=echo)


class Waits:
    """A model that calls the tool once, and answers."""

    async def aact(self, view: AgentView, memory: Any, seed: int) -> Reply:
        await asyncio.sleep(0)
        return Reply(r"\boxed{6}" if view.turn else call("1"))


def test_64_episodes_call_the_tool_at_the_same_time(
    by_hand: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Meeting(64)
    monkeypatch.setattr("tau2_gym.code.tools.sandbox", lambda: made)
    records = play(Waits(), [Attempt("code:hand", "six", trial, trial) for trial in range(64)])
    assert [record.official_reward for record in records.values()] == [1.0] * 64
    assert len(made.asked) == 64


def test_a_broken_sandbox_breaks_the_attempt_and_not_the_score(
    by_hand: str, scripted: Scripted
) -> None:
    scripted.fails = True
    records = play(make_agent("oracle"), [Attempt("code:hand", "double", 0, 0)])
    (record,) = records.values()
    assert (record.fault, record.official_reward) == ("infrastructure", None)
    assert record.error == "InfrastructureError: the sandbox is full of water"
    assert record.messages[-1]["role"] == "assistant"


def test_a_sandbox_that_may_not_isolate_is_one_sentence_before_anything_is_played(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused() -> None:
        raise ConfigError("code of a model needs a jail, and this machine allows none")

    monkeypatch.setattr("tau2_gym.code.answers.check_sandbox", refused)
    with pytest.raises(ConfigError, match="needs a jail"):
        gym.make("tau2/code-v0")
    path = tmp_path / "runs.jsonl"
    options = ["--domains", NAME, "--agent", "oracle", "--output", str(path)]
    result = CliRunner().invoke(passk.app, options)
    assert result.exit_code == 2
    assert "needs a jail" in result.output
    assert "Traceback" not in result.output
    assert not path.exists()


def test_passk_plays_it_by_name(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    name = "code:generated:seed=2,count=4,test=3,difficulty=1"
    options = ["--domains", name, "--agent", "oracle", "--num-samples", "1"]
    options += ["--output", str(path), "--workers", "1"]
    result = CliRunner().invoke(passk.app, options)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["domain"] for row in rows} == {name}
    assert {row["revision"] for row in rows} == {get_domain(name).revision}
    assert [row["official_reward"] for row in rows] == [1.0] * 3
    summary = json.loads(path.with_suffix(".summary.json").read_text())
    assert {row["answer"] for row in rows if "boxed" in row["messages"][-1]["content"]} != {""}
    assert summary["config"]["sources"][name].startswith("generated:seed=2,count=4,test=3")
    # Other tasks are other results.
    options[1] = "code:generated:seed=3,count=4,test=3,difficulty=1"
    again = CliRunner().invoke(passk.app, [*options, "--fresh"])
    assert again.exit_code == 0
    played = {json.loads(line)["task_id"] for line in path.read_text().splitlines()}
    assert played != {row["task_id"] for row in rows}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("code", ("code",)),
        ("airline,code", ("airline", "code")),
        (
            "airline,code:generated:seed=3,count=5,retail",
            ("airline", "code:generated:seed=3,count=5", "retail"),
        ),
        ("code:generated,airline", ("code:generated", "airline")),
        ("airline,seed=3", ("airline", "seed=3")),
    ],
)
def test_domains_are_listed_with_their_tasks(text: str, names: tuple[str, ...]) -> None:
    assert listed_domains(text, "--domains") == names


def test_the_plan_of_the_oracle() -> None:
    task = get_domain(NAME).task(first("program"))
    *calls, answer = plan(task)
    assert len(calls) == 1
    assert answer.startswith("```python\n")
    row = tasks.load_tasks(TASKS).rows[task.id]
    assert oracle_program(row) in answer


def test_the_sandbox_is_that_of_the_process() -> None:
    assert choice.sandbox() is choice.sandbox()


def test_problems_are_solved_behind_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("httpx", reason="httpx is not installed")
    local = choice.sandbox()
    assert isinstance(local, LocalSandbox)
    with serving(local) as server:
        monkeypatch.setenv(choice.VARIABLE, f"fusion:{server.url}")
        todo = [Attempt(NAME, first(kind), 0, 1) for kind in ("mathematics", "program")]
        records = play(make_agent("oracle"), todo).values()
    assert [(record.official_reward, record.fault) for record in records] == [(1.0, None)] * 2
