"""The index of attempts, and their conversations in pieces."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.results.page.index import PIECE, in_order, index, names_of, pieces
from tau2_gym.results.page.tasks import Tasks
from tests.results.runs import call, record, run


def unpacked(packed: list[str]) -> list[list[dict[str, Any]]]:
    return [json.loads(gzip.decompress(base64.b64decode(each))) for each in packed]


def test_attempts_at_a_task_stand_side_by_side(tmp_path: Path) -> None:
    one = run(tmp_path / "a.jsonl", [record("2", 1), record("1", 0), record("2", 0)])
    two = run(tmp_path / "b.jsonl", [record("1", 0, domain="bank"), record("2", 0)])
    order = [(each.run, each.row["domain"], each.row["task_id"], each.row["trial"]) for each in in_order([one, two])]  # fmt: skip
    assert order == [
        *((0, "shop", "2", 0), (0, "shop", "2", 1), (1, "shop", "2", 0)),
        *((0, "shop", "1", 0), (1, "bank", "1", 0)),
    ]


def test_the_index_says_what_every_attempt_came_to(tmp_path: Path) -> None:
    fault = {"fault": "user", "termination": None, "official": None}
    played = [
        record("1", 0),
        record("1", 1, 0.0, messages=[call("restart", "user")]),
        record("2", 0, **fault),
        record("2", 1, None, ungraded=["NL_ASSERTION"], messages=[]),
    ]
    one = run(tmp_path / "a.jsonl", played)
    found = index(in_order([one]), names_of([one]))
    columns = found["attempts"]
    assert [found["outcomes"][each] for each in columns["outcome"]] == [
        *("passed", "failed", "fault", "ungraded")
    ]
    assert [found["ends"][each] for each in columns["end"]] == [
        *("user_stop", "user_stop", "fault: user", "user_stop")
    ]
    assert [tuple(found["tasks"][each]) for each in columns["task"]] == [
        *((0, "1"), (0, "1"), (0, "2"), (0, "2"))
    ]
    assert [
        {found["tools"][tool] for tool in found["sets"][each]} for each in columns["tools"]
    ] == [
        {"agent: find_order", "user: restart"},
        {"user: restart"},
        {"agent: find_order", "user: restart"},
        set(),
    ]
    assert {len(column) for column in columns.values()} == {4}


def test_every_conversation_is_in_its_piece(tmp_path: Path) -> None:
    one = run(tmp_path / "a.jsonl", [record(str(n), seed=n) for n in range(2 * PIECE + 1)])
    attempts = in_order([one])
    packed = list(pieces(attempts, [one], Tasks()))
    assert [len(piece) for piece in unpacked(packed)] == [PIECE, PIECE, 1]
    seeds = [each["seed"] for piece in unpacked(packed) for each in piece]
    assert seeds == [each.row["seed"] for each in attempts]
    assert packed == list(pieces(attempts, [one], Tasks()))


def test_tasks_that_are_not_at_hand_are_named(tmp_path: Path, telecom: Path) -> None:
    from tau2_gym.results.run import read_run

    tasks = Tasks()
    real, foreign = read_run(telecom), run(tmp_path / "a.jsonl", [record()])
    assert tasks.of(real, real.rows[0]) is not None
    assert tasks.missing == {}
    assert tasks.of(foreign, foreign.rows[0]) is None
    assert "shop" in tasks.missing["shop"]
    assert tasks.of(real, {**real.rows[0], "revision": "older"}) is None
    assert tasks.missing["telecom"].startswith("revision older was played, and ")
    assert tasks.of(real, {**real.rows[0], "task_id": "no such"}) is None


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    one, two = (run(tmp_path / name / "x" / "a.jsonl", [record()]) for name in ("sft", "rft"))
    assert names_of([one]) == ["a"]
    assert names_of([one, two]) == ["sft/x/a", "rft/x/a"]


def test_names_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "sk-12345678")
    secret = record("task sk-12345678", termination="sk-12345678", domain="sk-12345678")
    one = run(tmp_path / "sk-12345678.jsonl", [secret])
    found = json.dumps(index(in_order([one]), names_of([one])))
    assert "sk-12345678" not in found
    assert "task ***" in found
