"""The benchmark of speed: what it measures, and what it prints of it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.against_tau2 import measure_tau2
from benchmarks.baseline import READS, Baseline
from benchmarks.measure import median, memory
from benchmarks.speed import app
from tau2_gym.actions import parse_action
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import get_domain
from tau2_gym.types import ToolKind

MEASURED = {
    *("first reset", "reset", "read step", "write step", "last step", "fork", "episode"),
    "bytes per environment",
}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def test_a_report_holds_what_the_table_shows(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "speed.json"
    result = run("--domains", "mock", "--repeats", "10", "--output", str(output))
    assert result.exit_code == 0, result.output
    report = json.loads(output.read_text())
    assert report["repeats"] == 10
    assert report["domains"].keys() == {"mock"}
    measured = report["domains"]["mock"]
    assert measured["tau2-gym"].keys() == MEASURED
    assert measured["baseline"].keys() == {
        *("first reset", "reset", "read step", "bytes per environment")
    }
    assert all(value > 0 for system in measured.values() for value in system.values())
    ours, theirs = measured["tau2-gym"]["reset"], measured["baseline"]["reset"]
    line = next(line for line in result.output.splitlines() if "│ reset" in line)
    shown = [cell.strip() for cell in line.split("│") if cell.strip()]
    assert shown == [
        "reset",
        f"{1000 * ours:.3f} ms",
        f"{1000 * theirs:.3f} ms",
        f"{theirs / ours:,.0f}×",
    ]
    assert re.search(r"write step +│ +\d+\.\d{3} ms │ +– │ +–", result.output)
    assert re.search(r"import tau2_gym +│ +\d+\.\d{3} ms", result.output)


def test_steps_among_many_are_set_beside_those_alone(tmp_path: Path) -> None:
    output = tmp_path / "speed.json"
    result = run(
        *("--domains", "mock", "--repeats", "10", "--num-envs", "2,30", "--output", str(output))
    )
    assert result.exit_code == 0, result.output
    many = json.loads(output.read_text())["domains"]["mock"]["many"]
    assert list(many) == ["step alone", "step among 2", "step among 30"]
    for name, seconds in many.items():
        line = next(line for line in result.output.splitlines() if f"│ {name} " in line)
        shown = [cell.strip() for cell in line.split("│") if cell.strip()]
        ratio = many["step alone"] / seconds
        assert shown == [name, f"{1000 * seconds:.3f} ms", "–", f"{ratio:.2f}×"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--domains", "hotel"], "unknown domain 'hotel'"),
        (["--domains", ","], "--domains names nothing"),
        (["--source", "web"], "unknown source 'web'"),
        (["--against", "gym"], "unknown system to measure against 'gym'; allowed: tau2"),
        (["--repeats", "9"], "--repeats"),
        (["--num-envs", "64,0"], "--num-envs takes numbers from 1 to 100000, not '64,0'"),
        (["--num-envs", "many"], "--num-envs takes numbers from 1 to 100000, not 'many'"),
    ],
)
def test_wrong_options_end_with_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    result = run("--output", str(tmp_path / "x.json"), *arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
    assert not (tmp_path / "x.json").exists()


def test_measuring_against_tau2_bench_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tau2", None)
    result = run("--against", "tau2", "--output", str(tmp_path / "x.json"))
    assert result.exit_code == 2
    assert "needs tau2-bench's own package" in " ".join(result.output.split())


def test_tau2_benchs_own_gym_is_measured() -> None:
    pytest.importorskip("tau2.gym.gym_agent", reason="tau2-bench's own package is not installed")
    times = measure_tau2("mock", 3)
    assert times.keys() == {"reset", "read step", "last step", "bytes per environment"}
    assert all(value > 0 for value in times.values())


@pytest.mark.parametrize("name", DOMAINS)
def test_the_call_that_is_timed_reads_and_succeeds(name: str) -> None:
    domain = get_domain(name)
    (call,) = parse_action(READS[name], domain.agent_tools).tool_calls
    assert domain.agent_tools[call.name].kind is ToolKind.READ
    content, error = domain.start(domain.task(domain.task_ids("base")[0])).call(
        call.name, call.arguments, "assistant"
    )
    assert not error, content


@pytest.mark.parametrize("name", ["retail", "mock"])
def test_the_baseline_grades_as_the_environment_does(name: str) -> None:
    domain = get_domain(name)
    for task_id in domain.task_ids("base"):
        task = domain.task(task_id)
        actions = (task.criteria and task.criteria.actions) or ()
        writes = [domain.agent_tools[action.name].kind is ToolKind.WRITE for action in actions]
        if sum(writes) == 1 and writes[-1]:
            break
    baseline = Baseline(domain, task)
    *before, last = [(action.name, action.arguments) for action in actions]
    baseline.calls = before
    assert not baseline.grade()
    assert baseline.step(*last)
    baseline.rewind()
    assert not baseline.grade()


def test_a_median_is_that_of_what_follows_the_preparation() -> None:
    order: list[str] = []
    seconds = median(lambda: order.append("timed"), 3, lambda: order.append("prepared"))
    assert order == ["prepared", "timed"] * 3
    assert 0 < seconds < 0.1


def test_memory_is_that_of_one_object() -> None:
    assert memory(lambda: bytearray(100_000), 5) == pytest.approx(100_000, rel=0.05)
