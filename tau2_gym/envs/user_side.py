"""The user's side of an episode, for whoever plays the user: what it sees, and what its actions mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tau2_gym.actions import Action, parse_action
from tau2_gym.frozen import FrozenList, frozen
from tau2_gym.session import Session
from tau2_gym.types import Message
from tau2_gym.users.base import UserView
from tau2_gym.users.llm import turned_round


def as_user(message: Message) -> Message:
    """A message that was read like an agent's, as the user's."""
    calls = tuple(replace(call, requestor="user") for call in message.tool_calls)
    return Message("user", message.content, calls)


def read_action(action: Action, view: UserView) -> Message:
    """The user's message that an action stands for, in the notations that an agent's has. What looks like a call
    and cannot be read is one of a tool that does not exist, so that whoever wrote it is told what was wrong.

    Raises:
        TypeError: the action is neither text nor a mapping.
        ConfigError: the mapping is a message of another role.
    """
    return as_user(parse_action(action, [tool.name for tool in view.tools], len(view.messages)))


def arrived(messages: Sequence[Message]) -> str:
    """The text of what reached the user: the agent's texts and the results of its own calls."""
    return "\n".join(
        message.content or ""
        for message in messages
        if (message.role == "assistant" and not message.is_tool_call)
        or (message.role == "tool" and message.requestor == "user")
    )


def user_info(session: Session) -> dict[str, Any]:
    """What the user knows, as an `info`.

    - `scenario`: who it is and what it wants;
    - `tools`: OpenAI function schemas of its tools;
    - `messages`: the conversation in OpenAI chat form with the roles swapped, so that the user is the `assistant`;
      the agent's tool calls are not in it;
    - `domain`, `task_id`, `revision`, `termination`, `steps`: as in an agent's `info`.
    """
    view, episode = session.user_view(), session.episode
    return {
        "scenario": view.scenario.text,
        "tools": frozen([tool.schema for tool in view.tools]),
        "messages": FrozenList(frozen(turned_round(message)) for message in view.messages),
        "domain": view.domain,
        "task_id": view.task_id,
        "revision": episode.domain.revision,
        "termination": None if episode.termination is None else episode.termination.value,
        "steps": episode.steps,
    }
