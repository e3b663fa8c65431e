"""Turns of a conversation."""

from __future__ import annotations

from tau2_gym.types import Message, ToolCall
from tau2_gym.users.scripting.dialogue import Deed, Exchange, turns


def call(name: str, number: str) -> ToolCall:
    return ToolCall(name, {}, number, "user")


def result(text: str, number: str) -> Message:
    return Message("tool", text, call_id=number, requestor="user")


def test_turns() -> None:
    a, b = call("a", "1"), call("b", "2")
    found = turns(
        [
            Message("assistant", "Hi!"),
            Message("user", "Hello."),
            Message("assistant", "Do a and b."),
            Message("user", tool_calls=(a, b)),
            result("B", "2"),
            result("A", "1"),
        ]
    )
    assert found == (
        Exchange("Hi!", (), "Hello."),
        Exchange("Do a and b.", (Deed(b, "B", False), Deed(a, "A", False)), None),
    )


def test_the_user_may_speak_first() -> None:
    assert turns([]) == (Exchange(None, (), None),)
    assert turns([Message("user", "Hm."), Message("assistant", "Yes?")]) == (
        Exchange(None, (), "Hm."),
        Exchange("Yes?", (), None),
    )


def test_what_has_no_counterpart_is_left_out() -> None:
    messages = [
        Message("assistant", "Go."),
        result("of nothing", "9"),
        Message("user", tool_calls=(call("a", "1"),)),
        Message("assistant", " "),
    ]
    assert turns(messages) == (Exchange("Go.", (), None),)
