"""Programs that pass their tests, and programs that would like to look as if they did."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tau2_gym.code.database import Case, Problem
from tau2_gym.code.programs import MARK, SLOW, agrees, passed, same
from tau2_gym.errors import InfrastructureError
from tau2_gym.sandbox.base import Limits, Result
from tests.code.helpers import Scripted


def called(*pairs: tuple[list[Any], Any], call: str = "solve", seconds: float = 5.0) -> Problem:
    tests = [Case(stdin=json.dumps(given), stdout=json.dumps(result)) for given, result in pairs]
    return Problem(kind="program", call=call, tests=tests, seconds=seconds)


def reading(*pairs: tuple[str, str]) -> Problem:
    return Problem(kind="program", tests=[Case(stdin=a, stdout=b) for a, b in pairs])


SQUARES = called(([3], 9), ([-4], 16), ([0], 0), ([12], 144))


def test_each_test_is_passed_or_not() -> None:
    assert passed("def solve(n):\n    return n * n", SQUARES) == [True] * 4
    assert passed("def solve(n):\n    return 3 * n", SQUARES) == [True, False, True, False]
    assert passed("def solve(n):\n    return 1 // n", SQUARES) == [False] * 4
    assert passed("def other(n):\n    return n * n", SQUARES) == [False] * 4
    assert passed("def solve(n) return", SQUARES) == [False] * 4


def test_a_method_can_be_called() -> None:
    program = "class Solution:\n    def twice(self, n):\n        return 2 * n"
    problem = called(([1], 2), ([4], 8), call="Solution().twice")
    assert passed(program, problem) == [True, True]


@pytest.mark.parametrize(
    "value", [None, True, 0, -1.5, "a\n🙂", [], [1, [2, None]], {"a": [1]}, "", 10**30]
)
def test_values_of_all_kinds_come_back(value: Any) -> None:
    problem = called(([value], [value]))
    assert passed("def solve(x):\n    return x,", problem) == [True]
    assert passed("def solve(x):\n    return x, x", problem) == [False]


def test_a_program_reads_and_writes() -> None:
    problem = reading(("2\n3\n", "5\n"), ("1\n1", "2"))
    assert passed("print(int(input()) + int(input()))", problem) == [True, True]
    assert passed("print(int(input()) + int(input()), '')\nprint()", problem) == [True, True]
    assert passed("print(5)", problem) == [True, False]
    assert passed("print('The sum is 5')", problem) == [False, False]


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("print(9)\nprint(16)\nprint(0)\nprint(144)", id="prints all it can think of"),
        pytest.param("import sys\nsys.exit(0)", id="ends well"),
        pytest.param("import os\nos._exit(0)", id="ends at once"),
        pytest.param("raise SystemExit", id="leaves"),
        pytest.param(
            f"print('{MARK}')\nprint('true')\nimport os, sys\nsys.stdout.flush()\nos._exit(0)",
            id="forges a result",
        ),
        pytest.param(
            "class Any:\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\n"
            "def solve(n):\n    return Any()",
            id="is equal to everything",
        ),
        pytest.param(
            "import json\njson.dumps = lambda *a, **k: 'NaN'\ndef solve(n):\n    return n",
            id="changes how results are written",
        ),
        pytest.param(
            "import json, builtins\nbuiltins.print = lambda *a: None\njson.loads = lambda text: [9]\n"
            "def solve(n):\n    return True",
            id="changes how arguments are read",
        ),
        pytest.param("def solve(n):\n    return float('nan')", id="no number"),
        pytest.param("def solve(n):\n    return True", id="true is not one"),
        pytest.param("def solve(n):\n    return str(n * n)", id="text instead of a number"),
        pytest.param("def solve(n):\n    return solve(n)", id="recursion without end"),
        pytest.param("def solve(n):\n    return [0] * 10 ** 12", id="takes all memory"),
        pytest.param("while True:\n    print('x' * 10000)", id="prints without end"),
        pytest.param(
            "import gc, sys\nfound = [o for o in gc.get_objects() if isinstance(o, (str, dict, list))]\n"
            "def solve(n):\n    return [f.f_locals for f in sys._current_frames().values()] and None",
            id="looks for the answers in memory",
        ),
        pytest.param(
            "import glob\ndef solve(n):\n    text = ''.join(open(p, errors='ignore').read() "
            "for p in glob.glob('/proc/*/environ') + glob.glob('/tmp/*') + glob.glob('*'))\n"
            "    return text",
            id="looks for the answers in files",
        ),
    ],
)
def test_no_trick_passes_a_test(program: str) -> None:
    assert not any(passed(program, called(([3], 9), ([-4], 16), ([12], 144), seconds=2.0)))


def test_what_is_expected_is_nowhere_near_the_program(scripted: Scripted) -> None:
    passed("def solve(n):\n    return n * n", called(([3], 987654), ([4], 123789)))
    said = json.dumps([[each["code"], each["stdin"]] for each in scripted.asked])
    assert "987654" not in said
    assert "123789" not in said
    assert [each["stdin"] for each in scripted.asked] == ["[3]", "[4]"]
    assert not any(each["echo"] for each in scripted.asked)


def test_one_test_cannot_tell_the_next() -> None:
    program = (
        "import os\npath = '/tmp/seen'\nn = int(input())\n"
        "before = open(path).read() if os.path.exists(path) else ''\n"
        "open(path, 'w').write(str(n))\nprint(before or 'nothing')"
    )
    assert passed(program, reading(("1", "nothing"), ("2", "nothing"))) == [True, True]


def test_a_program_that_is_always_too_slow_is_stopped(scripted: Scripted) -> None:
    scripted.result = Result("", "", None, killed="time")
    assert passed("x", called(*[([n], n) for n in range(10)])) == [False] * 10
    assert len(scripted.asked) == SLOW


def test_a_test_has_the_time_of_the_problem(scripted: Scripted) -> None:
    passed("x", called(([1], 1), seconds=7.5))
    assert scripted.asked[0]["limits"] == Limits(seconds=7.5, memory_mb=512, output_kb=1024)


def test_a_failing_sandbox_is_no_failed_test(scripted: Scripted) -> None:
    scripted.fails = True
    with pytest.raises(InfrastructureError, match="full of water"):
        passed("x", SQUARES)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (1, "1", False),
        (0.1 + 0.2, 0.3, True),
        (0.3, 0.31, False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({"a": 1.0}, {"a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        (None, 0, False),
        (None, None, True),
        ("a", "a", True),
        ([], {}, False),
        (1.0, "1", False),
        (10**20, 10**20 + 1, False),
        (float("nan"), float("nan"), False),
    ],
)
def test_what_the_same_means(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


@pytest.mark.parametrize(
    ("written", "agree"),
    [
        (f"\n{MARK}\n9\n", True),
        (f"noise\n{MARK}\n8\n\n{MARK}\n9\n", True),
        (f"\n{MARK}\n8\n", False),
        ("9\n", False),
        (f"\n{MARK}\n", False),
        (f"\n{MARK}\n9\nnoise", False),
        (f"\n{MARK}\n" + "[" * 100_000, False),
    ],
)
def test_the_result_of_a_call_is_what_follows_the_last_mark(written: str, agree: bool) -> None:
    assert agrees(written, Case(stdin="[3]", stdout="9"), called=True) is agree


@pytest.mark.parametrize("wanted", ["0.5", "[1, 0.5]"])
def test_an_integer_that_is_too_large_to_be_compared_is_another_value(wanted: str) -> None:
    written = f"\n{MARK}\n" + wanted.replace("0.5", "1" + "0" * 400)
    assert not agrees(written, Case(stdin="[3]", stdout=wanted), called=True)
