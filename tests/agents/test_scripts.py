"""Scripts: procedures that are replayed for every move."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.base import AgentView
from agents.scripts import Call, Say, Script, Words, as_json, next_move


def script(heard: str, words: Words) -> Script[None]:
    name = yield Say(words.pick("Who?", "Your name?", "Name, please?"))
    found = yield Call("find", {"name": name})
    while True:
        yield Say(f"{heard} {found}")


def view(*messages: dict[str, Any]) -> AgentView:
    return AgentView("telecom", "", [], list(messages))


GREETING = {"role": "assistant", "content": "Hi!"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def called(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "c", "content": text}


TALK = [
    GREETING, user("Help!"), said("Who?"), user("Ann"),
    called("find", '{"name": "Ann"}'), result("found"), said("Help! found"), user("Yes."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("length", "move"),
    [
        (4, '<tool_call>{"name": "find", "arguments": {"name": "Ann"}}</tool_call>'),
        (6, "Help! found"),
        (8, "Help! found"),
    ],
)
def test_a_script_goes_on_where_the_conversation_is(length: int, move: str) -> None:
    assert next_move(view(*TALK[:length]), 0, script) == move


def test_wording_follows_the_seed_and_does_not_matter_afterwards() -> None:
    openings = {next_move(view(*TALK[:2]), seed, script) for seed in range(20)}
    assert openings == {"Who?", "Your name?", "Name, please?"}
    for opening in openings:
        talk = [GREETING, user("Help!"), said(str(opening)), user("Ann")]
        assert "find" in str(next_move(view(*talk), 5, script))


@pytest.mark.parametrize(
    "foreign",
    [
        (called("other", "{}"), result("x")),
        (called("find", '{"name": "Bob"}'), result("x")),
        (called("find", "broken"), result("x")),
    ],
)
def test_after_another_agents_moves_it_starts_over(foreign: tuple[dict[str, Any], ...]) -> None:
    talk = [*TALK[:4], *foreign]
    assert next_move(view(*talk), 0, script) in ("Who?", "Your name?", "Name, please?")
    talk += [said("Who?"), user("Cy"), called("find", json.dumps({"name": "Cy"})), result("ok")]
    assert next_move(view(*talk), 0, script) == "Help!\nAnn ok"


def test_a_conversation_without_a_greeting() -> None:
    assert next_move(view(user("Help!"), said("Who?"), user("Ann")), 0, script) == (
        '<tool_call>{"name": "find", "arguments": {"name": "Ann"}}</tool_call>'
    )


def test_as_json() -> None:
    assert as_json('{"a": 1}') == {"a": 1}
    assert as_json("Error: no") is None
