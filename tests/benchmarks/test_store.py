"""Results on disk survive kills and refuse to be mixed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.store import Store
from tau2_gym.errors import ConfigError, DataError

SETUP = {"agent": "oracle", "seed": 0, "nested": {"a": (1, 2)}}
REVISIONS = {"retail": "abc"}


def row(task_id: str, trial: int = 0, **changes: Any) -> dict[str, Any]:
    base = {"domain": "retail", "task_id": task_id, "trial": trial, "revision": "abc"}
    return {**base, "fault": None, "official_reward": 1.0, **changes}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "results.jsonl"


def test_results_are_there_again(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1"))
    assert Store(path, SETUP, REVISIONS).records == {("retail", "1", 0): row("1")}


def test_a_line_cut_short_is_dropped_and_the_rest_kept(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1"))
    store.add(row("2"))
    path.write_bytes(path.read_bytes()[:-10])
    again = Store(path, SETUP, REVISIONS)
    assert set(again.records) == {("retail", "1", 0)}
    again.add(row("2"))
    assert len(path.read_text().splitlines()) == 2


def test_attempts_that_ended_in_a_fault_are_played_again(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1", fault="infrastructure"))
    assert Store(path, SETUP, REVISIONS).records == {}


def test_finishing_orders_the_lines_and_keeps_one_an_attempt(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    for task_id, trial in (("2", 0), ("1", 0), ("9", 0), ("1", 0)):
        store.add(row(task_id, trial))
    store.finish([("retail", "1", 0), ("retail", "2", 0)])
    ids = [json.loads(line)["task_id"] for line in path.read_text().splitlines()]
    assert ids == ["1", "2", "9"]


def test_another_setup_is_refused_naming_what_differs(path: Path) -> None:
    changed = {**SETUP, "seed": 1}
    Store(path, SETUP, REVISIONS)
    store = Store(path, changed, REVISIONS)  # There are no results yet.
    store.add(row("1"))
    assert Store(path, changed, REVISIONS).setup["nested"] == {"a": [1, 2]}
    with pytest.raises(ConfigError, match="seed=1"):
        Store(path, SETUP, REVISIONS)


def test_another_revision_is_refused(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1"))
    with pytest.raises(ConfigError, match="revision abc of retail"):
        Store(path, SETUP, {"retail": "xyz"})


def test_fresh_starts_anew(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1"))
    assert Store(path, {**SETUP, "seed": 1}, REVISIONS, fresh=True).records == {}


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    Store(path, SETUP, REVISIONS)
    path.write_text('{"hello": 1}\n')
    with pytest.raises(DataError, match="line 1 is no result"):
        Store(path, SETUP, REVISIONS)
    path.with_suffix(".config.json").unlink()
    with pytest.raises(ConfigError, match="exists without"):
        Store(path, SETUP, REVISIONS)
