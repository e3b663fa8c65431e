"""The numbers of a run as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

NAMES = 30
"""Columns of a domain's name; of a longer one, with the tasks it is to make, the beginning is shown."""

WIDE = 122
"""Columns that the full table takes, with all its intervals."""


def table(summary: dict[str, Any], k: int, title: str, width: int) -> Table:
    """The summary for the terminal: percentages with their 95 % intervals, or with their bounds
    where there were faults. Where all attempts end with answers, mean@k and maj@k are shown. On a terminal
    narrower than `WIDE` there are fewer columns, and only the first metric has its interval. The summary file has them all."""
    result = Table(
        title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1)
    )
    result.add_column("domain", no_wrap=True, max_width=NAMES)
    shown = ["pass@1"] + ([f"pass@{k}", f"pass^{k}"] if k > 1 else [])
    if k > 1 and all(f"maj@{k}" in group["bounds"] for group in summary["by_domain"].values()):
        shown = [f"mean@{k}", f"maj@{k}", f"pass@{k}"]  # of k attempts, mean@k is pass@1
    extras = {"turns": "num_turns", "errors": "num_errors", "viol.": "ownership_violations"}
    if width < WIDE:
        extras = {}
    for name in ("tasks", *shown, "partial", *extras, "faults"):
        result.add_column(name, justify="right", no_wrap=True)
    for name, floor, group in _rows(summary):
        covered, tasks = group["tasks_covered"], group["tasks"]
        result.add_row(
            f"  {floor}" if floor else name,
            str(tasks) if covered == tasks else f"{covered} of {tasks}",
            *(
                _value(group, metric, interval=width >= WIDE or metric == shown[0])
                for metric in shown
            ),
            _number(group["partial_score"], 2),
            *(_number(group[name], 1) for name in extras.values()),
            str(sum(group["faults"].values())),
            style="dim" if floor else "bold" if name == "overall" else None,
        )
    result.caption = caption(summary)
    return result


def _rows(summary: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The rows of the table: domain, agent that is a floor, if it is one, and numbers."""
    names = list(summary["by_domain"])
    for name in [*names, *(["overall"] if len(names) > 1 else [])]:
        yield name, "", _of(summary, name)
        for floor, numbers in summary.get("floors", {}).items():
            yield name, floor, _of(numbers, name)


def _of(summary: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = summary["overall"] if name == "overall" else summary["by_domain"][name]
    return found


def remarks(summary: dict[str, Any]) -> Iterator[str]:
    """What else there is to say of a run, a sentence each: changes without the user's yes, and what a success
    took."""
    asked = {
        name: group["confirmation"]
        for name, group in summary["by_domain"].items()
        if group["confirmation"] and group["confirmation"]["writes"]
    }
    if asked:
        parts = [
            f"{name} {found['unconfirmed']} of {found['writes']} (in {found['successes_unconfirmed']} of "
            f"{found['successes']} successes)"
            for name, found in asked.items()
        ]
        yield f"Changes before the user had said yes: {', '.join(parts)}."
    took = summary["overall"]["per_success"]
    if took and took["tokens"]:
        yield f"Per success: {took['tokens']:,.0f} tokens of the agent, ${took['cost']:.4f} for both sides."


def caption(summary: dict[str, Any]) -> str | None:
    """What the table's numbers do not cover: faults and tasks without a judge, if there were any."""
    overall = summary["overall"]
    notes = []
    if overall["faults"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in overall["faults"].items())
        notes.append(
            f"Faults ({kinds}) left attempts without a result. Where there are any, pass@k and pass^k "
            "are given as worst–best: as if all of them had failed, or succeeded. The other columns "
            "leave them out."
        )
    if overall["ungraded"]:
        missing, tasks = len(overall["ungraded"]), overall["tasks"]
        notes.append(
            f"{missing} of {tasks} tasks need a judge and have not been graded: no number covers "
            "them. Name a judge with --judge-model."
        )
    return " ".join(notes) or None


def _value(group: dict[str, Any], name: str, interval: bool) -> str:
    """A metric in percent: with its interval, or as its bounds where attempts have no result."""
    if group["faults"]:
        worst, best = group["bounds"][name]["worst"], group["bounds"][name]["best"]
        return "–" if worst is None else f"{100 * worst:.1f}–{100 * best:.1f}"
    metric = group["pass"]["excluded"][name]
    if metric["value"] is None:
        return "–"
    if not interval:
        return f"{100 * metric['value']:.1f}"
    low, high = 100 * metric["low"], 100 * metric["high"]
    return f"{100 * metric['value']:.1f} [{low:.0f}, {high:.0f}]"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
