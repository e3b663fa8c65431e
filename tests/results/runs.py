"""Runs for the tests of what is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tau2_gym.results.record import Record
from tau2_gym.results.run import Run, read_run

GREETING = {"role": "assistant", "content": "Hi! How can I help you today?"}
STOP = {"role": "user", "content": "Thanks. ###STOP###"}


def call(name: str, side: str = "assistant", number: int = 0, **arguments: Any) -> dict[str, Any]:
    """A message with one call."""
    made = {"id": f"{side}{number}", "name": name, "arguments": arguments, "requestor": side}
    return {"role": side, "tool_calls": [made]}


def result(
    content: str, side: str = "assistant", number: int = 0, error: bool = False
) -> dict[str, Any]:
    """The result of that call."""
    about = {"id": f"{side}{number}", "requestor": side, "error": error}
    return {"role": "tool", "content": content, **about}


def record(task_id: str = "1", trial: int = 0, official: float | None = 1.0, **more: Any) -> Record:
    """An attempt of two turns: a call, and a text that the user answers after a call of their own."""
    given = {
        "domain": "shop",
        "seed": 7,
        "revision": "r1",
        "termination": "user_stop",
        "num_turns": 2,
        "partial_score": 0.5,
        "rewards": [
            {"progress": 0.0, "official": 0.0},
            {"progress": 0.1, "official": official or 0.0},
        ],
        "messages": [
            GREETING,
            {"role": "user", "content": "My order is late."},
            call("find_order", order_id="W1"),
            result('{"id": "W1", "total": 12345678901234567890.10}'),
            {"role": "assistant", "content": "Please restart your phone."},
            call("restart", "user"),
            result("Done.", "user"),
            STOP,
        ],
    }
    return Record(task_id=task_id, trial=trial, official_reward=official, **{**given, **more})


def write(path: Path, records: Iterable[Record], **config: Any) -> Path:
    """A run's files."""
    lines = [json.dumps(each.to_dict()) + "\n" for each in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    if config:
        path.with_suffix(".config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def run(path: Path, records: Iterable[Record], **config: Any) -> Run:
    """A run as it is read."""
    return read_run(write(path, records, **config))
