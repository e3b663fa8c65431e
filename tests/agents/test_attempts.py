"""What a record says an attempt earned: its numbers agree, whoever decided them, and when."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.attempts import Attempt, attempt_seed
from agents.base import Agent, AgentView, AsyncAgent, Reply
from agents.noop import NoopAgent
from agents.oracle import OracleAgent
from agents.random import RandomAgent
from agents.rollout import Player
from tau2_gym.domains.base import get_domain
from tau2_gym.judge import Judge
from tau2_gym.results.record import SUCCESS, Record
from tau2_gym.rewards import PRESETS, RewardConfig
from tau2_gym.users.base import User
from tau2_gym.users.scripted import ScriptedUser
from tests.helpers import Fixed, Leaves

TASKS = {
    "mock": ("create_task_1", "update_task_1", "create_task_1_with_env_assertions"),
    "retail": ("0", "3"),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A revision in which a judge has a say in every task, with assertions or with none."""
    from inspect_evals.tau2 import utils

    root = tmp_path_factory.mktemp("judged")
    for name in TASKS:
        shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / name, root / name)
        path = next((root / name).glob("tasks.*"))
        rows = json.loads(path.read_text())
        for number, row in enumerate(rows):
            criteria = row["evaluation_criteria"]
            basis = criteria.get("reward_basis", ["DB", "COMMUNICATE"])
            criteria["reward_basis"] = [*basis, "NL_ASSERTION"]
            criteria["nl_assertions"] = ["The agent is kind."] if number % 3 else None
        path.write_text(json.dumps(rows))
    return root


@dataclass(frozen=True)
class Quits:
    """The oracle, whose context is full after a number of turns."""

    after: int

    async def aact(self, view: AgentView, memory: Any, seed: int) -> Reply:
        if view.turn >= self.after:
            return Reply(None, stop="context_overflow")
        return Reply(OracleAgent().act(view, seed))


PLAYS: list[tuple[Agent | AsyncAgent, User]] = [
    (OracleAgent(), ScriptedUser()),
    (NoopAgent(), ScriptedUser()),
    (RandomAgent(), ScriptedUser()),
    (Quits(0), ScriptedUser()),
    (Quits(1), ScriptedUser()),
    (OracleAgent(), Leaves()),
]


def play(root: Path, judge: Judge | None, **reward: Any) -> list[Record]:
    async def all_of_them() -> list[Record]:
        return [
            await Player(
                agent, user, reward=RewardConfig(**reward), data_dir=str(root), judge=judge
            ).play(Attempt(domain, task_id, 0, 1))
            for domain, ids in TASKS.items()
            for task_id in ids
            for agent, user in PLAYS
        ]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("judge", [Fixed(True), Fixed(False), Fixed(None), None])
@pytest.mark.parametrize(
    "terms", [{}, {"tool_call": 0.1}, {"tool_call": 0.1, "malformed": 0.2, "tool_error": 0.05}]
)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_reward_the_ledger_and_the_grade_agree(
    judged: Path, preset: str, terms: dict[str, float], judge: Judge | None
) -> None:
    records = play(judged, judge, preset=preset, **terms)
    seen = set()
    for record in records:
        lines = [line for ledger in record.rewards for line in ledger.items()]
        assert record.reward == pytest.approx(sum(amount for _, amount in lines), abs=1e-12)
        paid = sum(amount for name, amount in lines if name == "official")
        assert paid == (record.official_reward or 0.0)
        bonus = sum(amount for name, amount in lines if name == "tool_call")
        assert bonus == 0.0 or record.official_reward != 1.0
        assert (record.official_reward is None) == (record.ungraded is not None)
        assert (record.fault == "judge") == (record.ungraded is not None and judge is not None)
        assert bool(record.verdicts) <= (record.official_reward is not None)
        seen.add((record.official_reward, bonus > 0, record.ungraded is not None))
    # All that can happen has happened.
    decided = judge is not None and judge != Fixed(None)
    assert {reward for reward, _, _ in seen} == ({0.0, 1.0} if decided else {0.0, 1.0, None})
    assert any(bonus for _, bonus, _ in seen) == ("tool_call" in terms)


def test_a_judge_changes_only_what_depends_on_it(judged: Path) -> None:
    """As if the judge's word had been known at the last step."""
    outcomes = {
        met: play(judged, Fixed(met), tool_call=0.1, tool_error=0.05) for met in (True, False)
    }
    differing = 0
    for good, bad in zip(outcomes[True], outcomes[False], strict=True):
        assert good.rewards[:-1] == bad.rewards[:-1]
        assert good.messages == bad.messages
        if good.official_reward != bad.official_reward:
            differing += 1
            last, other = good.rewards[-1], bad.rewards[-1]
            assert (last["official"], other["official"]) == (1.0, 0.0)
            assert last["tool_call"] == 0.0
            same = {"official", "tool_call"}
            assert {k: v for k, v in last.items() if k not in same} == {
                k: v for k, v in other.items() if k not in same
            }
    assert differing


def test_an_episode_over_before_the_first_turn_is_paid_its_grade() -> None:
    task_id = next(
        task.id
        for task in map(get_domain("airline").task, get_domain("airline").task_ids("base"))
        if task.criteria is not None and not task.criteria.actions and not task.criteria.communicate
    )
    player = Player(OracleAgent(), Leaves())
    record = asyncio.run(player.play(Attempt("airline", task_id, 0, 1)))
    assert (record.official_reward, record.num_turns) == (1.0, 0)
    assert [ledger["official"] for ledger in record.rewards] == [1.0]
    assert record.reward == 1.0


def test_what_counts_as_success_is_tau2_benchs() -> None:
    assert [reward >= SUCCESS for reward in (1.0, 1 - 1e-7, 1 - 2e-6, 0.99, 0.0)] == [
        *(True, True, False, False, False)
    ]


def test_the_seed_of_an_attempt_is_always_the_same_and_its_own() -> None:
    assert attempt_seed(0, "retail", "1", 0) == 587699811
    others = [(1, "retail", "1", 0), (0, "airline", "1", 0), (0, "retail", "2", 0)]
    seeds = {attempt_seed(*one) for one in [*others, (0, "retail", "1", 1), (0, "retail", "1", 0)]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_an_attempt_is_known_by_its_domain_task_and_trial() -> None:
    assert Attempt("retail", "1", 2, 3).key == ("retail", "1", 2)


def test_a_record_takes_over_everything_an_episode_says_of_itself() -> None:
    fresh = Record("mock", "a", 0, 1, "r")
    seen = {
        name: f"the {name}"
        for name in ("official_reward", "partial_score", "checks", "termination", "steps",
                     "num_turns", "num_errors", "malformed", "ownership_violations", "ungraded", "answer")
    }  # fmt: skip
    record = Record("mock", "a", 0, 1, "r")
    record.observe({**seen, "messages": ["not taken"]})
    assert record.to_dict() == {**fresh.to_dict(), **seen}
    record.observe({**seen, "ungraded": []})
    assert record.ungraded is None


def test_a_fresh_record_has_earned_and_cost_nothing() -> None:
    fresh = Record("mock", "a", 0, 1, "r").to_dict()
    assert list(fresh.items())[:5] == [
        *(("domain", "mock"), ("task_id", "a"), ("trial", 0), ("seed", 1), ("revision", "r"))
    ]
    rest = [value for value in list(fresh.values())[5:] if not isinstance(value, dict)]
    assert all(not value for value in rest), fresh
    assert not any(fresh["usage"].values())
    assert not any(fresh["user_usage"].values())


def test_turns_are_paid_one_by_one_and_the_last_can_be_amended() -> None:
    record = Record("mock", "a", 0, 1, "r")
    record.pay({"official": 0.0, "progress": 0.25})
    record.pay({"official": 0.0, "progress": 0.5})
    assert (record.reward, len(record.rewards)) == (0.75, 2)
    record.amend({"official": 1.0, "progress": 0.5})
    assert record.rewards == [
        {"official": 0.0, "progress": 0.25}, {"official": 1.0, "progress": 0.5}
    ]  # fmt: skip
    assert record.reward == 1.75
