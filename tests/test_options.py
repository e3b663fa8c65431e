"""Every option of every command line refuses what it cannot mean, in one sentence."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.models import OptionInfo
from typer.testing import CliRunner

from benchmarks import driver, passk, speed
from tau2_gym.domains.base import get_domain
from tau2_gym.results import conformance
from tests.results.test_conformance import rows
from tests.tiny_model import tiny_tokenizer
from trainers import collect, rft

TASK = get_domain("telecom").task_ids("train")[0]
TELECOM = ["--domains", "telecom", "--task-ids", TASK, "--num-samples", "1"]
COMMANDS: dict[str, tuple[typer.Typer, list[str]]] = {
    "passk": (passk.app, ["--domains", "mock", "--task-ids", "create_task_1"]),
    "conformance grading": (conformance.app, ["grading", "grading.jsonl"]),
    "conformance episodes": (conformance.app, ["episodes", "episodes.jsonl"]),
    "speed": (speed.app, ["--domains", "mock", "--repeats", "10"]),
    "driver": (driver.app, ["--episodes", "1", "--turns", "2", "--latency", "0.001"]),
    "collect": (collect.app, TELECOM),
    "rft": (rft.app, [*TELECOM, "--tokenizer", "tokenizer", "--prompt", "bare"]),
}
"""Command lines that do. They run in a folder with the files named in them."""


HUGE, LONG = "9" * 30, "9" * 5000
NUMBERS = ("-1", "0", "1.5", "nan", "inf", "-inf", HUGE, LONG, "many", "")
TEXTS = ("", " , ", "no such thing", "\0")

# Values that mean something. All others must be refused.
WHOLE = {"0", HUGE}
AT_LEAST_1 = {HUGE}
FRACTION = {"0", "1.5", HUGE, LONG}
MEANT: dict[str, set[str]] = {
    # numbers
    "--seed": WHOLE,
    "--max-steps": AT_LEAST_1,
    "--max-errors": AT_LEAST_1,
    "--max-new-tokens": AT_LEAST_1,
    "--top-k": {"-1", HUGE},
    "--top-p": set(),
    "--num-samples": set(),
    "--workers": set(),
    "--concurrency": set(),
    "--repeats": set(),
    "--episodes": set(),
    "--turns": set(),
    "--show": WHOLE,
    "--context": AT_LEAST_1,
    "--startup": {"0", "1.5", HUGE},
    "--outage": {"0", "1.5", HUGE},
    "--temperature": {"0", "1.5", HUGE},
    "--user-temperature": {"0", "1.5", HUGE},
    "--latency": {"1.5"},
    "--min-reward": {"0"},
    "--best-partial": {"0", "1.5", HUGE},
    "--balance": {"0", "1.5", HUGE},
    # texts that may be empty, where an empty one says that there is none
    "--model": {""},
    "--tokenizer": {""},
    "--judge-model": {"", " , ", "no such thing", "\0"},  # its provider's business
}
FREE = {"--output", "--cassette", "--help", "--from", "--data-dir"}
"""Paths, which are tried out elsewhere, and help."""


def options(app: typer.Typer, basis: list[str]) -> dict[str, bool]:
    """The options of a command that take a value, and whether that is a number."""
    callbacks = {command.callback.__name__: command.callback for command in app.registered_commands}
    callback = callbacks.get(basis[0] if basis else "") or callbacks["main"]
    found = {}
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        kind, option, *_ = get_args(parameter.annotation)
        if bool in (kind, *get_args(kind)) or not isinstance(option, OptionInfo):
            continue
        named_so = [name for name in option.param_decls or () if name.startswith("--")]
        name = named_so[0] if named_so else f"--{parameter.name.replace('_', '-')}"
        found[name] = kind in (int, float)
    return found


def cases() -> Iterator[Any]:
    for name, (app, basis) in COMMANDS.items():
        for option, numeric in options(app, basis).items():
            if option in FREE:
                continue
            for value in NUMBERS if numeric else TEXTS:
                if value not in MEANT.get(option, set()):
                    yield pytest.param(name, option, value, id=f"{name} {option} {value[:20]!r}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("here")
    for kind in ("grading", "episodes"):
        (found / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, rows(kind))))
    tiny_tokenizer("instruct").save_pretrained(found / "tokenizer")
    return found


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_do_when_nothing_is_wrong(name: str, here: Path) -> None:
    app, basis = COMMANDS[name]
    result = CliRunner().invoke(app, basis)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("name", "option", "value"), list(cases()))
def test_what_an_option_cannot_mean_is_refused(
    name: str, option: str, value: str, here: Path
) -> None:
    before = sorted(here.iterdir())
    app, basis = COMMANDS[name]
    words = list(basis)
    if option in words:
        del words[words.index(option) : words.index(option) + 2]
    result = CliRunner().invoke(app, [*words, option, value])
    said = " ".join(result.output.split())
    assert result.exit_code == 2, said
    assert isinstance(result.exception, SystemExit)
    assert "error" in said.lower()
    assert "Traceback" not in said
    assert sorted(here.iterdir()) == before


def test_every_kind_of_option_is_tried() -> None:
    tried = {case.values[1] for case in cases()}
    everything = {option for app, basis in COMMANDS.values() for option in options(app, basis)}
    assert everything - tried - FREE == {"--judge-model"}
    assert MEANT.keys() <= everything
