"""Python functions from tool schemas, for libraries that read schemas off signatures and docstrings."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping
from typing import Any, Literal, Optional

from tau2_gym.errors import ConfigError
from tau2_gym.types import ToolSpec

TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "object": dict[str, Any],
    "null": type(None),
}


def annotation(schema: Any, definitions: Mapping[str, Any] | None = None) -> Any:
    """The Python type that a JSON schema describes; `Any` where there is none, as of a schema that holds itself."""
    known = dict(definitions or {})
    if not isinstance(schema, Mapping):  # `true` is a schema, too.
        return Any
    if "$ref" in schema:
        # Taken out, so that a schema that refers to itself ends.
        return annotation(known.pop(schema["$ref"].rpartition("/")[2], {}), known)
    if isinstance(kinds := schema.get("type"), list):
        return annotation({"anyOf": [{**schema, "type": kind} for kind in kinds]}, known)
    if "anyOf" in schema:
        options = [annotation(option, known) for option in schema["anyOf"]]
        real = [option for option in options if option is not type(None)]
        one = real[0] if len(real) == 1 else Any
        return Optional[one] if len(real) < len(options) and one is not Any else one  # noqa: UP045
    if schema.get("enum"):
        return Literal[tuple(schema["enum"])]
    if schema.get("type") == "array":
        return list[annotation(schema.get("items", {}), known)]  # type: ignore[misc]
    return TYPES.get(schema.get("type", ""), Any)


def method(tool: ToolSpec, call: Callable[[Any, str, dict[str, Any]], str]) -> Callable[..., str]:
    """A method with a tool's name, signature and description.

    Args:
        tool: the tool.
        call: what the method does, from the object, the tool's name and the arguments.

    Raises:
        ConfigError: a parameter has a name that no parameter in Python can have.
    """
    parameters = tool.parameters
    required, definitions = set(parameters.get("required", ())), parameters.get("$defs", {})
    described = parameters.get("properties", {})
    for name in described:
        if name == "self" or not name.isidentifier() or keyword.iskeyword(name):
            raise ConfigError(
                f"tool {tool.name!r} has a parameter {name!r}, which no method in Python can have"
            )
    types = {name: annotation(schema, definitions) for name, schema in described.items()}
    order = sorted(described, key=lambda name: name not in required)

    def run(self: Any, *values: Any, **arguments: Any) -> str:
        if len(values) > len(order):
            raise TypeError(
                f"{tool.name} takes {len(order)} arguments, and {len(values)} were given"
            )
        return call(self, tool.name, {**dict(zip(order, values, strict=False)), **arguments})

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [
        inspect.Parameter(
            name,
            kind,
            annotation=types[name],
            default=inspect.Parameter.empty if name in required else _default(described[name]),
        )
        for name in order
    ]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", kind), *given], return_annotation=str
    )
    run.__annotations__ = {**{name: types[name] for name in order}, "return": str}
    run.__name__ = tool.name
    run.__qualname__ = tool.name
    run.__doc__ = _docstring(tool, order)
    return run


def _docstring(tool: ToolSpec, order: list[str]) -> str:
    """The tool's description in Google's form, which has each text in one paragraph."""
    described = tool.parameters.get("properties", {})
    lines = [_line(tool.schema["function"]["description"]) or tool.name]
    if order:
        lines += ["", "Args:"]
        lines += [f"    {name}: {_line(_said(described[name])) or name}" for name in order]
    return "\n".join([*lines, "", "Returns:", "    What the tool answers."])


def _default(schema: Any) -> Any:
    return schema.get("default") if isinstance(schema, Mapping) else None


def _said(schema: Any) -> str:
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def _line(text: str) -> str:
    # Words that Google's form gives a meaning to would end the description.
    return " ".join(text.split()).replace("Args:", "Arguments:").replace("Returns:", "Result:")
