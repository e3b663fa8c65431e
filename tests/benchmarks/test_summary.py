"""A run's numbers."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from benchmarks.summary import WIDE, summarise, table


def row(task_id: str, reward: float | None, **changes: Any) -> dict[str, Any]:
    base = {
        "domain": "retail",
        "task_id": task_id,
        "official_reward": reward,
        "fault": None,
        "ungraded": None,
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.25, "calls": 1},
        "user_usage": {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0, "calls": 0},
        "reward": 0.5,
        "partial_score": 0.5,
        "num_turns": 4,
        "steps": 9,
        "num_errors": 1,
        "malformed": 0,
        "ownership_violations": 0,
        "termination": "user_stop",
    }
    return {**base, **changes}


FAULTY = {"fault": "infrastructure", "termination": None}


def value(summary: dict[str, Any], metric: str, faults: str = "excluded") -> float | None:
    found: float | None = summary["overall"]["pass"][faults][metric]["value"]
    return found


def test_pass_metrics_of_a_small_run() -> None:
    rows = [row("1", 1.0), row("1", 0.0), row("2", 1.0), row("2", 1.0)]
    summary = summarise(rows, 2, seed=0)
    assert value(summary, "pass@1") == 0.75
    assert value(summary, "pass@2") == 1.0
    assert value(summary, "pass^2") == 0.5


def test_faults_are_counted_both_ways() -> None:
    rows = [row("1", 1.0), row("1", None, **FAULTY)]
    summary = summarise(rows, 2, seed=0)
    assert value(summary, "pass@1", "excluded") == 1.0
    assert value(summary, "pass@1", "failed") == 0.5
    assert value(summary, "pass@2", "excluded") is None
    assert value(summary, "pass@2", "failed") == 1.0
    assert summary["overall"]["faults"] == {"infrastructure": 1}


def test_only_faults_are_null_everywhere() -> None:
    summary = summarise([row("1", None, **FAULTY)], 1, seed=0)
    assert value(summary, "pass@1") is None
    assert value(summary, "pass@1", "failed") == 0.0
    assert summary["overall"]["official_reward"] is None


def test_ungraded_attempts_neither_pass_nor_fail_and_are_named() -> None:
    rows = [row("1", 1.0), row("2", None, ungraded=["NL_ASSERTION"])]
    summary = summarise(rows, 1, seed=0)
    for faults in ("excluded", "failed"):
        assert summary["overall"]["pass"][faults]["pass@1"] == {
            "value": 1.0,
            "low": 1.0,
            "high": 1.0,
            "tasks": 1,
        }
    assert summary["overall"]["ungraded"] == ["2"]


def test_what_models_took_is_summed() -> None:
    overall = summarise([row("1", 1.0), row("2", 0.0)], 1, seed=0)["overall"]
    assert overall["cost"] == {"agent": 0.5, "user": 0.0}
    assert overall["tokens"] == {"prompt_tokens": 20, "completion_tokens": 4}


def test_tasks_of_the_same_id_in_two_domains_are_two_tasks() -> None:
    rows = [row("1", 1.0), row("1", 0.0, domain="airline")]
    summary = summarise(rows, 1, seed=0)
    assert summary["overall"]["tasks"] == 2
    assert summary["by_domain"]["airline"]["pass"]["excluded"]["pass@1"]["value"] == 0.0


def test_the_table_shows_every_domain_and_what_it_leaves_out() -> None:
    rows = [row("1", 1.0), row("1", 1.0, domain="airline"), row("2", None, **FAULTY)]
    summary = summarise(rows, 1, seed=0)
    for width in (80, WIDE):
        buffer = StringIO()
        Console(file=buffer, width=width).print(table(summary, 1, "title", width))
        text = buffer.getvalue()
        for expected in ("retail", "airline", "overall", "100.0 [100, 100]", "1 infrastructure"):
            assert expected in text
        assert "…" not in text
