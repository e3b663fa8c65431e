"""The tables of the page, ready to be laid out: runs side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from tau2_gym.journal import to_json
from tau2_gym.results.metrics import Estimate
from tau2_gym.results.page.masking import shown
from tau2_gym.results.page.numbers import OVERALL, Group, Numbers, Value
from tau2_gym.results.page.plots import end_colour, ordered
from tau2_gym.results.page.reasons import LACKS, errors, lacks
from tau2_gym.results.table import caption

WHAT = {
    "pass@": "at least one of {k} attempts succeeds",
    "pass^": "all {k} attempts succeed",
    "mean@": "the mean score of {k} attempts",
    "maj@": "the score of the answer that most of {k} attempts give",
}

SETUP = (
    "agent",
    "model",
    "user",
    "user_model",
    "judge",
    "reward",
    "seed",
    "max_steps",
    "max_errors",
)
"""What is shown first of how a run was played. Other settings follow where runs differ in them."""

MATTERS = (
    "user",
    "user_model",
    "judge",
    "max_steps",
    "max_errors",
    "source",
    "data_dir",
    "revision",
)
"""Settings that make runs hard to compare where they differ."""


def results(runs: Sequence[Numbers], k: int) -> list[dict[str, Any]]:
    """pass@1, pass@k and pass^k of every domain, a column for each run; with mean@k and maj@k where attempts end
    with answers.

    Args:
        runs: the columns.
        k: which k, besides 1: the most attempts per task that all of them have.
    """
    names = [("pass@", 1)] + ([("pass@", k), ("pass^", k)] if k > 1 else [])
    if any(f"maj@{k}" in group.values for run in runs for group in run.groups.values()):
        names += [("mean@", k), ("maj@", k)]
    domains = sorted(
        dict.fromkeys(name for run in runs for name in run.groups), key=lambda name: name == OVERALL
    )
    return [
        {
            "metric": f"{name}{at}",
            "what": WHAT[name].format(k=at) if at > 1 else "one attempt succeeds",
            "lines": [line for domain in domains for line in _lines(runs, domain, f"{name}{at}")],
        }
        for name, at in names
    ]


def _lines(runs: Sequence[Numbers], domain: str, metric: str) -> list[dict[str, Any]]:
    """A domain's values of a metric, and below them what the floors got."""
    lines = [
        {
            "domain": domain,
            "kind": "overall" if domain == OVERALL else "",
            "tasks": _tasks([run.groups[domain] for run in runs if domain in run.groups]),
            "cells": [_cell(run.groups.get(domain), metric) for run in runs],
        }
    ]
    for floor in dict.fromkeys(name for run in runs for name in run.floors):
        found = [run.floors.get(floor, {}).get(domain, {}).get(metric) for run in runs]
        if any(each is not None and each.value is not None for each in found):
            cells = [_estimated(each) if each else None for each in found]
            lines.append(
                {"domain": floor, "kind": "floor", "tasks": "for comparison", "cells": cells}
            )
    return lines


def _tasks(groups: Sequence[Group]) -> str:
    """How many tasks the numbers cover, of how many."""
    found = {(group.summary["tasks_covered"], group.summary["tasks"]) for group in groups}
    said = {f"{tasks}" if covered == tasks else f"{covered} of {tasks}" for covered, tasks in found}
    return f"{' / '.join(sorted(said))} task{'s' * (said != {'1'})}"


def _cell(group: Group | None, name: str) -> dict[str, Any] | None:
    value: Value | None = group.values.get(name) if group else None
    if value is None or (value.mean.value is None and value.best is None):
        return None
    if value.bounded:
        if value.worst is None or value.best is None:
            return None
        low, high = 100 * value.worst, 100 * value.best
        bar = {"low": round(low, 2), "width": round(max(high - low, 0.5), 2), "value": None}
        return {"text": f"{low:.1f}–{high:.1f}", "interval": "bounds", **bar}
    return _estimated(value.mean)


def _estimated(mean: Estimate) -> dict[str, Any] | None:
    """A value with its interval, and where they stand on a bar of 100."""
    if mean.value is None or mean.low is None or mean.high is None:
        return None
    at, low, high = 100 * mean.value, 100 * mean.low, 100 * mean.high
    return {
        "text": f"{at:.1f}",
        "interval": f"[{low:.0f}, {high:.0f}]",
        "low": round(low, 2),
        "width": round(max(high - low, 0.5), 2),
        "value": round(min(at, 98.4), 2),
    }


def means(runs: Sequence[Numbers]) -> list[dict[str, Any]]:
    """What attempts took, a column for each run."""
    groups = [run.groups.get(OVERALL) or next(iter(run.groups.values())) for run in runs]
    lines = [
        {
            "name": name,
            "what": what,
            "cells": [_number(group.summary[key], digits) for group in groups],
        }
        for name, what, key, digits in (
            ("Φ", "partial score at the end", "partial_score", 2),
            ("reward", "sum of the ledger", "reward", 3),
            ("turns", "actions of the agent", "num_turns", 1),
            ("failed calls", "", "num_errors", 1),
            ("unreadable actions", "", "malformed", 2),
            ("calls of the user's tools", "by the agent", "ownership_violations", 2),
        )
    ]
    taken = [group.summary["per_success"] or {} for group in groups]
    for key, what, form in (
        ("tokens", "of the agent, all attempts", "{:,.0f}"),
        ("cost", "of agent and user, all attempts", "${:,.4f}"),
    ):
        if any(each.get(key) for each in taken):
            cells = [form.format(each[key]) if key in each else "–" for each in taken]
            lines.append({"name": f"{key} per success", "what": what, "cells": cells})
    return lines


def ends(runs: Sequence[Numbers]) -> list[dict[str, Any]]:
    """How many attempts of each run ended how, with links to them."""
    counts = [sum(run.ends.values(), Counter()) for run in runs]
    return [
        {
            "name": end,
            "what": "by the user, without success" if end == "user_stop" else "",
            "colour": end_colour(end),
            "cells": [
                {
                    "count": count[end],
                    "share": f"{100 * count[end] / count.total():.1f} %",
                    "link": _link(run.name if len(runs) > 1 else "", end),
                }
                for run, count in zip(runs, counts, strict=True)
            ],
        }
        for end in ordered(sum(counts, Counter()))
    ]


def _link(run: str, end: str) -> str:
    """The address of a run's attempts that ended so."""
    wanted = {"run": run, "outcome": "passed"} if end == "passed" else {"run": run, "end": end}
    if end != "passed" and not end.startswith("fault"):
        wanted["outcome"] = "failed"
    given = "&".join(f"{name}={quote(value, safe='')}" for name, value in wanted.items() if value)
    return f"#/?{given}"


def reasons(runs: Sequence[Numbers]) -> list[dict[str, Any]]:
    """Of how many failed attempts of each run the grader found something missing."""
    found = [lacks(run.run.rows) for run in runs]
    return [
        {"name": said, "cells": [f"{each[name]:,}" for each in found]}
        for name, said in LACKS.items()
        if any(each[name] for each in found)
    ]


def faults(runs: Sequence[Numbers]) -> list[str]:
    """The most frequent errors behind faults, a line each."""
    several = len(runs) > 1
    return [
        f"{f'{run.name}, ' if several else ''}{count:,}×: {error}"
        for run in runs
        for error, count in errors(run.run.rows)
    ]


def setups(runs: Sequence[Numbers]) -> list[dict[str, Any]]:
    """How the runs were played, a column for each."""
    configs = [dict(run.run.config) for run in runs]
    for config, run in zip(configs, runs, strict=True):
        versions = config.pop("versions", None)
        config |= versions if isinstance(versions, dict) else {}
        config["attempts"], config["most attempts at a task"] = len(run.run.rows), run.k
    every = dict.fromkeys([*SETUP, "attempts", "most attempts at a task"])
    every |= dict.fromkeys(name for config in configs for name in config)
    lines = []
    for name in every:
        values = [config.get(name) for config in configs]
        differs = any(value != values[0] for value in values)
        if (name in SETUP or name == "attempts" or differs) and any(
            value is not None for value in values
        ):
            lines.append(_line(name, [_said(value) for value in values], differs, name in MATTERS))
    for name, found in (("tasks", _tasks_played), ("revision", _revisions)):
        for domain in dict.fromkeys(each for run in runs for each in run.ends):
            played = [found(run, domain) for run in runs]
            differs = len({each for each in played if each}) > 1
            cells = [", ".join(each) if name == "revision" else str(len(each)) for each in played]
            lines.append(
                _line(f"{name} of {domain}", [cell or "–" for cell in cells], differs, True)
            )
    return lines


def _line(name: str, cells: Sequence[str], differs: bool, matters: bool) -> dict[str, Any]:
    return {
        "name": shown(name),
        "cells": [shown(cell) for cell in cells],
        "differs": differs,
        "matters": matters,
    }


def _tasks_played(run: Numbers, domain: str) -> tuple[str, ...]:
    return tuple(sorted({row["task_id"] for row in run.run.rows if row["domain"] == domain}))


def _revisions(run: Numbers, domain: str) -> tuple[str, ...]:
    return tuple(sorted({row["revision"] for row in run.run.rows if row["domain"] == domain}))


def differing(lines: Sequence[dict[str, Any]]) -> str:
    """What makes the runs hard to compare, in one clause; empty if nothing does."""
    names = [str(line["name"]) for line in lines if line["differs"] and line["matters"]]
    return f"not alike, they differ in {', '.join(names)}" if names else ""


def notes(runs: Sequence[Numbers]) -> list[str]:
    """What the numbers do not cover."""
    found = []
    for run in runs:
        said = caption(
            {"overall": (run.groups.get(OVERALL) or next(iter(run.groups.values()))).summary}
        )
        if said:
            found.append(f"{run.name}: {said}" if len(runs) > 1 else said)
    return found


def _said(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else to_json(value, ensure_ascii=False)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
