"""What a run's own summary says that its attempts alone do not: what nobody judged, and floors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tau2_gym.errors import DataError
from tau2_gym.journal import read_json
from tau2_gym.results.metrics import Estimate
from tau2_gym.results.page.masking import shown
from tau2_gym.results.record import TaskKey
from tau2_gym.results.run import Run


@dataclass(frozen=True)
class Recorded:
    """What is in a run's summary.

    Attributes:
        unjudged: tasks that nobody judged.
        floors: metrics of agents that do not do the task, by the agent, then domain or `overall`, then metric.
    """

    unjudged: frozenset[TaskKey] = frozenset()
    floors: dict[str, dict[str, dict[str, Estimate]]] = field(default_factory=dict)


def recorded(run: Run) -> Recorded:
    """What the summary beside a run says; nothing where there is none yet.

    Raises:
        DataError: the file is not the summary of a run.
    """
    path = run.path.with_suffix(".summary.json")
    if not path.exists():
        return Recorded()
    summary = read_json(path)
    try:
        unjudged = {
            (shown(name), shown(task))
            for name, group in summary["by_domain"].items()
            for task in group["ungraded"]
        }
        floors = {
            shown(floor): {name: _metrics(group) for name, group in _groups(numbers).items()}
            for floor, numbers in summary.get("floors", {}).items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not the summary of a run: it has no {error}") from error
    return Recorded(frozenset(unjudged), floors)


def _groups(numbers: dict[str, Any]) -> dict[str, Any]:
    domains = {shown(name): group for name, group in numbers["by_domain"].items()}
    return {**domains, "overall": numbers["overall"]}


def _metrics(group: dict[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**found) for name, found in group["pass"]["excluded"].items()}
