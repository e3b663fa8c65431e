"""What `CONTRIBUTING.md` says of adding something, done as it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DOORS = PAGE.partition("## Adding something\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOORS, re.M | re.S)


def run(folder: Path, *words: str) -> str:
    """What Python prints in a folder in which the packages are, too."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the modules that the page shows, and the files that it speaks of."""
    for language, code in BLOCKS:
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", code)
            assert name is not None, "a module must say its name"
            (tmp_path / name[1]).write_text(code, encoding="utf-8")
    data = Path("examples", "library", "data")
    shutil.copytree(ROOT / data, tmp_path / data)
    return tmp_path


COMMANDS = [code.strip() for language, code in BLOCKS if language == "bash"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_plays_what_was_added(command: str, folder: Path) -> None:
    *before, last = command.splitlines()
    for line in before:
        subprocess.run(["bash", "-c", line], cwd=folder, check=True)
    _, *words = shlex.split(last)
    run(folder, *words, "--num-samples", "1", "--workers", "2", "--output", "out.jsonl")
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert rows
    assert [row["error"] for row in rows if row["fault"]] == []
    domain = words[words.index("--domains") + 1]
    assert {row["domain"] for row in rows} == {"branch" if ":" in domain else domain}
    if ":" in domain:
        assert {row["official_reward"] for row in rows} == {1.0}
    else:
        said = [m["content"] for row in rows for m in row["messages"] if m.get("content")]
        assert any("teh" in text for text in said)
        assert any(text == "Sorry. Is there anything else?" for text in said)


def applied(diff: str, folder: Path) -> None:
    """Put the added lines of a diff behind the line that they follow, in a copy of the packages."""
    for package in ("tau2_gym", "agents", "trainers"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    old, new, before, *added = diff.splitlines()
    assert old.removeprefix("--- a/") == new.removeprefix("+++ b/")
    path = folder / new.removeprefix("+++ b/")
    text = path.read_text(encoding="utf-8")
    line = before[1:] + "\n"
    assert text.count(line) == 1
    assert all(entry.startswith("+") for entry in added)
    more = "".join(f"{entry[1:]}\n" for entry in added)
    path.write_text(text.replace(line, line + more), encoding="utf-8")


TERM = """
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.rewards import RewardConfig

env = Tau2Env("mock", reward={"preset": "sparse", "haste": 0.5})
env.reset(seed=0, options={"task_id": "create_task_1"})
print(env.step("get_users()")[4]["reward_terms"], RewardConfig(haste=1.0).ledger_names)
"""

ESTIMATOR = """
from trainers.config import GRPOConfig, load_config
from trainers.credit import group_advantages

config = load_config(GRPOConfig, None, {"model": "m", "algorithm.credit": "plain"})
print(group_advantages([[1.0, 1.0], [0.5]], [False] * 2, credit=config.algorithm.credit))
"""

DIFFS = [code for language, code in BLOCKS if language == "diff"]


def test_a_reward_term_is_the_lines_that_are_shown(tmp_path: Path) -> None:
    applied(DIFFS[0], tmp_path)
    assert run(tmp_path, "-c", TERM) == (
        "{'official': 0.0, 'haste': -0.5} ('progress', 'official', 'haste')\n"
    )


def test_an_estimator_is_the_lines_that_are_shown(tmp_path: Path) -> None:
    applied(DIFFS[1], tmp_path)
    assert run(tmp_path, "-c", ESTIMATOR) == "[[2.0, 2.0], [0.5]]\n"


def test_all_doors_are_shown() -> None:
    languages = [language for language, _ in BLOCKS]
    assert languages == ["python", "bash", "python", "bash", "diff", "diff"]
