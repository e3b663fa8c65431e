"""The command `tau2-gym`: every verb answers, and is told by what name it was called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tau2_gym
from tau2_gym import cli


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_of_its_own(verb: str) -> None:
    done = CliRunner().invoke(cli.app, [verb, "--help"])
    assert done.exit_code == 0
    assert f"tau2-gym {verb}" in done.output


def test_the_command_lists_its_verbs_without_loading_them() -> None:
    code = (
        "import sys\nfrom tau2_gym.cli import app\n"
        "try: app(['--help'], prog_name='tau2-gym')\nexcept SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name.startswith('tau2_gym.results.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for verb in cli.VERBS:
        assert f" {verb} " in done.stdout


def test_an_unknown_verb_is_named() -> None:
    done = CliRunner().invoke(cli.app, ["rport"])
    assert (done.exit_code, "No such command 'rport'" in done.output) == (2, True)


def test_a_verb_that_takes_a_checkout_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cli._add("gone", "nowhere.gone", "It is not there.")
    done = CliRunner().invoke(cli.app, ["gone"])
    assert (done.exit_code, done.output) == (
        2,
        "error: tau2-gym gone takes a checkout of the project\n",
    )
    cli.app.registered_commands.pop()


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("tau2-gym")
    done = subprocess.run([command, "--help"], text=True, capture_output=True, check=True)
    assert "conformance" in done.stdout


def test_the_version() -> None:
    done = CliRunner().invoke(cli.app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"tau2-gym {tau2_gym.__version__}\n")
