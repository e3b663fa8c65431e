"""Gymnasium spaces of messages, which validate and sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from gymnasium import Space

from tau2_gym.actions import format_action, is_malformed, parse_action
from tau2_gym.domains.base import Domain
from tau2_gym.errors import ConfigError
from tau2_gym.text_space import TEXTS, TextSpace, no_mask
from tau2_gym.types import Message, ToolCall, ToolSpec

__all__ = ["TEXTS", "ActionSpace", "TextSpace", "branch", "examples", "sample_arguments"]

EXAMPLES_PER_FIELD = 64


class ActionSpace(Space[Any]):
    """What an agent can do in a domain: say something, or call tools.

    A member is a text that can be read as a message (see `tau2_gym.actions`), or an OpenAI
    assistant message. Samples are texts, and calls of the domain's tools with arguments that fit
    their schemas, taken from the domain's own database if it has a field of that name.
    """

    def __init__(
        self,
        domain: Domain,
        tools: Mapping[str, ToolSpec],
        *,
        agent_stop: bool = False,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(None, None, seed)
        self.domain = domain
        self.tools = tools
        self.agent_stop = agent_stop

    def fork(self) -> ActionSpace:
        """An equal space that will draw what this one would have drawn."""
        twin = ActionSpace(self.domain, self.tools, agent_stop=self.agent_stop)
        if self._np_random is not None:
            twin._np_random = branch(self._np_random)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> ActionSpace:
        # Gymnasium copies the space for every environment of a vector. Tools never change.
        return self.fork()

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A text (one time in four, or where there is no tool) or a valid tool call in the `<tool_call>` form."""
        no_mask(mask, probability)
        rng = self.np_random
        if rng.random() < 0.25 or not self.tools:
            return str(rng.choice(np.array(TEXTS)))
        tool = self.tools[sorted(self.tools)[rng.integers(len(self.tools))]]
        arguments = sample_arguments(tool, examples(self.domain), rng)
        return format_action(Message("assistant", tool_calls=(ToolCall(tool.name, arguments),)))

    def contains(self, x: Any) -> bool:
        """Whether the action can be read: neither empty nor a broken tool call."""
        if not isinstance(x, str | Mapping):
            return False
        try:
            message = parse_action(
                x, self.tools, agent_stop=self.agent_stop, answered=self.domain.answered
            )
        except (ConfigError, TypeError):
            return False
        return not is_malformed(message)

    @property
    def is_np_flattenable(self) -> bool:
        """Messages have no fixed shape."""
        return False

    def __repr__(self) -> str:
        return f"ActionSpace({self.domain.name!r}, {len(self.tools)} tools)"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ActionSpace)
            and self.domain is other.domain
            and set(self.tools) == set(other.tools)
            and self.agent_stop == other.agent_stop
        )

    __hash__ = None  # type: ignore[assignment]


def branch(rng: np.random.Generator) -> np.random.Generator:
    """A generator that will draw what this one would have drawn. Faster than `deepcopy`."""
    source: Any = rng.bit_generator
    twin = type(source)(source.seed_seq)
    twin.state = source.state
    return type(rng)(twin)


def sample_arguments(
    tool: ToolSpec, examples: Mapping[str, Sequence[Any]], rng: np.random.Generator
) -> dict[str, Any]:
    """Arguments that fit the tool's schema; optional ones are given half of the time."""
    schema = tool.parameters
    required = set(schema.get("required", ()))
    definitions = schema.get("$defs", {})
    return {
        name: _sample(name, parameter, definitions, examples, rng)
        for name, parameter in schema["properties"].items()
        if name in required or rng.random() < 0.5
    }


def _sample(
    name: str,
    schema: Mapping[str, Any],
    definitions: Mapping[str, Any],
    examples: Mapping[str, Sequence[Any]],
    rng: np.random.Generator,
) -> Any:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in schema:
        return _sample(name, schema["anyOf"][0], definitions, examples, rng)
    if "enum" in schema:
        return schema["enum"][rng.integers(len(schema["enum"]))]
    kind = schema.get("type")
    if kind == "object":
        return {
            key: _sample(key, item, definitions, examples, rng)
            for key, item in schema.get("properties", {}).items()
        }
    if kind == "array":
        singular = name.removesuffix("s")
        count = int(rng.integers(1, 3))
        return [
            _sample(singular, schema["items"], definitions, examples, rng) for _ in range(count)
        ]
    if kind == "boolean":
        return bool(rng.integers(2))
    if kind == "integer":
        return int(rng.integers(1, 5))
    if kind == "number":
        return float(rng.integers(1, 5))
    if kind == "null":
        return None
    known = examples.get(name) or examples.get(name.removeprefix("new_"))
    return known[int(rng.integers(len(known)))] if known else f"example {name}".replace("_", " ")


ALIASES = {
    "dob": ("dob", "date_of_birth"),
    "id": ("line_id", "bill_id", "customer_id", "plan_id", "device_id"),
    "expression": (),
}
"""Parameters that go by another name than the database's field."""


@cache
def examples(domain: Domain) -> dict[str, list[Any]]:
    """Values of the database's text fields by field name, at most a few dozen each."""
    found: dict[str, dict[str, None]] = {}
    sides = [side for side in (domain.sides.agent, domain.sides.user) if side is not None]
    for side in sides:
        for content in side.database.fields.values():
            rows = list(content.values()) if isinstance(content, dict) else content
            for row in list(rows)[:EXAMPLES_PER_FIELD] if isinstance(rows, list) else [rows]:
                _collect(json.loads(row.model_dump_json()), "", found)
    values = {name: list(items) for name, items in found.items()}
    for parameter, sources in ALIASES.items():
        values.setdefault(parameter, [value for name in sources for value in values.get(name, ())])
    values["expression"] = ["2 + 2", "(120.5 - 20) * 3", "100 / 8"]
    values["app_name"] = ["messaging", "browser"]
    values["permission"] = ["sms", "storage", "phone", "network"]
    return values


def _collect(value: Any, name: str, found: dict[str, dict[str, None]]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _collect(item, key, found)
    elif isinstance(value, list):
        for item in value:
            _collect(item, name, found)
    elif isinstance(value, str) and len(found.setdefault(name, {})) < EXAMPLES_PER_FIELD:
        found[name][value] = None
