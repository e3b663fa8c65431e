"""Small faults to plant in a module, for the mutation check: see `tests/mutation.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
COMMUTATIVE = ("min", "max", "math.isclose")
NO_BEHAVIOUR = ("bound", "device", "encoding", "maxsize", "strict")
"""Keywords that only check something, one that ruff insists on, the sizes of caches, and where tensors
are: the tests have a CPU."""


@dataclass(frozen=True)
class Mutant:
    """A module with one fault in it."""

    kind: str
    line: int
    text: str

    @property
    def new(self) -> str:
        """The line on which the fault starts."""
        return self.text.splitlines()[self.line - 1].strip()


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its text.

    Left alone are annotations, decorators, texts, what is inside f-strings, and `NO_BEHAVIOUR`:
    faults there are errors of types, of wording, or of another check.
    """
    lines = source.encode().splitlines(keepends=True)
    for node in _nodes(ast.parse(source)):
        for kind, old, new in _faults(node):
            first, last = old.lineno - 1, (old.end_lineno or old.lineno) - 1
            head = b"".join(lines[:first]) + lines[first][: old.col_offset]
            tail = lines[last][old.end_col_offset :] + b"".join(lines[last + 1 :])
            text = ast.unparse(ast.fix_missing_locations(new))
            if isinstance(new, ast.expr) and not isinstance(new, (ast.Constant, ast.Call)):
                text = f"({text})"
            yield Mutant(kind, old.lineno, (head + text.encode() + tail).decode())


def _nodes(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The expressions and statements that may be changed."""
    if isinstance(node, (ast.expr, ast.stmt)):
        yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            if isinstance(child, ast.keyword) and child.arg in NO_BEHAVIOUR:
                continue
            if isinstance(child, ast.If) and _is_for_types(child):
                continue
            yield from _nodes(child)


def _is_for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


Fault = tuple[str, ast.expr | ast.stmt, ast.expr | ast.stmt]
"""What it is, the node that it replaces, and with what."""


def _faults(node: ast.expr | ast.stmt) -> Iterator[Fault]:
    """The faults that can be planted at a node, but for those of its children."""
    match node:
        case ast.Compare(ops=ops):
            for index, one in enumerate(ops):
                flipped = deepcopy(node)
                flipped.ops[index] = COMPARISONS[type(one)]()
                yield "comparison flipped", node, flipped
        case ast.BoolOp(op=op, values=values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "and/or swapped", node, ast.BoolOp(other, values)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "sign or not dropped", node, operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            yield "operator changed", node, ast.BinOp(left, ARITHMETIC[type(op)](), right)
        case ast.Constant(value=bool(value)):
            yield "True/False flipped", node, ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "constant changed", node, ast.Constant(value + 1)
        case ast.Call():
            yield from _calls(node)
        case ast.Return(value=ast.expr() as value) if not _is_nothing(value):
            yield "None returned", node, ast.Return(ast.Constant(None))
        case ast.Expr(value=value) if not isinstance(value, (ast.Constant, ast.Yield)):
            yield "statement dropped", node, ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            yield "statement dropped", node, ast.Pass()
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield "statement dropped", node, ast.Pass()
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            if not isinstance(test, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Constant)):
                yield "condition negated", test, ast.UnaryOp(ast.Not(), test)


def _calls(node: ast.Call) -> Iterator[Fault]:
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in NO_BEHAVIOUR:
            kept = [*node.keywords[:index], *node.keywords[index + 1 :]]
            yield f"{keyword.arg}= dropped", node, ast.Call(node.func, node.args, kept)
    match node.args:
        case [first, second, *rest] if ast.dump(first) != ast.dump(second):
            starred = isinstance(first, ast.Starred) or isinstance(second, ast.Starred)
            if not starred and ast.unparse(node.func) not in COMMUTATIVE:
                swapped = ast.Call(node.func, [second, first, *rest], node.keywords)
                yield "arguments swapped", node, swapped


def _is_nothing(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (None, False)
