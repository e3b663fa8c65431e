"""What a run amounts to: numbers by domain and overall, and a table of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from agents.attempts import SUCCESS
from benchmarks.metrics import Estimate, estimate, pass_at_k, pass_hat_k

Row = dict[str, Any]

FAULTS = {"exclude": "excluded", "fail": "failed"}
"""Attempts that ended in a fault are left out, or counted as failures. Both are reported."""


def summarise(rows: Sequence[Row], k: int, seed: int) -> dict[str, Any]:
    """The numbers of a run: `overall` and `by_domain`.

    Args:
        rows: the results.
        k: up to which k to compute pass@k and pass^k.
        seed: of the bootstrap.
    """
    domains = list(dict.fromkeys(row["domain"] for row in rows))
    return {
        "overall": _group(rows, k, seed),
        "by_domain": {
            domain: _group([row for row in rows if row["domain"] == domain], k, seed)
            for domain in domains
        },
    }


def _group(rows: Sequence[Row], k: int, seed: int) -> dict[str, Any]:
    graded = [row for row in rows if row["fault"] is None and row["official_reward"] is not None]
    played = [row for row in rows if row["fault"] is None]
    return {
        "tasks": len({(row["domain"], row["task_id"]) for row in rows}),
        "attempts": len(rows),
        "successes": sum(row["official_reward"] >= SUCCESS for row in graded),
        "pass": {
            faults: {
                **{f"pass@{i}": _pass(rows, i, pass_at_k, faults, seed).to_dict() for i in _to(k)},
                **{f"pass^{i}": _pass(rows, i, pass_hat_k, faults, seed).to_dict() for i in _to(k)},
            }
            for faults in FAULTS.values()
        },
        "official_reward": _mean(graded, "official_reward"),
        "reward": _mean(played, "reward"),
        "partial_score": _mean(played, "partial_score"),
        "num_turns": _mean(played, "num_turns"),
        "steps": _mean(played, "steps"),
        "num_errors": _mean(played, "num_errors"),
        "malformed": _mean(played, "malformed"),
        "ownership_violations": _mean(played, "ownership_violations"),
        "cost": {
            side: sum(row[name]["cost"] for row in rows)
            for side, name in (("agent", "usage"), ("user", "user_usage"))
        },
        "tokens": {
            name: sum(row["usage"][name] for row in rows)
            for name in ("prompt_tokens", "completion_tokens")
        },
        "terminations": dict(Counter(row["termination"] for row in played)),
        "faults": dict(Counter(row["fault"] for row in rows if row["fault"] is not None)),
        "ungraded": sorted({row["task_id"] for row in rows if row["ungraded"]}),
    }


def _to(k: int) -> range:
    return range(1, k + 1)


def _mean(rows: Sequence[Row], name: str) -> float | None:
    return fmean(row[name] for row in rows) if rows else None


def _pass(
    rows: Sequence[Row],
    k: int,
    formula: Callable[[int, int, int], float | None],
    faults: str,
    seed: int,
) -> Estimate:
    """A metric over tasks. Attempts that nobody graded are left out in either case."""
    counts: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        count = counts.setdefault(row["domain"], {}).setdefault(row["task_id"], [0, 0])
        if row["fault"] is None and row["official_reward"] is not None:
            count[0] += 1
            count[1] += row["official_reward"] >= SUCCESS
        elif row["fault"] is not None and faults == "failed":
            count[0] += 1
    return estimate(
        {
            domain: [formula(attempts, successes, k) for attempts, successes in tasks.values()]
            for domain, tasks in counts.items()
        },
        seed,
    )


WIDE = 122
"""Columns that the table takes with all its intervals."""


def table(
    summary: dict[str, Any], k: int, title: str, width: int, faults: str = "excluded"
) -> Table:
    """The summary for the terminal: percentages with their 95 % intervals, on a terminal narrower
    than `WIDE` fewer columns, and only pass@1 with its interval. The summary file has them all."""
    result = Table(
        title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1)
    )
    result.add_column("domain", no_wrap=True)
    shown = ["pass@1"] + ([f"pass@{k}", f"pass^{k}"] if k > 1 else [])
    extras = {"turns": "num_turns", "errors": "num_errors", "viol.": "ownership_violations"}
    if width < WIDE:
        extras = {}
    for name in ("tasks", *shown, "partial", *extras, "faults"):
        result.add_column(name, justify="right", no_wrap=True)
    groups = {**summary["by_domain"]}
    if len(groups) > 1:
        groups["overall"] = summary["overall"]
    for name, group in groups.items():
        metrics = group["pass"][faults]
        result.add_row(
            name,
            str(group["tasks"]),
            *(
                _percent(metrics[metric], interval=width >= WIDE or metric == "pass@1")
                for metric in shown
            ),
            _number(group["partial_score"], 2),
            *(_number(group[name], 1) for name in extras.values()),
            str(sum(group["faults"].values())),
            style="bold" if name == "overall" else None,
        )
    result.caption = caption(summary, faults)
    return result


def caption(summary: dict[str, Any], faults: str) -> str | None:
    """What the table's numbers leave out: faults and ungraded attempts, if there were any."""
    overall = summary["overall"]
    notes = []
    if overall["faults"]:
        other = "failed" if faults == "excluded" else "excluded"
        kinds = ", ".join(f"{count} {kind}" for kind, count in overall["faults"].items())
        value = _percent(overall["pass"][other]["pass@1"])
        notes.append(f"Faults ({kinds}) are {faults}; were they {other}, pass@1 would be {value}.")
    if overall["ungraded"]:
        notes.append(f"{len(overall['ungraded'])} tasks need a judge and are ungraded.")
    return " ".join(notes) or None


def _percent(metric: dict[str, Any], interval: bool = True) -> str:
    if metric["value"] is None:
        return "–"
    if not interval:
        return f"{100 * metric['value']:.1f}"
    low, high = 100 * metric["low"], 100 * metric["high"]
    return f"{100 * metric['value']:.1f} [{low:.0f}, {high:.0f}]"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
