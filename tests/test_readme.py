"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import passk

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", README, re.DOTALL)


def test_every_python_example_shows_its_output() -> None:
    assert EXAMPLES
    assert len(EXAMPLES) == README.count("```python")


@pytest.mark.parametrize(("code", "output"), EXAMPLES)
def test_an_example_prints_what_the_readme_says(code: str, output: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == output


def test_the_example_of_steps_earns_something_before_its_end() -> None:
    ((_, output),) = EXAMPLES
    rewards = [float(line.split()[0]) for line in output.splitlines() if line[:1].isdigit()]
    assert len(rewards) > 2
    assert any(reward > 0 for reward in rewards[:-1])
    assert rewards[-1] >= 1


def commands(module: str) -> list[list[str]]:
    """The arguments of every command line in the README that runs a module."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[3:] for line in words if line[:3] == ["python", "-m", module]]


WIDE = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}

FLOORS = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)


@pytest.mark.parametrize("agent", FLOORS)
def test_the_first_command_runs_with_every_agent_of_the_table(agent: str, tmp_path: Path) -> None:
    options = commands("benchmarks.passk")[0]
    del options[options.index("--num-samples") : options.index("--num-samples") + 2]
    short = ["--num-samples", "1", "--max-steps", "2", "--workers", "1"]
    output = ["--output", str(tmp_path / "x.jsonl")]
    result = CliRunner().invoke(passk.app, [*options, "--agent", agent, *short, *output])
    assert result.exit_code == 0, result.output


def test_every_command_has_the_options_that_the_readme_gives_it() -> None:
    for module in ("benchmarks.passk", "trainers.collect", "trainers.rft"):
        assert commands(module)
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, **WIDE},
        )  # fmt: skip
        for line in commands(module):
            for option in line:
                if option.startswith("--"):
                    assert option in done.stdout, (module, option)
