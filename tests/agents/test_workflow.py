"""The workflow agent."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from agents.base import AgentView
from agents.telecom import TRANSFER_SENTENCE
from agents.workflow import WorkflowAgent
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.users.scripted import ScriptedUser
from tests.helpers import make

AGENT = WorkflowAgent()
DOMAIN = get_domain("telecom")
TEST = DOMAIN.task_ids("test")
HARDEST = max(DOMAIN.tasks, key=lambda task_id: task_id.count("|"))


def blind(info: dict[str, Any]) -> AgentView:
    """What an agent sees, without anything it must not see."""
    return replace(AgentView.from_info(info), privileged={})


def play(task: str, seed: int = 0, **user: Any) -> dict[str, Any]:
    """An episode. Returns the last info."""
    env = make("telecom", ScriptedUser(**user), task_split="full")
    _, info = env.reset(seed=seed, options={"task_id": task})
    ended = False
    while not ended:
        _, _, terminated, truncated, info = env.step(AGENT.act(blind(info), seed))
        ended = terminated or truncated
    return info


@pytest.mark.parametrize("task", TEST)
def test_it_solves_the_test_tasks(task: str) -> None:
    info = play(task)
    assert info["official_reward"] == 1.0
    assert info["num_errors"] == 0
    assert info["malformed"] == info["ownership_violations"] == 0


@pytest.mark.parametrize("verbosity", ["terse", "normal", "chatty"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_solves_others_whatever_the_words(seed: int, verbosity: str) -> None:
    for task in random.Random(f"{seed}/{verbosity}").sample(sorted(DOMAIN.tasks), 12):
        assert play(task, seed, verbosity=verbosity)["official_reward"] == 1.0, task


def test_the_hardest_task_stays_within_the_limit() -> None:
    assert play(HARDEST)["steps"] < 90


def test_the_same_view_and_seed_give_the_same_move() -> None:
    info = play(TEST[0], 4)
    messages = info["messages"]
    for end in range(2, len(messages) - 1):
        if messages[end - 1]["role"] == "assistant":
            continue
        view = replace(blind(info), messages=messages[:end])
        assert AGENT.act(view, 4) == AGENT.act(replace(view, messages=list(view.messages)), 4)


def test_other_seeds_use_other_words() -> None:
    texts = set()
    for seed in range(6):
        messages = play(TEST[0], seed)["messages"]
        texts |= {m["content"] for m in messages if m["role"] == "assistant" and m["content"]}
    assert len(texts) > 12


def test_it_takes_over_from_another_agent() -> None:
    env = make("telecom", ScriptedUser(), task_split="full")
    _, info = env.reset(seed=0, options={"task_id": HARDEST})
    for action in ("Hello, one moment.", "What is your phone number?", "get_available_plan_ids()",
                   "Please turn off airplane mode.", "Please restart your phone."):  # fmt: skip
        _, _, _, _, info = env.step(action)
    ended = False
    while not ended:
        _, _, terminated, truncated, info = env.step(AGENT.act(blind(info), 0))
        ended = terminated or truncated
    assert info["official_reward"] == 1.0


def test_it_transfers_by_the_book() -> None:
    messages = play("[service_issue]airplane_mode_on|lock_sim_card_pin[PERSONA:Easy]")["messages"]
    assert messages[-2]["content"] == TRANSFER_SENTENCE
    assert messages[-4]["tool_calls"][0]["function"]["name"] == "transfer_to_human_agents"


@pytest.mark.parametrize("domain", ["airline", "retail", "mock"])
def test_other_domains_are_refused(domain: str) -> None:
    with pytest.raises(ConfigError, match=domain):
        AGENT.act(AgentView(domain, "", [], []), 0)
