"""Results on disk survive kills and refuse to be mixed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agents.runs.store import Store
from tau2_gym.errors import ConfigError, DataError
from tau2_gym.journal import read_json, write_json
from tau2_gym.results.record import Record

SETUP = {"agent": "oracle", "seed": 0, "nested": {"a": (1, 2)}}
REVISIONS = {"retail": "abc"}


def row(task_id: str, trial: int = 0, **changes: Any) -> dict[str, Any]:
    record = Record("retail", task_id, trial, seed=0, revision="abc", official_reward=1.0)
    return {**record.to_dict(), **changes}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "results.jsonl"


def test_results_are_there_again(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1"))
    assert Store(path, SETUP, REVISIONS).records == {("retail", "1", 0): row("1")}


def test_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "of" / "today" / "results.jsonl"
    Store(path, SETUP, REVISIONS).add(row("1"))
    assert Store(path, SETUP, REVISIONS).records == {("retail", "1", 0): row("1")}


def test_any_text_that_a_model_writes_is_there_again(path: Path) -> None:
    said = [{"role": "assistant", "content": "half an emoji: \ud83d, \x00, \u2028, é, 🙂"}]
    Store(path, SETUP, REVISIONS).add(row("1", messages=said))
    assert Store(path, SETUP, REVISIONS).records["retail", "1", 0]["messages"] == said


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


@pytest.mark.parametrize("change", [{"extra": 1}, {"seed": None}, {"agent": "noop", "seed": 2}])
def test_an_option_that_only_one_setup_has_is_noticed(path: Path, change: dict[str, Any]) -> None:
    both = (SETUP, {**SETUP, **change})
    for number, (first, second) in enumerate((both, both[::-1])):
        here = path.with_name(f"{number}.jsonl")
        Store(here, first, REVISIONS).add(row("1"))
        changed = ", ".join(f"{name}={first.get(name)!r}" for name in sorted(change))
        with pytest.raises(ConfigError, match=re.escape(f"holds results with {changed}:")):
            Store(here, second, REVISIONS)
        assert Store(here, first, REVISIONS).records.keys() == {("retail", "1", 0)}


def test_another_revision_is_refused(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1"))
    with pytest.raises(ConfigError, match="revision abc of retail"):
        Store(path, SETUP, {"retail": "xyz"})


def test_fresh_starts_over(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1"))
    assert Store(path, {**SETUP, "seed": 1}, REVISIONS, fresh=True).records == {}


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    Store(path, SETUP, REVISIONS)
    path.write_text('{"hello": 1}\n')
    with pytest.raises(DataError, match="line 1 is not a result"):
        Store(path, SETUP, REVISIONS)
    path.with_suffix(".config.json").unlink()
    with pytest.raises(ConfigError, match="exists without"):
        Store(path, SETUP, REVISIONS)


def without(name: str) -> str:
    return json.dumps({key: value for key, value in row("1").items() if key != name})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (without("official_reward"), "it has no official_reward"),
        (without("reward"), "it has no reward"),
        (without("fault"), "it has no fault"),
        (without("messages"), "it has no messages"),
        (json.dumps(row("1", official_reward="1.0")), "official_reward: Input should be a valid number"),
        (json.dumps(row("1", usage={"cost": "much"})), "usage.cost: Input should be a valid number"),
        (json.dumps(row("1", trial=None)), "trial: Input should be a valid integer"),
        ("[1, 2]", "it is not a JSON object"),
        ("null", "it is not a JSON object"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_result_is_named(path: Path, line: str, problem: str) -> None:
    Store(path, SETUP, REVISIONS).add(row("0"))
    with path.open("a") as file:
        file.write(line + "\n")
    before = path.read_bytes()
    with pytest.raises(DataError, match=re.escape(f"{path}, line 2 is not a result: {problem}")):
        Store(path, SETUP, REVISIONS)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"seed": NaN}', b"[" * 10**5])
def test_a_broken_setup_is_one_sentence_and_nothing_is_lost(path: Path, content: bytes) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1"))
    before = path.read_bytes()
    store.setup_path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"results\.config\.json (is not JSON|holds no JSON object)"
    ):
        Store(path, SETUP, REVISIONS)
    assert path.read_bytes() == before
    assert store.setup_path.read_bytes() == content


def test_what_is_written_is_json_for_any_reader(path: Path) -> None:
    store = Store(path, SETUP, REVISIONS)
    store.add(row("1", messages=[{"arguments": {"amount": float("nan"), "most": [float("inf")]}}]))
    write_json(store.summary_path, {"value": float("-inf"), "kept": 0.5})
    assert "NaN" not in path.read_text()
    assert Store(path, SETUP, REVISIONS).records["retail", "1", 0]["messages"] == [
        {"arguments": {"amount": None, "most": [None]}}
    ]
    assert read_json(store.summary_path) == {"value": None, "kept": 0.5}


def test_results_of_a_newer_form_are_refused_and_older_ones_resumed(path: Path) -> None:
    Store(path, SETUP, REVISIONS).add(row("1"))
    setup = path.with_suffix(".config.json")
    written = read_json(setup)
    assert written["schema"] == 1
    write_json(setup, {**written, "schema": 2})
    with pytest.raises(DataError, match="has results of schema 2, and this tau2-gym reads up to 1"):
        Store(path, SETUP, REVISIONS)
    del written["schema"]
    write_json(setup, written)
    assert set(Store(path, SETUP, REVISIONS).records) == {("retail", "1", 0)}
