"""From what an agent writes to a `Message`, and back.

Accepted: plain text; one or several `<tool_call>{…}</tool_call>` blocks (Hermes, Qwen), alone or
with text around them; a bare JSON call `{"name": …, "arguments": {…}}` or a list of such; a
function call `f(key=value)` where `f` is a tool; an OpenAI assistant message as a dict. Text that
merely looks odd is text. An unreadable tool call is never spoken to the user: it becomes a call of
`INVALID_CALL`, whose result tells the agent what was wrong. The other calls are made. A message of
more than `MAX_CHARACTERS`, not counting reasoning, is unreadable, too. So is, in a domain without a user, a call of a
function that is not a tool: there is nobody to say it to, and what it holds is no answer.
"""

from __future__ import annotations

import ast
import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tau2_gym.errors import one_of
from tau2_gym.types import INVALID_CALL, Message, ToolCall
from tau2_gym.users.base import STOP

Action = str | Mapping[str, Any]
"""What an environment's `step` takes: text in any accepted form, or an OpenAI assistant message."""

Call = tuple[str, dict[str, Any]]

BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
THINKING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
# Something in brackets after a name, or the beginning of it: generation may have been cut off.
FUNCTION = re.compile(r"\A([A-Za-z_]\w*+)\s*+\(\s*+(?:.*\)\Z|\w++\s*+=|\Z)", re.DOTALL)

EXPECTED = 'write <tool_call>{"name": "...", "arguments": {...}}</tool_call>'

MAX_CHARACTERS = 2**15
"""What an agent may write in one message. The longest of GPT-5's messages in telecom has 9,892
characters."""

MAX_JOINED = 2**23
"""Characters of a message given in parts, reasoning included. A single text may have any number."""

DONE, RESPOND = "done", "respond"
"""Pseudo-tools of agents that may end the episode: stop it, and say something."""

DONE_SCHEMA = {
    "type": "function",
    "function": {
        "name": DONE,
        "description": "Call this function when you are done with the task.",
        "parameters": {"properties": {}, "title": "parameters", "type": "object"},
    },
}
"""The tool by which a solo agent ends the episode, as tau2-bench presents it."""


MAX_NAME = 64
"""Characters of a name that are compared with the names of tools."""


class MalformedAction(ValueError):
    """The action looks like a tool call but cannot be read as one. The text says why."""


def parse_action(
    action: Action,
    tools: Collection[str],
    turn: int = 0,
    *,
    agent_stop: bool = False,
    solo: bool = False,
    answered: bool = False,
) -> Message:
    """The agent's message that an action stands for. Never raises on bad content.

    Args:
        action: what the agent wrote.
        tools: names that count as tools in the form `f(key=value)`.
        turn: number of the agent's turn, from which call ids are made: `call_<turn>_<index>`.
        agent_stop: understand the pseudo-tools `done()` and `respond(content=…)`.
        solo: understand `done()`.
        answered: the domain has no user, and reads text for an answer.

    Raises:
        TypeError: the action is neither a string nor a mapping.
        ConfigError: the mapping is a message of another role.
    """
    check_action(action)
    pseudo = (DONE, RESPOND) if agent_stop else (DONE,) if solo else ()
    try:
        if isinstance(action, str):
            message = _from_text(action, [*tools, *pseudo] if pseudo else tools, turn, answered)
        else:
            message = _from_chat(action, tools, turn, answered)
        if not (message.has_text or message.is_tool_call):
            raise MalformedAction("the message is empty")
    except MalformedAction as error:
        return _message(None, [_unreadable(action, error)], turn)
    return _without_pseudo_tools(message, pseudo) if pseudo else message


def check_action(action: Any) -> None:
    """Check that something has the type of an action and is not a message of another role.

    Raises:
        TypeError, ConfigError: as `parse_action`.
    """
    if isinstance(action, str):
        return
    if not isinstance(action, Mapping):
        raise TypeError(
            f"an action is a string or an OpenAI assistant message, not {type(action).__name__}"
        )
    role = action.get("role", "assistant")
    if not isinstance(role, str) or role != "assistant":
        told = role[:40] if isinstance(role, str) else type(role).__name__
        raise one_of("role of an action", told, ["assistant"])


def is_empty(action: Action) -> bool:
    """Whether an action says and does nothing at all."""
    if isinstance(action, str):
        return not action.strip()
    content = action.get("content")
    return _is_nothing(content.strip() if isinstance(content, str) else content) and _is_nothing(
        action.get("tool_calls")
    )


def _is_nothing(value: Any) -> bool:
    """Whether a value is empty. NumPy arrays have no truth value."""
    return value.size == 0 if isinstance(value, np.ndarray) else not value


def is_malformed(message: Message) -> bool:
    """Whether a message stands for an unreadable action."""
    return any(call.name == INVALID_CALL for call in message.tool_calls)


def format_action(message: Message) -> str:
    """The message as text in Hermes notation, which `parse_action` reads back."""
    parts = [message.content] if message.has_text and message.content else []
    for call in message.tool_calls:
        # JSON may write "/" with a backslash: no argument can close the block early.
        body = json.dumps({"name": call.name, "arguments": call.arguments}).replace("</", "<\\/")
        parts.append(f"<tool_call>\n{body}\n</tool_call>")
    return "\n".join(parts)


def _from_text(text: str, tools: Collection[str], turn: int, answered: bool) -> Message:
    spoken = THINKING.sub("", text, count=1)
    if spoken.lstrip().startswith("<think>"):
        raise MalformedAction("<think> is not closed")
    _check_size(spoken)
    stripped = spoken.strip()
    # First, since its arguments may hold anything, even a <tool_call>.
    match = FUNCTION.match(stripped)
    if match is not None and match[1] in tools:
        return _message(None, [(match[1], _keywords(stripped))], turn)
    if answered and match is not None and _is_meant_as_call(match[1], stripped, tools):
        raise MalformedAction(
            f"there is no tool {match[1][:40]!r}, only {', '.join(sorted(tools))}"
        )
    if "<tool_call>" in stripped:
        calls = _each(BLOCK.findall(stripped), _load_call)
        around = BLOCK.sub("", stripped).strip()
        return _message(around or None, calls, turn)
    if stripped.startswith("</tool_call>") or stripped.endswith("</tool_call>"):
        raise MalformedAction("</tool_call> without <tool_call>")
    if stripped[:1] in ("{", "["):
        bare = _bare_calls(stripped)
        if bare is not None:
            return _message(None, bare, turn)
    return Message("assistant", spoken if spoken == text else stripped)


def _is_meant_as_call(name: str, text: str, tools: Collection[str]) -> bool:
    """Whether a text that begins like a call of a function that is not a tool is meant as a call: its name
    is almost that of a tool, or it is one from beginning to end."""
    if difflib.get_close_matches(name[:MAX_NAME], tools, n=1, cutoff=0.8):
        return True
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def _each(items: Sequence[Any], read: Callable[[Any], Call]) -> list[Call]:
    """Read the calls of a message, each by itself.

    Raises:
        MalformedAction: there is only one, and it cannot be read.
    """
    calls = []
    for item in items:
        try:
            calls.append(read(item))
        except MalformedAction as error:
            if len(items) == 1:
                raise
            calls.append(_unreadable(item, error))
    return calls


def _unreadable(raw: Any, error: MalformedAction) -> Call:
    """The call that stands for an unreadable one."""
    reason = f"unreadable action: {error}; to call a tool, {EXPECTED}"
    try:
        _check_size(raw)
        text = raw if isinstance(raw, str) else _shown(raw)
    except MalformedAction:
        text = raw[:SHOWN] + "…" if isinstance(raw, str) else f"a long {type(raw).__name__}"
    return INVALID_CALL, {"text": text, "reason": reason}


SHOWN = 1000
"""How many characters are kept of a message that is too long."""


def _check_size(*values: Any) -> None:
    """Count the characters of texts and numbers, and the members of lists and objects. Stops early, so that it takes no longer for a larger value, nor for one that contains itself.

    Raises:
        MalformedAction: there are too many.
    """
    left, waiting = MAX_CHARACTERS, list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            left -= len(value)
        elif isinstance(value, int):
            left -= value.bit_length() // 4
        elif isinstance(value, np.ndarray):
            left -= value.size
            if left >= 0:
                waiting.append(value.tolist())
        elif isinstance(value, Mapping | list | tuple):
            left -= len(value)
            if left >= 0:
                waiting.extend(value)
                waiting.extend(value.values() if isinstance(value, Mapping) else ())
        if left < 0:
            raise _too_long(MAX_CHARACTERS)


def _too_long(most: int) -> MalformedAction:
    return MalformedAction(f"a message may have {most} characters, and this has more")


def _message(content: str | None, calls: list[Call], turn: int) -> Message:
    return Message(
        "assistant",
        content,
        tuple(
            ToolCall(name, arguments, f"call_{turn}_{index}")
            for index, (name, arguments) in enumerate(calls)
        ),
    )


def _load_call(text: str) -> Call:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedAction(f"the tool call is not valid JSON ({error})") from error
    return _call(data)


def _call(data: Any) -> Call:
    """Name and arguments of one call. Anything else in the JSON, such as a requestor, is
    ignored."""
    if not isinstance(data, Mapping):
        raise MalformedAction("a tool call must be a JSON object")
    if isinstance(data.get("function"), Mapping):
        data = data["function"]
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise MalformedAction('a tool call needs a "name"')
    arguments = _listed(data.get("arguments"))
    if isinstance(arguments, str) and arguments.strip():
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise MalformedAction(f"the arguments are not valid JSON ({error})") from error
    if not arguments and not isinstance(arguments, bool | int | float):
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise MalformedAction('"arguments" must be a JSON object')
    return name, _plain(arguments)


MAX_DEPTH, MAX_BITS = 64, 10_000


def _plain(value: Any, depth: int = 0) -> Any:
    """A private copy of a JSON value. Refuses what JSON cannot express, and what no database row
    can hold: lone surrogates, numbers of thousands of digits, endless nesting."""
    if depth > MAX_DEPTH:
        raise MalformedAction("the arguments are nested too deeply")
    value = _listed(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise MalformedAction(f"the arguments hold a broken character ({error})") from error
        return value
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise MalformedAction("the arguments hold too large a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise MalformedAction(f"the arguments hold {value}, a number that JSON does not have")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {_plain(key): _plain(item, depth + 1) for key, item in value.items()}
    raise MalformedAction("the arguments hold something that is not JSON")


def _listed(value: Any) -> Any:
    """NumPy's arrays and numbers as Python's, which take five times the memory."""
    if isinstance(value, np.ndarray) and value.size > MAX_CHARACTERS:
        raise _too_long(MAX_CHARACTERS)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _shown(action: Any) -> str:
    try:
        # Say only the type of what is not JSON: its text can be longer than any message.
        return json.dumps(action, default=lambda value: f"a {type(value).__name__}")
    except (TypeError, ValueError, RecursionError):
        return f"a {type(action).__name__} that is not JSON"


def _looks_like_call(data: Any) -> bool:
    if not isinstance(data, Mapping):
        return False
    if data.get("type") == "function" and isinstance(data.get("function"), Mapping):
        return True
    return "name" in data and "arguments" in data


def _bare_calls(text: str) -> list[Call] | None:
    """The calls of a text that is JSON and looks like calls; None if it is just text."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        if '"name"' in text and '"arguments"' in text:
            raise MalformedAction(f"the tool call is not valid JSON ({error})") from error
        return None
    if _looks_like_call(data):
        return [_call(data)]
    if isinstance(data, list) and data and all(_looks_like_call(item) for item in data):
        return _each(data, _call)
    return None


def _keywords(text: str) -> dict[str, Any]:
    """The keyword arguments of `f(key=value)`, values being Python literals or JSON's. A name that
    is neither is taken as an unquoted string."""
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise MalformedAction("the function call cannot be parsed") from error
    if not isinstance(node, ast.Call) or node.args or any(kw.arg is None for kw in node.keywords):
        raise MalformedAction("a function call takes keyword arguments only")
    arguments = {str(keyword.arg): _literal(keyword.value) for keyword in node.keywords}
    return {name: _plain(value) for name, value in arguments.items()}


JSON_NAMES = {"true": True, "false": False, "null": None}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return JSON_NAMES.get(node.id, node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_literal(key) for key in node.keys if key is not None]
        if not all(isinstance(key, str) for key in keys):
            raise MalformedAction("the arguments hold something that is not JSON")
        return dict(zip(keys, map(_literal, node.values), strict=True))
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise MalformedAction("arguments of a function call must be literals") from error
    if value is not None and not isinstance(value, str | bool | int | float):
        raise MalformedAction("arguments of a function call must be what JSON can express")
    return value


def _from_chat(
    data: Mapping[str, Any], tools: Collection[str], turn: int, answered: bool
) -> Message:
    """An OpenAI assistant message; content given in parts is joined. A message without calls is
    read like a text: servers that do not support function calling leave calls in the content."""
    content = _listed(data.get("content"))
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        texts = [part for part in parts if isinstance(part, str)]
        if sum(map(len, texts)) > MAX_JOINED:
            raise _too_long(MAX_JOINED)
        content = "".join(texts)
    if content is not None and not isinstance(content, str):
        raise MalformedAction("the content must be text")
    calls = _listed(data.get("tool_calls")) or ()
    if not isinstance(calls, list | tuple):
        raise MalformedAction("tool_calls must be a list")
    if not calls and content:
        return _from_text(content, tools, turn, answered)
    _check_size(content, calls)
    parsed = _message(content, _each(calls, _call), turn)
    ids = [call.get("id") if isinstance(call, Mapping) else None for call in calls]
    return Message(
        "assistant",
        parsed.content,
        tuple(
            ToolCall(
                call.name, call.arguments, given if isinstance(given, str) and given else call.id
            )
            for call, given in zip(parsed.tool_calls, ids, strict=True)
        ),
    )


def _without_pseudo_tools(message: Message, pseudo: Collection[str]) -> Message:
    """`done` becomes the stop token and `respond` plain text; other calls next to them are dropped,
    since the episode ends or the user is spoken to."""
    for call in message.tool_calls:
        if call.name == DONE:
            return Message("assistant", STOP)
        if call.name == RESPOND in pseudo and isinstance(call.arguments.get("content"), str):
            text = call.arguments["content"]
            if text.strip():
                return Message("assistant", text)
    return message


def as_assistant(message: Message) -> dict[str, Any]:
    """A message in OpenAI chat form, as the words and calls of the model that reads the conversation."""
    chat: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.tool_calls:
        chat["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return chat
