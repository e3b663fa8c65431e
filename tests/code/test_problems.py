"""The expected answers against other ways to them, over thousands of problems."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from random import Random
from typing import Any

import pytest
import sympy

from tau2_gym.code.generated import load
from tau2_gym.code.mathematics import is_right, plain
from tau2_gym.code.problems import FAMILIES, LEVELS
from tau2_gym.code.problems.base import CASES, Program, Value, written
from tau2_gym.code.programs import same
from tests.code.helpers import oracle_code, oracle_program, printed, problem_of

SOURCE = load("seed=21,count=1200,test=400")
ROWS = SOURCE.rows


def test_what_the_code_prints_is_the_expected_value() -> None:
    checked = 0
    for task, row in ROWS.items():
        problem = problem_of(row)
        if problem.kind == "mathematics":
            assert plain(printed(oracle_code(row))) == plain(problem.expected), task
            checked += 1
    assert checked > 900


def test_the_programs_pass_their_tests() -> None:
    checked = 0
    for task, row in ROWS.items():
        problem = problem_of(row)
        if problem.kind != "program":
            continue
        assert len(problem.tests) == CASES
        program, names = oracle_program(row), dict[str, Any]()
        if problem.call:
            exec(program, names)
        for case in problem.tests:
            if problem.call:
                value = names[problem.call](*json.loads(case.stdin))
                assert same(json.loads(json.dumps(value)), json.loads(case.stdout)), (task, case)
            else:
                assert printed(program, case.stdin) == case.stdout, (task, case)
            checked += 1
    assert checked > 6000


def test_the_right_answer_is_right_and_its_neighbours_are_wrong() -> None:
    kinds = Counter[str]()
    for row in ROWS.values():
        problem = problem_of(row)
        if problem.kind != "mathematics":
            continue
        expected = problem.expected
        number = plain(expected)
        assert number is not None
        assert is_right(expected, expected)
        assert not is_right(written(number + 1), expected)
        assert not is_right(written(-number - 1), expected)
        assert not is_right(written(number + Fraction(1, 7)), expected)
        if number.denominator == 1 and number:
            assert not is_right(expected + "0", expected)
        if number:
            assert not is_right(written(-number), expected)
        kinds["fraction" if number.denominator > 1 else "integer"] += 1
    assert min(kinds["fraction"], kinds["integer"]) > 40


SEVERAL = [(kind, level) for kinds in FAMILIES.values() for kind in kinds for level in LEVELS]


@pytest.mark.parametrize(
    ("kind", "level"), SEVERAL, ids=lambda item: getattr(item, "__name__", item)
)
def test_problems_are_drawn_by_their_level_and_say_all_that_varies(kind: Any, level: int) -> None:
    drawn = [kind.draw(Random(number), level) for number in range(40)]
    texts = {problem.text(): problem for problem in drawn}
    for problem in drawn:
        # What is asked the same way is the same problem: nothing is left unsaid.
        assert texts[problem.text()] == problem
        assert len(problem.text()) < 2000
    if issubclass(kind, Value):
        assert all(isinstance(problem.answer(), int | Fraction) for problem in drawn)
    else:
        assert issubclass(kind, Program)


def test_expected_values_are_those_of_sympy() -> None:
    """A third way, for those that sympy knows."""
    from tau2_gym.code.problems import counting, numbers

    chance = Random(3)
    for level in LEVELS:
        for _ in range(12):
            divisors = numbers.Divisors.draw(chance, level)
            known = sympy.divisor_sigma(divisors.number, int(divisors.total))
            assert divisors.answer() == known
            primes = numbers.PrimesBetween.draw(chance, level)
            found = list(sympy.primerange(primes.low, primes.high + 1))
            assert primes.answer() == (sum(found) if primes.total else len(found))
            order = numbers.Order.draw(chance, level)
            assert order.answer() == sympy.n_order(order.number, order.modulus)
            rests = numbers.Remainders.draw(chance, level)
            least = int(sympy.ntheory.modular.crt(rests.moduli, rests.rests)[0])
            assert rests.answer() in (least, least or sympy.prod(rests.moduli))
            size = chance.randint(1, 30)
            whole = counting.Partitions(size, size, distinct=False)
            assert whole.answer() == sympy.functions.combinatorial.numbers.partition(size)
            dice = counting.Dice(2, chance.randint(4, 9), 2, least=True)
            assert dice.answer() == 1


def test_examples_are_no_tests() -> None:
    for row in ROWS.values():
        problem = problem_of(row)
        if problem.kind == "program" and problem.call:
            shown = [line for line in row["ticket"].splitlines() if line.startswith("Example: ")]
            assert len(shown) == 2
            assert all(") returns " in line for line in shown)


def test_no_constant_passes_many_tests() -> None:
    """What a program could gain that always gives the same."""
    shares = []
    for row in ROWS.values():
        problem = problem_of(row)
        if problem.kind == "program":
            counts = Counter(case.stdout for case in problem.tests)
            shares.append(counts.most_common(1)[0][1] / CASES)
    assert sum(shares) / len(shares) < 0.35
    assert sum(share == 1 for share in shares) <= 0.02 * len(shares)
