"""The data in the page: a compact index of all attempts, and their conversations in compressed pieces."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tau2_gym.journal import to_json
from tau2_gym.results.page.conversation import shown
from tau2_gym.results.page.masking import masked
from tau2_gym.results.page.masking import shown as shown_name
from tau2_gym.results.page.numbers import end_of
from tau2_gym.results.page.tasks import Tasks
from tau2_gym.results.run import Row, Run

PIECE = 50
"""Conversations in a piece: what is decompressed on a click."""

OUTCOMES = ("passed", "failed", "fault", "ungraded")


@dataclass(frozen=True)
class Attempt:
    """An attempt, and the number of the run that it belongs to."""

    run: int
    row: Row


def names_of(runs: Sequence[Run]) -> list[str]:
    """What to call the runs: their files' names, with as much of their folders as tells them apart."""
    paths = [run.path.resolve().with_name(run.name) for run in runs]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len({*names}) == len(names):
            break
    return [shown_name(name) for name in names]


def in_order(runs: Sequence[Run]) -> list[Attempt]:
    """All attempts, those at a task side by side: by domain, task, run and trial, domains and tasks in the order
    of the files."""
    tasks: dict[str, dict[str, list[Attempt]]] = {}
    for number, run in enumerate(runs):
        for row in run.rows:
            domain = tasks.setdefault(row["domain"], {})
            domain.setdefault(row["task_id"], []).append(Attempt(number, row))
    return [
        each
        for domain in tasks.values()
        for found in domain.values()
        for each in sorted(found, key=lambda each: (each.run, each.row["trial"]))
    ]


def outcome(row: Row) -> str:
    """One of `OUTCOMES`."""
    if row["fault"] is not None:
        return "fault"
    if row["official_reward"] is None:
        return "ungraded"
    return "passed" if end_of(row) == "passed" else "failed"


class _Numbered(dict[Any, int]):
    """Things by their numbers, which they get when they are first asked for."""

    def __missing__(self, key: Any) -> int:
        self[key] = len(self)
        return self[key]


def index(attempts: Sequence[Attempt], names: Sequence[str]) -> dict[str, Any]:
    """What the page knows of every attempt before it is opened, by columns."""
    domains, tasks, ends, tools, sets = (_Numbered() for _ in range(5))
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("run", "task", "trial", "outcome", "end", "turns", "phi", "reward", "errors", "tools")
    }  # fmt: skip
    for each in attempts:
        row = each.row
        used = sorted({tools[name] for name in _tools(row)})
        for name, value in (
            ("run", each.run),
            ("task", tasks[domains[row["domain"]], row["task_id"]]),
            ("trial", row["trial"]),
            ("outcome", OUTCOMES.index(outcome(row))),
            ("end", ends[end_of(row) if row["fault"] else row["termination"] or "not ended"]),
            ("turns", row["num_turns"]),
            ("phi", round(row["partial_score"], 3)),
            ("reward", round(row["reward"], 3)),
            ("errors", row["num_errors"]),
            ("tools", sets[tuple(used)]),
        ):
            columns[name].append(value)
    return {
        "runs": list(names),
        "outcomes": OUTCOMES,
        "domains": [shown_name(name) for name in domains],
        "tasks": [[domain, shown_name(name)] for domain, name in tasks],
        "ends": [shown_name(name) for name in ends],
        "tools": [shown_name(name) for name in tools],
        "sets": list(sets),
        "piece": PIECE,
        "attempts": columns,
    }


def pieces(attempts: Sequence[Attempt], runs: Sequence[Run], tasks: Tasks) -> Iterator[str]:
    """The conversations, `PIECE` after `PIECE`: JSON, compressed, in base64.

    Raises:
        DataError: messages are not in tau2-bench's form.
    """
    for start in range(0, len(attempts), PIECE):
        found = [opened(each, runs, tasks) for each in attempts[start : start + PIECE]]
        packed = gzip.compress(to_json(found, separators=(",", ":")).encode(), 6, mtime=0)
        yield base64.b64encode(packed).decode()


def opened(attempt: Attempt, runs: Sequence[Run], tasks: Tasks) -> dict[str, Any]:
    """All that the page shows of an attempt, without secrets.

    Raises:
        DataError: its messages are not in tau2-bench's form.
    """
    found: dict[str, Any] = masked(shown(attempt.row, tasks.of(runs[attempt.run], attempt.row)))
    return found


def _tools(row: Row) -> Iterator[str]:
    for message in row["messages"]:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and "name" in call:
                side = call.get("requestor") or message.get("role")
                yield f"{'user' if side == 'user' else 'agent'}: {call['name']}"
