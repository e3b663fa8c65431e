"""How a run is played: what it needs, what its results depend on, and what nobody will judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.attempts import Attempt
from agents.models import AgentModel, ChatOptions, UserModel
from agents.rollout import Limits
from agents.runs.driver import attempts_at, chosen_tasks
from agents.runs.setup import (
    MOST_SAMPLES,
    Setup,
    agent_model,
    bypass,
    domains_to_play,
    make_player,
    unjudged,
    versions,
)
from agents.sampling import SamplingParams
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.types import Criteria, RewardBasis

SETUP = Setup("oracle", "scripted", 0, "progress", 100, 10, "inspect-evals", None)
URL = "http://127.0.0.1:9/v1"
MODEL = AgentModel("openai/gpt-4.1")


# What it needs


@pytest.mark.parametrize(
    ("options", "extra"),
    [
        ({}, None),
        ({"agent": "litellm", "model": MODEL}, "litellm"),
        ({"agent": "litellm", "model": AgentModel("tiny", (URL,))}, None),
        ({"agent": "sglang", "model": AgentModel("tiny", (URL,))}, "sglang"),
        ({"agent": "transformers", "model": AgentModel("tiny")}, "transformers"),
        ({"user": "litellm:gpt-4.1-mini"}, "litellm"),
        ({"user": f"llm:tiny@{URL}"}, None),
        ({"judge": ChatOptions("gpt-4.1")}, "litellm"),
        ({"judge": ChatOptions("tiny", URL)}, None),
        ({"agent": "litellm", "model": MODEL, "cassette": "calls.jsonl"}, None),
    ],
)
def test_a_run_needs_the_packages_of_its_models_and_no_others(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], extra: str | None
) -> None:
    monkeypatch.setattr("agents.packages.find_spec", lambda name: None)
    setup = replace(SETUP, **options)
    if extra is None:
        setup.check(["mock"], None, 1)
        return
    with pytest.raises(ConfigError, match=rf"pip install 'tau2-gym\[{extra}\]'"):
        setup.check(["mock"], None, 1)


@pytest.mark.parametrize(
    ("change", "split", "samples", "says"),
    [
        ({"agent": "nobody"}, None, 1, "nobody"),
        ({"user": "nobody"}, None, 1, "nobody"),
        ({"reward": "nothing"}, None, 1, "nothing"),
        ({"seed": -1}, None, 1, "--seed must be at least 0, not -1"),
        ({}, None, 0, "--num-samples must be at least 1"),
        ({}, None, MOST_SAMPLES + 1, "--num-samples must be .* at most 10000, not 10001"),
        ({}, "nowhere", 1, "nowhere"),
    ],
)
def test_what_is_not_possible_is_refused_before_anything_is_loaded(
    change: dict[str, Any], split: str | None, samples: int, says: str
) -> None:
    SETUP.check(["mock"], "base", MOST_SAMPLES)
    with pytest.raises(ConfigError, match=says):
        replace(SETUP, **change).check(["mock"], split, samples)


# Models


def test_a_model_is_for_agents_that_are_one() -> None:
    sampling = SamplingParams(temperature=0.3)
    made = agent_model("sglang", "m", (URL,), "bare", None, sampling, startup=7.0, outage=8.0)
    assert made == AgentModel("m", (URL,), "bare", None, sampling, 7.0, 8.0)
    assert agent_model("oracle", "", (), "official", None, sampling) is None
    with pytest.raises(ConfigError, match=r"agent 'oracle' takes no --model; .*litellm"):
        agent_model("oracle", "m", (), "official", None, sampling)
    with pytest.raises(ConfigError, match="nothing"):
        agent_model("oracle", "", (), "nothing", None, sampling)


def test_an_agent_that_goes_past_litellm_is_said_to() -> None:
    direct = replace(SETUP, agent="litellm", model=AgentModel("tiny", ("http://a:b@host/v1",)))
    assert bypass(direct) == "'tiny' is called directly at http://host/v1, without LiteLLM."
    assert bypass(replace(direct, model=MODEL)) is None
    assert bypass(replace(direct, agent="sglang")) is None
    assert bypass(SETUP) is None


# What results depend on


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"seed": 1}, True),
        ({"max_steps": 50}, True),
        ({"user": f"llm:other@{URL}"}, True),
        ({"user": "llm:tiny@http://elsewhere/v1"}, False),
        ({"user_model": UserModel(temperature=0.5)}, True),
        ({"model": AgentModel("tiny", ("http://elsewhere",))}, False),
        ({"model": AgentModel("tiny", prompt="bare")}, True),
        ({"judge": ChatOptions("gpt-4.1", temperature=0.5)}, True),
        ({"judge": ChatOptions("gpt-4.1", URL)}, False),
        ({"cassette": "calls.jsonl"}, False),
        ({"keep_tokens": True}, False),
    ],
)
def test_what_results_depend_on(change: dict[str, Any], matters: bool) -> None:
    setup = replace(
        SETUP,
        agent="sglang",
        model=AgentModel("tiny", (URL,)),
        user=f"llm:tiny@{URL}",
        judge=ChatOptions("gpt-4.1"),
    )
    assert (replace(setup, **change).identity() != setup.identity()) is matters


def test_results_name_the_versions_of_what_they_depend_on() -> None:
    assert {"python", "tau2-gym", "inspect-evals"} <= versions("inspect-evals").keys()
    assert "inspect-evals" not in versions("tau2")
    assert SETUP.identity()["versions"] == versions("inspect-evals")
    assert SETUP.identity()["user_model"] is None, "a scripted user is sampled by nobody"


# Which tasks


def test_an_agent_plays_what_it_can() -> None:
    assert domains_to_play("oracle", None) == (("airline", "retail", "telecom"), None)
    assert domains_to_play("workflow", None) == (
        ("telecom",),
        "Agent 'workflow' plays telecom only.",
    )
    assert domains_to_play("oracle", ["mock"]) == (("mock",), None)
    with pytest.raises(ConfigError, match="'workflow' plays telecom only, not airline"):
        domains_to_play("workflow", ["telecom", "airline"])


def test_tasks_that_only_a_judge_can_grade_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = chosen_tasks(SETUP, ["mock"], "base")[:4]
    told, graded = (RewardBasis.NL_ASSERTION,), (RewardBasis.DB,)
    domain = get_domain("mock")
    criteria = (
        Criteria(nl_assertions=("It is polite.",), basis=told),
        Criteria(nl_assertions=("It is polite.",), basis=graded),
        Criteria(nl_assertions=(), basis=told),
        None,
    )
    tasks = {
        task_id: replace(domain.task(task_id), criteria=found)
        for (_, task_id), found in zip(pairs, criteria, strict=True)
    }
    monkeypatch.setattr(domain, "tasks", {**domain.tasks, **tasks})
    attempts: list[Attempt] = attempts_at(SETUP, pairs, 2)
    assert unjudged(SETUP, attempts) == {pairs[0]}
    assert unjudged(replace(SETUP, judge=ChatOptions("gpt-4.1")), attempts) == set()


# How it is played


def test_a_model_in_this_process_keeps_as_many_conversations_as_are_played(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.tiny_model import checkpoint

    model = AgentModel(checkpoint(tmp_path))
    for episodes in (3, 40):
        limits = Limits(episodes=episodes)
        setup = replace(SETUP, agent="transformers", model=model, limits=limits)
        player: Any = make_player(setup)
        assert player.agent.backend.batch_size == episodes
