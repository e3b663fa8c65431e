"""The faults that the mutation check plants."""

from __future__ import annotations

import ast

import pytest

from tests.mutants import mutants
from tests.mutation import CORE, EQUIVALENT, ROOT, mirror_of


def planted(source: str) -> list[str]:
    return [mutant.new for mutant in mutants(source)]


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("x = a < b", ["x = (a <= b)"]),
        ("x = a is not b", ["x = (a is b)"]),
        ("x = a in b and c", ["x = (a in b or c)", "x = (a not in b) and c"]),
        ("x = not a", ["x = (a)"]),
        ("x = n - 1", ["x = (n + 1)", "x = n - 2"]),
        ("x = True", ["x = False"]),
        ("x = 0.5", ["x = 1.5"]),
        ("x = f(a, b, key=None)", ["x = f(a, b)", "x = f(b, a, key=None)"]),
        ("x = f(a, a)", []),
        ("x = min(a, b)", []),
        ("x = f(a, encoding=True)", []),
        ("f()", ["pass"]),
        ("zip(a, strict=False)", ["pass"]),
        ("a.b = c", ["pass"]),
        ("a += b", ["pass"]),
        ("raise E", ["pass"]),
        ("a = b if c else d", ["a = b if (not c) else d"]),
        ("if f(x): pass", ["if (not f(x)): pass"]),
        ("def f():\n    return a", ["return None"]),
        ("def f():\n    return None", []),
        ("def f():\n    return False", ["return True"]),
        ('"""Texts."""\na = "x" + f"{1}"', ["a = ('x' - f'{1}')"]),
        ("def f(a: int = 1) -> T[2]: ...", ["def f(a: int = 2) -> T[2]: ..."]),
        ("@f(1)\nclass A: ...", []),
        ("if TYPE_CHECKING:\n    import b\n    f()", []),
        ("é = {1: a(\n    b,\n    c)}", ["é = {2: a(", "é = {1: a(c, b)}"]),
    ],
)
def test_what_is_planted(source: str, faults: list[str]) -> None:
    assert planted(source) == faults


def test_every_fault_in_the_core_is_python_and_differs() -> None:
    for pattern in CORE:
        paths = list(ROOT.glob(pattern))
        assert paths, pattern
        for path in paths:
            source = path.read_text(encoding="utf-8")
            before = ast.dump(ast.parse(source))
            for mutant in list(mutants(source))[::7]:
                assert ast.dump(ast.parse(mutant.text)) != before, (path, mutant)


def test_every_module_of_the_core_is_tested_somewhere() -> None:
    for pattern in CORE:
        for path in ROOT.glob(pattern):
            if list(mutants(path.read_text(encoding="utf-8"))):
                found = mirror_of(str(path.relative_to(ROOT)))
                assert found, path
                assert all((ROOT / one).is_file() for one in found), path


def test_what_is_known_to_be_equivalent_would_be_planted() -> None:
    for line in EQUIVALENT:
        module, _, fault = line.partition(": ")
        assert fault in planted((ROOT / module).read_text(encoding="utf-8")), line
