"""A conversation as the page shows it: turns, and in each what either side said and did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tau2_gym.errors import DataError, Tau2GymError
from tau2_gym.grading import action_performed, communicates
from tau2_gym.results.page.masking import shown as shown_name
from tau2_gym.results.page.potential import potentials
from tau2_gym.results.page.tasks import named
from tau2_gym.results.run import Row
from tau2_gym.types import Message, RewardBasis, Task, ToolCall

_encoded = json.JSONEncoder(ensure_ascii=False).encode

Item = dict[str, Any]
"""A text (`text`), or a call (`name`, `arguments`, `result`, `error`)."""


@dataclass(frozen=True)
class Turn:
    """What the agent did, and what came of it: results of its calls, and the user's answer.

    Attributes:
        number: which of the agent's actions this is, from 1; 0 for what was said before the first.
        messages: all of it, in its order.
    """

    number: int
    messages: list[Message]


def messages_of(row: Row) -> list[Message]:
    """The messages of an attempt.

    Raises:
        DataError: they are not in tau2-bench's form.
    """
    found = []
    for number, data in enumerate(row["messages"]):
        try:
            message = Message.from_dict(data)
            content, calls = message.content, message.tool_calls
            wrong = (content is not None and not isinstance(content, str)) or any(
                not (isinstance(call.name, str) and isinstance(call.arguments, dict))
                for call in calls
            )
        except (KeyError, TypeError, AttributeError, Tau2GymError):
            wrong = True
        if wrong:
            raise DataError(
                shown_name(f"{row['domain']}, task {row['task_id']}, attempt {row['trial']}")
                + f": message {number} is not in tau2-bench's form"
            )
        found.append(message)
    return found


def turns(messages: Sequence[Message], actions: int) -> list[Turn]:
    """The messages by turns. An action is one message of the agent, and the last `actions` of these are the
    turns; those before are the opening."""
    opening = max(sum(message.role == "assistant" for message in messages) - actions, 0)
    found = [Turn(0, [])]
    for message in messages:
        if message.role == "assistant":
            opening -= 1
            if opening < 0:
                found.append(Turn(len(found), []))
        found[-1].messages.append(message)
    return found if found[0].messages else found[1:]


def shown(row: Row, task: Task | None) -> dict[str, Any]:
    """All that the page shows of one attempt.

    Raises:
        DataError: its messages are not in tau2-bench's form.
    """
    played = turns(messages_of(row), row["num_turns"])
    ledgers = row["rewards"] if row["num_turns"] else []
    return {
        "turns": [
            {
                "number": turn.number,
                "agent": _items(turn.messages, "assistant"),
                "user": _items(turn.messages, "user"),
                "ledger": ledgers[turn.number - 1] if 0 < turn.number <= len(ledgers) else {},
            }
            for turn in played
        ],
        "phi": potentials(row),
        "checks": _checks(row, task, played),
        "task": task and {"scenario": task.scenario.text, "ticket": task.ticket},
        "error": row["error"],
        "answer": row["answer"],
        "ungraded": row["ungraded"],
        "revision": row["revision"],
        "seed": row["seed"],
        "steps": row["steps"],
        "malformed": row["malformed"],
        "violations": row["ownership_violations"],
        "verdicts": [_encoded(verdict) for verdict in row["verdicts"]],
        "usage": {"agent": row["usage"], "user": row["user_usage"]},
    }


def _items(messages: Sequence[Message], side: str) -> list[Item]:
    """What one side said and did, calls together with their results."""
    items: list[Item] = []
    open_calls: list[Item] = []
    for message in messages:
        if message.role == "tool" and message.requestor == side:
            item = open_calls.pop(0) if open_calls else {"name": "?", "arguments": []}
            if item["name"] == "?":
                items.append(item)
            item |= {"result": message.content or "", "error": message.error}
        elif message.role == side:
            if message.has_text:
                items.append({"text": message.content})
            calls = [
                {"name": call.name, "arguments": _written(call)} for call in message.tool_calls
            ]
            items += calls
            open_calls += calls
    return items


def _written(call: ToolCall) -> list[list[str]]:
    """Arguments as JSON texts: a browser's numbers would not hold all of them."""
    return [[str(name), _encoded(value)] for name, value in call.arguments.items()]


BASIS = {
    "action": RewardBasis.ACTION,
    "communicate": RewardBasis.COMMUNICATE,
    "assertion": RewardBasis.ENV_ASSERTION,
    "database": RewardBasis.DB,
}
"""Which part of a task's reward basis a check decides."""


def _checks(row: Row, task: Task | None, played: Sequence[Turn]) -> list[dict[str, Any]]:
    """The grader's findings at the end: whether each counts for the official reward, where that is known, and
    the turn in which it came to be, where that can be told."""
    checks = row["checks"]
    if not isinstance(checks, dict):
        return []
    names = named(task)
    basis = task.criteria.basis if task and task.criteria else None
    performed = _performed(task, played)
    found: list[dict[str, Any]] = []

    def add(kind: str, name: str | None, met: bool, turn: int | None = None) -> None:
        counts = None if basis is None else BASIS.get(kind) in basis
        found.append({"kind": kind, "name": name, "met": met, "turn": turn, "counts": counts})

    for kind, key in (
        ("action", "performed"),
        ("communicate", "communicate"),
        ("assertion", "env_assertions"),
    ):
        met = checks.get(key) or []
        known = names[kind] if len(names[kind]) == len(met) else [None] * len(met)
        for index, holds in enumerate(met):
            name, turn = known[index], None
            if holds and name is not None and kind == "action":
                turn = performed.get(index)
            elif holds and name is not None and kind == "communicate":
                turn = _said(name, played)
            add(kind, name, bool(holds), turn)
    add("database", None, bool(checks.get("db")))
    if checks.get("unexpected"):
        add("unexpected", str(checks["unexpected"]), met=False)
    return found


def _performed(task: Task | None, played: Sequence[Turn]) -> dict[int, int]:
    """In which turn each expected action was performed, by the rule of `Grader`: a call performs one action,
    the first that is left; results come in the order of the calls."""
    actions = (task.criteria and task.criteria.actions) or () if task else ()
    found: dict[int, int] = {}
    for turn in played:
        calls: list[ToolCall] = []
        for message in turn.messages:
            if message.role != "tool":
                calls = list(message.tool_calls)
                continue
            call = calls.pop(0) if calls else None
            if call is None or message.error:
                continue
            for index, action in enumerate(actions):
                if (
                    index not in found
                    and action.requestor == message.requestor
                    and action_performed(action, call)
                ):
                    found[index] = turn.number
                    break
    return found


def _said(required: str, played: Sequence[Turn]) -> int | None:
    said = (
        turn.number for turn in played for each in turn.messages if communicates(required, each)
    )
    return next(said, None)
