"""`tau2-gym compare`: runs that can be compared, those that cannot, and what is said of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tau2_gym.cli import app
from tau2_gym.results.compare import Side, compared, most
from tau2_gym.results.run import read_run
from tests.results.helpers import row, write_run


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "120"})


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    a = [row(task, trial, float(trial < 1)) for task in "123" for trial in range(4)]
    b = [row(task, trial, float(trial < 3)) for task in "123" for trial in range(4)]
    return write_run(tmp_path / "a.jsonl", a), write_run(tmp_path / "b.jsonl", b)


def test_a_table_of_differences(pair: tuple[Path, Path]) -> None:
    done = run(*pair)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines()]
    assert ["retail", "pass@1", "3", "25.0", "75.0", "+50.0"] in [line[:6] for line in lines]
    assert ["pass@4", "3", "100.0", "100.0", "+0.0"] in [line[:5] for line in lines]
    assert ["pass^4", "3", "0.0", "0.0", "+0.0"] in [line[:5] for line in lines]
    assert done.output.startswith("A: a")
    assert "Four times the attempts would tell" in done.output


def test_the_numbers_as_json(pair: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(*pair, "--output", tmp_path / "c.json", "--k", 2)
    assert done.exit_code == 0
    found = json.loads((tmp_path / "c.json").read_text())
    assert list(found["differences"]["retail"]) == ["pass@1", "pass@2", "pass^2"]
    assert found["differences"]["retail"]["pass@1"]["value"] == 0.5
    assert (found["a"], found["notes"]) == ([str(pair[0])], [])


def test_several_domains_have_an_overall(tmp_path: Path) -> None:
    rows = [row("1"), row("2"), row("1", domain="mock"), row("2", 0, 0.0, domain="mock")]
    path = write_run(tmp_path / "a.jsonl", rows)
    side = Side.read(str(path), "A")
    assert list(compared(side, side, 1, 0)) == ["mock", "retail", "overall"]
    assert most(side, side) == 1


def test_several_runs_of_a_side_are_named_with_commas(pair: tuple[Path, Path]) -> None:
    done = run(pair[0], f"{pair[0]},{pair[1]}")
    assert done.exit_code == 0
    assert "B: a, b" in done.output
    assert "+25.0" in done.output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "litellm:gpt-4.1"),
        ("user_model", {"temperature": 1.0}),
        ("judge", {"name": "gpt-4.1"}),
        ("max_steps", 30),
        ("max_errors", 3),
        ("source", "tau2"),
        ("data_dir", "elsewhere"),
    ],
)
def test_set_ups_that_differ_are_refused_unless_told(
    pair: tuple[Path, Path], name: str, value: Any
) -> None:
    write_run(pair[1], [row("1", trial) for trial in range(4)], **{name: value})
    write_run(pair[0], [row("1", trial) for trial in range(4)])
    done = run(*pair)
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert said.startswith(f"error: {name} is ")
    assert repr(value) in said
    assert "--anyway" in said
    done = run(*pair, "--anyway")
    assert done.exit_code == 0
    assert f"Note: {name} is " in " ".join(done.output.split())


@pytest.mark.parametrize("changed", [{"agent": "other"}, {"seed": 7}, {"reward": "sparse"}])
def test_other_agents_seeds_and_rewards_can_be_compared(
    pair: tuple[Path, Path], changed: dict[str, Any]
) -> None:
    write_run(pair[1], [row(task, trial) for task in "123" for trial in range(4)], **changed)
    assert run(*pair).exit_code == 0


def test_other_tasks_and_revisions_are_refused(pair: tuple[Path, Path]) -> None:
    write_run(pair[1], [row("1"), row("4")])
    done = run(*pair)
    said = " ".join(done.output.split())
    assert (done.exit_code, "3 tasks" in said, "1 of them" in said) == (2, True, True)
    assert run(*pair, "--anyway").exit_code == 0
    write_run(pair[1], [row(task, trial, revision="other") for task in "123" for trial in range(4)])
    done = run(*pair)
    assert done.exit_code == 2
    assert "the revision of retail is abc in" in " ".join(done.output.split())


def test_runs_without_a_task_in_common_cannot_be_compared_at_all(pair: tuple[Path, Path]) -> None:
    write_run(pair[1], [row("7")])
    done = run(*pair, "--anyway")
    assert done.exit_code == 2
    assert "no task that both sides have graded" in " ".join(done.output.split())


def test_faults_and_tasks_without_a_grade_are_left_out_and_said(pair: tuple[Path, Path]) -> None:
    rows = [row(task, trial) for task in "123" for trial in range(4)]
    rows[0] = {**rows[0], "fault": "user", "error": "gone", "official_reward": None}
    rows[-1] = {**rows[-1], "official_reward": None}
    write_run(pair[1], rows)
    side = Side.read(str(pair[1]), "B")
    assert side.counts == [{("retail", "1"): (3, 3), ("retail", "2"): (4, 4)}]
    done = run(*pair)
    assert done.exit_code == 0
    assert "1 attempts of b have no result because of faults" in done.output


def test_results_without_a_set_up_are_refused(pair: tuple[Path, Path]) -> None:
    pair[1].with_suffix(".config.json").unlink()
    done = run(*pair)
    assert (done.exit_code, "has no b.config.json" in " ".join(done.output.split())) == (2, True)


@pytest.mark.parametrize("argument", ["missing.jsonl", "", " , ", "."])
def test_what_is_no_run_is_one_sentence(pair: tuple[Path, Path], argument: str) -> None:
    done = run(pair[0], argument)
    assert done.exit_code == 2
    assert done.output.startswith("error: ")


def test_names_from_files_are_neither_markup_nor_obeyed_by_terminals_nor_secret(
    tmp_path: Path,
) -> None:
    odd = {"domain": "[/red]\x1b[31m<b>", "task_id": "[bold"}
    key = "sk-proj-0123456789abcdefghij"
    rows = [row("1", **odd), row("1", **{**odd, "task_id": "2"})]
    a = write_run(tmp_path / "[red]a\x1b[2J.jsonl", rows, user=f"litellm:m@http://me:{key}@host/v1")
    b = write_run(tmp_path / "b.jsonl", [{**each, "revision": f"r\x1b]0;{key}"} for each in rows])
    done = run(a, b, "--anyway", "--output", tmp_path / "c.json")
    assert done.exit_code == 0, done.output
    assert "[/red]\\x1b[31m<b>" in done.output
    assert "A: [red]a\\x1b[2J" in done.output
    assert "\x1b" not in done.output
    assert key not in done.output + (tmp_path / "c.json").read_text()
    done = run(a, b)
    assert (done.exit_code, key in done.output, "\x1b" in done.output) == (2, False, False)


@pytest.mark.parametrize("name", ["a.jsonl", "b.jsonl", "a.config.json", "link.json"])
def test_the_numbers_never_overwrite_what_they_are_of(
    pair: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "link.json").hardlink_to(pair[0])
    before = (tmp_path / name).read_bytes()
    done = run(*pair, "--output", tmp_path / name)
    said = " ".join(done.output.split())
    assert (done.exit_code, "would overwrite" in said) == (2, True)
    assert (tmp_path / name).read_bytes() == before
    assert read_run(pair[0]).k == 4


def test_more_attempts_than_there_are_is_one_sentence(pair: tuple[Path, Path]) -> None:
    done = run(*pair, "--k", 5)
    said = " ".join(done.output.split())
    assert (done.exit_code, "no task of retail has the 5 graded attempts" in said) == (2, True)


def test_one_task_shows_nothing(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a.jsonl", [row("1", 0, 0.0)])
    b = write_run(tmp_path / "b.jsonl", [row("1", 0, 1.0)])
    done = run(a, b, "--output", tmp_path / "c.json")
    assert "+100.0 [-100.0, +100.0]" in done.output
    assert "]*" not in done.output
    assert (
        json.loads((tmp_path / "c.json").read_text())["differences"]["retail"]["pass@1"]["error"]
        is None
    )
