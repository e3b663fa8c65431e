"""What processes of a run on a cluster are given."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("openrlhf", reason="OpenRLHF is not installed: see docs/training.md")

from tau2_gym.sandbox.choice import VARIABLE
from trainers.config import SETTINGS, GRPOConfig
from trainers.openrlhf.launch import grpo_launch
from trainers.openrlhf.main import runtime_env
from trainers.sections import Hardware, Run


@pytest.mark.parametrize("chosen", [None, "fusion:http://box:8080"])
def test_workers_run_code_where_the_run_does(
    chosen: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTINGS, "here.json")
    monkeypatch.delenv(VARIABLE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(VARIABLE, chosen)
    variables = runtime_env()["env_vars"]
    assert variables[SETTINGS] == "here.json"
    assert variables.get(VARIABLE) == chosen
    config = GRPOConfig(
        model="a/b", hardware=Hardware(launcher="ray-job"), run=Run(output=tmp_path, steps=1)
    )
    words = grpo_launch(config).words
    assert [word for word in words if word.startswith(f"{VARIABLE}=")] == (
        [] if chosen is None else [f"{VARIABLE}={chosen}"]
    )
    if chosen is not None:
        assert words[words.index("env") + 1] == f"{VARIABLE}={chosen}"
