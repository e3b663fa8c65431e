"""Starting OpenRLHF: the exact command, printed or run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trainers
from agents.checkpoints import looks_local
from tau2_gym.errors import ConfigError
from tau2_gym.sandbox.choice import VARIABLE
from trainers.config import SETTINGS, GRPOConfig, SFTConfig
from trainers.local.checkpoints import CHECKPOINTS
from trainers.openrlhf.arguments import grpo_arguments, sft_arguments

ROOT = Path(trainers.__file__).resolve().parents[1]
AGENT = Path("trainers") / "openrlhf" / "agent_func.py"

FILE = "config.json"
"""In a run's folder: the settings it was started with. Every node must be able to read it."""

MAY_CHANGE = ("run", "hardware", "evaluation")
"""Sections that may differ from those of the run that is resumed."""


@dataclass(frozen=True)
class Launch:
    """A command, and the settings that have to lie in the run's folder before it starts.

    Attributes:
        settings: the recipe as plain data.
        output: the run's folder.
        words: the command, to be started in the folder of this repository.
    """

    settings: Mapping[str, Any]
    output: Path
    words: tuple[str, ...]

    def script(self) -> str:
        """The lines of a shell script that do what `run` does."""
        path = shlex.quote(str(self.output))
        flags = " \\\n  ".join(_lines(self.words))
        return (
            f"cd {shlex.quote(str(ROOT))}\n"
            f"mkdir -p {path}\n"
            f"echo {shlex.quote(json.dumps(self.settings))} > {path}/{FILE}\n"
            f"{flags}"
        )

    def run(self) -> None:
        """Start it, and wait for its end.

        Raises:
            ConfigError: the folder holds a run with other settings; or something is not installed.
            RuntimeError: the command failed.
        """
        check_same(self.output, self.settings)
        if shutil.which(self.words[0]) is None:
            raise ConfigError(f"{self.words[0]} is not installed: see docs/training.md")
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / FILE).write_text(json.dumps(self.settings, indent=1) + "\n")
        status = subprocess.run(self.words, cwd=ROOT, check=False).returncode
        if status:
            raise RuntimeError(
                f"{self.words[0]} ended with exit code {status}; its output is above"
            )


def grpo_launch(config: GRPOConfig) -> Launch:
    """How OpenRLHF is started for a recipe, as a process on this node or as a job of a Ray cluster.

    Raises:
        ConfigError: see `grpo_arguments`.
    """
    config = _absolute(config)
    job = config.hardware.launcher == "ray-job"
    # A job's workers start in a copy of this repository, others wherever Ray was started.
    agent = AGENT if job else ROOT / AGENT
    python = "python" if job else sys.executable
    settings = f"{SETTINGS}={config.run.output / FILE}"
    words = ["env", settings, python, "-m", "trainers.openrlhf.main"]
    words += grpo_arguments(config, str(agent))
    if job:
        if chosen := os.environ.get(VARIABLE):
            words.insert(1, f"{VARIABLE}={chosen}")
        submit = ["ray", "job", "submit", "--address", config.hardware.ray_address]
        words = [*submit, "--working-dir", str(ROOT), "--", *words]
    return Launch(config.model_dump(mode="json"), config.run.output, tuple(words))


def sft_launch(config: SFTConfig, rows: Path, eval_rows: Path | None, count: int) -> Launch:
    """How OpenRLHF is started for a recipe, by DeepSpeed's launcher.

    Args:
        config: the recipe.
        rows, eval_rows: the files of rows.
        count: how many rows there are to train on.

    Raises:
        ConfigError: see `sft_arguments`.
    """
    config = _absolute(config)
    hardware = config.hardware
    words = ["deepspeed", "--num_gpus", str(hardware.gpus)]
    if hardware.nodes > 1:
        words += ["--num_nodes", str(hardware.nodes)]
    words += ["--module", "openrlhf.cli.train_sft"]
    resolved = None if eval_rows is None else eval_rows.resolve()
    words += sft_arguments(config, rows.resolve(), resolved, count)
    return Launch(config.model_dump(mode="json"), config.run.output, tuple(words))


def check_same(output: Path, settings: Mapping[str, Any], backend: str = "openrlhf") -> None:
    """Check that a run with checkpoints resumes with the backend and the settings it was started
    with, and with OpenRLHF on as many GPUs, over which its checkpoints are spread.

    Raises:
        ConfigError: it would not.
    """
    path, checkpoints = output / FILE, output / "checkpoints"
    if not path.exists() or not checkpoints.exists():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    earlier = "local" if any(checkpoints.glob(CHECKPOINTS)) else "openrlhf"
    if earlier != backend and any(checkpoints.iterdir()):
        raise ConfigError(
            f"{output} holds checkpoints of backend {earlier!r}: resume with --backend {earlier}, or "
            "give another output"
        )
    if backend == "openrlhf":
        sizes = [
            found["hardware"]["nodes"] * found["hardware"]["gpus"] for found in (before, settings)
        ]
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"{output} holds checkpoints of a run on {sizes[0]} GPUs: resume on as many, not "
                f"{sizes[1]}"
            )
    other = [
        name
        for name in sorted({*before, *settings})
        if name not in MAY_CHANGE and before.get(name) != settings.get(name)
    ]
    if other:
        raise ConfigError(
            f"{output} holds checkpoints of a run with other settings of {', '.join(other)}: give "
            "another output, or the same settings"
        )


def _absolute(config: Any) -> Any:
    """The recipe with paths that mean the same in other processes."""
    run = config.run.model_copy(update={"output": config.run.output.resolve()})
    local = looks_local(config.model) or Path(config.model).is_dir()
    model = str(Path(config.model).expanduser().resolve()) if local else config.model
    return config.model_copy(update={"run": run, "model": model})


def _lines(words: tuple[str, ...]) -> list[str]:
    """The command with its values next to their flags."""
    lines: list[str] = []
    for word in words:
        quoted = shlex.quote(word)
        if word.startswith("--") and word != "--":
            lines.append(quoted)
        elif lines:
            lines[-1] += f" {quoted}"
        else:
            lines.append(quoted)
    return lines
