"""A run, with what it was played on: its domains and how its tasks read in tau2-bench's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.domains.tasks import TaskTable
from tau2_gym.errors import ConfigError
from tau2_gym.results.run import Row, Run


@dataclass(frozen=True)
class Played:
    """The attempts of a run in one domain of tau2-bench.

    Attributes:
        run: the run.
        domain: the domain, on the revision that was played.
        rows: the attempts, task by task.
    """

    run: Run
    domain: Domain
    rows: Sequence[Row]

    @cached_property
    def task_ids(self) -> list[str]:
        """The tasks that were played, in the order of the domain's file."""
        ids = {row["task_id"] for row in self.rows}
        return [task_id for task_id in self.domain.tasks if task_id in ids]

    @cached_property
    def k(self) -> int:
        """The most attempts at a task."""
        return max(Counter(row["task_id"] for row in self.rows).values())

    def task(self, task_id: str) -> Mapping[str, Any]:
        """A task as tau2-bench's files have it."""
        assert isinstance(self.domain.tasks, TaskTable)
        return {**self.domain.tasks.row(task_id), "id": task_id}


def played(run: Run) -> list[Played]:
    """The domains of a run, in its order.

    Raises:
        ConfigError: one does not belong to tau2-bench, or is here on another revision.
        DataError: a domain's data are malformed.
    """
    return [_in_domain(run, name) for name in run.domains]


def _in_domain(run: Run, name: str) -> Played:
    if name not in DOMAINS:
        raise ConfigError(
            f"{run.path} was played in {name}, and tau2-bench's files are of {', '.join(DOMAINS)} "
            "only: --format inspect and --format hf take any domain"
        )
    domain = get_domain(name, run.config.get("source", "inspect-evals"), run.config.get("data_dir"))
    rows = [row for row in run.rows if row["domain"] == name]
    revisions = {row["revision"] for row in rows} - {domain.revision}
    if revisions:
        raise ConfigError(
            f"{run.path} was played on revision {min(revisions)} of {name}, and {domain.revision} is "
            "here: set TAU2_DATA_DIR to the data that it was played on"
        )
    for row in rows:
        domain.task(row["task_id"])
    order = {task_id: number for number, task_id in enumerate(domain.tasks)}
    return Played(run, domain, sorted(rows, key=lambda row: (order[row["task_id"]], row["trial"])))
