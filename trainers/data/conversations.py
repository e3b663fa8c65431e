"""Conversations in rows, ours and those of others: by role and content, or with tools.

A row of others may have `tools`, calls in `tool_calls` and results of role `tool`, as OpenAI's chat form
has them. Such a row is made flat by the chat template of the model to be trained (`flat_rows`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tau2_gym.errors import ConfigError, DataError

if TYPE_CHECKING:
    from trainers.data.chat_template import FlatTemplate

ROLES = ("system", "user", "assistant", "tool")

Row = dict[str, Any]


def conversation(row: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The messages of a row up to the assistant's last one, the arguments of calls as objects.

    Args:
        row: has them in `messages`, or in `prompt` with an answer in `response`.
        where: the row, for people.

    Raises:
        DataError: there are none, or one is not a message.
    """
    given = row.get("messages") or row.get("prompt")
    if not isinstance(given, list) or not given:
        raise DataError(f"{where}, holds no 'messages'")
    messages = [_message(message, where) for message in given]
    response = row.get("response")
    if "messages" not in row and isinstance(response, str) and response.strip():
        messages.append({"role": "assistant", "content": response})
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if not messages:
        raise DataError(f"{where}, holds nothing that the assistant says")
    return messages


def tools(row: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The schemas of the tools that a row shows; none if it shows none.

    Raises:
        DataError: they are neither a list of schemas nor such a list in JSON.
    """
    given = _read(row.get("tools"))
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise DataError(f"{where}, holds 'tools' that are not a list of schemas")
    return given


def has_tools(row: Mapping[str, Any]) -> bool:
    """Whether a row is not flat: it shows tools, or has calls or results of tools as such."""
    return bool(row.get("tools")) or any(
        message["role"] == "tool" or "tool_calls" in message for message in row["messages"]
    )


def flat_rows(rows: Iterable[Row], template: FlatTemplate) -> list[Row]:
    """The rows with every conversation by role and content.

    Raises:
        ConfigError: the template shows tools so that no flat conversation looks the same.
    """
    from trainers.data.chat_template import UnfitError

    found = list[Row]()
    for number, row in enumerate(rows, start=1):
        if has_tools(row):
            try:
                flat = template.flatten(row["messages"], row.get("tools"))
            except UnfitError as error:
                raise ConfigError(f"row {number} cannot be trained on: {error}") from error
            row = {**row, "messages": flat}
            row.pop("tools", None)
        found.append(row)
    return found


def _message(message: Any, where: str) -> dict[str, Any]:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ROLES:
        raise DataError(
            f"{where}, holds a message of role {role!r}: the roles are {', '.join(ROLES)}"
        )
    content, calls = message.get("content"), message.get("tool_calls")
    if role == "assistant" and calls:
        if not isinstance(calls, list):
            raise DataError(f"{where}, holds 'tool_calls' that are not a list")
        content = "" if content is None else content
    if not isinstance(content, str) or (calls and role != "assistant"):
        raise DataError(f"{where}, holds a message that is not all text in 'content'")
    found: dict[str, Any] = {"role": role, "content": content}
    if calls:
        found["tool_calls"] = [_call(call, where) for call in calls]
    if role == "tool":
        names = ("name", "tool_call_id")
        found |= {name: message[name] for name in names if isinstance(message.get(name), str)}
    return found


def _call(call: Any, where: str) -> dict[str, Any]:
    """A call of a tool, whose arguments may have been an object or JSON."""
    function = call.get("function") or call if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    arguments = _read(function.get("arguments") or {}) if isinstance(function, dict) else None
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        raise DataError(
            f"{where}, holds a call without a name, or whose arguments are not a JSON object"
        )
    found: dict[str, Any] = {
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    return {"id": call["id"], **found} if isinstance(call.get("id"), str) else found


def _read(value: Any) -> Any:
    """A value that may be written as JSON. A text that is not JSON stays what it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError):
        return value


def without_none(value: Any) -> Any:
    """A row of a table without the empty fields that it has because other rows have something there."""
    if isinstance(value, dict):
        return {name: without_none(each) for name, each in value.items() if each is not None}
    return [without_none(each) for each in value] if isinstance(value, list) else value
