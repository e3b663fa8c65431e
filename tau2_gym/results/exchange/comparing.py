"""A recorded simulation graded again, and what is different."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tau2_gym.completion.redaction import redact
from tau2_gym.domains.base import Domain
from tau2_gym.errors import DataError
from tau2_gym.results.exchange.files import RewardInfo, Simulation
from tau2_gym.results.exchange.matching import Candidates, Found, is_about
from tau2_gym.results.replay import Graded, graded, reproduced
from tau2_gym.types import (
    EnvFunction,
    ExpectedAction,
    Message,
    RewardBasis,
    Task,
    Termination,
)

KINDS = ("reward", "db", "env assertions", "actions", "communicate")
"""What is compared."""

UNGRADED = frozenset(
    {"timeout", "infrastructure_error", "context_window_exceeded", "unexpected_error"}
    | {end.value for end in Termination if not end.graded}
)
"""Ends that are worth 0, whatever was done before."""

CLOSE = 1e-6
"""Rewards this close to each other are equal, as in tau2-bench."""


@dataclass
class Comparison:
    """What grading a simulation again came to.

    Attributes:
        name: the simulation.
        compared, agreed: how many of each kind (see `KINDS`) were compared, and agree.
        differences: those that do not, and what explains them.
        notes: what else there is to say.
        problem: why it could not be graded, or not completely.
    """

    name: str
    compared: Counter[str] = field(default_factory=Counter)
    agreed: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str | None = None

    def put(self, kind: str, what: str, ours: Any, theirs: Any) -> None:
        """Compare one thing."""
        self.compared[kind] += 1
        if ours == theirs:
            self.agreed[kind] += 1
        else:
            self.differences.append(f"{what}: {_shown(ours)} instead of {_shown(theirs)}")


@dataclass(frozen=True)
class Regrader:
    """Grades the simulations of a file again.

    Args:
        domain: where they took place, with the tasks that are graded.
        solo: they had no user.
        embedded: the tasks of the file.
        current: the tasks of the domain itself, if those are to be graded.
        otherwise: grades those whose task is not in the file.
    """

    domain: Domain
    solo: bool
    embedded: Candidates | None
    current: Candidates | None = None
    otherwise: Regrader | None = None

    def compare(self, simulation: Simulation) -> Comparison:
        """Grade a simulation, and compare with what was recorded."""
        result = Comparison(simulation.name)
        recorded = simulation.reward_info
        end = simulation.termination_reason
        if recorded is None:
            result.problem = "no grade was recorded"
        elif end in UNGRADED:
            result.put("reward", "reward", _near(0.0, recorded.reward), recorded.reward)
            if result.differences:
                result.differences.append(f"explanation: an end by {end} is worth nothing")
        elif end not in {Termination.USER_STOP, Termination.AGENT_STOP}:
            result.problem = f"it ended by {redact(end, 60)}, which tau2-bench does not have"
        elif simulation.ticks is not None and simulation.said is None:
            result.problem = "it is a call by voice"
        elif not simulation.said:
            result.problem = "it has no messages"
        else:
            try:
                self._grade(simulation, recorded, Termination(end), result)
            except DataError as error:
                result.problem = redact(str(error))
        return result

    def _grade(
        self, simulation: Simulation, recorded: RewardInfo, end: Termination, result: Comparison
    ) -> None:
        messages = simulation.conversation()
        found = self._find(simulation, messages, result)
        if found.absent and self.otherwise is not None:
            self.otherwise._grade(simulation, recorded, end, result)
            if result.compared:
                result.notes.insert(0, "its task is not in the file: graded by the installed one")
            return
        if found.task is None:
            result.problem = redact(found.note or "")
            return
        _check_start(self.domain, found.task)
        missing = _missing_tool(self.domain, found.task, messages)
        if missing is not None:
            result.problem = f"{missing}, which {self.domain.name} does not have"
            return
        grade = graded(self.domain, found.task, messages, end, solo=self.solo)
        _compare(found.task, grade, recorded, result)
        if result.differences:
            result.differences += [f"explanation: {line}" for line in _why(grade, found, recorded)]

    def _find(
        self, simulation: Simulation, messages: Sequence[Message], result: Comparison
    ) -> Found:
        """The task that is graded."""
        tasks = self.embedded or self.current
        assert tasks is not None
        home = self.domain.with_tasks(tasks.tasks)

        def same_results(task: Task) -> int:
            _check_start(home, task)
            return reproduced(home, task, messages, solo=self.solo)

        found = tasks.find(simulation, messages, same_results)
        if found.note is not None and found.task is not None:
            result.notes.append(redact(found.note))
        if found.task is None or self.current is None or tasks is self.current:
            return found
        now = self.current.same(found.task)
        if now.note is not None and now.task is not None:
            result.notes.append(redact(now.note))
        return now


def _compare(task: Task, grade: Graded, recorded: RewardInfo, result: Comparison) -> None:
    criteria = task.criteria
    checks = grade.checks
    if grade.reward is None:
        result.problem = "its reward takes a judge: all but the natural-language assertions hold"
    else:
        result.put("reward", "reward", _near(grade.reward, recorded.reward), recorded.reward)
    if recorded.db_check is not None:
        result.put("db", "db", checks.db, recorded.db_check.db_match)
    if criteria is None:
        return
    lists: tuple[tuple[str, Sequence[Any] | None, Sequence[Any], Sequence[bool]], ...] = (
        (
            "env assertions",
            recorded.env_assertions,
            criteria.env_assertions or (),
            checks.env_assertions,
        ),
        ("actions", recorded.action_checks, criteria.actions or (), checks.actions),
        ("communicate", recorded.communicate_checks, criteria.communicate, checks.communicate),
    )
    for kind, theirs, items, ours in lists:
        left = list(zip(items, ours, strict=True))
        for check in theirs or ():
            place = next((n for n, (item, _) in enumerate(left) if is_about(check, item)), None)
            if place is None:
                result.notes.append(
                    f"{kind}: {len(theirs or ())} recorded, {len(items)} in the task"
                )
                break
            item, met = left.pop(place)
            wanted = check.action_match if kind == "actions" else check.met
            result.put(kind, f"{kind}: {_called(item)}", met, wanted)


def _why(grade: Graded, found: Found, recorded: RewardInfo) -> Iterator[str]:
    """What explains differences."""
    assert found.task is not None
    if found.note is not None:
        yield redact(found.note)
    basis = {str(part) for part in (found.task.criteria.basis if found.task.criteria else ())}
    if recorded.reward_basis is not None and set(recorded.reward_basis) != basis:
        theirs, ours = ", ".join(sorted(recorded.reward_basis)), ", ".join(sorted(basis))
        yield redact(f"the recorded reward multiplies {theirs}; the task's is {ours}")
    product = _product(recorded)
    if product is not None and abs(product - recorded.reward) > CLOSE:
        yield f"the recorded reward is not what its own checks come to, which is {product}"
    for line in grade.changed[:3]:
        yield f"another result than then: {redact(line, 300)}"
    if len(grade.changed) > 3:
        yield f"another result than then: {len(grade.changed) - 3} more calls"


def _product(recorded: RewardInfo) -> float | None:
    """What the recorded checks come to; None if one of those that count is not there."""
    parts: Mapping[str, Sequence[bool] | None] = {
        RewardBasis.DB: None if recorded.db_check is None else [recorded.db_check.db_match],
        RewardBasis.ENV_ASSERTION: [check.met for check in recorded.env_assertions or ()],
        RewardBasis.COMMUNICATE: [check.met for check in recorded.communicate_checks or ()],
        RewardBasis.ACTION: [check.action_match for check in recorded.action_checks or ()],
        RewardBasis.NL_ASSERTION: [check.met for check in recorded.nl_assertions or ()],
    }
    found = [parts.get(part) for part in recorded.reward_basis or ()]
    if not found or any(part is None for part in found):
        return None
    return float(all(all(part or ()) for part in found))


def _check_start(domain: Domain, task: Task) -> None:
    """Set the task up, as grading does.

    Raises:
        DataError: it does not fit the domain. It may come from anywhere.
    """
    try:
        domain.start(task)
        domain.expected(task)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"task {task.id!r} does not fit {domain.name}: {error!r}") from error


def _missing_tool(domain: Domain, task: Task, messages: Sequence[Message]) -> str | None:
    """A tool that the task expects, or that has worked, and that the domain does not have."""
    tools = {*domain.agent_tools, *domain.user_tools}
    for action in (task.criteria and task.criteria.actions) or ():
        if action.name not in tools:
            return f"the task expects a call of {redact(action.name, 60)}"
    called: list[str] = []
    for message in messages:
        if message.role != "tool":
            called = [call.name for call in message.tool_calls]
        elif called and (name := called.pop(0)) not in tools and not message.error:
            return f"a call succeeded of {redact(name, 60)}"
    return None


def _near(ours: float, theirs: float) -> float:
    """Our reward, or theirs if that is the same."""
    return theirs if abs(ours - theirs) <= CLOSE else ours


def _shown(value: Any) -> str:
    return {True: "met", False: "not met"}[value] if isinstance(value, bool) else str(value)


def _called(item: str | ExpectedAction | EnvFunction) -> str:
    """What a check is about, in short."""
    if isinstance(item, str):
        return redact(repr(item), 60)
    given = ", ".join(f"{name}={json.dumps(value)}" for name, value in item.arguments.items())
    return redact(f"{item.name}({given})", 120)
