"""Runs as data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.results.exchange import hub
from tests.results.exchange.runs import Row, changed, play, tau2_gym


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "random.jsonl"
    return play(path, "--agent", "random", "--domains", "mock", "--split", "base")


def rows(run: Path) -> list[Row]:
    return [json.loads(line) for line in run.read_text().splitlines()]


def export(run: Path, folder: Path, *options: str) -> Any:
    return tau2_gym("export", run, "-o", folder, "--format", "hf", *options)


def test_datasets_loads_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(hub, "SHARD", 7)
    assert export(run, tmp_path / "set").exit_code == 0
    assert len(list((tmp_path / "set" / "data").iterdir())) == (len(rows(run)) + 6) // 7
    loaded = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["base"]
    features = loaded["base"].features
    assert list(features) == list(hub.COLUMNS)
    assert features["fault"].dtype == "string"
    for row, found in zip(rows(run), loaded["base"], strict=True):
        for name in ("domain", "task_id", "trial", "seed", "official_reward", "termination"):
            assert found[name] == row[name]
        assert json.loads(found["ledger"]) == row["rewards"]
        assert json.loads(found["checks"]) == row["checks"]
        assert len(found["messages"]) == len(row["messages"])
        for ours, theirs in zip(found["messages"], row["messages"], strict=True):
            assert (ours["role"], ours["content"]) == (theirs["role"], theirs.get("content"))
            calls = theirs.get("tool_calls") or []
            assert [json.loads(call["arguments"]) for call in ours["tool_calls"]] == [
                call["arguments"] for call in calls
            ]


def test_the_card_says_what_it_is(run: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    export(run, tmp_path / "set")
    _, head, body = (tmp_path / "set" / "README.md").read_text().split("---\n", 2)
    found = yaml.safe_load(head)
    assert found["configs"][0]["data_files"] == [{"split": "base", "path": "data/base-*.jsonl"}]
    named = [feature["name"] for feature in found["dataset_info"]["features"]]
    assert named == list(hub.COLUMNS)
    assert found["pretty_name"] == "random on tau2-bench"
    assert "| mock | 9 | 36 |" in body
    assert all(f"| `{name}` |" in body for name in hub.COLUMNS)


def test_without_a_summary_the_split_is_named_after_what_it_holds(
    run: Path, tmp_path: Path
) -> None:
    other = changed(run, "alone", lambda found: None)
    other.with_suffix(".summary.json").unlink()
    export(other, tmp_path / "set")
    assert [path.name for path in (tmp_path / "set" / "data").iterdir()] == ["attempts-00000.jsonl"]


def test_any_domain_may_be_exported(run: Path, tmp_path: Path) -> None:
    other = changed(run, "else", lambda found: [row.update(domain="library") for row in found])
    assert export(other, tmp_path / "set").exit_code == 0


def test_keys_are_masked_and_nothing_is_overwritten(run: Path, tmp_path: Path) -> None:
    key = "hf_abcdefghijklmnop1234"
    other = changed(run, "keys", lambda found: found[0]["messages"][1].update(content=key))
    assert export(other, tmp_path / "set").exit_code == 0
    assert key not in (tmp_path / "set" / "data" / "base-00000.jsonl").read_text()
    done = export(run, tmp_path / "set")
    assert (done.exit_code, "exists" in done.output) == (2, True)
    assert export(run, tmp_path / "set", "--force").exit_code == 0
