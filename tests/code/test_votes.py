"""Attempts at problems are voted on."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from benchmarks.passk import app


def test_a_run_says_how_often_the_majority_is_right(tmp_path: Path) -> None:
    output = tmp_path / "runs.jsonl"
    tasks = "code:generated:count=1,test=8,difficulty=1,families=arithmetic+texts"
    done = CliRunner().invoke(
        app,
        ["--agent", "oracle", "--domains", tasks, "--split", "test", "--num-samples", "3"]
        + ["--output", str(output)],
    )
    assert done.exit_code == 0, done.output
    assert "mean@3" in done.output
    assert "maj@3" in done.output
    assert "pass@3" in done.output
    metrics = json.loads(output.with_suffix(".summary.json").read_text())["overall"]["pass"]
    found = metrics["excluded"]
    assert found["mean@3"] == {"value": 1.0, "low": 1.0, "high": 1.0, "tasks": 8}
    assert found["maj@3"] == {"value": 1.0, "low": 1.0, "high": 1.0, "tasks": 4}, "values only"
