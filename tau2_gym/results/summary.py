"""The outcome of a run: numbers by domain and overall, and a table of them.

Two things can be missing. A *fault* left an attempt without a result, so that the numbers lie between
bounds: all such attempts failed, or all of them succeeded. A *task* that needs a judge is left out
entirely if there is none: the attempts at it that fail without one would otherwise stay, and those
that
may have passed would not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tau2_gym.results.metrics import Estimate, estimate, pass_at_k, pass_hat_k
from tau2_gym.results.record import SUCCESS, TaskKey
from tau2_gym.results.votes import maj_over_tasks, mean_over_tasks

Row = dict[str, Any]

FAULTS = ("excluded", "failed", "solved")
"""What attempts that ended in a fault count as. The last two are the bounds."""


def summarise(
    rows: Sequence[Row], k: int, seed: int, unjudged: Collection[TaskKey] = ()
) -> dict[str, Any]:
    """The numbers of a run: `overall` and `by_domain`.

    Args:
        rows: the results.
        k: up to which k to compute pass@k and pass^k.
        seed: of the bootstrap.
        unjudged: tasks that need a judge, in a run without one.
    """
    left_out = {*unjudged, *(_task(row) for row in rows if _ungraded(row))}
    domains = list(dict.fromkeys(row["domain"] for row in rows))
    return {
        "overall": _group(rows, k, seed, left_out),
        "by_domain": {
            domain: _group([row for row in rows if row["domain"] == domain], k, seed, left_out)
            for domain in domains
        },
    }


def _task(row: Row) -> TaskKey:
    return (row["domain"], row["task_id"])


def _ungraded(row: Row) -> bool:
    """Whether the attempt was played to its end but not graded."""
    return row["fault"] is None and row["official_reward"] is None


def _group(rows: Sequence[Row], k: int, seed: int, left_out: Collection[TaskKey]) -> dict[str, Any]:
    covered = [row for row in rows if _task(row) not in left_out]
    played = [row for row in covered if row["fault"] is None]
    metrics = {
        faults: {
            **{f"pass@{i}": _pass(covered, i, pass_at_k, faults, seed).to_dict() for i in _to(k)},
            **{f"pass^{i}": _pass(covered, i, pass_hat_k, faults, seed).to_dict() for i in _to(k)},
        }
        for faults in FAULTS
    }
    if any(row.get("answer") is not None for row in covered):
        for faults in FAULTS:
            metrics[faults][f"mean@{k}"] = mean_over_tasks(covered, k, faults, seed).to_dict()
            metrics[faults][f"maj@{k}"] = maj_over_tasks(covered, k, faults, seed).to_dict()
    return {
        "tasks": len({_task(row) for row in rows}),
        "tasks_covered": len({_task(row) for row in covered}),
        "attempts": len(rows),
        "successes": sum(row["official_reward"] >= SUCCESS for row in played),
        "pass": metrics,
        "bounds": {
            name: {"worst": worst["value"], "best": metrics["solved"][name]["value"]}
            for name, worst in metrics["failed"].items()
        },
        "official_reward": _mean(played, "official_reward"),
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
        "terminations": dict(Counter(row["termination"] for row in rows if row["fault"] is None)),
        "faults": dict(Counter(row["fault"] for row in rows if row["fault"] is not None)),
        "ungraded": [
            task_id for _, task_id in sorted({_task(row) for row in rows} & set(left_out))
        ],
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
    """A metric over tasks, every attempt of which was graded or ended in a fault."""
    counts: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        count = counts.setdefault(row["domain"], {}).setdefault(row["task_id"], [0, 0])
        if row["fault"] is None:
            count[0] += 1
            count[1] += row["official_reward"] >= SUCCESS
        elif faults != "excluded":
            count[0] += 1
            count[1] += faults == "solved"
    return estimate(
        {
            domain: [formula(attempts, successes, k) for attempts, successes in tasks.values()]
            for domain, tasks in counts.items()
        },
        seed,
    )


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
    groups = {**summary["by_domain"]}
    if len(groups) > 1:
        groups["overall"] = summary["overall"]
    for name, group in groups.items():
        covered, tasks = group["tasks_covered"], group["tasks"]
        result.add_row(
            name,
            str(tasks) if covered == tasks else f"{covered} of {tasks}",
            *(
                _value(group, metric, interval=width >= WIDE or metric == shown[0])
                for metric in shown
            ),
            _number(group["partial_score"], 2),
            *(_number(group[name], 1) for name in extras.values()),
            str(sum(group["faults"].values())),
            style="bold" if name == "overall" else None,
        )
    result.caption = caption(summary)
    return result


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
