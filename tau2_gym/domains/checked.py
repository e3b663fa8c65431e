"""Whether tasks from outside have the form that `docs/domains.md` describes: a key, a tool or an argument that
does not exist would otherwise make a task that means something else, without a word.

tau2-bench's own files are not held to this: they have further keys, and other ones in every revision.
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tau2_gym.domains.world import Side
from tau2_gym.errors import DataError
from tau2_gym.types import RewardBasis

Row = Mapping[str, Any]

NOTES = ("description", "annotations", "required_documents")
"""Keys of a task that tau2-bench's files have and nothing reads."""

TASK = ("id", "user_scenario", "ticket", "user_tools", "initial_state", "evaluation_criteria")
SCENARIO = ("instructions", "persona")
INSTRUCTIONS = ("domain", "reason_for_call", "known_info", "unknown_info", "task_instructions")
START = ("initialization_data", "initialization_actions", "message_history")
DATA = ("agent_data", "user_data")
CRITERIA = (
    *("actions", "env_assertions", "communicate_info", "nl_assertions"),
    *("answer", "reward_basis"),
)
ACTION = ("name", "arguments", "action_id", "requestor", "compare_args", "info")
FUNCTION = ("env_type", "func_name", "arguments", "assert_value", "message")
SIDES = ("assistant", "user")


def check_all(check: TaskCheck, rows: Iterable[Row]) -> None:
    """Check the tasks of a file.

    Raises:
        DataError: as `TaskCheck`; two tasks have the same id.
    """
    seen = set[str]()
    for row in rows:
        if str(row["id"]) in seen:
            raise check.wrong(row, f"another task of the file has the id {row['id']!r}")
        seen.add(str(row["id"]))
        check(row)


@dataclass(frozen=True)
class TaskCheck:
    """Checks one task.

    Attributes:
        where: the file it is in, for errors.
        agent, user: the sides whose tools and functions it may name.
        strict: refuse every unknown key; otherwise warn of those that look like a typing error.

    Raises:
        DataError: when called with a task that is not allowed.
    """

    where: str
    agent: Side
    user: Side | None
    strict: bool = True

    def __call__(self, row: Row) -> None:
        """Check a task."""
        self._keys(row, row, "the task", (*TASK, *NOTES), needed=("id", "user_scenario"))
        scenario = self._keys(row, row["user_scenario"], "user_scenario", SCENARIO, SCENARIO[:1])
        if not isinstance(scenario["instructions"], str):
            place = "user_scenario.instructions"
            self._keys(row, scenario["instructions"], place, INSTRUCTIONS)
        known = () if self.user is None else tuple(self.user.tools)
        for name in self._list(row, row.get("user_tools"), "user_tools"):
            self._one_of(row, "user_tools", "tool of the user's", name, known)
        start = self._keys(row, row.get("initial_state"), "initial_state", START)
        place = "initial_state.initialization_data"
        self._keys(row, start.get("initialization_data"), place, DATA)
        self._functions(row, start, "initial_state", "initialization_actions")
        self._list(row, start.get("message_history"), "initial_state.message_history")
        self._criteria(row)

    def wrong(self, row: Row, what: str) -> DataError:
        """The error for a task."""
        return DataError(f"{self.where}: task {row.get('id')!r}: {what}")

    def _criteria(self, row: Row) -> None:
        place = "evaluation_criteria"
        criteria = self._keys(row, row.get(place), place, CRITERIA)
        for number, action in enumerate(
            self._list(row, criteria.get("actions"), f"{place}.actions")
        ):
            self._action(row, action, f"{place}.actions[{number}]")
        self._functions(row, criteria, place, "env_assertions")
        for name in ("communicate_info", "nl_assertions"):
            for text in self._list(row, criteria.get(name), f"{place}.{name}"):
                if not isinstance(text, str):
                    raise self.wrong(row, f"{place}.{name} must hold texts, not {text!r}")
        known = [basis.value for basis in RewardBasis]
        for basis in self._list(row, criteria.get("reward_basis"), f"{place}.reward_basis"):
            self._one_of(row, f"{place}.reward_basis", "entry", basis, known)

    def _action(self, row: Row, action: Any, place: str) -> None:
        """An expected call: the tool exists, and so do the arguments that are named."""
        action = self._keys(row, action, place, ACTION, needed=ACTION[:2])
        tools = self._side(row, action.get("requestor") or "assistant", f"{place}.requestor").tools
        self._one_of(row, place, "tool", action["name"], tools)
        given = self._keys(row, action["arguments"], f"{place}.arguments", None)
        parameters = tools[action["name"]].parameters
        if not parameters.get("additionalProperties"):
            known = parameters.get("properties", {})
            for name in given:
                self._one_of(row, place, f"argument of {action['name']}", name, known)
        for name in self._list(row, action.get("compare_args"), f"{place}.compare_args"):
            self._one_of(row, f"{place}.compare_args", "argument", name, given)

    def _functions(self, row: Row, parent: Row, above: str, name: str) -> None:
        """Methods that a task has called: they exist, and take these arguments."""
        for number, item in enumerate(self._list(row, parent.get(name), f"{above}.{name}")):
            place = f"{above}.{name}[{number}]"
            function = self._keys(row, item, place, FUNCTION, needed=FUNCTION[:3])
            toolkit: Any = self._side(row, function["env_type"], f"{place}.env_type").toolkit
            known = _methods(toolkit)
            self._one_of(row, place, "function", function["func_name"], known)
            given = self._keys(row, function["arguments"], f"{place}.arguments", None)
            signature = known[function["func_name"]]
            try:
                signature.bind(None, **given)
            except TypeError as error:
                allowed = ", ".join(list(signature.parameters)[1:]) or "none"
                raise self.wrong(
                    row,
                    f"{place}: the arguments of {function['func_name']} do not fit ({error}); allowed: "
                    f"{allowed}",
                ) from error

    def _side(self, row: Row, name: Any, place: str) -> Side:
        found = {"assistant": self.agent, "user": self.user}
        self._one_of(row, place, "side", name, SIDES)
        side = found[name]
        if side is None:
            raise self.wrong(row, f"{place} is 'user', and the user of this domain has no tools")
        return side

    def _keys(
        self,
        row: Row,
        value: Any,
        place: str,
        allowed: tuple[str, ...] | None,
        needed: tuple[str, ...] = (),
    ) -> Row:
        """A mapping whose keys are allowed, any if that is None; an empty one if there is none."""
        if value is None and not needed and allowed is not None:
            return {}
        if not isinstance(value, Mapping):
            raise self.wrong(row, f"{place} must be a mapping, not {_shown(value)}")
        for key in value:
            if allowed is not None and key not in allowed:
                self._unknown(row, place, key, allowed)
        for key in needed:
            if key not in value:
                raise self.wrong(row, f"{place} has no {key!r}")
        return value

    def _unknown(self, row: Row, place: str, key: object, allowed: tuple[str, ...]) -> None:
        listed = ", ".join(name for name in allowed if name not in NOTES)
        error = self.wrong(row, f"{place} has an unknown key {key!r}; allowed: {listed}")
        if self.strict:
            raise error
        if difflib.get_close_matches(str(key), allowed, n=1, cutoff=0.8):
            warnings.warn(str(error), stacklevel=2)

    def _list(self, row: Row, value: Any, place: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self.wrong(row, f"{place} must be a list, not {_shown(value)}")
        return list(value)

    def _one_of(self, row: Row, place: str, what: str, value: object, known: Iterable[str]) -> None:
        known = tuple(known)
        if value not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise self.wrong(row, f"{place}: unknown {what} {value!r}; allowed: {listed}")


@cache
def _methods(toolkit: type[Any]) -> dict[str, inspect.Signature]:
    """The methods of a class of tools that tasks may call."""
    return {
        name: inspect.signature(function)
        for name in dir(toolkit)
        if not name.startswith("_") and callable(function := getattr(toolkit, name))
    }


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
