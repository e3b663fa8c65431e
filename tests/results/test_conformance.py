from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tau2_gym.domains.base import get_domain
from tau2_gym.results.conformance import app, check_episode, check_grading
from tau2_gym.results.replay import same_content
from tests.helpers import RECORDINGS, needs_recordings, recorded

COUNTS = {"grading": 520, "episodes": 260}
CHECKS = {"grading": check_grading, "episodes": check_episode}


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(kind: str) -> list[dict[str, Any]]:
    """Two trajectories made by hand, in the recordings' form, that agree."""
    greeting = {"role": "assistant", "content": "Hi! How can I help you today?"}
    call = {"name": "update_task_status", "arguments": {"task_id": "task_1", "status": "completed"}}
    result = {
        "task_id": "task_1",
        "title": "Test task",
        "description": "A test task",
        "status": "completed",
    }
    messages = [
        greeting,
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "tool_calls": [{"id": "a1_0", **call, "requestor": "assistant"}]},
        {
            "role": "tool",
            "id": "a1_0",
            "content": json.dumps(result, separators=(",", ":")),
            "requestor": "assistant",
            "error": False,
        },
        {"role": "assistant", "content": "Anything else?"},
        {"role": "user", "content": "Ok. ###STOP###"},
    ]
    common = {"domain": "mock", "task_id": "update_task_1", "termination_reason": "user_stop"}
    if kind == "grading":
        row = {
            **common,
            "messages": messages,
            "reward": 1.0,
            "db_match": True,
            "env_assertions": None,
            "action_checks": [True],
            "communicate_checks": [],
        }
    else:
        row = {
            **common,
            "max_steps": 100,
            "max_errors": 10,
            "validate_communication": False,
            "agent_script": [{"tool_calls": [call]}],
            "user_script": [{"content": "Hello"}],
            "messages": messages,
            "roles": ["assistant", "user", "assistant", "tool:assistant", "assistant", "user"],
            "step_count": 5,
            "num_errors": 0,
            "agent_used": 2,
            "user_used": 2,
            "reward": 1.0,
        }
    return [row, json.loads(json.dumps(row))]


def altered(kind: str, change: Callable[[dict[str, Any]], Any]) -> list[str]:
    row = rows(kind)[0]
    change(row)
    return CHECKS[kind](row, get_domain("mock"))


@needs_recordings
@pytest.mark.parametrize("kind", COUNTS)
def test_every_recording_of_tau2_bench_agrees(kind: str) -> None:
    done = command(kind, RECORDINGS / f"{kind}.jsonl.gz")
    assert done.output.splitlines()[-1] == f"{COUNTS[kind]} agree, 0 differ"
    assert done.exit_code == 0


@needs_recordings
@pytest.mark.parametrize("kind", COUNTS)
def test_the_recordings_cover_every_domain_and_every_end(kind: str) -> None:
    found = recorded(kind)
    assert {row["domain"] for row in found} == {"airline", "retail", "telecom"}
    assert {"user_stop", "max_steps", "too_many_errors"} <= {
        row["termination_reason"] for row in found
    }
    assert {row["reward"] for row in found} == {0.0, 1.0}


@needs_recordings
@pytest.mark.parametrize("kind", COUNTS)
def test_a_recording_played_for_another_task_differs(kind: str) -> None:
    """The comparison sees something: most trajectories do not fit the next task of their domain."""
    found = [row for row in recorded(kind) if row["domain"] == "retail"]
    tasks = [row["task_id"] for row in found]
    differ = [
        bool(CHECKS[kind]({**row, "task_id": other}, get_domain("retail")))
        for row, other in zip(found, tasks[1:] + tasks[:1], strict=True)
        if other != row["task_id"] and row["reward"] == 1.0
    ]
    assert differ
    assert sum(differ) > 0.5 * len(differ)


@pytest.mark.parametrize("kind", COUNTS)
def test_what_agrees_by_hand_agrees(kind: str) -> None:
    assert [CHECKS[kind](row, get_domain("mock")) for row in rows(kind)] == [[], []]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("grading", "reward", 0.0),
        ("grading", "db_match", False),
        ("grading", "env_assertions", [True]),
        ("grading", "action_checks", [False]),
        ("grading", "communicate_checks", [True]),
        ("grading", "termination_reason", "max_steps"),
        ("episodes", "reward", 0.0),
        ("episodes", "termination_reason", "max_steps"),
        ("episodes", "step_count", 6),
        ("episodes", "num_errors", 1),
        ("episodes", "agent_used", 3),
        ("episodes", "user_used", 1),
        ("episodes", "roles", ["assistant"]),
        ("episodes", "max_steps", 4),
        ("episodes", "user_script", [{"content": "###STOP###"}]),
        ("episodes", "agent_script", []),
    ],
)
def test_every_field_is_compared(kind: str, field: str, value: Any) -> None:
    assert altered(kind, lambda row: row.update({field: value}))


@pytest.mark.parametrize(
    ("index", "field", "value"),
    [
        (0, "content", "Hello?"),
        (1, "role", "assistant"),
        (2, "tool_calls", []),
        (3, "content", "{}"),
        (3, "error", True),
        (3, "id", "a1_1"),
        (5, "content", "###STOP###"),
    ],
)
def test_every_message_is_compared(index: int, field: str, value: Any) -> None:
    assert altered("episodes", lambda row: row["messages"][index].update({field: value}))


def test_what_a_writing_tool_returned_is_compared_with_the_recording() -> None:
    (line,) = altered("grading", lambda row: row["messages"][3].update({"content": "{}"}))
    assert line.startswith("update_task_status: ")


def test_what_tau2_bench_did_not_compute_is_not_compared() -> None:
    def forget(row: dict[str, Any]) -> None:
        row.update(dict.fromkeys(("db_match", "action_checks", "communicate_checks")))

    assert altered("grading", forget) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("a", "a", True),
        (None, None, True),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
        ("[1.0]", "[1]", True),
        ('{"a": 1}', '{"a": 2}', False),
        ('{"a": "1"}', '{"a": 1}', False),
        ("a", "b", False),
        ("a", None, False),
        ("1", "x", False),
    ],
)
def test_contents_agree_as_text_or_as_json(
    ours: str | None, theirs: str | None, same: bool
) -> None:
    assert same_content(ours, theirs) is same


class TestCommand:
    @pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
    @pytest.mark.parametrize("kind", COUNTS)
    def test_it_counts_what_agrees(self, tmp_path: Path, kind: str, suffix: str) -> None:
        text = "\n\n".join(map(json.dumps, rows(kind))).encode()
        path = tmp_path / f"recording{suffix}"
        path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
        done = command(kind, path)
        assert (done.exit_code, done.output) == (0, "2 agree, 0 differ\n")

    @pytest.mark.parametrize("kind", COUNTS)
    def test_it_shows_the_first_differences_and_fails(self, tmp_path: Path, kind: str) -> None:
        good, bad = rows(kind)
        bad["reward"] = 0.0
        path = tmp_path / "recording.jsonl"
        path.write_text("\n".join(map(json.dumps, [good, bad, bad])))
        done = command(kind, path, "--show", "1")
        assert done.exit_code == 1
        assert done.output.splitlines() == [
            "row 2: mock update_task_1",
            "  reward: 1.0 instead of 0.0",
            "1 agree, 2 differ",
        ]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "JSONDecodeError"),
            ("{}", "KeyError"),
            ('{"domain": "bank"}', "unknown domain 'bank'"),
            ('{"domain": "mock", "task_id": "none"}', "unknown task 'none' of mock"),
        ],
    )
    def test_a_file_that_cannot_be_checked_is_an_error_of_its_own(
        self, tmp_path: Path, content: str, message: str
    ) -> None:
        path = tmp_path / "recording.jsonl"
        path.write_text(content)
        done = command("grading", path)
        assert done.exit_code == 2
        assert message in " ".join(done.output.split())

    def test_a_missing_file_and_an_unknown_source_are_errors(self, tmp_path: Path) -> None:
        assert command("grading", tmp_path / "none").exit_code == 2
        path = tmp_path / "recording.jsonl"
        path.write_text(json.dumps(rows("grading")[0]))
        done = command("grading", path, "--source", "pypi")
        assert done.exit_code == 2
        assert "unknown source 'pypi'" in done.output

    @pytest.mark.parametrize("kind", COUNTS)
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    @pytest.mark.parametrize("content", ["", "\n\n  \n"])
    def test_a_file_without_recordings_is_an_error(
        self, tmp_path: Path, kind: str, suffix: str, content: str
    ) -> None:
        path = tmp_path / f"recording{suffix}"
        path.write_bytes(gzip.compress(content.encode()) if suffix else content.encode())
        done = command(kind, path)
        assert done.exit_code == 2
        assert "holds no recordings" in " ".join(done.output.split())
        assert "agree" not in done.output

    @pytest.mark.parametrize(("kind", "other"), [("grading", "episodes"), ("episodes", "grading")])
    def test_recordings_of_the_other_kind_are_refused(
        self, tmp_path: Path, kind: str, other: str
    ) -> None:
        path = tmp_path / "recording.jsonl"
        path.write_text(json.dumps(rows(other)[0]))
        done = command(kind, path)
        assert done.exit_code == 2
        assert "row 1 is not a recording of this kind" in " ".join(done.output.split())

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("x.gz", b"not gzipped"),
            ("x.gz", gzip.compress(b"{}\n" * 1000, mtime=0)[:-20]),
            ("x", b"\xff\xfe\x00"),
            ("x", b"[" * 100_000),
            ("x", b"[1]"),
            ("x", b"null"),
        ],
    )
    def test_a_broken_file_is_one_sentence(self, tmp_path: Path, name: str, content: bytes) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        done = command("grading", path)
        assert done.exit_code == 2
        assert isinstance(done.exception, SystemExit)
        assert done.output.startswith("error:")
