"""The plain way to run and grade an episode, to measure ours against.

A deep copy of the databases for every episode, and a grade that replays the whole trajectory into
a fresh copy, the expected actions into another one, and compares hashes of everything. This is what
tau2-bench's gym does (three copies per reset, two more to evaluate), without threads and models.
"""

from __future__ import annotations

import copy
import hashlib
import json
from types import SimpleNamespace
from typing import Any

from tau2_gym.domains.base import Domain
from tau2_gym.types import Requestor, Task, ToolKind

READS = {
    "airline": '{"name": "get_user_details", "arguments": {"user_id": "mia_li_3668"}}',
    "retail": '{"name": "get_user_details", "arguments": {"user_id": "yusuf_rossi_9620"}}',
    "telecom": '{"name": "get_customer_by_phone", "arguments": {"phone_number": "555-123-2002"}}',
    "mock": '{"name": "get_users", "arguments": {}}',
}
"""A call of a tool that reads, by domain."""

Fields = dict[Requestor, dict[str, Any]]


class Baseline:
    """One episode of a task, run the plain way."""

    def __init__(self, domain: Domain, task: Task) -> None:
        self.domain = domain
        self.task = task
        self._halves = {"assistant": domain.sides.agent, "user": domain.sides.user}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fields: Fields = {
            side: half.database.fields  # type: ignore[misc]
            for side, half in self._halves.items()
            if half is not None
        }
        self._tools = self._copy()

    def _copy(self) -> dict[str, Any]:
        """Tools over a private copy of the databases, in the task's initial state."""
        fields = copy.deepcopy(self.fields)
        tools = {
            side: half.toolkit(SimpleNamespace(**fields[side]), "baseline")  # type: ignore[arg-type, index]
            for side, half in self._halves.items()
            if half is not None
        }
        for function in self.task.start.functions:
            getattr(tools[function.side], function.name)(**function.arguments)
            self._sync(tools)
        return tools

    def _sync(self, tools: dict[str, Any]) -> None:
        if self.domain.sides.sync is not None:
            self.domain.sides.sync(
                SimpleNamespace(tools=tools["assistant"], user_tools=tools["user"])
            )

    def reset(self) -> None:
        """Start again."""
        self._tools = self._copy()
        self.calls = []

    def rewind(self) -> None:
        """Forget the calls made."""
        self.calls = []

    def step(self, name: str, arguments: dict[str, Any]) -> bool:
        """Call a tool, and grade the trajectory so far: whether the databases are as expected."""
        getattr(self._tools["assistant"], name)(**arguments)
        self.calls.append((name, arguments))
        return self.grade()

    def grade(self) -> bool:
        """Replay and compare, from the start."""
        played, expected = self._copy(), self._copy()
        for name, arguments in self.calls:
            if self.domain.agent_tools[name].kind is ToolKind.WRITE:
                getattr(played["assistant"], name)(**arguments)
        for action in (self.task.criteria and self.task.criteria.actions) or ():
            spec = self.domain.agent_tools.get(action.name) or self.domain.user_tools[action.name]
            if spec.kind is ToolKind.WRITE:
                getattr(expected[action.requestor], action.name)(**action.arguments)
        return self._hash(played) == self._hash(expected)

    def _hash(self, tools: dict[str, Any]) -> list[str]:
        return [
            hashlib.sha256(
                json.dumps(_plain(vars(toolkit.db)), sort_keys=True, default=str).encode()
            ).hexdigest()
            for toolkit in tools.values()
        ]


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(warnings=False)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
