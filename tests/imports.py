"""Which module imports which, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tau2_gym", "agents", "benchmarks", "trainers", "examples")


def modules(packages: Iterable[str] = PACKAGES, root: Path = ROOT) -> dict[str, Path]:
    """The files of a repository's modules, by the modules' names."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[: -1 if parts[-1] == "__init__" else None])] = path
    return found


def imported(path: Path, inside: bool = True) -> Iterator[tuple[str, str]]:
    """What a module imports when it runs: pairs of a module and a name in it, or an empty text.

    Args:
        path: the module's file.
        inside: whether imports inside functions count. Those for type checkers alone never do.
    """
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), inside):
        match node:
            case ast.Import(names=names):
                yield from ((name.name, "") for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parts = [*_package(path, level), *([module] if module else [])]
                yield from ((".".join(parts), name.name) for name in names)


def _package(path: Path, level: int) -> list[str]:
    """The package that so many leading dots of an import stand for; nothing without any."""
    found: list[str] = []
    folder = path.parents[level - 1]
    while level and (folder / "__init__.py").exists():
        found.insert(0, folder.name)
        folder = folder.parent
    return found


def _nodes(node: ast.AST, inside: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not inside:
                continue
        yield child
        yield from _nodes(child, inside)
