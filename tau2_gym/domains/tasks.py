"""From tau2-bench's task files to `Task`s."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tau2_gym.errors import DataError
from tau2_gym.frozen import frozen
from tau2_gym.types import (
    Criteria,
    EnvFunction,
    ExpectedAction,
    InitialState,
    Message,
    RewardBasis,
    Scenario,
    Task,
)


class TaskTable(Mapping[str, Task]):
    """The tasks of a domain by id, in file order. Each is parsed when first asked for: telecom has
    2285.

    Args:
        domain: its name.
        rows: as the file has them, or by id.
        check: sees each row before it is parsed, and raises a `DataError` if it is not allowed.
    """

    def __init__(
        self,
        domain: str,
        rows: Sequence[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]],
        check: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._check = check
        self._domain = domain
        self._rows: Mapping[str, Mapping[str, Any]] = (
            rows if isinstance(rows, Mapping) else {str(row["id"]): row for row in rows}
        )
        self._parsed: dict[str, Task] = {}

    def __getitem__(self, task_id: str) -> Task:
        task = self._parsed.get(task_id)
        if task is None:
            row = self._rows[task_id]
            if self._check is not None:
                self._check(row)
            task = self._parsed[task_id] = parse_task(self._domain, row)
        return task

    def row(self, task_id: str) -> Mapping[str, Any]:
        """A task as its file has it."""
        return self._rows[task_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def parse_task(domain: str, row: Mapping[str, Any]) -> Task:
    """One task from its JSON object. All episodes of a process share it, so nothing in it can change.

    Raises:
        DataError: a key is missing or has a value of the wrong form.
    """
    try:
        return Task(
            id=str(row["id"]),
            domain=domain,
            scenario=_scenario(row["user_scenario"]),
            start=_start(row.get("initial_state") or {}),
            criteria=_criteria(row.get("evaluation_criteria")),
            ticket=row.get("ticket"),
            user_tools=tuple(row["user_tools"]) if row.get("user_tools") is not None else None,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"task {row.get('id')!r} of {domain} is malformed: {error!r}") from error


def _scenario(row: Mapping[str, Any]) -> Scenario:
    persona = row.get("persona") or ""
    instructions = row["instructions"]
    if isinstance(instructions, str):
        parts = {"instructions": instructions}
        body = instructions
    else:
        parts = {
            "reason": instructions.get("reason_for_call") or "",
            "known": instructions.get("known_info") or "",
            "unknown": instructions.get("unknown_info") or "",
            "instructions": instructions.get("task_instructions") or "",
        }
        body = _layout(
            ("Domain", instructions.get("domain"), True),
            ("Reason for call", instructions.get("reason_for_call"), False),
            ("Known info", instructions.get("known_info"), False),
            ("Unknown info", instructions.get("unknown_info"), False),
            ("Task instructions", instructions.get("task_instructions"), False),
        )
    text = _layout(("Persona", row.get("persona"), False), ("Instructions", body, False))
    return Scenario(text=text, persona=persona, **parts)


def _layout(*sections: tuple[str, str | None, bool]) -> str:
    """Titled sections as tau2-bench prints them: on one line, or indented by a tab below."""
    lines = []
    for title, body, inline in sections:
        if body is not None:
            lines.append(
                f"{title}: {body}" if inline else f"{title}:\n{textwrap.indent(body, chr(9))}"
            )
    return "\n".join(lines)


def _start(row: Mapping[str, Any]) -> InitialState:
    data = row.get("initialization_data") or {}
    return InitialState(
        agent_data=frozen(data.get("agent_data")),
        user_data=frozen(data.get("user_data")),
        functions=tuple(_function(item) for item in row.get("initialization_actions") or ()),
        messages=tuple(
            Message.from_dict(frozen(item)) for item in row.get("message_history") or ()
        ),
    )


def _function(row: Mapping[str, Any]) -> EnvFunction:
    return EnvFunction(
        side=row["env_type"],
        name=row["func_name"],
        arguments=frozen(dict(row["arguments"])),
        expected=row.get("assert_value", True),
    )


def _criteria(row: Mapping[str, Any] | None) -> Criteria | None:
    if row is None:
        return None
    actions, assertions = row.get("actions"), row.get("env_assertions")
    basis = row.get("reward_basis")
    return Criteria(
        actions=None if actions is None else tuple(_action(item) for item in actions),
        env_assertions=(
            None if assertions is None else tuple(_function(item) for item in assertions)
        ),
        communicate=tuple(row.get("communicate_info") or ()),
        nl_assertions=tuple(row.get("nl_assertions") or ()),
        basis=(
            (RewardBasis.DB, RewardBasis.COMMUNICATE)
            if basis is None
            else tuple(RewardBasis(item) for item in basis)
        ),
        answer=row.get("answer"),
    )


def _action(row: Mapping[str, Any]) -> ExpectedAction:
    compare = row.get("compare_args")
    return ExpectedAction(
        name=row["name"],
        arguments=frozen(dict(row["arguments"])),
        requestor=row.get("requestor") or "assistant",
        compare_args=None if compare is None else tuple(compare),
    )
