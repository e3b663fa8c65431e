"""`docs/environment.md` says what there is."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import tau2_gym
from tau2_gym.envs.agent_env import RENDER_MODES, Tau2Env
from tau2_gym.envs.vector_env import Tau2VectorEnv
from tau2_gym.info import ChecksInfo, Info, Privileged
from tau2_gym.types import Termination
from tests.helpers import make

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "environment.md").read_text(encoding="utf-8")


def rows(section: str, number: int = 0) -> dict[str, list[str]]:
    """A table of a section: the cells after the first, by the name in the first."""
    (body,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    table = re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE)[number]
    found = {}
    for line in table.splitlines()[2:]:
        first, *cells = re.split(r"(?<!\\) \| ", line.strip("| "))
        assert all(cell.strip() for cell in cells), line
        found[first.strip("`")] = [
            re.sub(r"^`([^`]*)`$", r"\1", cell.strip()).replace("\\|", "|") for cell in cells
        ]
    return found


def plain(annotation: str) -> str:
    """A type as the page writes it: without what is in every mapping, and literals as text."""
    annotation = re.sub(r"(Mapping|PathLike|dict)\[str(, Any)?\]", r"\1", annotation)
    annotation = re.sub(r"Literal\[[^\]]*\]", "str", annotation)
    return re.sub(r"[\s()]+", "", annotation)


@pytest.mark.parametrize(
    ("section", "kind", "more"),
    [
        ("Arguments", Tau2Env, {"self", "unknown"}),
        ("Many at once", Tau2VectorEnv, {"self", "domain", "kwargs"}),
    ],
)
def test_every_argument_is_there_with_its_type_and_default(
    section: str, kind: Any, more: set[str]
) -> None:
    parameters = inspect.signature(kind.__init__).parameters
    documented = rows(section)
    assert set(documented) == set(parameters) - more
    for name, (annotation, default, _) in documented.items():
        parameter = parameters[name]
        assert plain(annotation) == plain(str(parameter.annotation)), name
        if parameter.default is inspect.Parameter.empty:
            assert default == "–"
        else:
            value = getattr(parameter.default, "value", parameter.default)
            assert ast.literal_eval(default) == value, name


@pytest.mark.parametrize("number, kind", enumerate([Info, ChecksInfo, Privileged]))  # noqa: PT006
def test_every_key_of_info_is_there_with_its_type(number: int, kind: Any) -> None:
    documented = rows("info", number)
    hints = {name: hint.__forward_arg__ for name, hint in kind.__annotations__.items()}
    assert list(documented) == list(hints)
    for name, (annotation, _) in documented.items():
        assert plain(annotation) == plain(hints[name]), name


def test_every_end_of_an_episode_is_there() -> None:
    meaning = rows("info")["termination"][1]
    assert set(re.findall(r"`(\w+)`", meaning)) == {end.value for end in Termination}


def test_the_methods_are_there_as_they_are() -> None:
    shown = rows("Snapshots and forks")
    assert {name.split("(")[0] for name in shown} == {
        name
        for name, member in vars(Tau2Env).items()
        if inspect.isfunction(member)
        and not name.startswith("_")
        and name not in ("reset", "step", "render", "close")
    }
    for form in shown:
        name, arguments = re.fullmatch(r"(\w+)\((.*?)\) -> .*", form).groups()  # type: ignore[union-attr]
        (_, *parameters) = inspect.signature(getattr(Tau2Env, name)).parameters.values()
        written = [
            p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters
        ]
        assert ", ".join(written) == arguments


def test_the_exceptions_are_what_the_page_calls_them() -> None:
    for name in rows("Errors"):
        for path in re.findall(r"[\w.]+", name):
            module, _, attribute = path.rpartition(".")
            error = getattr(importlib.import_module(module or "builtins"), attribute)
            assert issubclass(error, Exception)
    assert issubclass(tau2_gym.ConfigError, ValueError)
    assert issubclass(tau2_gym.DataError, ValueError)


def test_render_modes_and_reset_options_are_named() -> None:
    for mode in RENDER_MODES:
        assert f'render_mode="{mode}"' in TEXT
    assert 'options={"task_id"' in TEXT
    with pytest.raises(tau2_gym.ConfigError, match=r"allowed: task_id$"):
        make("mock").reset(options={"nothing": 1})


def test_the_class_has_gymnasiums_sections_and_names_every_argument_and_key() -> None:
    doc = inspect.getdoc(Tau2Env) or ""
    sections = ["Description", "Action Space", "Observation Space", "Rewards", "Starting State"]
    sections += ["Episode End", "Arguments", "Version History"]
    assert re.findall(r"^## (.*)$", doc, re.MULTILINE) == sections
    arguments = doc[doc.index("## Arguments") :]
    for name in rows("Arguments"):
        assert re.search(rf"^ {{4}}[\w, ]*\b{name}\b[\w, ]*:", arguments, re.MULTILINE), name
    for key in Info.__annotations__:
        assert f"`{key}`" in doc


def test_the_page_is_reached_from_the_readme() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    assert "(docs/environment.md)" in readme
