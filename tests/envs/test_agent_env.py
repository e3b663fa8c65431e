from __future__ import annotations

import gc
import json
import pickle
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st

from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import get_domain
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.envs.registration import IDS
from tau2_gym.episode import GREETING, Episode
from tau2_gym.errors import ConfigError, UserFault
from tau2_gym.judge import JudgeFault
from tau2_gym.types import Message
from tau2_gym.users.base import STOP, UserView
from tests.helpers import (
    CLOSING,
    Fixed,
    Leaves,
    Puppet,
    Restless,
    block,
    fingerprint,
    gold_moves,
    make,
    public,
    run,
    some,
    written,
)

KEYS = {
    "messages",
    "tools",
    "policy",
    "ticket",
    "domain",
    "task_id",
    "revision",
    "source",
    "reward_terms",
    "checks",
    "partial_score",
    "official_reward",
    "ungraded",
    "termination",
    "steps",
    "num_turns",
    "num_errors",
    "malformed",
    "ownership_violations",
    "answer",
    "attribution",
    "state_key",
    "privileged",
}
CUSTOMER = block("get_customer_by_id", customer_id="C1001")


def solve(env: Any, task_id: str, seed: int = 0) -> list[tuple[Any, ...]]:
    """Play what the task expects, to the end. Returns all outcomes, of the reset first."""
    moves = gold_moves(env.unwrapped.domain.task(task_id))
    return list(run(env, lambda i, _: moves[i], seed=seed, options={"task_id": task_id}))


# Gymnasium


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_checker_finds_nothing(env_id: str, recwarn: pytest.WarningsRecorder) -> None:
    check_env(gym.make(env_id).unwrapped)
    warned = [str(item.message) for item in recwarn if "gymnasium" in item.filename]
    assert warned == []


@pytest.mark.parametrize("name", DOMAINS)
def test_the_same_seed_gives_the_same_episode_byte_for_byte(name: str) -> None:
    first, again, other = (fingerprint(name, seed) for seed in (7, 7, 8))
    assert first == again != other


@pytest.mark.parametrize("name", DOMAINS)
def test_an_environment_used_before_plays_as_a_new_one(name: str) -> None:
    used, new = make(name, Restless()), make(name, Restless())
    for seed in (1, 2):
        for _ in run(used, lambda *_: "Hm.", 6, seed=seed):
            pass
    games = [
        [written(outcome) for outcome in run(env, lambda *_: "Hm.", 6, seed=9)]
        for env in (used, new)
    ]
    assert games[0] == games[1]


def test_the_seed_draws_the_task_and_goes_on_drawing() -> None:
    env = make("retail")
    draws = []
    for _ in range(2):
        drawn = [env.reset(seed=3)[1]["task_id"]]
        drawn += [env.reset()[1]["task_id"] for _ in range(60)]
        draws.append(drawn)
    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 30
    assert set(draws[0]) <= set(env.domain.task_ids("base"))


def test_the_user_is_called_with_a_seed_that_the_task_does_not_change() -> None:
    env = make("retail")
    observation, _ = env.reset(seed=3)
    chosen, _ = env.reset(seed=3, options={"task_id": "0"})
    assert chosen == observation
    assert env.reset(seed=4)[0] != observation


def test_statistics_of_an_episode_can_be_recorded() -> None:
    env = RecordEpisodeStatistics(gym.make("tau2/mock-v0", user=Puppet()))
    outcomes = solve(env, "update_task_1")
    statistics = outcomes[-1][4]["episode"]
    assert statistics["r"] == pytest.approx(sum(outcome[1] for outcome in outcomes)) == 1.25
    assert statistics["l"] == len(outcomes) - 1 == 2
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, Tau2Env)
    assert "episode" not in unwrapped.restore(unwrapped.snapshot())[1]


def test_the_time_of_an_episode_can_be_limited() -> None:
    for env in (
        TimeLimit(gym.make("tau2/mock-v0", user=Puppet()), 3),
        gym.make("tau2/mock-v0", user=Puppet(), max_episode_steps=3),
    ):
        outcomes = list(run(env, lambda *_: "Hm.", seed=0))
        assert [outcome[3] for outcome in outcomes] == [False, False, False, True]
        assert outcomes[-1][4]["termination"] is None


# What reset and step return


@pytest.mark.parametrize("name", DOMAINS)
def test_info_has_the_documented_keys_and_is_plain_data_but_for_the_privileged(name: str) -> None:
    env = make(name)
    task = some(name, 3)[0]
    assert Tau2Env.__doc__
    for outcome in solve(env, task.id):
        info = outcome[4]
        assert set(info) == KEYS
        assert all(f"`{key}`" in Tau2Env.__doc__ for key in KEYS)
        assert json.loads(public(info))["task_id"] == task.id
        assert (info["domain"], info["revision"]) == (name, env.domain.revision)
        assert info["source"] == env.domain.source
        assert info["policy"] == env.domain.policy
        assert info["tools"] == [tool.schema for tool in env.domain.agent_tools.values()]
        assert info["ticket"] is None
    assert info["num_turns"] == len(gold_moves(task))
    assert info["termination"] == "user_stop"


def test_the_observation_is_what_has_arrived_since_the_last_action() -> None:
    env = make("telecom")
    observation, info = env.reset(seed=1)
    assert observation.startswith("Hm. I am caller")
    assert info["messages"] == [
        {"role": "assistant", "content": GREETING},
        {"role": "user", "content": observation},
    ]
    two = f"{CUSTOMER}\n{block('fly')}"
    observation, _, _, _, info = env.step(two)
    customer, error = observation.split("\n")
    assert json.loads(customer)["customer_id"] == "C1001"
    assert error == "Error: Tool 'fly' not found."
    assert [message["role"] for message in info["messages"][2:]] == ["assistant", "tool", "tool"]
    assert info["messages"][3]["content"] == customer
    # The user's own tool results do not arrive, only what the user says after them.
    observation, *_ = env.step("Please run check_status_bar().")
    assert observation == "Done."


def test_messages_are_those_a_model_api_takes() -> None:
    env = make("telecom")
    env.reset(seed=1)
    *_, info = env.step(CUSTOMER)
    call = info["messages"][2]["tool_calls"][0]
    assert call["type"] == "function"
    assert json.loads(call["function"]["arguments"]) == {"customer_id": "C1001"}
    assert info["messages"][3]["tool_call_id"] == call["id"]
    # And the message itself is an action.
    twin = make("telecom")
    twin.reset(seed=1)
    assert twin.step(info["messages"][2])[4]["state_key"] == info["state_key"]


def test_every_form_of_an_action_has_the_same_effect() -> None:
    forms: list[Any] = [
        CUSTOMER,
        'get_customer_by_id(customer_id="C1001")',
        '{"name": "get_customer_by_id", "arguments": {"customer_id": "C1001"}}',
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "function": {
                        "name": "get_customer_by_id",
                        "arguments": '{"customer_id": "C1001"}',
                    }
                }
            ],
        },
    ]
    states = set()
    for form in forms:
        env = make("telecom")
        env.reset(seed=1)
        states.add(env.step(form)[4]["state_key"])
    assert len(states) == 1


def test_a_malformed_call_comes_back_to_the_agent_alone() -> None:
    env = make("telecom")
    env.reset(seed=1)
    observation, _, terminated, truncated, info = env.step("get_customer_by_id('C1001')")
    assert observation.startswith("Error: unreadable action")
    assert not terminated
    assert not truncated
    assert (info["malformed"], info["num_errors"]) == (1, 1)
    heard = env.snapshot().user_view().messages
    assert not any("C1001" in (message.content or "") for message in heard)


def test_a_call_of_the_users_tool_is_counted_and_answered_with_an_error() -> None:
    env = make("telecom")
    env.reset(seed=1)
    for form in ("toggle_airplane_mode()", block("toggle_airplane_mode")):
        observation, *_, info = env.step(form)
        assert observation == "Error: Tool 'toggle_airplane_mode' not found."
    assert info["ownership_violations"] == 2


def test_the_users_calls_are_attributed_to_the_turn_that_elicited_them() -> None:
    env = make("telecom")
    _, info = env.reset(seed=1)
    assert info["attribution"] == []
    asked = "Please run grant_app_permission(app_name='messaging', permission='sms')."
    *_, info = env.step(asked)
    assert info["attribution"] == [
        {
            "name": "grant_app_permission",
            "arguments": {"app_name": "messaging", "permission": "sms"},
        }
    ]
    *_, info = env.step("Thank you.")
    assert info["attribution"] == []


@pytest.mark.parametrize(
    ("rules", "actions", "end", "truncated"),
    [
        ({}, [CLOSING], "user_stop", False),
        ({"max_errors": 2}, [block("fly"), "<tool_call>"], "too_many_errors", False),
        ({"max_steps": 3}, ["Hm."], "max_steps", True),
        ({"max_steps": 1}, ["not heard"], "max_steps", True),
        ({"validate_communication": True}, [" "], "agent_error", False),
        ({"validate_communication": True}, [{"content": " "}], "agent_error", False),
        ({"validate_communication": True}, [f"Wait. {block('fly')}"], "agent_error", False),
        ({"agent_stop": True}, ["done()"], "agent_stop", False),
        ({"agent_stop": True}, [block("done")], "agent_stop", False),
        ({"agent_stop": True}, [STOP], "agent_stop", False),
    ],
)
def test_ends_by_the_rules_terminate_and_the_limit_of_steps_truncates(
    rules: dict[str, Any], actions: list[Any], end: str, truncated: bool
) -> None:
    env = make("mock", **rules)
    env.reset(seed=0)
    for action in actions:
        _, _, terminated, cut, info = env.step(action)
    assert info["termination"] == end
    assert (terminated, cut) == (not truncated, truncated)
    assert info["official_reward"] is not None
    with pytest.raises(RuntimeError, match=r"call reset\(\) first"):
        env.step("Hello?")
    env.reset()
    env.step("Hello?")


def test_an_episode_that_the_user_ends_at_once_is_told_by_the_first_step() -> None:
    @dataclass(frozen=True)
    class Gone:
        def respond(self, view: UserView, seed: int) -> Message:
            return Message("user", f"Wrong number. {STOP}")

    env = make("airline", Gone(), reward="shaped")
    observation, info = env.reset(seed=0)
    assert observation == f"Wrong number. {STOP}"
    assert info["termination"] == "user_stop"
    observation, reward, terminated, truncated, after = env.step("Hello?")
    assert (observation, terminated, truncated) == ("", True, False)
    assert after["official_reward"] == info["official_reward"]
    assert reward == sum(after["reward_terms"].values())
    assert after["messages"] == info["messages"]
    with pytest.raises(RuntimeError, match=r"call reset\(\) first"):
        env.step("Hello?")


def test_pseudo_tools_are_understood_only_where_the_agent_may_stop() -> None:
    said = block("respond", content="Good day.")
    for agent_stop, heard in ((True, "Good day."), (False, None)):
        env = make("mock", agent_stop=agent_stop)
        env.reset(options={"task_id": "create_task_1"})
        observation, *_, info = env.step(said)
        assert info["messages"][2].get("content") == heard
        assert observation.startswith("Hm." if agent_stop else "Error: Tool 'respond' not found.")


@pytest.mark.parametrize("name", ["telecom", "mock"])
def test_solo_the_agent_has_a_ticket_and_all_tools_and_nobody_answers(name: str) -> None:
    env = make(name, solo=True)
    task = next(task for task in some(name, 9) if task.ticket)
    observation, info = env.reset(options={"task_id": task.id})
    assert observation == info["ticket"] == task.ticket
    assert info["policy"] == env.domain.policy_solo != env.domain.policy
    assert info["messages"] == []
    *names, done = [tool["function"]["name"] for tool in info["tools"]]
    assert done == "done"
    assert names == [*env.domain.agent_tools, *env.domain.user_tools]
    assert set(env.action_space.tools) == set(names)
    actions = [block(call.name, **call.arguments) for call in gold_actions(task)]
    for end in (STOP, block("done"), "done()", {"tool_calls": [{"name": "done"}]}):
        env.reset(options={"task_id": task.id})
        for action in [*actions, end]:
            assert action in env.action_space
            _, _, terminated, _, info = env.step(action)
        assert terminated
        assert info["termination"] == "agent_stop"
        assert info["ownership_violations"] == 0
        assert info["num_errors"] == 0
        assert info["official_reward"] == 1.0


def gold_actions(task: Any) -> Any:
    return (task.criteria and task.criteria.actions) or ()


def test_tasks_can_be_chosen() -> None:
    env = make("airline", task_split="test")
    assert env.task_ids == env.domain.task_ids("test")
    env = make("airline", task_ids=["7", "3"])
    assert {env.reset(seed=seed)[1]["task_id"] for seed in range(20)} == {"3", "7"}
    assert env.reset(options={"task_id": "11"})[1]["task_id"] == "11"


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"users": "scripted"},
            "unknown argument 'users'; allowed: agent_stop, data_dir, judge, max_calls, max_err",
        ),
        ({"task_split": "dev"}, "unknown split of mock 'dev'; allowed: base, full"),
        ({"task_ids": ["nothing"]}, "unknown task 'nothing' of mock; it has 9 tasks"),
        ({"task_ids": []}, "task_ids must be a list with at least one id"),
        ({"task_ids": "create_task_1"}, "task_ids must be a list with at least one id"),
        ({"user": "parrot"}, "unknown user 'parrot'; allowed: "),
        ({"user": 3}, r"must be a name .* or have a method respond\(view, seed\), not int"),
        ({"user": "replay:nowhere.jsonl"}, r"no recording to replay at nowhere\.jsonl"),
        ({"reward": "dense"}, "unknown reward preset 'dense'; allowed: potential, progress, shap"),
        ({"reward": {"beta": 1}}, "unknown reward option 'beta'; allowed: alpha"),
        ({"reward": None}, "reward must be a preset's name"),
        ({"max_steps": 0}, "max_steps and max_errors must be at least 1, not 0 and 10"),
        (
            {"judge": "gpt-4.1"},
            "judge must be a tau2_gym.judge.Judge, with a method decide, not str",
        ),
        ({"max_calls": 0}, "max_calls must be at least 1, not 0"),
        ({"max_errors": -1}, "max_steps and max_errors must be at least 1, not 100 and -1"),
        ({"source": "pypi"}, "unknown source 'pypi'; allowed: inspect-evals, tau2"),
        (
            {"domain": "bank"},
            "unknown domain 'bank'; allowed: airline, code, code_session, mock, retail, telecom",
        ),
        ({"domain": "retail", "solo": True}, "retail has no solo mode; telecom and mock have one"),
    ],
)
def test_what_is_not_allowed_is_refused_naming_what_is(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        gym.make("tau2/mock-v0", **{"user": Puppet(), **arguments})


def test_an_unknown_render_mode_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown render_mode 'rgb_array'; allowed: ansi, human"):
        Tau2Env("mock", user=Puppet(), render_mode="rgb_array")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "x"}, "unknown reset option 'task'; allowed: task_id"),
        ({"task_id": "x"}, "unknown task 'x' of mock"),
    ],
)
def test_reset_refuses_unknown_options(options: dict[str, Any], message: str) -> None:
    env = make("mock")
    with pytest.raises(ConfigError, match=message):
        env.reset(options=options)


@pytest.mark.parametrize("rules", [{}, {"validate_communication": True}])
@pytest.mark.parametrize("action", [None, 3, ["Hello"], b"Hello"])
def test_what_is_no_action_is_a_type_error_that_changes_nothing(
    rules: dict[str, Any], action: Any
) -> None:
    env = make("mock", **rules)
    _, info = env.reset(seed=0)
    with pytest.raises(TypeError, match="an action is a string or an OpenAI assistant message"):
        env.step(action)
    assert env.snapshot().episode.state_key == info["state_key"]


def test_nothing_can_be_done_before_the_first_reset() -> None:
    env = make("mock", render_mode="ansi")
    for deed in (lambda: env.step("Hello"), env.snapshot, env.render):
        with pytest.raises(RuntimeError, match=r"call reset\(\) first"):
            deed()


class TestAnotherRevision:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        from inspect_evals.tau2 import utils

        shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / "mock", tmp_path / "mock")
        path = next((tmp_path / "mock").glob("tasks.*"))
        rows = json.loads(path.read_text())
        for row in rows:
            row["evaluation_criteria"]["reward_basis"] = ["DB", "NL_ASSERTION"]
        path.write_text(json.dumps(rows))
        return tmp_path

    @pytest.mark.parametrize("given", ["argument", "environment"])
    def test_its_hash_is_in_info(
        self, root: Path, given: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        packaged = make("mock").reset(seed=0)[1]["revision"]
        if given == "environment":
            monkeypatch.setenv("TAU2_DATA_DIR", str(root))
        env = make("mock", **({"data_dir": root} if given == "argument" else {}))
        revision = env.reset(seed=0)[1]["revision"]
        assert revision == env.domain.revision != packaged

    def test_what_only_a_judge_can_grade_has_no_official_reward(self, root: Path) -> None:
        env = make("mock", data_dir=root)
        *_, right = solve(env, "update_task_1")
        assert right[2]
        assert right[4]["official_reward"] is None
        assert right[4]["reward_terms"]["official"] == 0.0
        env.reset(options={"task_id": "update_task_1"})
        *_, wrong = env.step(CLOSING)
        assert wrong["official_reward"] == 0.0
        assert (right[4]["ungraded"], wrong["ungraded"]) == (["NL_ASSERTION"], [])

    @pytest.mark.parametrize("met", [True, False])
    def test_a_judge_pays_for_what_it_decides(self, root: Path, met: bool) -> None:
        env = make("mock", data_dir=root, judge=Fixed(met), reward={"tool_call": 0.1})
        *_, right = solve(env, "update_task_1")
        assert (right[4]["official_reward"], right[4]["ungraded"]) == (float(met), [])
        ledger = right[4]["reward_terms"]
        assert (ledger["official"], ledger["tool_call"]) == (float(met), 0.0 if met else 0.1)
        assert right[1] == sum(ledger.values())
        with pytest.raises(RuntimeError, match="nothing to judge"):
            env.snapshot().judged(1.0)

    def test_a_judge_that_fails_is_nobody_elses_failure(self, root: Path) -> None:
        env = make("mock", data_dir=root, judge=Fixed(None))
        with pytest.raises(JudgeFault, match="asleep"):
            solve(env, "update_task_1")

    def test_a_verdict_on_an_episode_over_at_once_is_paid_by_its_only_step(
        self, root: Path
    ) -> None:
        task_id = "create_task_1_nl_eval"
        env = make("mock", Leaves(), data_dir=root, judge=Fixed(True))
        _, info = env.reset(options={"task_id": task_id})
        assert (info["termination"], info["official_reward"]) == ("user_stop", 1.0)
        _, reward, terminated, _, info = env.step("Hello?")
        assert (reward, terminated, info["official_reward"]) == (1.0, True, 1.0)

    def test_without_assertions_no_judge_is_needed(self, root: Path) -> None:
        path = next((root / "mock").glob("tasks.*"))
        rows = json.loads(path.read_text())
        for row in rows:
            row["evaluation_criteria"]["nl_assertions"] = None
        path.write_text(json.dumps(rows))
        *_, right = solve(make("mock", data_dir=root), "update_task_1")
        assert (right[4]["official_reward"], right[4]["ungraded"]) == (1.0, [])
        assert right[4]["reward_terms"]["official"] == 1.0

    def test_a_snapshot_of_one_is_none_of_the_other(self, root: Path) -> None:
        env, other = make("mock"), make("mock", data_dir=root)
        env.reset(seed=0)
        with pytest.raises(ConfigError, match="the snapshot is of mock"):
            other.restore(env.snapshot())


# What the agent may not see


def secrets(task: Any) -> set[str]:
    """Texts of a task that the agent must not be given."""
    found: set[str] = set()

    def collect(value: Any) -> None:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict):
            for item in value.values():
                collect(item)
        elif isinstance(value, list | tuple):
            for item in value:
                collect(item)

    for action in gold_actions(task):
        collect(action.arguments)
    if task.criteria is not None:
        collect(task.criteria.communicate)
        collect(task.criteria.nl_assertions)
    scenario = task.scenario
    for part in (scenario.reason, scenario.known, scenario.unknown, scenario.instructions):
        collect(part.splitlines())
    return {text for text in found if len(text.strip()) > 4}


def escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


@pytest.mark.parametrize("name", DOMAINS)
def test_nothing_of_the_task_is_shown_that_nobody_has_said(name: str) -> None:
    env = make(name)
    tasks = [task for task in some(name, 25) if not task.start.messages]
    checked = 0
    for task in tasks:
        for _, _, _, _, info in run(env, lambda *_: "Hm.", 2, seed=0, options={"task_id": task.id}):
            # The policy and the tools are the same for all tasks, and ids are opaque.
            assert info["policy"] == env.domain.policy
            shown = public({**info, "policy": "", "tools": [], "task_id": ""})
            for secret in secrets(task):
                assert escaped(secret) not in shown
                checked += 1
            assert info["privileged"]["task"] is task
    assert checked > 20


def test_results_of_the_users_tools_are_privileged() -> None:
    env = make("telecom")
    hidden = 0
    for task in some("telecom", 10):
        for outcome in solve(env, task.id):
            info = outcome[4]
            shown = public({**info, "policy": "", "tools": []})
            for message in info["privileged"]["trajectory"]:
                if message.role == "tool" and message.requestor == "user":
                    assert escaped(message.content) not in shown
                    assert message.content not in outcome[0]
                    hidden += 1
    assert hidden > 20


# Branches


@pytest.mark.parametrize("name", DOMAINS)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), before=st.integers(0, 6), number=st.integers(0, 8))
def test_a_forks_future_is_the_originals_under_the_same_actions(
    name: str, seed: int, before: int, number: int
) -> None:
    user = Restless(stops=0.03)
    reward = {"repetition": 0.1, "tool_call": 0.1, "overlong": {"limit": 50, "buffer": 20}}
    rules: dict[str, Any] = {"max_steps": 30, "reward": reward}
    env = make(name, user, **rules)
    task = some(name, 9)[number]
    env.action_space.seed(seed)
    expected = gold_moves(task)[:-1]
    _, info = env.reset(seed=seed, options={"task_id": task.id})
    for i in range(before):
        if info["termination"] is None:
            *_, info = env.step(expected[i] if i % 2 and i < len(expected) else sample(env))
    state = env.snapshot().episode.state_key

    def future(branch: Any) -> list[str]:
        found, ended = [], info["termination"] is not None
        for move in (*expected[:4], "Hm.", None, "Hm.", None, None):
            if ended:
                found.append(written(branch.reset()))
            outcome = branch.step(move or sample(branch))
            found.append(written(outcome))
            ended = outcome[2] or outcome[3]
        return found

    first, second = env.fork(2)
    snapshot = env.snapshot()
    elsewhere = make(name, user, **rules)
    elsewhere.restore(snapshot)
    futures = [future(first)]
    assert env.snapshot().episode.state_key == state
    assert second.snapshot().episode.state_key == state
    futures += [future(second), future(env)]
    assert futures[0] == futures[1] == futures[2]
    assert elsewhere.snapshot().episode.state_key == state


def sample(env: Any) -> Any:
    return env.action_space.sample()


@pytest.mark.parametrize("name", DOMAINS)
def test_a_snapshot_can_be_restored_any_number_of_times_anywhere(name: str) -> None:
    env, other = make(name, Restless(stops=0.0)), make(name, Restless(stops=0.0))
    env.reset(seed=5)
    observation, *_, info = env.step("Hm.")
    snapshot = env.snapshot()
    futures = []
    for each in (env, other, env):
        restored, told = each.restore(snapshot)
        assert restored == observation
        assert public(told) == public(info)
        actions = ["Hm.", block("fly"), "So."]
        futures.append([written(each.step(action)) for action in actions])
    assert futures[0] == futures[1] == futures[2]


def test_a_snapshot_of_another_domain_is_refused() -> None:
    env, other = make("mock"), make("airline")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"the snapshot is of mock .* not of airline"):
        other.restore(env.snapshot())


def test_fork_needs_a_branch() -> None:
    env = make("mock")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="at least one branch, not 0"):
        env.fork(0)
    assert len(env.fork()) == 1
    assert len(env.fork(5)) == 5


def test_a_fork_before_the_first_reset_can_be_reset() -> None:
    twin = make("mock").fork()[0]
    with pytest.raises(RuntimeError, match="reset"):
        twin.step("Hello")
    assert twin.reset(seed=0)


def test_forks_share_the_database_and_draw_their_own_samples() -> None:
    env = make("telecom")
    env.reset(seed=0)
    env.action_space.seed(0)
    twin = env.fork()[0]
    assert twin.domain is env.domain
    drawn = [twin.action_space.sample() for _ in range(10)]
    assert [env.action_space.sample() for _ in range(10)] == drawn
    assert twin.reset()[1]["task_id"] == env.reset()[1]["task_id"]


def test_what_a_caller_adds_to_info_stays_with_the_caller() -> None:
    env = make("airline")
    _, info = env.reset(seed=0)
    snapshot = env.snapshot()
    info["mine"] = 1
    info["messages"].append({"role": "system", "content": "mine"})
    *_, after = env.step("Hm.")
    assert len(after["messages"]) == 4
    assert "mine" not in env.restore(snapshot)[1]


def test_a_users_fault_is_raised_and_a_snapshot_is_the_way_back() -> None:
    @dataclass
    class Moody:
        fails: bool = False

        def respond(self, view: UserView, seed: int) -> Message:
            if self.fails:
                raise UserFault("no answer")
            return Message("user", "Yes.")

    user = Moody()
    env = make("mock", user)
    env.reset(seed=0)
    snapshot = env.snapshot()
    user.fails = True
    with pytest.raises(UserFault, match="no answer"):
        env.step("Hello?")
    user.fails = False
    env.restore(snapshot)
    assert env.step("Hello?")[0] == "Yes."


# Rendering


def test_ansi_renders_the_whole_conversation() -> None:
    env = make("telecom", render_mode="ansi")
    env.reset(seed=1)
    env.step("Please run check_status_bar().")
    text = env.render()
    assert text is not None
    for said in (GREETING, "Hm. I am caller", "check_status_bar()", "Status Bar", "Done."):
        assert said in text


def test_human_prints_every_message_once(capsys: pytest.CaptureFixture[str]) -> None:
    env = make("airline", render_mode="human")
    env.reset(seed=1)
    env.step("First words.")
    env.step("Second words.")
    assert env.render() is None
    printed = capsys.readouterr().out
    for said in (GREETING, "First words.", "Second words."):
        assert printed.count(said) == 1


def test_rendering_without_a_mode_warns() -> None:
    env = make("mock")
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="no render_mode was given"):
        assert env.render() is None


# Footprint


def test_no_thread_is_ever_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise AssertionError(f"{thread} was started")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    before = threading.active_count()
    for name in DOMAINS:
        env = gym.make(f"tau2/{name}-v0").unwrapped
        assert isinstance(env, Tau2Env)
        env.action_space.seed(0)
        for _ in run(env, lambda *_: sample(env), 10, seed=0):  # noqa: B023
            env.fork()
        vector = gym.make_vec(f"tau2/{name}-v0", num_envs=3)
        vector.reset(seed=0)
        vector.step(vector.action_space.sample())
        vector.close()
        env.close()
    assert threading.active_count() == before


def alive(kind: type) -> int:
    gc.collect()
    return sum(type(item) is kind for item in gc.get_objects())


@pytest.mark.parametrize(
    "abandon",
    [
        lambda env: env.reset(),
        lambda env: (env.reset(), env.step("Hm."), env.fork(2)),
        lambda env: make("telecom", task_ids=env.task_ids).reset(),
    ],
    ids=["reset", "step and fork", "new environment"],
)
def test_a_thousand_abandoned_episodes_leave_nothing(abandon: Callable[[Any], Any]) -> None:
    # Of a few tasks, since the start of every task played is kept for the next time.
    env = make("telecom", task_ids=[task.id for task in some("telecom", 3)])
    env.reset(seed=0)
    for _ in range(100):
        abandon(env)
    episodes = alive(Episode)
    objects = len(gc.get_objects())
    for _ in range(1000):
        abandon(env)
    assert alive(Episode) == episodes
    assert len(gc.get_objects()) < objects + 2000


def test_an_environment_that_is_dropped_is_freed_at_once() -> None:
    gc.collect()
    gc.disable()
    try:
        before = sum(type(item) is Tau2Env for item in gc.get_objects())
        for _ in range(50):
            env = make("mock")
            env.reset(seed=0)
            env.step("Hm.")
        del env
        assert sum(type(item) is Tau2Env for item in gc.get_objects()) == before
    finally:
        gc.enable()


def test_rewards_are_numbers_and_flags_booleans() -> None:
    env = make("mock")
    for _, reward, terminated, truncated, _ in solve(env, "create_task_1"):
        assert type(reward) in (float, int)
        assert type(terminated) is bool
        assert type(truncated) is bool
        assert np.isfinite(reward)


def test_the_domains_are_found_again_by_a_pickled_environments_parts() -> None:
    env = make("mock", reward="shaped")
    for part in (env.domain, env.action_space, env.reward_config, env.rules, env.user):
        assert pickle.loads(pickle.dumps(part)) == part
    assert get_domain("mock") is env.domain
