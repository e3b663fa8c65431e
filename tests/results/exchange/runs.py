"""Small runs, played as users play them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from benchmarks import passk
from tau2_gym import cli

Row = dict[str, Any]


def play(path: Path, *options: str) -> Path:
    """Play a run in this process."""
    done = CliRunner().invoke(passk.app, [*options, "--workers", "1", "--output", str(path)])
    assert done.exit_code == 0, done.output
    return path


def tau2_gym(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(each) for each in arguments])


def changed(run: Path, name: str, change: Callable[[list[Row]], Any], **config: Any) -> Path:
    """A copy of a run in which attempts or the set-up are different."""
    rows = [json.loads(line) for line in run.read_text().splitlines()]
    change(rows)
    path = run.with_name(f"{name}.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    setup = json.loads(run.with_suffix(".config.json").read_text())
    path.with_suffix(".config.json").write_text(json.dumps({**setup, **config}))
    summary = json.loads(run.with_suffix(".summary.json").read_text())
    summary["config"].update(config)
    path.with_suffix(".summary.json").write_text(json.dumps(summary))
    return path
