"""Rows with tools are trained on as they are, by the recipe that is meant for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.tiny_model import long_checkpoint, tiny_tokenizer
from tests.trainers.data.test_conversations import SOLVED, SYSTEM, TOOL, write
from tests.trainers.local import small
from trainers import sft as command
from trainers.data.chat_template import FlatTemplate
from trainers.data.conversations import flat_rows
from trainers.data.dataset import read_rows
from trainers.local import sft
from trainers.openrlhf.launch import ROOT

RECIPE = ROOT / "trainers" / "recipes" / "sft_tcr_code.yaml"
QUIET = Console(quiet=True)
SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 16}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("model"))
    long_checkpoint(folder, **SIZES, num_attention_heads=2, num_key_value_heads=1)
    tiny_tokenizer("instruct").save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"messages": [SYSTEM, *SOLVED], "tools": [TOOL]}, {"messages": SOLVED, "tools": "[]"}]
    return write(tmp_path / "rows.jsonl", rows)


def test_training_is_that_of_the_flat_rows(model: str, data: Path, tmp_path: Path) -> None:
    flat = flat_rows(read_rows(data), FlatTemplate(tiny_tokenizer("instruct")))
    plain = write(tmp_path / "flat.jsonl", flat)
    folders = [
        sft.train(small.sft(model, file, tmp_path / file.stem, 3, save_every=9), QUIET)
        for file in (data, plain)
    ]
    assert small.apart(*folders) == 0
    assert small.apart(Path(model), folders[0]) > 0


def test_the_recipe_trains_ten_epochs_on_a_file_of_rows(
    model: str, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    settings = {
        "batch": 2,
        "context": 1024,
        "optimizer.lr": 3e-3,
        "hardware.dtype": "fp32",
        "hardware.attention": "sdpa",
        "hardware.micro_tokens": "null",
        "run.tensorboard": "false",
    }
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    done = CliRunner().invoke(
        command.app,
        ["--config", str(RECIPE), "--model", model, "--data", str(data), "--output", str(output)]
        + ["--backend", "local", *options],
    )
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 11))
    assert lines[-1]["train/loss"] < lines[0]["train/loss"] - 0.5
    assert (output / "model").is_dir()


def test_a_dry_run_writes_the_rows_that_openrlhf_takes(
    model: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.options._absent", lambda packages: [])
    data.write_text(data.read_text() * 20)
    done = CliRunner().invoke(
        command.app,
        ["--config", str(RECIPE), "--model", model, "--data", str(data), "--dry-run"]
        + ["--output", str(tmp_path / "run")],
    )
    assert done.exit_code == 0, done.output
    copy = tmp_path / "run" / "rows.jsonl"
    assert str(copy) in done.stdout
    rows = [json.loads(line) for line in copy.read_text().splitlines()]
    assert len(rows) == 40
    assert {message["role"] for row in rows for message in row["messages"]} == {
        *("system", "user", "assistant")
    }
