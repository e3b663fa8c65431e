"""Agents written as scripts: a generator that makes a move and is sent what came of it.

A script reads like the procedure it follows. To stay without hidden state it is never kept between
moves: `next_move` plays it again over the conversation each time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from agents.base import Action, AgentView


@dataclass(frozen=True, slots=True)
class Say:
    """Say something to the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Call one of the agent's tools."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


Move = Say | Call
T = TypeVar("T")
Script = Generator[Move, str, T]
"""Yields moves; is sent the user's words, or the result of the tool; ends with a T."""


@dataclass(frozen=True, slots=True)
class Words:
    """Chooses between ways to say the same thing."""

    rng: Random

    def pick(self, *choices: str) -> str:
        """One of the choices."""
        return self.rng.choice(choices)


def next_move(view: AgentView, seed: int, script: Callable[[str, Words], Script[None]]) -> Action:
    """The move that a script makes now.

    Args:
        view: what the agent sees.
        seed: decides the wording.
        script: makes a script from what the user has said so far. It must not end while the
            conversation goes on.

    Where the conversation holds moves that are not the script's own (the episode was forked from
    another agent's), it starts over from there.
    """
    words = Words(Random(f"{seed}:{len(view.messages)}"))
    heard, exchanges = _exchanges(view.messages)
    running = script(heard, words)
    move = next(running)
    for made, came, heard in exchanges:
        if _fits(move, made):
            move = running.send(came)
        else:
            running = script(heard, words)
            move = next(running)
    if isinstance(move, Say):
        return move.text
    call = json.dumps({"name": move.name, "arguments": dict(move.arguments)})
    return f"<tool_call>{call}</tool_call>"


def _exchanges(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[str, list[tuple[Mapping[str, Any], str, str]]]:
    """What the user opened with; then each move of the agent's, what came of it, and all that the
    user had said by then."""
    opening: str | None = None
    spoken: list[str] = []
    found: list[tuple[Mapping[str, Any], str, str]] = []
    made: Mapping[str, Any] | None = None
    for message in messages:
        if message["role"] == "assistant":
            made = message
            continue
        came = message.get("content") or ""
        if message["role"] == "user":
            spoken.append(came)
        if opening is None:
            opening = came
        elif made is not None:
            found.append((made, came, "\n".join(spoken)))
    return opening or "", found


def _fits(move: Move, made: Mapping[str, Any]) -> bool:
    """Whether a recorded move is one that the script makes here; the wording does not matter."""
    calls: Sequence[Mapping[str, Any]] = made.get("tool_calls") or ()
    if isinstance(move, Say):
        return not calls
    if len(calls) != 1:
        return False
    function = calls[0]["function"]
    return bool(
        function["name"] == move.name and _loaded(function["arguments"]) == dict(move.arguments)
    )


def _loaded(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:  # another agent's call with broken arguments: not a move of ours
        return None


def as_json(result: str) -> Any:
    """A tool's result as data; None for an error message."""
    try:
        return json.loads(result)
    except ValueError:
        return None
