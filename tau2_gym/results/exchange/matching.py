"""Which task a recorded simulation was at.

Its `task_id` does not always tell: there are files in which it is only a position in some list, or in
which tasks have been numbered again. What was graded does tell: the recorded checks repeat the task's
expected calls, assertions and texts. Where several tasks are graded by the same, the conversation decides:
the names and numbers in it, and what tools answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tau2_gym.domains.tasks import parse_task
from tau2_gym.errors import DataError
from tau2_gym.results.exchange.files import RewardInfo, Simulation
from tau2_gym.types import Criteria, Message, Task

IDENTIFIER = re.compile(r"[\w.@#-]*(?:\w_\w|\d{3}|@)[\w.@-]*\w")
"""What only one customer has: a name with underscores, a number, an address."""


@dataclass(frozen=True, slots=True)
class Found:
    """A task, and how it was found if not by its id; or why there is none.

    Attributes:
        task: None where nothing tells.
        note: what is to be said about it.
        absent: there is none because the task is not among the candidates at all.
    """

    task: Task | None
    note: str | None = None
    absent: bool = False


class Candidates:
    """The tasks that simulations may have been at.

    Args:
        tasks: the tasks. Of equal ids, all but the first get ids of their own.
        where: what to call them: "of the file", say.

    Attributes:
        tasks: the tasks by id.
        ambiguous: ids that different tasks have.
    """

    def __init__(self, tasks: Iterable[Task], where: str) -> None:
        self.where = where
        self.tasks: dict[str, Task] = {}
        self.ambiguous: set[str] = set()
        for task in tasks:
            if self.tasks.get(task.id, task) != task:
                self.ambiguous.add(task.id)
                task = replace(task, id=f"{task.id} (another, {len(self.tasks)})")
            self.tasks[task.id] = task
        self._identifiers: dict[str, frozenset[str]] = {}

    @classmethod
    def embedded(cls, domain: str, rows: Sequence[Mapping[str, Any]]) -> Candidates:
        """The tasks of a file.

        Raises:
            DataError: one is malformed.
        """
        return cls((parse_task(domain, row) for row in rows), "of the file")

    def find(
        self,
        simulation: Simulation,
        messages: Sequence[Message],
        reproduced: Callable[[Task], int],
    ) -> Found:
        """The task of a graded simulation.

        Args:
            simulation: what was recorded.
            messages: its conversation.
            reproduced: how many results of tools are in a task's world what they were then.
        """
        recorded = simulation.reward_info
        assert recorded is not None
        name, bare = str(simulation.task_id), _bare(recorded)
        named = None if name in self.ambiguous else self.tasks.get(name)
        fitting = [task for task in self.tasks.values() if fits(task, recorded)]
        if named is not None and named in fitting and not bare:
            rivals = [task for task in fitting if not alike(task, named)]
            likely = _most([named, *rivals], reproduced)
            if named in likely:
                return Found(named)
        else:
            said = _identifiers(_text(messages))
            best = self._best(fitting, said)
            if named is not None and fits(named, recorded, all_recorded=False):
                # Not all checks were recorded: the id is believed unless the conversation says otherwise.
                doubtful = not bare and fitting
                if named in self._best([named, *best], said) or not (best or doubtful):
                    return Found(named)
            likely = best or fitting
            if not likely:
                if named is not None and [named] == self._best(self.tasks.values(), said):
                    return Found(named, f"the checks of task {name!r} have changed since")
                return Found(None, f"no task {self.where} has the checks that were recorded", True)
        if not _all_alike(likely):
            likely = _most(likely, reproduced)
        if not _all_alike(likely):
            some = ", ".join(repr(task.id) for task in likely[:3])
            return Found(None, f"nothing tells which of {len(likely)} tasks it was: {some} …")
        same = f", graded like {len(likely) - 1} more" if len(likely) > 1 else ""
        told = "spoken about" if bare else "graded"
        what = f"what was {told} is task {likely[0].id!r}{same}"
        return Found(likely[0], f"task_id {name!r} is only a position: {what}")

    def same(self, task: Task) -> Found:
        """What has become of a task of another revision."""
        named = self.tasks.get(task.id)
        if named is not None and (named.scenario.text == task.scenario.text or alike(named, task)):
            return Found(
                named, None if alike(named, task) else f"task {task.id!r} has changed since"
            )
        same = [each for each in self.tasks.values() if each.scenario.text == task.scenario.text]
        same = [each for each in same if alike(each, task)] or same
        if same and _all_alike(same):
            return Found(same[0], f"task {task.id!r} of the file is {same[0].id!r} {self.where}")
        if named is not None and self._known(named) & _identifiers(task.scenario.text):
            return Found(named, f"task {task.id!r} has changed since")
        return Found(None, f"task {task.id!r} of the file is not among those {self.where}")

    def _best(self, tasks: Iterable[Task], said: frozenset[str]) -> list[Task]:
        """Those of the tasks whose names and numbers are said most, if any are."""
        scores = {task.id: len(self._known(task) & said) for task in tasks}
        most = max(scores.values(), default=0)
        return [self.tasks[task_id] for task_id, score in scores.items() if most and score == most]

    def _known(self, task: Task) -> frozenset[str]:
        if task.id not in self._identifiers:
            self._identifiers[task.id] = _identifiers(task.scenario.text)
        return self._identifiers[task.id]


def _most(tasks: Sequence[Task], score: Callable[[Task], int]) -> list[Task]:
    """Those of the tasks with the highest score."""
    if len(tasks) < 2:
        return list(tasks)
    scores = [score(task) for task in tasks]
    return [task for task, own in zip(tasks, scores, strict=True) if own == max(scores)]


def _all_alike(tasks: Sequence[Task]) -> bool:
    return all(alike(tasks[0], other) for other in tasks[1:])


def fits(task: Task, recorded: RewardInfo, *, all_recorded: bool = True) -> bool:
    """Whether the recorded checks are those of the task.

    Args:
        task: the task.
        recorded: the grade.
        all_recorded: what was not recorded is not in the task either.
    """
    criteria = task.criteria or Criteria()
    pairs: tuple[tuple[Sequence[Any] | None, Sequence[Any]], ...] = (
        (recorded.action_checks, criteria.actions or ()),
        (recorded.env_assertions, criteria.env_assertions or ()),
        (recorded.communicate_checks, criteria.communicate),
    )
    if _bare(recorded):
        return True
    for checks, items in pairs:
        if checks is None:
            if all_recorded and items:
                return False
        elif len(checks) != len(items) or not all(map(is_about, checks, items)):
            return False
    return True


def is_about(check: Any, item: Any) -> bool:
    """Whether a recorded check is about this expected action, assertion or text of a task; true where it
    does not say what it is about."""
    if isinstance(item, str):
        return check.info is None or bool(check.info == item)
    row = getattr(check, "action", None) or getattr(check, "env_assertion", None)
    if row is None:
        return True
    name, side = row.get("name", row.get("func_name")), row.get("requestor", row.get("env_type"))
    own = getattr(item, "requestor", None) or getattr(item, "side", None)
    return bool(
        name == item.name and row.get("arguments") == item.arguments and (side or own) == own
    )


def alike(one: Task, other: Task) -> bool:
    """Whether two tasks are graded alike."""
    return one.start == other.start and _graded_by(one) == _graded_by(other)


def _graded_by(task: Task) -> tuple[Any, ...] | None:
    criteria = task.criteria
    if criteria is None:
        return None
    return (
        criteria.actions,
        criteria.env_assertions,
        criteria.communicate,
        frozenset(criteria.basis),
        criteria.nl_assertions if "NL_ASSERTION" in criteria.basis else (),
    )


def _bare(recorded: RewardInfo) -> bool:
    """Whether nothing but the reward was recorded."""
    checks = (
        recorded.db_check,
        recorded.action_checks,
        recorded.env_assertions,
        recorded.communicate_checks,
    )
    return all(check is None for check in checks)


def _text(messages: Sequence[Message]) -> str:
    """What was said, without the results of tools, which tell of other customers, too."""
    parts = []
    for message in messages:
        if message.role != "tool":
            parts.append(message.content or "")
            parts += [
                str(value) for call in message.tool_calls for value in call.arguments.values()
            ]
    return " ".join(parts)


def _identifiers(text: str) -> frozenset[str]:
    return frozenset(found.casefold().strip(".-") for found in IDENTIFIER.findall(text))


def parsed(domain: str, rows: Sequence[Mapping[str, Any]], where: str) -> Candidates:
    """`Candidates.embedded`, saying where a malformed task is.

    Raises:
        DataError: one is malformed.
    """
    try:
        found = Candidates.embedded(domain, rows)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except RecursionError:
        raise DataError(f"{where}: a task is nested too deeply to be read") from None
    for task in found.tasks.values():
        assertions = (task.criteria and task.criteria.env_assertions) or ()
        for function in (*task.start.functions, *assertions):
            if function.name.startswith("_"):
                raise DataError(f"{where}: task {task.id!r} calls {function.name!r}")
    return found
