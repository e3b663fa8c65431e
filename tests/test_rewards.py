from __future__ import annotations

import math
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError
from tau2_gym.rewards import (
    ALPHA,
    PRESETS,
    TELECOM_WEIGHTS,
    TERMS,
    Accountant,
    Overlong,
    RewardConfig,
    Weights,
    default_weights,
    partial_score,
)
from tau2_gym.turns import Turn
from tau2_gym.types import Checks, Message
from tau2_gym.users.replay import ReplayUser, user_turns
from tests.helpers import (
    CLOSING,
    Puppet,
    Restless,
    block,
    gold_moves,
    make,
    needs_recordings,
    recorded,
    some,
)

EVERYTHING: dict[str, Any] = {
    "tool_call": 0.1,
    "malformed": 0.2,
    "ownership": 0.3,
    "tool_error": 0.05,
    "repetition": 0.07,
    "overlong": {"limit": 400, "buffer": 100, "factor": 0.5},
}


class TestPartialScore:
    CHECKS = Checks(
        False,
        0.3,
        actions=(True, True),
        performed=(True, False),
        communicate=(True,),
        env_assertions=(True, True, False),
    )

    def test_it_is_the_weighted_mean_of_the_fractions(self) -> None:
        weights = Weights(action=1, communicate=2, env_assertion=3, db=4)
        expected = (1 * 0.5 + 2 * 1 + 3 * 2 / 3 + 4 * 0.3) / 10
        assert partial_score(self.CHECKS, weights) == pytest.approx(expected)

    def test_only_the_ratio_of_the_weights_matters(self) -> None:
        once, twice = Weights(1, 2, 3, 4), Weights(2, 4, 6, 8)
        assert partial_score(self.CHECKS, once) == pytest.approx(partial_score(self.CHECKS, twice))

    def test_components_the_task_does_not_have_do_not_count(self) -> None:
        checks = replace(self.CHECKS, communicate=(), env_assertions=())
        assert partial_score(checks, Weights()) == 0.5

    def test_a_component_without_weight_does_not_count(self) -> None:
        assert partial_score(self.CHECKS, Weights(0, 0, 1, 0)) == pytest.approx(2 / 3)

    def test_actions_count_once_performed_or_leniently_once_matched(self) -> None:
        weights = Weights(1, 0, 0, 0)
        assert partial_score(self.CHECKS, weights) == 0.5
        assert partial_score(self.CHECKS, weights, lenient=True) == 1.0

    def test_what_nobody_expected_counts_against_what_was_performed(self) -> None:
        weights = Weights(1, 0, 0, 0)
        assert partial_score(replace(self.CHECKS, unexpected=2), weights) == 1 / 4
        assert partial_score(replace(self.CHECKS, unexpected=2), weights, lenient=True) == 1.0
        only_talk = replace(self.CHECKS, performed=(), unexpected=2)
        assert partial_score(only_talk, Weights()) == partial_score(
            replace(only_talk, unexpected=0), Weights()
        )

    def test_a_read_counts_a_tenth_of_a_deed(self) -> None:
        weights = Weights(1, 0, 0, 0)
        checks = replace(self.CHECKS, reads=(False, True))
        assert partial_score(checks, weights) == pytest.approx(1 / 1.1)
        read = replace(checks, performed=(False, True))
        assert partial_score(read, weights) == pytest.approx(0.1 / 1.1)
        only_reads = replace(read, reads=(True, True))
        assert partial_score(only_reads, weights) == 0.0
        assert partial_score(only_reads, Weights()) == partial_score(
            replace(only_reads, performed=(), reads=()), Weights()
        )
        assert partial_score(read, weights, lenient=True) == 1.0

    def test_without_any_component_it_is_0(self) -> None:
        assert partial_score(Checks(True, 1.0), Weights()) == 0.0
        assert partial_score(self.CHECKS, Weights(0, 0, 0, 0)) == 0.0

    def test_the_defaults_are_the_seed_pipelines(self) -> None:
        assert default_weights("retail") == default_weights("mock") == Weights(0.5, 0.15, 0.35, 0)
        assert default_weights("telecom") == TELECOM_WEIGHTS == Weights(0.35, 0.35, 0.3, 0)
        assert (ALPHA["airline"], ALPHA["retail"], ALPHA["telecom"]) == (0.25, 0.2, 0.4)


class TestConfig:
    def test_a_preset_is_known_by_its_name(self) -> None:
        for preset in PRESETS:
            assert RewardConfig.of(preset) == RewardConfig(preset=preset)

    def test_a_config_is_taken_as_it_is(self) -> None:
        config = RewardConfig(alpha=2.0)
        assert RewardConfig.of(config) is config

    def test_a_mapping_gives_its_arguments(self) -> None:
        options = {
            "preset": "shaped",
            "alpha": 2.0,
            "weights": {"db": 1.0},
            "overlong": {"limit": 10, "buffer": 5},
        }
        assert RewardConfig.of(options) == RewardConfig(
            "shaped", 2.0, Weights(db=1.0), overlong=Overlong(10, 5)
        )
        assert options["weights"] == {"db": 1.0}

    @pytest.mark.parametrize(
        ("reward", "message"),
        [
            (
                "dense",
                "unknown reward preset 'dense'; allowed: potential, progress, shaped, sparse",
            ),
            ({"preset": "dense"}, "unknown reward preset 'dense'"),
            ({"beta": 1}, "unknown reward option 'beta'; allowed: alpha, gamma,"),
            ({"weights": {"tools": 1}}, "unknown option of weights 'tools'; allowed: action,"),
            ({"weights": {"db": -1}}, "weights must not be negative"),
            ({"overlong": {"limit": 9}}, "missing 1 required positional argument: 'buffer'"),
            ({"overlong": {"limit": 9, "buffer": 10}}, "overlong needs 0 < buffer <= limit"),
            ({"overlong": {"limit": 9, "buffer": 0}}, "overlong needs 0 < buffer <= limit"),
            ({"overlong": {"limit": 9, "buffer": 3, "factor": -1}}, "factor >= 0"),
            ({"gamma": 1.1}, r"gamma must lie in \[0, 1\], not 1.1"),
            ({"gamma": -0.1}, r"gamma must lie in \[0, 1\]"),
            ({"alpha": "much"}, "do not fit"),
            (None, "not NoneType"),
            (3, "not int"),
            *(
                ({name: -0.1}, f"{name} must not be negative, and is -0.1")
                for name in (
                    "alpha",
                    "tool_call",
                    "tool_call_cap",
                    "malformed",
                    "ownership",
                    "tool_error",
                    "repetition",
                )
            ),
        ],
    )
    def test_what_is_not_allowed_is_refused_in_one_sentence(
        self, reward: Any, message: str
    ) -> None:
        with pytest.raises(ConfigError, match=message):
            RewardConfig.of(reward)


class TestOverlong:
    @pytest.mark.parametrize(
        ("length", "penalty"), [(0, 0), (60, 0), (70, -0.5), (80, -1), (100, -2), (140, -4)]
    )
    def test_it_falls_linearly_from_the_start_of_the_buffer(
        self, length: int, penalty: float
    ) -> None:
        assert Overlong(limit=80, buffer=20).penalty(length) == pytest.approx(penalty)
        threefold = Overlong(limit=80, buffer=20, factor=3.0)
        assert threefold.penalty(length) == pytest.approx(3 * penalty)

    def test_it_is_paid_at_the_end_for_all_the_agent_wrote(self) -> None:
        books = Accountant(RewardConfig(overlong=Overlong(10, 5)), "retail")
        paid = [
            books.step(0, 0, Turn(text="x" * 4), ended=ended, official=0.0 if ended else None)
            for ended in (False, False, True)
        ]
        assert [ledger["overlong"] for ledger in paid] == [0.0, 0.0, pytest.approx(-7 / 5)]

    def test_the_measure_can_be_given(self) -> None:
        config = RewardConfig(overlong=Overlong(4, 2, length=lambda text: len(text.split())))
        ledger = Accountant(config, "retail").step(
            0, 0, Turn(text="four words it has"), ended=True, official=0.0
        )
        assert ledger["overlong"] == -1.0


class TestToolCallReward:
    def paid(self, turns: list[Turn], official: float | None, **config: Any) -> list[float]:
        books = Accountant(RewardConfig(tool_call=0.1, **config), "retail")
        last = len(turns) - 1
        return [
            books.step(0, 0, turn, ended=i == last, official=official if i == last else None)[
                "tool_call"
            ]
            for i, turn in enumerate(turns)
        ]

    def test_it_pays_once_for_each_turn_with_a_valid_call_at_the_end(self) -> None:
        turns = [Turn(calls=3, valid_calls=3), Turn(calls=2, valid_calls=0), Turn(valid_calls=1)]
        assert self.paid(turns, 0.0) == [0.0, 0.0, pytest.approx(0.2)]

    def test_it_is_capped(self) -> None:
        turns = [Turn(valid_calls=1)] * 9
        assert self.paid(turns, 0.0)[-1] == 0.4
        assert self.paid(turns, 0.0, tool_call_cap=0.25)[-1] == 0.25

    def test_success_needs_no_consolation(self) -> None:
        assert self.paid([Turn(valid_calls=1)] * 3, 1.0)[-1] == 0.0
        assert self.paid([Turn(valid_calls=1)] * 3, None)[-1] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("option", "turn", "amount"),
    [
        ("malformed", Turn(malformed=1), -0.5),
        ("ownership", Turn(ownership=2), -1.0),
        ("tool_error", Turn(errors=3), -1.5),
        ("repetition", Turn(repeated=1), -0.5),
        ("repetition", Turn(calls=4, valid_calls=4), 0.0),
    ],
)
def test_each_event_costs_its_amount(option: str, turn: Turn, amount: float) -> None:
    config = RewardConfig.of({"preset": "sparse", option: 0.5})
    ledger = Accountant(config, "retail").step(0, 0, turn, ended=False, official=None)
    assert ledger == {"official": 0.0, option: amount}


def test_optional_terms_are_no_lines_unless_asked_for() -> None:
    ledger = Accountant(RewardConfig("sparse"), "retail").step(
        0, 1, Turn(errors=3, repeated=2, text="x" * 10**6), ended=True, official=1.0
    )
    assert ledger == {"official": 1.0}


scores = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(scores, st.sampled_from([0.0, 1.0, None]), st.floats(0, 3), st.floats(0, 1))
def test_the_presets_sum_to_what_they_promise(
    phi: list[float], official: float | None, alpha: float, gamma: float
) -> None:
    def total(preset: Any, discount: float = 1.0) -> float:
        books = Accountant(RewardConfig(preset, alpha, gamma=discount), "retail")
        last = len(phi) - 2
        steps = [
            books.step(*phi[i : i + 2], Turn(), ended=i == last, official=official)
            for i in range(last + 1)
        ]
        return sum(discount**i * sum(ledger.values()) for i, ledger in enumerate(steps))

    earned = official or 0.0
    close = {"abs": 1e-9}
    assert total("sparse") == earned
    assert total("shaped") == pytest.approx(earned + alpha * phi[-1], **close)
    assert total("progress") == pytest.approx(earned + alpha * (phi[-1] - phi[0]), **close)
    assert total("potential") == pytest.approx(earned - alpha * phi[0], **close)
    # The discounted return differs by the start's potential alone, whatever is done (Ng et al.).
    discounted = gamma ** (len(phi) - 2) * earned - alpha * phi[0]
    assert total("potential", gamma) == pytest.approx(discounted, **close)


def test_a_forked_book_is_its_own() -> None:
    config = RewardConfig.of({"tool_call": 0.1, "overlong": {"limit": 10, "buffer": 5}})
    books = Accountant(config, "retail")
    books.step(0, 0, Turn(valid_calls=1, text="x" * 4), ended=False, official=None)
    twin = books.fork()
    twin.step(0, 0, Turn(valid_calls=1, text="x" * 4), ended=False, official=None)
    ledgers = [each.step(0, 0, Turn(), ended=True, official=0.0) for each in (books, twin)]
    assert [ledger["tool_call"] for ledger in ledgers] == [pytest.approx(0.1), pytest.approx(0.2)]
    assert [ledger["overlong"] for ledger in ledgers] == [0.0, pytest.approx(-3 / 5)]


# In the environment


def play(env: Any, actions: Any, **reset: Any) -> dict[str, Any]:
    """Play an episode to its end, and check every step's ledger against its reward."""
    _, info = env.reset(**reset)
    assert info["reward_terms"] == {}
    start, total = info["partial_score"], 0.0
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        assert math.isclose(sum(info["reward_terms"].values()), reward, abs_tol=1e-12)
        assert 0.0 <= info["partial_score"] <= 1.0
        total += reward
        if terminated or truncated:
            break
    return {"start": start, "end": info["partial_score"], "total": total, **info}


def assert_promised(preset: str, played: dict[str, Any], alpha: float) -> None:
    official = played["official_reward"] or 0.0
    promised = {
        "sparse": official,
        "shaped": official + alpha * played["end"],
        "progress": official + alpha * (played["end"] - played["start"]),
        "potential": official - alpha * played["start"],
    }[preset]
    assert played["total"] == pytest.approx(promised, abs=1e-9)


def noise(env: Any, seed: int, task: Any) -> Any:
    """Random actions of all kinds, with expected ones among them, and the closing at the end."""
    chance = random.Random(seed)
    env.action_space.seed(seed)
    expected = gold_moves(task)[:-1]
    for _ in range(chance.randrange(2, 12)):
        kind = chance.random()
        if kind < 0.4 and expected:
            yield expected.pop(0)
        elif kind < 0.7:
            yield env.action_space.sample()
        else:
            yield chance.choice(
                ["", "<tool_call>{", "Hm.", block("toggle_data"), block("fly"), "###STOP###"]
            )
    while True:
        yield CLOSING


@pytest.mark.parametrize("name", ["airline", "retail", "telecom", "mock"])
@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), number=st.integers(0, 8))
def test_the_ledger_is_the_reward_and_sums_to_the_promise_whatever_is_played(
    preset: str, name: str, seed: int, number: int
) -> None:
    task = some(name, 9)[number]
    user = Restless(calls=0.3, stops=0.05)
    rules: dict[str, Any] = {"max_steps": 25, "max_errors": 4, "agent_stop": seed % 3 == 0}
    plain = make(name, user, reward=preset, **rules)
    full = make(name, user, reward={"preset": preset, **EVERYTHING}, **rules)
    options = {"task_id": task.id}
    played = play(plain, noise(plain, seed, task), seed=seed, options=options)
    assert_promised(preset, played, ALPHA[name])
    again = play(full, noise(full, seed, task), seed=seed, options=options)
    assert again["state_key"] == played["state_key"]
    assert set(again["reward_terms"]) == set(played["reward_terms"]) | set(EVERYTHING)
    assert again["official_reward"] == played["official_reward"]


@pytest.mark.parametrize("end", ["max_steps", "too_many_errors", "agent_error"])
def test_episodes_that_end_badly_keep_their_dense_terms(end: str) -> None:
    rules: dict[str, Any] = {
        "max_steps": {"max_steps": 3},
        "too_many_errors": {"max_errors": 1},
        "agent_error": {"validate_communication": True},
    }[end]
    env = make("mock", **rules)
    task = env.domain.task("update_task_1")
    first = gold_moves(task)[0]
    last = {"too_many_errors": block("fly"), "agent_error": ""}
    actions = [first, last[end]] if end in last else [first]
    played = play(env, actions, options={"task_id": task.id})
    assert played["termination"] == end
    assert played["official_reward"] == 0.0
    assert played["total"] == pytest.approx(0.25)


def as_action(message: Message) -> dict[str, Any]:
    calls = [
        {"id": call.id, "name": call.name, "arguments": call.arguments}
        for call in message.tool_calls
    ]
    return {"role": "assistant", "content": message.content, "tool_calls": calls}


def replayed(row: dict[str, Any], preset: str) -> dict[str, Any]:
    """Play a recorded trajectory through the environment, both sides as they were."""
    messages = [Message.from_dict(message) for message in row["messages"]]
    user = ReplayUser({row["task_id"]: user_turns(row["messages"])})
    rules = {"max_steps": row.get("max_steps", 10**6), "max_errors": row.get("max_errors", 10**6)}
    if "mode" in row and row["termination_reason"] == "max_steps":
        # Each message is a step; the greeting is none, and several results are one delivery.
        pairs = zip([None, *messages], messages, strict=False)
        rules["max_steps"] = -1 + sum(
            not (before and before.role == message.role == "tool") for before, message in pairs
        )
    env = make(row["domain"], user, reward=preset, **rules)
    env.rules = replace(env.rules, validate_communication=row.get("validate_communication", False))
    spoken = [as_action(message) for message in messages[1:] if message.role == "assistant"]
    # Where the user stopped before the agent's first word, that one ends it.
    return play(env, [*spoken, "Nobody hears this."], options={"task_id": row["task_id"]})


@needs_recordings
@pytest.mark.parametrize("recording", ["grading", "episodes"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_recorded_trajectory_earns_what_the_preset_promises(
    preset: str, recording: str
) -> None:
    # One preset sees all of them, the others every third.
    rows = recorded(recording)
    for row in rows if preset == "shaped" else rows[::3]:
        played = replayed(row, preset)
        assert_promised(preset, played, ALPHA[row["domain"]])
        if recording == "episodes":
            assert played["steps"] == row["step_count"]
            assert played["termination"] == row["termination_reason"]
        if recording == "episodes" or row["termination_reason"] != "too_many_errors":
            assert played["official_reward"] == row["reward"]


def test_calls_that_fail_or_are_the_users_pay_nothing_unless_asked_for() -> None:
    task_id = "[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"
    call = '<tool_call>{"name": "toggle_data", "arguments": {}}</tool_call>'
    scores = {}
    for strict, reward in ((False, {"lenient_actions": True}), (True, "progress")):
        env = Tau2Env("telecom", reward=reward, user=Puppet())
        env.reset(seed=0, options={"task_id": task_id})
        _, reward, *_, info = env.step(call)
        scores[strict] = info["partial_score"]
        assert (reward > 0) is not strict
        _, reward, *_, info = env.step("Please run toggle_data() on your device.")
        assert (reward > 0) is strict
        assert info["checks"]["performed"].count(True) == 1
    assert scores[True] < scores[False]


# A term is one field


ADDED = """
    haste: float = field(
        default=0.0,
        metadata=_penalty(
            "haste",
            "minus the amount for each call made",
            lambda turn: turn.calls,
        ),
    )
"""
USED = """
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.rewards import TERMS, RewardConfig

env = Tau2Env("mock", reward={"preset": "sparse", "haste": 0.5})
env.reset(seed=0, options={"task_id": "create_task_1"})
_, reward, *_, info = env.step('get_users()')
print(reward, info["reward_terms"], TERMS["haste"].what)
try:
    RewardConfig(haste=-1)
except ValueError as error:
    print(error)

from trainers.config import GRPOConfig
from trainers.rollout.executor import EpisodeExecutor

settings = {"model": "m", "environment": {"reward": {"preset": "sparse", "haste": 0.5}}}
print(EpisodeExecutor(GRPOConfig.model_validate(settings), threaded=False)._terms)
"""


def test_a_term_is_one_field(tmp_path: Path) -> None:
    """Added in one place it is checked, paid, booked, and logged while training."""
    pytest.importorskip("openrlhf", reason="training takes OpenRLHF")
    for package in ("tau2_gym", "agents", "benchmarks", "trainers"):
        shutil.copytree(package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "tau2_gym" / "rewards.py"
    code = module.read_text(encoding="utf-8")
    begin = "    overlong: Overlong | None = field("
    assert begin in code
    module.write_text(code.replace(begin, ADDED.lstrip("\n") + begin), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", USED], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "-0.5 {'official': 0.0, 'haste': -0.5} minus the amount for each call made",
        "haste must not be negative, and is -1: penalties are given as amounts",
        "('official', 'haste')",
    ]


def test_the_documentation_describes_every_term_in_its_words() -> None:
    page = Path("docs/rewards.md").read_text(encoding="utf-8")
    table = page.partition("| option | pays |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [f"| `{name}` | {term.what} |" for name, term in TERMS.items()]
