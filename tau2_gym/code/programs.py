"""Whether a program passes its tests.

Each test is a separate run in the sandbox, which gets the program and the test's input. The expected output
is compared outside: it never enters the sandbox, and nothing that the program does to its interpreter can
change the comparison.
"""

from __future__ import annotations

import json
import math
from typing import Any

from tau2_gym.code.database import Case, Problem
from tau2_gym.code.tools import run
from tau2_gym.sandbox.base import Limits

SLOW = 3
"""After this many timeouts, the remaining tests count as failed and are not run."""

MARK = "=== result ==="
CALL = f"""


import json as _json, sys as _sys
_value = ({{call}})(*_json.loads(_sys.stdin.read()))
_sys.stdout.write("\\n{MARK}\\n" + _json.dumps(_value, default=list) + "\\n")
"""
"""Appended to a program to call its function with arguments read from standard input."""


def passed(program: str, problem: Problem) -> list[bool]:
    """For each test, whether the program passes it.

    Raises:
        InfrastructureError: the sandbox failed.
    """
    limits = Limits(seconds=problem.seconds, memory_mb=512, output_kb=1024)
    code = program + CALL.format(call=problem.call) if problem.call else program
    found, slow = list[bool](), 0
    for test in problem.tests:
        if slow >= SLOW:
            found.append(False)
            continue
        result = run(code, limits, stdin=test.stdin)
        slow += result.killed == "time"
        found.append(result.ok and agrees(result.stdout, test, called=bool(problem.call)))
    return found


def agrees(written: str, test: Case, *, called: bool) -> bool:
    """Whether what was written is what the test expects: of a call the same value, of a program the same
    lines, but for spaces at their ends and empty lines after the last."""
    if not called:
        return _lines(written) == _lines(test.stdout)
    _, marked, value = written.rpartition(f"\n{MARK}\n")
    try:
        return bool(marked) and same(json.loads(value), json.loads(test.stdout))
    except (OverflowError, RecursionError, ValueError):
        return False


def same(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same; numbers may differ by rounding if one of them is no
    integer.

    Raises:
        OverflowError: one is an integer that is too large for a number with a fraction, which the other is.
    """
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, float) or isinstance(other, float):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return numbers and math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == other)


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
