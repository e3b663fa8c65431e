"""The user's side as an environment: who follows the scenario earns more than who does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

import tau2_gym  # noqa: F401
from agents import serving
from agents.base import AgentView, Reply
from tau2_gym.actions import as_assistant
from tau2_gym.envs.user_env import Tau2UserEnv
from tau2_gym.errors import ConfigError
from tau2_gym.types import Message
from tau2_gym.user_rewards import IDENTIFY, UserReward, counts, ending, values
from tau2_gym.users.base import UserView
from tau2_gym.users.scripted import ScriptedUser
from tau2_gym.users.scripting.memory import memory
from tau2_gym.users.scripting.recall import asks_to_identify

DOMAINS = ("airline", "retail", "telecom", "mock")
TASK = "[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"


def make(domain: str, **options: Any) -> Tau2UserEnv:
    env = gym.make(f"tau2/{domain}-user-v0", disable_env_checker=True, **options)
    return env.unwrapped  # type: ignore[return-value]


Policy = Callable[[Tau2UserEnv], Any]


def scripted(env: Tau2UserEnv) -> Any:
    session = env._session
    assert session is not None
    return as_assistant(ScriptedUser().respond(session.user_view(), session.user_seed))


def tells_all(env: Tau2UserEnv) -> Any:
    session = env._session
    assert session is not None
    view = session.user_view()
    return scripted(env) if len(view.messages) > 1 else view.scenario.text


def hangs_up(env: Tau2UserEnv) -> Any:
    return "Goodbye. ###STOP###"


def lies(env: Tau2UserEnv) -> Any:
    session = env._session
    assert session is not None
    if len(session.user_view().messages) > 1:
        return scripted(env)
    return "Hi, I'm at 77777, my number is 555-000-1111, and my order is #W0000001."


def dumps_when_asked(env: Tau2UserEnv) -> Any:
    session = env._session
    assert session is not None
    view = session.user_view()
    last = next(each.content or "" for each in reversed(view.messages) if each.role == "assistant")
    if not asks_to_identify(last.lower()):
        return scripted(env)
    return ". ".join(value for detail in memory(view.scenario).details for value in detail.values)


def wants_a_human(env: Tau2UserEnv) -> Any:
    session = env._session
    assert session is not None
    last = session.user_view().messages[-1].content or ""
    return "###TRANSFER###" if "transferred" in last else "I want a human. Please transfer me."


def silent(env: Tau2UserEnv) -> Any:
    return "Hm."


def earned(env: Tau2UserEnv, policy: Policy, task: str) -> dict[str, float]:
    env.reset(seed=0, options={"task_id": task})
    total: dict[str, float] = {"all": 0.0}
    ended = False
    while not ended:
        _, reward, terminated, truncated, info = env.step(policy(env))
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        total["all"] += reward
        for name, amount in info["reward_terms"].items():
            total[name] = total.get(name, 0.0) + amount
        ended = terminated or truncated
    return total


@pytest.mark.parametrize("domain", DOMAINS)
def test_gymnasiums_own_check(domain: str) -> None:
    check_env(make(domain, max_steps=30), skip_render_check=True)


@pytest.mark.parametrize(
    ("domain", "agent"), [("airline", "oracle"), ("retail", "oracle"), ("telecom", "workflow")]
)
def test_who_follows_the_scenario_earns_most(domain: str, agent: str) -> None:
    env = make(domain, agent=agent, task_split="test", max_steps=60)
    means = {
        policy.__name__: sum(earned(env, policy, task)["all"] for task in env.task_ids[:8]) / 8
        for policy in (
            *(scripted, tells_all, hangs_up, lies, silent),
            *(dumps_when_asked, wants_a_human),
        )
    }
    assert means["scripted"] == max(means.values())
    assert means["tells_all"] < means["scripted"] - 0.05
    assert means["lies"] < means["scripted"] - 0.3
    assert means["silent"] <= 0.1
    assert means["wants_a_human"] <= 0.1


def test_what_a_good_user_is_paid_for() -> None:
    found = earned(make("telecom", agent="workflow"), scripted, TASK)
    assert found["told"] == pytest.approx(0.1)  # the phone number, once
    assert found["ending"] == 1.0
    assert found["progress"] > 0
    assert {found["volunteered"], found["invented"]} == {0.0}
    assert "early" not in found


def test_hanging_up_is_early_unless_all_is_done() -> None:
    assert earned(make("telecom", agent="workflow"), hangs_up, TASK)["all"] == -0.5
    env = make("airline")
    nothing_to_do = [task for task in env.task_ids if earned(env, hangs_up, task)["all"] > 0]
    assert 0 < len(nothing_to_do) < len(env.task_ids) / 2


def test_the_same_seed_gives_the_same_episode() -> None:
    runs = []
    for _ in range(2):
        env = make("telecom", agent="workflow")
        said = [env.reset(seed=3)]
        said.extend(env.step(scripted(env))[:4] for _ in range(6))  # type: ignore[arg-type]
        runs.append(repr(said))
    assert runs[0] == runs[1]


def test_what_the_user_sees_and_what_it_must_not_see() -> None:
    env = make("telecom", agent="workflow")
    observation, info = env.reset(seed=0, options={"task_id": TASK})
    assert observation == "Hi! How can I help you today?"
    assert "John Smith" in info["scenario"]
    assert any(tool["function"]["name"] == "toggle_data" for tool in info["tools"])
    observation, *_, info = env.step("toggle_data()")
    assert "Mobile Data is now ON" in observation
    observation, *_, info = env.step("My number is 555-123-2002 and my data is slow.")
    assert "C1001" not in repr({**info, "privileged": None})
    assert [message["role"] for message in info["messages"]][:3] == ["user", "assistant", "tool"]
    assert info["privileged"]["task_id"] == TASK


def test_the_users_slips_come_back() -> None:
    env = make("telecom", agent="workflow")
    env.reset(seed=0)
    observation, reward, terminated, *_ = env.step('<tool_call>{"name"')
    assert observation.startswith("Error: ")
    assert (reward, terminated) == (0.0, False)


def test_an_agent_may_be_any_function_and_may_give_up() -> None:
    class Tired:
        async def aact(self, view: AgentView, memory: Any, seed: int) -> Reply:
            turn = (memory or 0) + 1
            return (
                Reply(None, stop="context_overflow") if turn > 2 else Reply(f"Turn {turn}.", turn)
            )

    env = make("retail", agent=serving(Tired()))
    env.reset(seed=0)
    assert env.step("Hello.")[0] == "Turn 1."
    assert env.step("Hello?")[0] == "Turn 2."
    *_, terminated, truncated, _ = env.step("Are you there?")
    assert (terminated, truncated) == (False, True)
    with pytest.raises(RuntimeError, match="no episode is in progress"):
        env.step("Hello?")


@pytest.mark.parametrize(
    ("domain", "options", "said"),
    [
        ("retail", {"agent": "nobody"}, "unknown agent 'nobody'"),
        ("retail", {"agent": "workflow"}, "agent 'workflow' plays telecom only, not retail"),
        ("retail", {"agent": "litellm"}, "agent 'litellm' is a model"),
        ("retail", {"agent": 5}, "agent must be a name or a function, not int"),
        ("retail", {"task_ids": []}, "at least one id"),
        ("retail", {"reward": {"tolled": 1}}, "unknown user reward 'tolled'; allowed: told"),
        ("retail", {"reward": {"told": -1}}, "told must be a number of at least 0, not -1"),
        ("retail", {"reward": {"told": float("nan")}}, "told must be a number"),
        ("retail", {"reward": {"told": True}}, "told must be a number"),
    ],
)
def test_what_cannot_be_is_refused(domain: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make(domain, **options)
    with pytest.raises(ConfigError, match="code has no user"):
        Tau2UserEnv("code")
    with pytest.raises(ConfigError, match="unknown reset option 'task'"):
        make("retail").reset(options={"task": "1"})


@pytest.mark.parametrize("task", [[], {}, 5, ("1",), None])
def test_a_task_that_is_no_id_is_refused(task: Any) -> None:
    for env in (make("retail"), gym.make("tau2/retail-v0")):
        with pytest.raises(ConfigError, match="unknown task"):
            env.reset(options={"task_id": task})


# The parts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is #W1234567, for $1,200.50.", {"#w1234567", "$1200.50"}),
        ("mia_li_3668 and credit_card_4421486", {"mia_li_3668", "credit_card_4421486"}),
        ("Flight HAT030 on 2024-05-20, reservation ZFA04Y", {"hat030", "2024-05-20", "zfa04y"}),
        ("Call 555-123-2002 or write to a.b@example.com.", {"555-123-2002", "a.b@example.com"}),
        ("At 64 years I want 2.0 GB of DATA", set()),
    ],
)
def test_values_in_a_text(text: str, found: set[str]) -> None:
    assert values(text) == found


def seen(*texts: str) -> UserView:
    view = make_view()
    said = [
        Message("assistant" if number % 2 == 0 else "user", text)
        for number, text in enumerate(texts)
    ]
    return UserView(view.domain, view.task_id, view.scenario, view.tools, tuple(said))


def make_view() -> UserView:
    env = make("telecom", agent="workflow")
    env.reset(seed=0, options={"task_id": TASK})
    assert env._session is not None
    return env._session.user_view()


@pytest.mark.parametrize(
    ("heard", "said", "found"),
    [
        (("What is your phone number?",), "It's 555-123-2002.", (1, 0, 0)),
        (("How can I help?",), "I'm at 555-123-2002.", (0, 1, 0)),
        (("Is it 555-123-2002?",), "Yes, 555-123-2002.", (0, 0, 0)),
        (("What is your phone number?",), "It's 555-123-9999.", (0, 0, 1)),
        (("What is your phone number?", "555-123-2002", "And again?"), "555-123-2002", (0, 0, 0)),
        (("Your balance is $20.",), "Oh, $20!", (0, 0, 0)),
        (("Hm?",), "###STOP###", (0, 0, 0)),
        (("Can you verify who you are?",), "John Smith, 555-123-2002.", (2, 0, 0)),
        (("For your information: done.",), "It's 555-123-2002.", (0, 1, 0)),
    ],
)
def test_what_a_message_tells(heard: tuple[str, ...], said: str, found: tuple[int, ...]) -> None:
    assert tuple(counts(seen(*heard), Message("user", said)).values()) == found


@pytest.mark.parametrize(
    ("heard", "said", "official", "found"),
    [
        ("Done.", "Thanks! ###STOP###", 1.0, ["ending"]),
        ("Done.", "Thanks! ###STOP###", 0.0, ["early"]),
        ("Done.", "Thanks! ###STOP###", None, []),  # Only a judge can tell.
        ("You are being transferred to a human agent.", "###TRANSFER###", 1.0, ["ending"]),
        # It may have been asked for, and may be the agent's mistake.
        ("You are being transferred to a human agent.", "###TRANSFER###", 0.0, []),
        ("Done.", "###TRANSFER###", 1.0, ["early"]),
        ("Done.", "Thanks!", 1.0, []),
    ],
)
def test_how_a_conversation_ends(
    heard: str, said: str, official: float | None, found: list[str]
) -> None:
    assert [name for name, _ in ending(seen(heard), Message("user", said), official)] == found


def test_an_amount_of_nothing_turns_a_term_off() -> None:
    env = make("telecom", agent="workflow", reward={"told": 0, "ending": 0.5})
    assert env.reward == UserReward(told=0, ending=0.5)
    found = earned(env, scripted, TASK)
    assert (found["told"], found["ending"]) == (0.0, 0.5)


def test_who_the_user_is_is_paid_for_with_few_details() -> None:
    env = make("retail")
    for task in env.task_ids[:40]:
        env.reset(seed=0, options={"task_id": task})
        assert env._session is not None
        view = env._session.user_view()
        known = [value for each in memory(view.scenario).details for value in each.values]
        view = replace(view, messages=(Message("assistant", "Could you verify your identity?"),))
        found = counts(view, Message("user", ", ".join(known)))
        assert found["told"] == min(len(known), IDENTIFY)
        assert found["volunteered"] == 0
