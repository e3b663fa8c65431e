"""Results of runs that were not played."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tau2_gym.results.record import Record

SETUP = {
    "agent": "noop",
    "user": "scripted",
    "seed": 0,
    "reward": "progress",
    "max_steps": 200,
    "max_errors": 10,
    "source": "inspect-evals",
    "data_dir": None,
    "user_model": None,
    "judge": None,
}


def row(task: str, trial: int = 0, reward: float | None = 1.0, **changed: Any) -> dict[str, Any]:
    """An attempt in retail."""
    record = Record(
        "retail", task, trial, 0, "abc", official_reward=reward, termination="user_stop"
    )
    return {**record.to_dict(), **changed}


def write_run(path: Path, rows: Iterable[dict[str, Any]], **changed: Any) -> Path:
    """Write them, with a set-up."""
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    path.with_suffix(".config.json").write_text(json.dumps({**SETUP, **changed}))
    return path
