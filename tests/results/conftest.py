"""Runs that were really played."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import passk

TASK = "[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"


@pytest.fixture(scope="session")
def telecom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of telecom, played twice by an agent that knows the answers."""
    path = tmp_path_factory.mktemp("telecom") / "oracle.jsonl"
    arguments = ["--agent", "oracle", "--domains", "telecom", "--task-ids", TASK]
    arguments += ["--num-samples", "2", "--workers", "1", "--output", str(path)]
    done = CliRunner().invoke(passk.app, arguments)
    assert done.exit_code == 0, done.output
    return path
