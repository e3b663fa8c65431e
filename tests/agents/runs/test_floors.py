"""Floors: the same attempts, by agents without a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.models import ChatOptions
from agents.runs.driver import attempts_at, chosen_tasks
from agents.runs.floors import check_floors, play_floors
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.types import RewardBasis
from tests.agents.runs.test_setup import SETUP


def test_a_floor_plays_the_same_attempts_as_the_run_would() -> None:
    own = replace(SETUP, agent="random")
    attempts = attempts_at(own, chosen_tasks(own, ["airline"], "test"), 2)
    found = play_floors(["noop", "random"], own, attempts, 2, 1, set())
    assert list(found) == ["noop"]  # The run's own agent is no floor of itself.
    airline = found["noop"]["by_domain"]["airline"]
    assert (airline["attempts"], airline["pass"]["excluded"]["pass@1"]["value"]) == (40, 0.3)
    assert play_floors(["noop"], own, attempts, 2, 2, set()) == found


def test_a_floor_has_neither_the_runs_model_nor_its_user_nor_its_judge() -> None:
    own = replace(SETUP, agent="litellm", user="litellm:nowhere", cassette="/nowhere/cassette")
    attempts = attempts_at(own, chosen_tasks(own, ["mock"], "base"), 1)
    assert play_floors(["noop"], own, attempts, 1, 1, set())["noop"]["overall"]["faults"] == {}


def test_a_floor_leaves_out_what_takes_a_judge_even_if_the_run_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    domain = get_domain("mock")
    own = replace(SETUP, agent="random", judge=ChatOptions("gpt-4.1"))
    pairs = chosen_tasks(own, ["mock"], "base")
    (_, first), *_ = pairs
    task = domain.task(first)
    assert task.criteria is not None
    basis = (*task.criteria.basis, RewardBasis.NL_ASSERTION)
    judged = replace(task.criteria, nl_assertions=("It is polite.",), basis=basis)
    monkeypatch.setattr(domain, "tasks", {**domain.tasks, first: replace(task, criteria=judged)})
    # The agent fails the task whatever a judge would say. Had it counted, only those that pass would be left out.
    found = play_floors(["noop"], own, attempts_at(own, pairs, 1), 1, 1, set())["noop"]["overall"]
    assert (found["tasks"], found["tasks_covered"]) == (len(pairs), len(pairs) - 1)
    assert found["ungraded"] == [first]


@pytest.mark.parametrize(
    ("names", "domains", "said"),
    [
        (["nobody"], ["retail"], "unknown agent 'nobody'"),
        (["litellm"], ["retail"], "a floor is an agent without a model, and 'litellm' is one"),
        (["workflow"], ["telecom", "retail"], "agent 'workflow' plays telecom only, not retail"),
    ],
)
def test_agents_that_cannot_be_floors(names: list[str], domains: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_floors(names, domains)
