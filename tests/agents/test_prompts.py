"""The system prompts: tau2-bench's layout, and a short one that leaves nothing important out."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from agents import prompts
from agents.base import AgentView
from agents.prompts import SOLO_INSTRUCTION, compact, make_prompt, official, shows_tools
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError


def view(name: str, *, ticket: str | None = None) -> AgentView:
    domain = get_domain(name)
    policy = domain.policy if ticket is None else domain.policy_solo or ""
    tools = [tool.schema for tool in domain.agent_tools.values()]
    return AgentView(name, policy, tools, [], ticket=ticket)


@pytest.mark.parametrize("name", DOMAINS)
def test_official_is_instruction_and_policy(name: str) -> None:
    domain = get_domain(name)
    assert official(view(name)) == (
        f"<instructions>\n{domain.agent_instruction}\n</instructions>\n"
        f"<policy>\n{domain.policy}\n</policy>"
    )


@pytest.mark.parametrize("name", ["telecom", "mock"])
@pytest.mark.parametrize("prompt", ["official", "compact"])
def test_solo_has_the_ticket_and_speaks_of_no_user_to_talk_to(name: str, prompt: str) -> None:
    text = make_prompt(prompt)(view(name, ticket="The phone is dead."))
    assert text.startswith(f"<instructions>\n{SOLO_INSTRUCTION}\n</instructions>\n<policy>\n")
    assert text.endswith("\n</policy>\n<ticket>\nThe phone is dead.\n</ticket>")


@pytest.mark.parametrize("name", DOMAINS)
def test_bare_is_a_line_and_the_only_one_without_tools(name: str) -> None:
    bare = make_prompt("bare")(view(name))
    assert bare == f"You are a customer service agent. Domain: {name}."
    assert [shows_tools(prompt) for prompt in ("bare", "compact", "official")] == [
        *(False, True, True)
    ]


def test_bare_speaks_of_no_customers_where_there_are_none() -> None:
    for name in ("code", "code:generated:seed=3,count=20,test=5", "code_session"):
        plain = name.partition(":")[0]
        assert make_prompt("bare")(view(name)) == f"You solve problems. Domain: {plain}."


@pytest.mark.parametrize("prompt", ["official", "compact"])
def test_the_instruction_is_that_of_the_source(
    prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def other(name: str, source: str) -> object:
        asked.append((name, source))
        return SimpleNamespace(agent_instruction="Be kind.", agent_tools={}, user_tools={})

    monkeypatch.setattr(prompts, "get_domain", other)
    said = make_prompt(prompt, "elsewhere")(AgentView("retail", "P", [], []))
    assert said.startswith("<instructions>\nBe kind.\n</instructions>\n<policy>\n")
    assert set(asked) == {("retail", "elsewhere")}
    asked.clear()
    make_prompt(prompt)(AgentView("retail", "P", [], []))
    {"official": official, "compact": compact}[prompt](AgentView("retail", "P", [], []))
    assert set(asked) == {("retail", "inspect-evals")}


@pytest.mark.parametrize("name", ["airline", "retail", "telecom"])
def test_compact_is_short(name: str) -> None:
    assert len(compact(view(name))) < len(official(view(name))) / 1.5


def test_compact_says_whose_tools_are_whose() -> None:
    domain = get_domain("telecom")
    text = compact(view("telecom"))
    mine, users = (text.partition(f"- {who}")[2].partition("\n")[0] for who in ("Yours", "The cus"))
    for tool in domain.agent_tools:
        assert re.search(rf"\b{tool}\b", mine)
        assert not re.search(rf"\b{tool}\b", users)
    for tool in domain.user_tools:
        assert re.search(rf"\b{tool}\b", users)
        assert not re.search(rf"\b{tool}\b", mine)
    alone = compact(view("telecom", ticket="The phone is dead."))
    assert "You can call all of them" in alone
    assert "You cannot call these" not in alone


@pytest.mark.parametrize("name", DOMAINS)
def test_compact_names_only_tools_that_exist(name: str) -> None:
    domain = get_domain(name)
    known = {*domain.agent_tools, *domain.user_tools}
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", compact(view(name))))
    assert named - known <= {"tool_call"}


@pytest.mark.parametrize("name", ["airline", "retail", "telecom"])
def test_compact_keeps_every_amount_of_the_policy(name: str) -> None:
    numbers = re.compile(r"\$?\d+ ?GB|\$\d+|\d+(?: dollars| hrs)|\d to \d business days")
    text = compact(view(name)).replace("$50. Add", "50 dollars").replace("$30 per", "30 dollars")
    text = text.replace("24 hours;", "24 hrs").replace(" GB", "GB")
    for amount in set(numbers.findall(get_domain(name).policy)):
        assert amount in text


def test_unknown_prompt() -> None:
    with pytest.raises(
        ConfigError, match="unknown prompt 'short'; allowed: bare, compact, official"
    ):
        make_prompt("short")
