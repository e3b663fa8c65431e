"""The options that evaluation and training share: declared once, and alike but for stated reasons."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.runs.options import PlayOptions
from benchmarks import conformance, driver, exploits, passk, speed
from trainers import collect, grpo, rft, sft

OF_THEIR_OWN = {
    passk.Evaluation: {"reward", "keep_tokens", "floors", "judge_model", "judge_url"},
    collect.Play: {"pool"},
}
DIFFERENT = {"agent", "num_samples", "temperature", "user_temperature"}


@pytest.mark.parametrize("kind", OF_THEIR_OWN)
def test_a_command_has_the_shared_options_and_few_of_its_own(kind: Any) -> None:
    shared = {item.name for item in fields(PlayOptions)}
    assert {item.name for item in fields(kind)} == shared | OF_THEIR_OWN[kind]
    # An option of a class is declared where it differs, and nowhere else.
    declared = set(vars(kind)["__annotations__"]) - {"DEFAULT_SPLIT"}
    assert declared - OF_THEIR_OWN[kind] <= DIFFERENT | {"split"}


def test_defaults_are_the_same_but_for_those_with_a_reason() -> None:
    def defaults(kind: Any) -> dict[str, Any]:
        return {item.name: item.default for item in fields(kind)}

    evaluated, trained, shared = map(defaults, (passk.Evaluation, collect.Play, PlayOptions))
    assert {name for name in shared if evaluated[name] != shared[name]} == set()
    assert {name for name in shared if trained[name] != shared[name]} == DIFFERENT


def test_a_set_up_of_both_is_the_same_but_for_what_is_kept() -> None:
    evaluated, trained = passk.Evaluation(), collect.Play()
    alike = replace(trained, **{name: getattr(evaluated, name) for name in DIFFERENT}).setup()
    assert alike == replace(evaluated.setup(), keep_tokens=True)


@pytest.mark.parametrize("app", [passk.app, collect.app, rft.app])
def test_help_shows_every_shared_option_once(app: Any) -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    shown = re.findall(r"^[│ ]+(--[\w-]+)", said, re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert {f"--{item.name.replace('_', '-')}" for item in fields(PlayOptions)} <= set(shown)
    assert said.count("╭─ What is played") == 1
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", said).split())
    assert "NAME:TASKS plays other tasks than the default, as in code:generated:" in words


COMMANDS = {
    "passk": passk.app,
    "speed": speed.app,
    "driver": driver.app,
    "exploits": exploits.app,
    "grading": conformance.app,
    "episodes": conformance.app,
    "collect": collect.app,
    "rft": rft.app,
    "sft": sft.app,
    "grpo": grpo.app,
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("width", [60, 90, 120])
def test_the_text_of_help_is_broken_into_lines_by_the_width_alone(name: str, width: int) -> None:
    words = [name] if name in ("grading", "episodes") else []
    result = CliRunner().invoke(COMMANDS[name], [*words, "--help"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0, result.output
    text = result.output.partition("Usage:")[2].partition("╭")[0].splitlines()[1:]
    assert any(line.strip() for line in text)
    for line, following in pairwise(text):
        if line.strip() and following.strip():
            assert len(line.rstrip()) + 1 + len(following.split()[0]) > width - 1, line
