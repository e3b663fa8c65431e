"""Whether a value is the expected one.

Plain numbers are compared here, exactly. Everything else goes to math-verify, which understands LaTeX.
Some answers would keep it busy forever (`9^{9^{9^9}}`). Its own protection against that is a signal, which
works in the main thread only, so it runs in its own sandbox with a short time limit.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction
from functools import cache

from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.base import Limits
from tau2_gym.sandbox.local import LocalSandbox

LONGEST = 2000
"""Characters of the longest answer that is compared; a longer one is wrong."""

CPU_SECONDS = 0.5
"""Processor time that math-verify may take per answer; an answer that takes longer is wrong."""

LIMITS = Limits(seconds=30.0, memory_mb=1024, output_kb=16)
"""Limits of the sandbox. `seconds` is wall-clock time, which also passes while the processors are busy with
something else."""

PLAIN = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)", re.ASCII)
DECIMAL = re.compile(r"[+-]?\d*\.\d+", re.ASCII)
RATIO = re.compile(
    r"([+-]?)(?:\\[dt]?frac\{([+-]?\d+)\}\{(\d+)\}|([+-]?\d+)\s*/\s*(\d+))", re.ASCII
)
RELATION = re.compile(r"\\(?:neq?|not|[lg](?:e|eq|eqslant|t)|approx)(?![a-z])|[<>≠≤≥≈]")
"""Signs that change what a number means, and that math-verify ignores."""

AROUND = re.compile(r"\A(?:\$|\\[(\[]|\s)+|(?:\$|\\[)\]]|\s)+\Z")

PREPARE = """
import logging
from math_verify import parse, verify
logging.disable(logging.CRITICAL)
def graded(expected, given):
    one, other = (parse(text, parsing_timeout=None) for text in (expected, given))
    return bool(one) and bool(other) and verify(one, other, timeout_seconds=None)
for one, other in ("1", "2"), (r"\\frac{1}{2}", "0.5"), ("x^2+1", "1+x^2"), (r"\\{1,2\\}", "1,2"):
    graded(f"\\\\boxed{{{one}}}", f"\\\\boxed{{{other}}}")
import builtins
builtins.graded = graded
"""
"""Imports math-verify and warms it up, once."""

GRADE = f"""
import json, os, signal, sys
if child := os.fork():  # The first process of a jail does not die of this signal.
    sys.exit(os.waitpid(child, 0)[1] != 0)
signal.signal(signal.SIGPROF, signal.SIG_DFL)
signal.setitimer(signal.ITIMER_PROF, {CPU_SECONDS})  # Kills it, whatever it is doing.
print(json.dumps(graded(*json.load(sys.stdin))))
"""


def is_right(given: str, expected: str) -> bool:
    """Whether an answer means the expected value.

    Args:
        given: what the agent has put into the box: a number or LaTeX.
        expected: likewise.

    Raises:
        InfrastructureError: the sandbox that compares them failed.
    """
    if len(given) > LONGEST or not given:
        return False
    one, other = plain(given), plain(expected)
    # A decimal may stand for a number that it is only close to.
    exact = not any(DECIMAL.fullmatch(bare(text)) for text in (given, expected))
    if one is not None and other is not None and (exact or one == other):
        return one == other
    if other is not None and RELATION.search(given):
        return False
    return _compared(expected, given)


def plain(text: str) -> Fraction | None:
    """The number that a text spells out; None if it is not a plain number."""
    text = bare(text)
    if PLAIN.fullmatch(text):
        return Fraction(int(text.replace(",", "")))
    if DECIMAL.fullmatch(text):
        return Fraction(text)
    ratio = RATIO.fullmatch(text)
    if ratio is not None:
        sign, above, below, over, under = ratio.groups()
        if int(below or under):
            return Fraction(int(above or over), int(below or under)) * (-1 if sign == "-" else 1)
    return None


def bare(text: str) -> str:
    """A number without LaTeX's delimiters around it and separators in it."""
    text = AROUND.sub("", text)
    return re.sub(r"\\[,!;:]|\{,\}|~", lambda found: "," if found[0] == "{,}" else "", text).strip()


def _compared(expected: str, given: str) -> bool:
    stdin = json.dumps([f"\\boxed{{{text}}}" for text in (expected, given)])
    result = _sandbox().run(GRADE, stdin=stdin, limits=LIMITS)
    if result.killed == "time":
        raise InfrastructureError("the grader got no time on the processor")
    return result.ok and result.stdout.strip() == "true"


@cache
def _sandbox() -> LocalSandbox:
    """A sandbox for the grader: with namespaces where this machine allows them, else with limits alone,
    since no model's code runs in it."""
    made = LocalSandbox(LIMITS, prepare=PREPARE)
    try:
        made.run("pass")
    except ConfigError:
        made = LocalSandbox(LIMITS, prepare=PREPARE, isolate=False)
    return made
