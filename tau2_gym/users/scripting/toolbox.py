"""The user's own tools: which there are, what arguments they take, and calls written out by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any

from tau2_gym.types import ToolKind, ToolSpec

MARK = re.compile(r"§(\d+)§")
"""What stands in a text in place of a call written out by name."""

_JSON_NAMES = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A tool as a user knows it: its name, the names of its arguments, and whether it changes
    anything. There is one object for each tool (see `_tool`), so that comparing them is quick."""

    name: str
    arguments: tuple[str, ...]
    required: tuple[str, ...]
    changes: bool


@dataclass(frozen=True, slots=True)
class NamedCall:
    """A call that the agent wrote out. `arguments` is None where it gave none that can be read, and
    `raw` is what stood in the brackets."""

    name: str
    arguments: Mapping[str, Any] | None
    raw: str


@lru_cache(maxsize=256)
def _tool(name: str, arguments: tuple[str, ...], required: tuple[str, ...], kind: ToolKind) -> Tool:
    return Tool(name, arguments, required, kind is ToolKind.WRITE)


def toolbox(specs: Sequence[ToolSpec]) -> tuple[Tool, ...]:
    """The tools of a view, in a form that can be compared and hashed."""
    return tuple(
        _tool(
            spec.name,
            tuple(spec.parameters.get("properties", ())),
            tuple(spec.parameters.get("required", ())),
            spec.kind,
        )
        for spec in specs
    )


def cut_out_calls(text: str, tools: tuple[Tool, ...]) -> tuple[str, tuple[NamedCall, ...]]:
    """Replace every tool name in the text, with the brackets that follow it, by a mark.

    Done before the text is taken apart into sentences, since arguments hold full stops and commas.
    """
    calls: list[NamedCall] = []
    parts: list[str] = []
    end = 0
    text = text.replace("§", " ")
    by_name = {tool.name: tool for tool in tools}
    for match in _names(tuple(by_name)).finditer(text):
        if match.start() < end:
            continue
        close = _closing_bracket(text, match.end())
        raw = text[match.end() + 1 : close - 1] if close > match.end() else ""
        tool = by_name[match[0]]
        parts += [text[end : match.start()], f"§{len(calls)}§"]
        calls.append(NamedCall(tool.name, _arguments(raw, tool) if raw.strip() else None, raw))
        end = max(close, match.end())
    return "".join([*parts, text[end:]]), tuple(calls)


@lru_cache(maxsize=64)
def _names(names: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b" if names else r"(?!)")


def _closing_bracket(text: str, start: int) -> int:
    """The end of the bracket that opens at `start`; `start` itself where none opens or closes."""
    if text[start : start + 1] != "(":
        return start
    depth, quote = 0, ""
    for position in range(start, len(text)):
        character = text[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return position + 1
    return start


def _arguments(raw: str, tool: Tool) -> Mapping[str, Any] | None:
    """What stands in a call's brackets, as far as the tool takes it: `a=1`, `1` or `{"a": 1}`."""
    try:
        call = ast.parse(f"f({raw})", mode="eval").body
        if not isinstance(call, ast.Call):
            return None
        positional = [_literal(value) for value in call.args]
        named = {keyword.arg: _literal(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    if len(positional) == 1 and _are_arguments(positional[0], tool):
        named, positional = {**positional[0], **named}, []
    values = dict(zip(tool.arguments, positional, strict=False)) | named
    return {name: values[name] for name in tool.arguments if name in values}


def _are_arguments(value: object, tool: Tool) -> bool:
    return isinstance(value, dict) and bool(value) and set(value) <= set(tool.arguments)


def _literal(node: ast.expr) -> Any:
    """The value of a Python literal in which JSON's names are allowed too.

    Raises:
        ValueError: it is no literal, or nothing that JSON could hold.
    """
    if isinstance(node, ast.Name) and node.id in _JSON_NAMES:
        return _JSON_NAMES[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {
            str(_literal(key)): _literal(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    value = ast.literal_eval(node)
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("not a number that JSON could hold")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError("not a value that a tool takes")
