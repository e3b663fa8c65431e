"""What `reset` and `step` return besides the observation: the types of `info`.

All of it is plain data but for `privileged`. `docs/environment.md` says what each key means.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from tau2_gym.types import Message, Requestor, Task


class ChecksInfo(TypedDict):
    """The grader's findings now: see `tau2_gym.types.Checks`."""

    db: bool
    db_similarity: float
    actions: list[bool]
    performed: list[bool]
    communicate: list[bool]
    env_assertions: list[bool]
    unexpected: int
    reads: list[bool]


class UserCall(TypedDict):
    """A tool call of the user's."""

    name: str
    arguments: dict[str, Any]


class ActionCheck(TypedDict):
    """An expected action, and whether it was met."""

    name: str
    arguments: dict[str, Any]
    requestor: Requestor
    compare_args: tuple[str, ...] | None
    met: bool


class CommunicateCheck(TypedDict):
    """A required string, and whether the agent has said it."""

    info: str
    met: bool


class AssertionCheck(TypedDict):
    """An assertion on the world, and whether it holds."""

    name: str
    arguments: dict[str, Any]
    side: Requestor
    met: bool


class Privileged(TypedDict):
    """What an agent must not see."""

    task: Task
    trajectory: tuple[Message, ...]
    action_checks: list[ActionCheck]
    communicate_checks: list[CommunicateCheck]
    env_assertion_checks: list[AssertionCheck]


class Info(TypedDict):
    """The `info` of every reset and step."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    policy: str
    ticket: str | None
    domain: str
    task_id: str
    revision: str
    source: str
    reward_terms: dict[str, float]
    checks: ChecksInfo
    partial_score: float
    official_reward: float | None
    ungraded: list[Literal["NL_ASSERTION"]]
    answer: str | None
    termination: (
        Literal[
            "user_stop",
            "agent_stop",
            "max_steps",
            "max_turns",
            "too_many_errors",
            "agent_error",
            "user_error",
        ]
        | None
    )
    steps: int
    num_turns: int
    num_errors: int
    malformed: int
    ownership_violations: int
    attribution: list[UserCall]
    state_key: str
    privileged: Privileged


def shown(info: Info) -> dict[str, Any]:
    """The info as an environment returns it. Mappings and the list of messages are new objects, as
    Gymnasium's checker requires, so you may add to them. What they contain is shared, and
    frozen."""
    return {
        **info,
        "messages": list(info["messages"]),
        "reward_terms": dict(info["reward_terms"]),
        "checks": dict(info["checks"]),
        "privileged": dict(info["privileged"]),
    }
