"""What a run needs and is not installed is named at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents.packages import EXTRAS, require
from benchmarks import passk

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def without(monkeypatch: pytest.MonkeyPatch, *gone: str) -> None:
    monkeypatch.setattr(
        "agents.packages.find_spec", lambda name: None if name in gone else object()
    )


def test_a_run_names_all_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "aiohttp", "litellm")
    task = ["--domains", "mock", "--task-ids", "create_task_1"]
    agent = ["--agent", "sglang", "--model", "m", "--sglang-url", "http://127.0.0.1:9"]
    result = CliRunner().invoke(passk.app, [*task, *agent, "--user", "litellm:gpt-4.1-mini"])
    assert result.exit_code == 2
    assert " ".join(result.output.split()) == (
        "error: this run needs aiohttp, litellm, not installed here: "
        "pip install 'tau2-gym[litellm,sglang]'"
    )


def test_only_extras_that_lack_something_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "torch")
    require(["sglang", "litellm"])
    with pytest.raises(Exception, match=r"needs torch, .*tau2-gym.transformers."):
        require(["sglang", "transformers"])


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_extras_install_what_is_asked_for(extra: str) -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    installed = {re.split(r"\W", line)[0] for line in project["optional-dependencies"][extra]}
    assert set(EXTRAS[extra]) <= installed
