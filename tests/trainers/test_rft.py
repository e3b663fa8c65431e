"""From attempts to a folder that can be trained on, as a person would run it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tau2_gym.domains.base import get_domain
from tests.tiny_model import checkpoint, tiny_tokenizer
from tests.trainers.playing import TASKS
from trainers.collect import app as collect
from trainers.data.dataset import read_rows
from trainers.rft import app

FEW = ["--domains", "telecom", "--task-ids", ",".join(TASKS[:3]), "--num-samples", "2"]


def run(*arguments: str, command: Any = app) -> Any:
    return CliRunner().invoke(command, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    result = run(*FEW, "--workers", "1", "-o", str(folder), command=collect)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer("instruct").save_pretrained(folder)
    return str(folder)


def test_rows_are_made_of_attempts_that_are_there(
    raw: Path, tokenizer: str, tmp_path: Path
) -> None:
    result = run(
        "--from", str(raw), "--tokenizer", tokenizer, "--prompt", "compact", "-o", str(tmp_path)
    )
    assert result.exit_code == 0, result.output
    assert "telecom: attempts 6, usable 6, kept 6, fitting 6" in result.output
    rows = read_rows(tmp_path)
    assert [(row["task_id"], row["trial"]) for row in rows] == [
        (task, trial) for task in TASKS[:3] for trial in range(2)
    ]
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["rows"] == card["by_domain"]["telecom"]["rows"] == len(rows)
    assert card["by_domain"]["telecom"]["tasks"] == 3
    assert card["longest"] == max(row["tokens"] for row in rows)
    assert card["rules"] == {"min_reward": 1.0, "best_partial": 0.6, "balance": 3.0, "seed": 0}
    assert (card["agent"], card["prompt"], card["tokenizer"]) == ("workflow", "compact", tokenizer)
    assert {row["template"] for row in rows} == {card["template"]}
    assert card["refused"] == []
    assert card["note"] is None


def test_playing_at_once_gives_the_same_rows(raw: Path, tokenizer: str, tmp_path: Path) -> None:
    options = ["--tokenizer", tokenizer, "--prompt", "bare"]
    made, played = tmp_path / "made", tmp_path / "played"
    assert run("--from", str(raw), *options, "-o", str(made)).exit_code == 0
    result = run(*FEW, *options, "--workers", "1", "-o", str(played))
    assert result.exit_code == 0, result.output
    assert (made / "data.jsonl").read_bytes() == (played / "data.jsonl").read_bytes()
    assert (played / "attempts.jsonl").read_bytes() == (raw / "attempts.jsonl").read_bytes()
    assert not (made / "attempts.jsonl").exists()


def test_a_model_plays_and_becomes_its_own_teacher(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = checkpoint(tmp_path / "model", "instruct")
    result = run(
        "--domains", "telecom", "--task-ids", TASKS[0], "--num-samples", "4",
        "--agent", "transformers", "--model", model, "--prompt", "bare", "--min-reward", "0",
        "--max-steps", "7", "--max-new-tokens", "64", "--seed", "1", "-o", str(tmp_path / "rft"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = read_rows(tmp_path / "rft")
    assert all(row["verbatim"] for row in rows)
    assert {row["agent"] for row in rows} == {f"transformers:{model}"}
    assert {row["reward"] for row in rows} == {0.0}


def test_long_rows_are_refused_counted_and_named(raw: Path, tokenizer: str, tmp_path: Path) -> None:
    options = ["--from", str(raw), "--tokenizer", tokenizer, "--prompt", "bare"]
    assert run(*options, "-o", str(tmp_path)).exit_code == 0
    lengths = sorted(row["tokens"] for row in read_rows(tmp_path))
    context = str(lengths[-1])
    result = run(*options, "--context", context, "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    over = lengths.count(lengths[-1])
    assert f"refused {over}: it does not fit into {context} tokens" in result.output
    card = json.loads((tmp_path / "card.json").read_text())
    assert len(card["refused"]) == over
    assert card["refused"][0]["task_id"] in TASKS[:3]
    assert len(read_rows(tmp_path)) == 6 - over
    nothing = run(*options, "--context", "16", "-o", str(tmp_path / "none"))
    assert nothing.exit_code == 2
    assert "no row is left of 6 attempts" in nothing.output
    assert "it does not fit into 16 tokens" in " ".join(nothing.output.split())
    assert not (tmp_path / "none").exists()


def test_the_folder_of_a_run_stands_for_its_model(
    raw: Path, tokenizer: str, tmp_path: Path
) -> None:
    model = tmp_path / "run" / "model"
    shutil.copytree(tokenizer, model)
    (model / "config.json").write_text("{}")
    options = ["--from", str(raw), "--prompt", "bare"]
    result = run(*options, "--tokenizer", str(model.parent), "-o", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output


def edited(raw: Path, folder: Path, **changes: Any) -> Path:
    """A copy of the attempts, the first one changed."""
    folder.mkdir()
    setup = (raw / "attempts.config.json").read_text()
    (folder / "attempts.config.json").write_text(setup)
    first, *rest = (raw / "attempts.jsonl").read_text().splitlines()
    lines = [json.dumps({**json.loads(first), **changes}), *rest]
    (folder / "attempts.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_attempts_at_test_tasks_are_refused(raw: Path, tokenizer: str, tmp_path: Path) -> None:
    task = get_domain("telecom").task_ids("test")[0]
    found = edited(raw, tmp_path / "raw", task_id=task)
    result = run("--from", str(found), "--tokenizer", tokenizer, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert "must not be trained on" in result.output
    assert not (tmp_path / "out").exists()


def test_attempts_on_another_revision_are_refused(
    raw: Path, tokenizer: str, tmp_path: Path
) -> None:
    found = edited(raw, tmp_path / "raw", revision="abc")
    result = run("--from", str(found), "--tokenizer", tokenizer, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert "line 1, was played on revision abc of telecom" in result.output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--from", "nowhere"], "at nowhere: nowhere/attempts.jsonl and attempts.config.json are"),
        (["--from", "nowhere.jsonl"], "nowhere.jsonl and nowhere.config.json are needed"),
        (["--min-reward", "2"], "min_reward must lie in [0, 1], not 2.0"),
        (["--balance", "0.5"], "balance must be at least 1, not 0.5"),
        ([], "name it, or its folder, with --tokenizer"),
        (["--tokenizer", "./nowhere"], "there is no model folder ./nowhere"),
        (["--split", "full", "--tokenizer", "TOKENIZER"], "split 'full' holds test tasks"),
    ],
)
def test_wrong_options_end_with_one_sentence(
    tokenizer: str, tmp_path: Path, options: list[str], sentence: str
) -> None:
    given = [tokenizer if option == "TOKENIZER" else option for option in options]
    result = run(*given, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2, result.output
    assert sentence in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_a_missing_package_takes_one_sentence(
    raw: Path, tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    result = run("--from", str(raw), "--tokenizer", tokenizer, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2, result.exception
    assert "a tokenizer takes transformers: pip install 'tau2-gym[train]'" in result.output


def test_other_files_are_no_attempts(raw: Path, tokenizer: str, tmp_path: Path) -> None:
    found = edited(raw, tmp_path / "raw")
    (found / "attempts.jsonl").write_text('{"messages": []}\n')
    result = run("--from", str(found), "--tokenizer", tokenizer, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert "line 1, is not an attempt" in result.output
