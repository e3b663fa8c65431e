"""A finished conversation, graded again: its calls are made in a fresh world, as tau2-bench's evaluator does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tau2_gym.domains.base import Domain
from tau2_gym.domains.world import World
from tau2_gym.grading import Grader, official_reward
from tau2_gym.types import Checks, Message, Requestor, Task, Termination, ToolCall, ToolKind


@dataclass(frozen=True, slots=True)
class Graded:
    """What a conversation is worth.

    Attributes:
        reward: the official reward; None if only a judge can tell.
        checks: the grader's findings at the end.
        changed: calls whose result is another one here, with both: they say that the tools or the
            database were different when the conversation took place.
    """

    reward: float | None
    checks: Checks
    changed: tuple[str, ...] = ()


def graded(
    domain: Domain,
    task: Task,
    messages: Sequence[Message],
    termination: Termination,
    *,
    solo: bool = False,
) -> Graded:
    """Grade a conversation.

    Args:
        domain: where it took place.
        task: what it was about; its message history is part of `messages`.
        messages: the whole conversation.
        termination: how it ended.
        solo: the agent had the user's tools, too, and no user.

    Raises:
        DataError: the task does not fit the domain.
    """
    world = _before(domain, task)
    changed = []
    for call, result in _calls(messages):
        spec = world.tool(call.name, "assistant") or world.tool(call.name, "user")
        if spec is None or spec.kind is not ToolKind.WRITE:
            continue
        content = _made(world, call, solo)
        if result is not None and not same_content(content, result.content):
            changed.append(f"{call.name}: {content!r} instead of {result.content!r}")
    grader = Grader(domain, task, solo=solo)
    grader.update(messages, world)
    checks = grader.checks(world)
    return Graded(official_reward(task, checks, termination), checks, tuple(changed))


def reproduced(
    domain: Domain, task: Task, messages: Sequence[Message], *, solo: bool = False
) -> int:
    """How many results of tools are the same when all calls are made again, in the world of this task.

    Raises:
        DataError: the task does not fit the domain.
    """
    world = _before(domain, task)
    return sum(
        result is not None and same_content(_made(world, call, solo), result.content)
        for call, result in _calls(messages)
    )


def _before(domain: Domain, task: Task) -> World:
    """The world in which the conversation begins: before the task's message history, which is part of
    it."""
    if task.start.messages:
        start = replace(task.start, messages=())
        task = replace(task, id=f"{task.id} before its history", start=start)
    return domain.start(task)


def _made(world: World, call: ToolCall, solo: bool) -> str:
    """The result of a call."""
    side: Requestor = call.requestor
    if solo and world.tool(call.name, "user") is not None:
        side = "user"
    return world.call(call.name, call.arguments, side)[0]


def same_content(ours: str | None, theirs: str | None) -> bool:
    """Message contents agree when equal as strings, or after parsing both as JSON."""
    if ours == theirs:
        return True
    try:
        return bool(json.loads(ours or "") == json.loads(theirs or ""))
    except (ValueError, RecursionError):
        return False


def _calls(messages: Sequence[Message]) -> Iterator[tuple[ToolCall, Message | None]]:
    """The calls with their results, which follow in the order of the calls. Ids do not tell: agents
    repeat them."""
    for index, message in enumerate(messages):
        for offset, call in enumerate(message.tool_calls, start=index + 1):
            result = messages[offset] if offset < len(messages) else None
            yield call, result if result is not None and result.role == "tool" else None
