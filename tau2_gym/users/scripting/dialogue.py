"""The conversation as the user lived it: turns, each with what it was told, did and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tau2_gym.types import Message, ToolCall


@dataclass(frozen=True, slots=True)
class Deed:
    """A call of one of the user's tools, with its result."""

    call: ToolCall
    result: str
    error: bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the agent said (None before it said anything), and the user's answer to it."""

    told: str | None
    deeds: tuple[Deed, ...]
    said: str | None


def turns(messages: Sequence[Message]) -> tuple[Exchange, ...]:
    """The turns of a conversation, oldest first; the last one is the one to be answered.

    A turn starts with each text of the agent's. Calls without a result, of a conversation cut off in
    between, are left out.
    """
    found: list[Exchange] = []
    told: str | None = None
    calls: list[ToolCall] = []
    deeds: list[Deed] = []
    said: list[str] = []

    def close() -> None:
        found.append(Exchange(told, tuple(deeds), "\n".join(said) or None))

    for message in messages:
        content = message.content or ""
        if message.role == "assistant":
            if not message.has_text:
                continue
            if told is not None or said or deeds:
                close()
            told, calls, deeds, said = content, [], [], []
        elif message.role == "user":
            calls += message.tool_calls
            if message.has_text:
                said.append(content)
        elif calls:
            call = next((call for call in calls if call.id == message.call_id), calls[0])
            calls.remove(call)
            deeds.append(Deed(call, content, message.error))
    close()
    return tuple(found)
