"""What policies get for nothing is seen, said, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.audit import POLICIES, Row, audited
from tau2_gym.cli import app
from tau2_gym.rewards import PRESETS


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": "120", "NO_COLOR": "1"})


def found(domain: str, policy: str) -> Row:
    (row,) = (row for row in audited(domain, "test") if row.policy == policy)
    return row


def test_what_is_passed_by_doing_nothing() -> None:
    rows = {row.policy: row for row in audited("airline", "test")}
    assert list(rows) == list(POLICIES)
    assert rows["noop"].solved == rows["done"].solved == 0.3
    assert rows["noop"].dense == 0
    assert rows["empty"].solved == 0
    assert rows["silent"].solved > 0.9
    assert rows["noop"].returns == dict.fromkeys(PRESETS, pytest.approx(0.3))


def test_who_only_calls_the_agents_tools_does_not_repair_a_phone() -> None:
    silent = found("telecom", "silent")
    assert 0 < silent.solved < 0.5
    assert silent.solved == pytest.approx(silent.of_oracle["sparse"])


def test_what_is_more_than_it_should_be_is_a_warning() -> None:
    row = Row("retail", "test", "noop", 0.11, 0.26, {}, {"sparse": 1.0, "shaped": 1.1})
    assert list(row.warnings(0.1, 0.25)) == [
        "retail, test: noop solves 11 % of the tasks",
        "retail, test: noop earns 26 % of the oracle's dense reward",
        "retail, test: noop earns more than the oracle with 'shaped'",
    ]
    assert list(row.warnings(0.11, 0.26)) == [
        "retail, test: noop earns more than the oracle with 'shaped'"
    ]


def test_a_table_warnings_and_the_numbers(tmp_path: Path) -> None:
    done = run("--domains", "mock", "--splits", "base", "--output", str(tmp_path / "a.json"))
    assert done.exit_code == 0, done.output
    data = json.loads((tmp_path / "a.json").read_text())
    assert [row["policy"] for row in data["rows"]] == list(POLICIES)
    solved = {row["policy"]: row["solved"] for row in data["rows"]}
    assert solved["silent"] > 0.1
    assert (
        f"Warning: mock, base: silent solves {100 * solved['silent']:.0f} % of the tasks."
        in done.output
    )
    assert "ends the episode at once" in done.output
    quiet = run("--domains", "mock", "--splits", "base", "--solved", "1", "--dense", "1")
    assert "Warning" not in quiet.output


def test_the_table_in_markdown() -> None:
    done = run(
        "--domains", "mock", "--splits", "base", "--markdown", "--solved", "1", "--dense", "2"
    )
    lines = done.output.splitlines()
    assert (
        lines[0]
        == "| domain | split | policy | solved, % | dense | sparse | shaped | progress | potential |"
    )
    assert [line.split(" | ")[2] for line in lines[2:]] == [f"`{name}`" for name in POLICIES]
    assert {line.count("|") for line in lines} == {10}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--domains", "hotel"], ["--splits", "dev"], ["--domains", " , "], ["--splits", ""],
        ["--solved", "nan"], ["--solved", "1.1"], ["--dense", "-1"], ["--output", "/nowhere/a/b.json"],
        ["--domains", "mock", "--splits", "base", "--output", "/dev/full"],
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.output
