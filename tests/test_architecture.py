"""docs/architecture.md says where everything is and what may import what: the code is held to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.imports import PACKAGES, ROOT, imported, modules

DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TREE, *LAYERS = re.findall(r"```\n(.*?)```", DOCUMENT, re.DOTALL)[:3]
MODULES = modules()


def imports(inside: bool = True) -> dict[str, set[str]]:
    """The modules of ours that each of ours imports."""
    return {
        name: {
            f"{module}.{own}" if f"{module}.{own}" in MODULES else module
            for module, own in imported(path, inside)
            if module in MODULES
        }
        for name, path in MODULES.items()
    }


# Where everything is


def named() -> Iterator[str]:
    """The paths in the document's tree."""
    folders: list[str] = []
    for line in TREE.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"\s{2,}", line.strip())[0].split(", ")
        del folders[depth:]
        for name in names:
            yield "".join(folders) + name
        if names[-1].endswith("/"):
            folders.append(names[-1])


def test_every_module_has_its_place_in_the_tree_once() -> None:
    there = {
        str(path.relative_to(ROOT))
        for path in MODULES.values()
        if path.name not in {"__init__.py", "__main__.py"}
    }
    counts = Counter(path for path in named() if path.endswith(".py"))
    assert sorted(there - counts.keys()) == [], "not in the document"
    assert sorted(counts.keys() - there) == [], "only in the document"
    assert [path for path, count in counts.items() if count > 1] == []


def test_every_folder_in_the_tree_is_there() -> None:
    assert [path for path in named() if not (ROOT / path).exists()] == []


# What may import what


def layers(text: str) -> dict[str, int]:
    """The line on which the document has each module or folder; a folder's name ends with a slash."""
    lines = text.splitlines()
    return {name: number for number, line in enumerate(lines) for name in line.split(", ")}


PACKAGE_LAYERS, MODULE_LAYERS = map(layers, LAYERS)


def place(module: str) -> str:
    """The part of `tau2_gym` that a module belongs to, as the document names it."""
    path = module.removeprefix("tau2_gym").removeprefix(".").replace(".", "/")
    return path if path in MODULE_LAYERS else f"{path.partition('/')[0]}/"


def test_packages_import_those_above_them() -> None:
    assert set(PACKAGE_LAYERS) == set(PACKAGES)
    wrong = [
        (name, other)
        for name, others in imports().items()
        for other in others
        if (one := name.partition(".")[0]) != (two := other.partition(".")[0])
        and PACKAGE_LAYERS[two] >= PACKAGE_LAYERS[one]
    ]
    assert wrong == []


def test_inside_tau2_gym_a_module_imports_those_above_it() -> None:
    own = {name: others for name, others in imports().items() if name.startswith("tau2_gym.")}
    assert {place(name) for name in own} == set(MODULE_LAYERS)
    wrong = [
        (name, other)
        for name, others in own.items()
        for other in others
        if place(other) != place(name) and MODULE_LAYERS[place(other)] >= MODULE_LAYERS[place(name)]
    ]
    assert wrong == []


def test_nothing_imports_a_command_line_of_the_benchmarks() -> None:
    outside = {
        name: others for name, others in imports().items() if not name.startswith("benchmarks")
    }
    assert [
        (name, other)
        for name, others in outside.items()
        for other in others
        if other.startswith("benchmarks")
    ] == []


def test_no_imports_go_in_a_circle() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' imports '.join(reversed(error.args[1]))}")


# What is imported where it is used

HEAVY = re.findall(r"`([\w-]+)`", re.search(r"Heavy packages \((.*?)\)", DOCUMENT, re.DOTALL)[1])  # type: ignore[index]
COMMANDS = ("collect", "rft", "sft", "grpo")


def loaded(module: str, graph: dict[str, set[str]]) -> set[str]:
    """The modules of ours that are loaded with one of them."""
    found: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        package = {name.rpartition(".")[0]} - {""}
        waiting |= (graph[name] | package) - found
    return found


@pytest.mark.parametrize(
    "start",
    [
        *("tau2_gym", "agents"),
        *(name for name in MODULES if name.startswith("benchmarks.")),
        *(f"trainers.{name}" for name in COMMANDS),
    ],
)
def test_nothing_heavy_is_loaded_with_the_package_or_a_command_line(start: str) -> None:
    assert {"torch", "transformers", "openrlhf", "ray", "litellm"} <= set(HEAVY)
    found = [
        (name, package)
        for name in loaded(start, imports(inside=False))
        for package, _ in imported(MODULES[name], inside=False)
        if package.partition(".")[0] in HEAVY
    ]
    assert found == []
