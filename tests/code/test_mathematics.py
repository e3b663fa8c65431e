from __future__ import annotations

import threading
from fractions import Fraction

import pytest

from tau2_gym.code import mathematics
from tau2_gym.code.mathematics import LONGEST, is_right, plain
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.base import Limits, Result
from tau2_gym.sandbox.local import LocalSandbox


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42),
        ("-42", -42),
        ("+42", 42),
        ("1,000,000", 1_000_000),
        ("1{,}000", 1000),
        (r"1\,000\,000", 1_000_000),
        ("1,00", None),
        ("$42$", 42),
        (r"\( 42 \)", 42),
        ("0.5", Fraction(1, 2)),
        ("-.5", Fraction(-1, 2)),
        ("1/3", Fraction(1, 3)),
        ("-2 / 6", Fraction(-1, 3)),
        (r"\frac{2}{6}", Fraction(1, 3)),
        (r"-\dfrac{1}{3}", Fraction(-1, 3)),
        (r"\frac{-1}{3}", Fraction(-1, 3)),
        ("1/0", None),
        ("x", None),
        ("", None),
        ("42 apples", None),
        ("4 2", None),
        ("9^9", None),
        ("٣", None),
    ],
)
def test_numbers_that_are_written_plainly(text: str, number: Fraction | int | None) -> None:
    assert plain(text) == number


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("42", "42"),
        ("42.0", "42"),
        (r"\frac{1}{2}", "0.5"),
        ("0.5", r"\frac{1}{2}"),
        ("0.333333", r"\frac{1}{3}"),
        (r"x^2+2x+1", r"(x+1)^2"),
        (r"\{2, 1\}", r"\{1, 2\}"),
        (r"42 \text{ cm}", "42"),
        ("x = 42", "42"),
        (r"\left(42\right)", "42"),
        ("x<5", "x < 5"),
        (r"2^{10}", "1024"),
        (r"10^{100}", "1" + "0" * 100),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("(1, 2)", "(1,2)"),
        ("1" * 900, "1" * 900),
    ],
)
def test_the_same_value_in_other_words_is_right(given: str, expected: str) -> None:
    assert is_right(given, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("43", "42"),
        ("", "42"),
        ("4", "42"),
        ("42, 43", "42"),
        (r"42 \text{ or } 43", "42"),
        (r"\{41, 42\}", "42"),
        ("0.3", r"\frac{1}{3}"),
        ("2/6.1", r"\frac{1}{3}"),
        (r"x^2+2x", r"(x+1)^2"),
        ("forty-two", "42"),
        ("1" * 899 + "2", "1" * 900),
        ("42" + " " * LONGEST, "42"),
        (r"\frac{1}{0}", "1"),
        (r"\neq 42", "42"),
        (r"x \ne 42", "42"),
        ("> 42", "42"),
        (r"\leq 42", "42"),
        (r"42 \lt 43", "42"),
        ("≈ 42", "42"),
        ("(2, 1)", "(1,2)"),
    ],
)
def test_another_value_is_wrong(given: str, expected: str) -> None:
    assert not is_right(given, expected)


BOMBS = (
    "9^{9^{9^9}}",
    "9^{9^{9^{9^{9^{9}}}}}",
    "(10^{10^{10}})!",
    r"\sum_{n=1}^{10^{12}} \frac{1}{n}",
    r"\int_0^{1} x^{x^{x^x}} dx",
    r"\prod_{n=1}^{10^{9}} n",
    "(" * 900,
    "{" * 900,
    r"\frac{" * 300,
    "x^{1000000000}-1",
    "(x+y+z+w)^{300}",
    "(1+x)^{5000}-(x+1)^{5000}+1",
    r"\begin{pmatrix}" + "1&" * 400 + r"1\end{pmatrix}",
    "1," * 900 + "1",
    r"\sqrt{" * 200 + "2" + "}" * 200,
    "e^{e^{e^{e^{10}}}}",
    r"\log(" * 200,
)
"""What takes those that compute it for ever, or all memory."""


@pytest.mark.parametrize("given", BOMBS, ids=lambda text: text[:24])
@pytest.mark.timeout(60)
def test_an_expression_that_explodes_is_wrong(given: str) -> None:
    assert not is_right(given, "42")


@pytest.mark.parametrize(
    "given",
    [
        "__import__('os').system('exit 1')",
        r"\text{__import__('os')._exit(0)}",
        "'); print('true'); ('",
        '\\"]]\ntrue',
        "}",
        "\x00",
        "\\",
        "true",
        "🙂" * 100,
    ],
)
def test_what_is_no_mathematics_is_wrong(given: str) -> None:
    assert not is_right(given, "42")


def test_answers_can_be_compared_on_any_thread() -> None:
    """math-verify's own time-outs are signals, which only the main thread can have."""
    verdicts = list[bool]()
    threads = [
        threading.Thread(target=lambda: verdicts.append(is_right("x+1", "1+x"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [True] * 4


class Busy:
    def run(self, code: str, *, stdin: str, limits: Limits) -> Result:
        return Result("", "", None, killed="time")


def test_a_machine_that_is_too_busy_to_compare_is_no_wrong_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mathematics, "_sandbox", Busy)
    with pytest.raises(InfrastructureError, match="the grader got no time"):
        is_right("x", "42")
    assert is_right("42", "42")  # which needs no grader


def test_values_are_compared_where_nothing_is_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = list[bool]()
    started = LocalSandbox._started

    def without_namespaces(sandbox: LocalSandbox) -> object:
        refused.append(sandbox.isolate)
        if sandbox.isolate:
            raise ConfigError("no namespaces here")
        return started(sandbox)

    monkeypatch.setattr(LocalSandbox, "_started", without_namespaces)
    mathematics._sandbox.cache_clear()
    assert is_right("x+1", "1+x")
    assert refused[0] is True
    assert refused[-1] is False
    mathematics._sandbox().close()
    mathematics._sandbox.cache_clear()
