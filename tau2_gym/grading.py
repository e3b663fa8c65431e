"""The official reward and its checks, kept up to date step by step.

tau2-bench grades once, at the end, by replaying the whole trajectory into a fresh environment. The
grader here reaches the same findings from what each step added, so they are known at every step.
The rules are those of tau2-bench 1.0.1's `evaluator/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from tau2_gym.domains.base import Domain
from tau2_gym.domains.world import Difference, World
from tau2_gym.types import (
    Checks,
    Criteria,
    ExpectedAction,
    Message,
    Requestor,
    RewardBasis,
    Task,
    Termination,
    ToolCall,
    ToolKind,
)


def action_matches(action: ExpectedAction, call: ToolCall) -> bool:
    """Whether a call counts as the expected action.

    Names must be equal. Of the arguments, those named in `compare_args` are compared; without it,
    the ones that the *call* has; an empty list of names compares nothing. Who asked, and whether
    the call failed, does not matter. (`data_model/tasks.py`, `Action.compare_with_tool_call`.)
    """
    if action.name != call.name:
        return False
    names: Iterable[str] = call.arguments if action.compare_args is None else action.compare_args
    names = set(names)
    given = {name: value for name, value in call.arguments.items() if name in names}
    wanted = {name: value for name, value in action.arguments.items() if name in names}
    return given == wanted


def action_performed(action: ExpectedAction, call: ToolCall) -> bool:
    """Whether a call has the compared arguments of the *expected* call: those named in
    `compare_args`, without it all of them. Unlike in `action_matches`, a call without arguments
    does not count as one with the right arguments."""
    if action.name != call.name:
        return False
    names = action.arguments if action.compare_args is None else action.compare_args
    absent = object()
    return all(
        call.arguments.get(name, absent) == action.arguments.get(name, absent) for name in names
    )


def communicates(required: str, message: Message) -> bool:
    """Whether an agent's message says the required string: as a substring, ignoring case, with
    commas dropped from the message only. (`evaluator/evaluator_communicate.py`.)"""
    return (
        message.role == "assistant"
        and message.has_text
        and required.lower() in (message.content or "").lower().replace(",", "")
    )


class Grader:
    """The findings of one episode so far. `update` after every message, `checks` at any time.

    Args:
        domain, task: what is played.
        solo: the agent plays both sides, and is expected to make the user's calls, too.
    """

    def __init__(self, domain: Domain, task: Task, *, solo: bool = False) -> None:
        criteria = task.criteria or Criteria()
        self.domain = domain
        self.task = task
        self._solo = solo
        self._actions = criteria.actions or ()
        self._communicate = criteria.communicate
        self._assertions = criteria.env_assertions or ()
        # tau2-bench ignores the database if a task has neither list.
        self._compares_db = criteria.actions is not None or criteria.env_assertions is not None
        self._action_met = [False] * len(self._actions)
        self._performed = [False] * len(self._actions)
        self._reads = tuple(
            self._kind(action.name, action.requestor) in (ToolKind.READ, ToolKind.THINK)
            for action in self._actions
        )
        self._unexpected = 0
        self._history = len(task.start.messages)
        self._unanswered: tuple[ToolCall, ...] = ()
        self._said = [False] * len(self._communicate)
        self._holds: tuple[bool, ...] = ()
        self._db = True
        self._similarity: float | None = None
        self._version: int | None = None

    def fork(self) -> Grader:
        """An independent copy."""
        twin = object.__new__(Grader)
        twin.__dict__.update(self.__dict__)
        twin._action_met = list(self._action_met)
        twin._performed = list(self._performed)
        twin._said = list(self._said)
        return twin

    def update(self, messages: Iterable[Message], world: World) -> None:
        """Take in new messages and the world after them. Only what is new takes work: calls and
        texts are compared once, and the world only when it has changed."""
        for message in messages:
            self._history -= 1
            for call in message.tool_calls:
                for index, action in enumerate(self._actions):
                    if not self._action_met[index] and action_matches(action, call):
                        self._action_met[index] = True
            self._note_performed(message)
            for index, required in enumerate(self._communicate):
                if not self._said[index] and communicates(required, message):
                    self._said[index] = True
        if world.version != self._version:
            self._version = world.version
            self._holds = tuple(world.holds(assertion) for assertion in self._assertions)
            if self._compares_db:
                self._db = world.difference() == self.domain.expected(self.task)
                self._similarity = None

    def _note_performed(self, message: Message) -> None:
        """Match a call that succeeded, once its result has arrived; results come in the order of
        the calls."""
        if message.role != "tool":
            self._unanswered = message.tool_calls
            return
        if not self._unanswered:
            return
        call, *rest = self._unanswered
        self._unanswered = tuple(rest)
        if message.error:
            return
        for index, action in enumerate(self._actions):
            expected_side = self._solo or action.requestor == message.requestor
            if not self._performed[index] and expected_side and action_performed(action, call):
                self._performed[index] = True
                return
        writes = self._kind(call.name, message.requestor) is ToolKind.WRITE
        self._unexpected += writes and self._history < 0

    def _kind(self, name: str, side: Requestor) -> ToolKind | None:
        """What the tool of that name does, if that side has one."""
        tools = self.domain.agent_tools if side == "assistant" else self.domain.user_tools
        if self._solo:
            tools = {**self.domain.agent_tools, **self.domain.user_tools}
        return tools[name].kind if name in tools else None

    def checks(self, world: World) -> Checks:
        """The findings now. `world` is the one of the last `update`."""
        if self._similarity is None:
            self._similarity = (
                1.0 if self._db else similarity(world, self.domain.expected(self.task))
            )
        return Checks(
            db=self._db,
            db_similarity=self._similarity,
            actions=tuple(self._action_met),
            performed=tuple(self._performed),
            reads=self._reads,
            unexpected=self._unexpected,
            communicate=tuple(self._said),
            env_assertions=self._holds,
        )

    def privileged(self) -> dict[str, Any]:
        """The findings with what they are about: for logs, never for the agent."""
        return {
            "action_checks": [
                {
                    "name": action.name,
                    "arguments": action.arguments,
                    "requestor": action.requestor,
                    "compare_args": action.compare_args,
                    "met": met,
                }
                for action, met in zip(self._actions, self._action_met, strict=True)
            ],
            "communicate_checks": [
                {"info": info, "met": met}
                for info, met in zip(self._communicate, self._said, strict=True)
            ],
            "env_assertion_checks": [
                {"name": item.name, "arguments": item.arguments, "side": item.side, "met": met}
                for item, met in zip(self._assertions, self._holds, strict=True)
            ],
        }


def official_reward(task: Task, checks: Checks, termination: Termination) -> float | None:
    """tau2-bench's reward of an ended episode: the product over the task's reward basis.

    0 unless the agent or the user stopped it; 1 if the task has no criteria. None if everything else
    holds and the basis contains natural-language assertions, of which the task has some: only a
    judge can decide those. (`evaluator/evaluator.py`, `evaluate_simulation`, evaluation type ALL.)
    """
    if not termination.graded:
        return 0.0
    if task.criteria is None:
        return 1.0
    factors = {
        RewardBasis.DB: checks.db,
        RewardBasis.ENV_ASSERTION: all(checks.env_assertions),
        RewardBasis.COMMUNICATE: all(checks.communicate),
        RewardBasis.ACTION: all(checks.actions),
    }
    basis = set(task.criteria.basis)
    if not all(factors[factor] for factor in basis if factor in factors):
        return 0.0
    needs_judge = RewardBasis.NL_ASSERTION in basis and task.criteria.nl_assertions
    return None if needs_judge else 1.0


def similarity(world: World, expected: Difference) -> float:
    """How much of what was changed in the databases should have been.

    |C ∩ E| / |C ∪ E| over the sets C of changed and E of expected changes of single fields; 1 if
    both are empty. A finer measure than tau2-bench's equality of hashes, equal to 1 iff that holds.
    """
    difference = world.difference()
    common = union = 0
    for side, key in difference.keys() | expected.keys():
        before = world.original(side, key)
        changed = _changed_fields(before, difference.get((side, key)))
        wanted = _changed_fields(before, expected.get((side, key)))
        common += len(changed & wanted)
        union += len(changed | wanted)
    return common / union if union else 1.0


Fields = frozenset[tuple[str, str | None]]


def _changed_fields(before: str | None, row: str | None) -> Fields:
    """Paths and new values of the fields that changed from one version of a row to the other; None
    for a path that is gone. Rows come as canonical JSON; `row` is None where nothing changed."""
    if row is None:
        return frozenset()
    # Rows that have grown are rare, and would fill the memory.
    return (_remembered if len(row) <= 2**13 else _compared)(before, row)


def _compared(before: str | None, row: str) -> Fields:
    old = {} if before is None else dict(_leaves(json.loads(before)))
    new = dict(_leaves(json.loads(row)))
    gone = {(path, None) for path in old.keys() - new.keys()}
    return frozenset(gone | (new.items() - old.items()))


_remembered = lru_cache(maxsize=2048)(_compared)


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """Every scalar below `value` with its path, and the size of every list and dict."""
    if isinstance(value, dict):
        yield path, f"{{{len(value)}}}"
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        yield path, f"[{len(value)}]"
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, json.dumps(value)
