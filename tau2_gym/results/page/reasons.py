"""Why attempts failed: what the grader found missing, and what the faults were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tau2_gym.results.page.masking import shown
from tau2_gym.results.record import SUCCESS
from tau2_gym.results.run import Row

LACKS = {
    "database": "the database is not as expected",
    "assertion": "an assertion does not hold",
    "said": "something required was not said",
    "action": "an expected action was not performed",
    "unexpected": "something was changed that should not have been",
}
"""What failed attempts lack, in the words of the page."""

ERRORS = 3
"""How many errors behind faults are shown, the most frequent ones."""


def lacks(rows: Sequence[Row]) -> Counter[str]:
    """Of how many failed attempts the grader found what of `LACKS`. An attempt may lack several things, and not all
    of them count for its task's reward."""
    found: Counter[str] = Counter()
    for row in rows:
        checks = row["checks"]
        failed = row["official_reward"] is not None and row["official_reward"] < SUCCESS
        if row["fault"] is not None or not failed or not isinstance(checks, dict):
            continue
        found["database"] += not checks.get("db", True)
        found["assertion"] += not all(checks.get("env_assertions") or ())
        found["said"] += not all(checks.get("communicate") or ())
        found["action"] += not all(checks.get("performed") or ())
        found["unexpected"] += bool(checks.get("unexpected"))
    return +found


def errors(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """The most frequent errors behind faults, and how many attempts ended in each."""
    said = Counter(row["error"] or "no reason given" for row in rows if row["fault"] is not None)
    return [(shown(error), count) for error, count in said.most_common(ERRORS)]
