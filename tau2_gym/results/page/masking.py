"""Masks secrets in the results of runs before they are shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tau2_gym.completion.redaction import without_secrets
from tau2_gym.render import harmless
from tau2_gym.results.run import Run


def masked(data: Any) -> Any:
    """The data with its texts, and the names in it, as `without_secrets` has them.

    Most data hold no secret: all texts are looked at together first, which takes one pass and not thousands.
    """
    texts: list[str] = []
    _collect(data, texts)
    together = "\n".join(texts)
    return data if without_secrets(together) == together else _masked(data)


def _collect(data: Any, texts: list[str]) -> None:
    if isinstance(data, str):
        texts.append(data)
    elif isinstance(data, dict):
        texts.extend(data)
        for value in data.values():
            _collect(value, texts)
    elif isinstance(data, list | tuple):
        for item in data:
            _collect(item, texts)


def _masked(data: Any) -> Any:
    if isinstance(data, str):
        return without_secrets(data)
    if isinstance(data, dict):
        return {without_secrets(name): _masked(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_masked(item) for item in data]
    return data


def shown(text: Any) -> str:
    """A name from a run as it may be shown: on one line of a page or of a terminal, and in any SVG."""
    return harmless(str(_masked(str(text))))


NAMES = ("domain", "task_id", "termination", "fault", "revision")
"""What of an attempt is shown outside its conversation, besides the terms of its ledger."""


def presentable(run: Run) -> Run:
    """The run with its names as they may be shown; the same run where they already are."""
    names = {row[field] for row in run.rows for field in NAMES if row[field] is not None}
    names |= {term for row in run.rows for ledger in row["rewards"] for term in ledger}
    better = {name: shown(name) for name in names if shown(name) != name}
    if not better:
        return run
    rows = [
        {
            **row,
            **{field: better.get(row[field], row[field]) for field in NAMES},
            "rewards": [
                {better.get(term, term): amount for term, amount in ledger.items()}
                for ledger in row["rewards"]
            ],
        }
        for row in run.rows
    ]
    return replace(run, rows=rows)
