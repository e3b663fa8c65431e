"""The tasks that were played, where they are at hand: what the user was told, what the checks are called."""

from __future__ import annotations

from collections.abc import Sequence

from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.errors import Tau2GymError
from tau2_gym.journal import to_json
from tau2_gym.results.run import Row, Run
from tau2_gym.types import Task


class Tasks:
    """The tasks of runs. Domains are loaded once each, on first use.

    Attributes:
        missing: by domain, why its tasks are not shown.
    """

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._domains: dict[tuple[str, str, str | None], Domain | None] = {}

    def of(self, run: Run, row: Row) -> Task | None:
        """The task of an attempt; None where another revision of it is at hand, or none."""
        domain = self._domain(run, row["domain"])
        if domain is None:
            return None
        if domain.revision != row["revision"]:
            self.missing[row["domain"]] = (
                f"revision {row['revision']} was played, and {domain.revision} is at hand"
            )
            return None
        try:
            return domain.task(row["task_id"])
        except Tau2GymError as error:
            self.missing[row["domain"]] = str(error)
            return None

    def _domain(self, run: Run, name: str) -> Domain | None:
        source, folder = run.config.get("source"), run.config.get("data_dir")
        source = source if isinstance(source, str) else "inspect-evals"
        folder = folder if isinstance(folder, str) else None
        key = (name, source, folder)
        if key not in self._domains:
            try:
                self._domains[key] = get_domain(name, source, folder)
            except Tau2GymError as error:
                self.missing[name] = str(error)
                self._domains[key] = None
        return self._domains[key]


def named(task: Task | None) -> dict[str, Sequence[str]]:
    """What the checks of a task are about, by kind and in the order of the checks."""
    criteria = task.criteria if task else None
    if criteria is None:
        return {"action": [], "communicate": [], "assertion": []}
    return {
        "action": [
            f"{_side(action.requestor)}{_call(action.name, action.arguments)}"
            for action in criteria.actions or ()
        ],
        "communicate": criteria.communicate,
        "assertion": [
            f"{_side(item.side)}{_call(item.name, item.arguments)}"
            f"{'' if item.expected else ' is false'}"
            for item in criteria.env_assertions or ()
        ],
    }


def _side(side: str) -> str:
    return "user: " if side == "user" else ""


def _call(name: str, arguments: dict[str, object]) -> str:
    said = ", ".join(
        f"{key}={to_json(value, ensure_ascii=False)}" for key, value in arguments.items()
    )
    return f"{name}({said})"
