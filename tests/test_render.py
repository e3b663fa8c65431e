from __future__ import annotations

import re

import pytest

from tau2_gym.render import harmless, to_text
from tau2_gym.types import Message, ToolCall

TALK = (
    Message("assistant", "Good [bold]day[/bold]!"),
    Message("user", "Hello\nthere"),
    Message("assistant", "Wait.", (ToolCall("find", {"name": "Ann", "old": True}),)),
    Message("tool", "Error: not found", error=True),
    Message("user", None, (ToolCall("look", {}, "c", "user"),)),
    Message("tool", "dark", requestor="user"),
)

TEXT = """\
agent: Good [bold]day[/bold]!
user: Hello
there
agent: Wait.
→ find(name="Ann", old=true)
result: Error: not found
    user: → look()
    result: dark
"""


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_who_said_what_and_the_users_own_calls_indented() -> None:
    assert lines(to_text(TALK, colour=False)) == TEXT.splitlines()


def test_colours_are_added_and_nothing_else() -> None:
    coloured = to_text(TALK)
    assert coloured.count("\x1b[") > 10
    assert lines(re.sub(r"\x1b\[[0-9;]*m", "", coloured)) == TEXT.splitlines()


def test_an_error_is_red() -> None:
    error = to_text([TALK[3]])
    fine = to_text([Message("tool", "found")])
    assert "31m" in error
    assert "31m" not in fine


@pytest.mark.parametrize("width", [20, 60])
def test_long_lines_are_wrapped(width: int) -> None:
    text = to_text([Message("user", "word " * 50)], colour=False, width=width)
    assert max(map(len, lines(text))) <= width
    assert text.count("word") == 50


def test_nothing_said_is_nothing_shown() -> None:
    assert to_text([]) == ""


@pytest.mark.parametrize("colour", [True, False])
def test_halves_of_characters_are_shown_as_escapes(colour: bool) -> None:
    half = "\ud800"
    talk = [
        Message("assistant", f"good {half} day"),
        Message("assistant", None, (ToolCall(half, {half: half}),)),
        Message("tool", half, error=True),
    ]
    text = to_text(talk, colour=colour)
    assert text.encode().count(b"\\ud800") == 5


OBEYED = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *"\ud800\udfff\u202e\u2066"]
COMMANDS = ["\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\r", "\b\b", "\u202e"]


def test_what_a_terminal_obeys_is_shown_as_escapes() -> None:
    for sign in OBEYED:
        assert (sign in harmless(f"a{sign}b")) == (sign in "\t\n"), ascii(sign)
    text = "naïve 漢字 \u00a0 👩\u200d💻 — \n\t"
    assert harmless(text) == text


@pytest.mark.parametrize("command", COMMANDS, ids=ascii)
def test_nobody_commands_the_terminal(command: str) -> None:
    talk = [
        Message("assistant", f"good {command} day"),
        Message("user", command),
        Message("assistant", None, (ToolCall(command, {command: command}),)),
        Message("tool", command, error=True),
    ]
    assert command not in to_text(talk, colour=False)
