"""Files of rows, ours and those of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.errors import DataError
from trainers.data.dataset import read_rows, write_rows

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hello to you."},
]


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_is_written_is_read_and_loads_with_datasets(tmp_path: Path) -> None:
    rows = [
        {"messages": TALK, "domain": "retail", "task_id": "0", "reward": 1.0, "exact": True},
        {"messages": TALK[1:], "domain": "mock", "task_id": "x", "reward": 0.5, "exact": False},
    ]
    write_rows(tmp_path, rows, {"rows": 2})
    assert read_rows(tmp_path) == read_rows(tmp_path / "data.jsonl") == rows
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["rows"], len(card["sha256"])) == (2, 64)
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "json", data_files=str(tmp_path / "data.jsonl"), cache_dir=str(tmp_path / "cache")
    )["train"]
    assert [row["messages"] for row in loaded] == [row["messages"] for row in rows]


def test_rows_of_barnes_pipeline_are_read(tmp_path: Path) -> None:
    """As far as its files are known: the conversation in `prompt`, its origin in `metadata`."""
    row = {
        "task_id": "[retail]0[sample_3]",
        "prompt": [*TALK, {"role": "user", "content": "Bye."}],
        "response": "",
        "metadata": {"domain": "retail", "tau2_task_id": "0", "success": True},
    }
    answered = {**row, "response": "Bye to you."}
    write(tmp_path / "tau2_sft_merged_v3_rft.jsonl", row, answered, {"messages": TALK})
    read = read_rows(tmp_path)
    assert read[0]["messages"] == read[2]["messages"] == TALK
    assert read[1]["messages"][3:] == [
        {"role": "user", "content": "Bye."},
        {"role": "assistant", "content": "Bye to you."},
    ]
    assert read[0]["metadata"] == row["metadata"]


@pytest.mark.parametrize(
    "origin",
    [
        {"domain": "retail", "task_id": "5"},
        {"metadata": {"domain": "retail", "tau2_task_id": "5"}},
        {"task_id": "[retail]5[sample_3]"},
        {"split": "test"},
        {"metadata": {"task_split": "test", "domain": "bank"}},
    ],
)
def test_rows_of_test_tasks_are_refused(tmp_path: Path, origin: dict[str, Any]) -> None:
    file = write(tmp_path / "rows.jsonl", {"messages": TALK}, {"messages": TALK, **origin})
    with pytest.raises(DataError, match="must not be trained on"):
        read_rows(file)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"text": "Hello."}, "line 2, holds no 'messages'"),
        ({"messages": []}, "line 2, holds no 'messages'"),
        ([1], "line 2, is not a row"),
        ("cut off", "line 2, is not a row"),
        (
            {"messages": [{"role": "function", "content": "1"}]},
            "line 2, holds a message of role 'function': the roles are system, user, assistant, tool",
        ),
        ({"messages": ["Hello."]}, "line 2, holds a message of role None"),
        ({"messages": [{"role": "assistant", "content": None}]}, "not all text in 'content'"),
        ({"messages": [{**TALK[2], "tool_calls": [{}]}]}, "holds a call without a name"),
        ({"messages": TALK[:2]}, "line 2, holds nothing that the assistant says"),
    ],
)
def test_what_is_no_row_is_named(tmp_path: Path, row: Any, sentence: str) -> None:
    file = write(tmp_path / "rows.jsonl", {"messages": TALK}, row)
    with pytest.raises(DataError, match=sentence):
        read_rows(file)


def test_a_file_may_lack_its_last_line_break_but_not_half_a_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    line = json.dumps({"messages": TALK})
    file.write_text(f"{line}\n{line}")
    assert len(read_rows(file)) == 2
    file.write_text(f"{line}\n{line[:-5]}")
    with pytest.raises(DataError, match="line 2, is not JSON"):
        read_rows(file)


def test_folders_without_rows_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no data at"):
        read_rows(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no data\.jsonl"):
        read_rows(tmp_path)
    write(tmp_path / "attempts.jsonl", {})
    with pytest.raises(DataError, match=r"python -m trainers\.rft --from"):
        read_rows(tmp_path)
    write(tmp_path / "one.jsonl")
    with pytest.raises(DataError, match=r"one\.jsonl holds no rows"):
        read_rows(tmp_path)
    write(tmp_path / "two.jsonl")
    with pytest.raises(DataError, match=r"name one of one\.jsonl, two\.jsonl"):
        read_rows(tmp_path)
