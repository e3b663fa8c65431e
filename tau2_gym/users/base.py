"""Who answers the agent: the `User` protocol and what a user sees.

A user is a function of its view of the episode and a seed. It keeps no state between calls, so a
forked, resumed or replayed episode needs only its messages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tau2_gym.errors import UserFault
from tau2_gym.types import Message, Scenario, ToolCall, ToolSpec

LONGEST = 100_000
"""Characters of a user's text, as many as a tool result may have."""

STOP = "###STOP###"
TRANSFER = "###TRANSFER###"
OUT_OF_SCOPE = "###OUT-OF-SCOPE###"
STOP_TOKENS = (STOP, TRANSFER, OUT_OF_SCOPE)


@dataclass(frozen=True, slots=True)
class UserView:
    """What the user sees: its scenario, its own tools, and the messages that reached it.

    `messages` holds the agent's texts (role assistant), the user's own messages (role user, text
    or tool calls) and the results of the user's own calls (role tool), oldest first. The agent's
    tool calls and their results are not in it.
    """

    domain: str
    task_id: str
    scenario: Scenario
    tools: tuple[ToolSpec, ...]
    messages: tuple[Message, ...]


@runtime_checkable
class User(Protocol):
    """A simulated user, called in turn."""

    def respond(self, view: UserView, seed: int) -> Message:
        """The user's next message, `role="user"`: text, or calls of its own tools (requestor user).

        The same view and seed give the same message.

        Raises:
            UserFault: no usable message could be produced.
        """
        ...


@runtime_checkable
class AsyncUser(Protocol):
    """A simulated user that waits for something, a model server for example."""

    async def arespond(self, view: UserView, seed: int) -> Message:
        """As `User.respond`."""
        ...


def check_answer(answer: Any, *, empty: bool = False) -> None:
    """Check that what a user answered is a message of a user.

    Args:
        answer: what it answered.
        empty: whether a message may say and do nothing.

    Raises:
        UserFault: it is not.
    """
    if not isinstance(answer, Message):
        raise UserFault(f"the user answered with a {type(answer).__name__}, not a Message")
    if answer.role != "user":
        raise UserFault(f"the user answered with a message of role {answer.role!r}, not 'user'")
    if not isinstance(answer.content, str | None):
        raise UserFault(f"the user's text is a {type(answer.content).__name__}")
    if answer.content is not None and len(answer.content) > LONGEST:
        raise UserFault(
            f"the user's text has {len(answer.content)} characters, and may have {LONGEST}"
        )
    if not (empty or answer.has_text or answer.is_tool_call):
        raise UserFault("the user's message is empty")
    for call in answer.tool_calls:
        try:
            if not isinstance(call, ToolCall):
                raise TypeError(f"it is a {type(call).__name__}")
            json.dumps([call.name, call.arguments, call.id])
        except (TypeError, ValueError, RecursionError) as error:
            raise UserFault(f"the user made a call that is not JSON: {error}") from error
