"""A conversation for people: coloured text through rich."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from io import StringIO

from tau2_gym.types import Message

STYLES = {"assistant": "cyan", "user": "green", "tool": "yellow"}

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys or cannot show: control characters except tabs and line ends, lone
surrogates, and characters that change the direction of writing."""


def harmless(text: str) -> str:
    """The text with escapes in place of what a terminal would obey or cannot show."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def to_text(messages: Sequence[Message], *, colour: bool = True, width: int = 100) -> str:
    """The messages as lines of text, with ANSI colours unless told otherwise.

    The user's tool calls and their results are shown indented: the agent does not see them. All
    text goes through `harmless`.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    buffer = StringIO()
    console = Console(
        file=buffer,
        force_terminal=colour,
        color_system="standard" if colour else None,
        width=width,
        legacy_windows=False,
    )
    for message in messages:
        style = STYLES[message.role]
        hidden = (message.role == "user" and message.is_tool_call) or message.requestor == "user"
        name = {"assistant": "agent", "tool": "result"}.get(message.role, message.role)
        lines = [message.content] if message.content else []
        lines += [
            f"→ {call.name}({', '.join(f'{k}={json.dumps(v)}' for k, v in call.arguments.items())})"
            for call in message.tool_calls
        ]
        text = Text(f"{name}: ", style=f"bold {style}")
        text.append(harmless("\n".join(lines)), style="red" if message.error else style)
        console.print(Padding(text, (0, 0, 0, 4 if hidden else 0), expand=False))
    return buffer.getvalue()
