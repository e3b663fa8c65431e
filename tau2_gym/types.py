"""The nouns of the project, in one place.

`Role`, `Requestor`      who acts, who asked for a tool call
`ToolCall`, `Message`    what is said and done in a conversation
`ToolKind`, `ToolSpec`   what a tool is
`ExpectedAction`         one expected tool call of a task (a "gold action")
`EnvFunction`            a function of the world a task calls: initialisation or assertion
`InitialState`, `Criteria`, `Task`   a task, its start and how it is graded
`RewardBasis`            what the official reward of a task multiplies
`Termination`            how an episode ended
`Checks`                 the grader's findings at one moment of an episode
`Weights`                how much each component counts towards the partial score
`Fault`                  who is to blame when an episode could not be played

All of them are immutable, so that forks of an episode can share them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.frozen import FrozenDict

Requestor = Literal["assistant", "user"]

INVALID_CALL = "invalid_tool_call"
"""Name of the call that stands for an unreadable action. No tool has this name, so a replay by
tau2-bench skips it; its result tells the agent what was wrong."""


class Role(StrEnum):
    """A party of a conversation."""

    AGENT = "agent"
    USER = "user"
    ENV = "env"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. `requestor` says whose tools are meant: the agent's or the user's own."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    requestor: Requestor = "assistant"

    def to_dict(self) -> dict[str, Any]:
        """The call as tau2-bench writes it to its result files."""
        return {
            "id": self.id,
            "name": self.name,
            "arguments": self.arguments,
            "requestor": self.requestor,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], requestor: Requestor = "assistant") -> ToolCall:
        """Read a call from tau2-bench's form; `requestor` is used if the data names none."""
        return cls(
            name=data["name"],
            arguments=data.get("arguments") or FrozenDict(),
            id=data.get("id") or "",
            requestor=data.get("requestor") or requestor,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: text, tool calls, or the result of one tool call.

    For `role="tool"`, `call_id`, `requestor` and `error` describe the call answered.
    """

    role: Literal["assistant", "user", "tool"]
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    requestor: Requestor = "assistant"
    error: bool = False

    @property
    def is_tool_call(self) -> bool:
        """Whether the message calls at least one tool."""
        return bool(self.tool_calls)

    @property
    def has_text(self) -> bool:
        """Whether the message says something other than white space."""
        return self.content is not None and bool(self.content.strip())

    def to_dict(self) -> dict[str, Any]:
        """The message as tau2-bench writes it to its result files."""
        if self.role == "tool":
            return {
                "id": self.call_id,
                "role": "tool",
                "content": self.content,
                "requestor": self.requestor,
                "error": self.error,
            }
        data: dict[str, Any] = {"role": self.role}
        if self.content is not None:
            data["content"] = self.content
        if self.tool_calls:
            data["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Message:
        """Read a message from tau2-bench's form.

        Raises:
            DataError: the role is none of assistant, user, tool.
        """
        role = data.get("role")
        if role == "tool":
            return cls(
                role="tool",
                content=data.get("content"),
                call_id=data.get("id") or "",
                requestor=data.get("requestor") or "assistant",
                error=bool(data.get("error", False)),
            )
        if role not in ("assistant", "user"):
            raise DataError(f"message role {role!r} is none of assistant, user, tool")
        return cls(
            role=role,
            content=data.get("content"),
            tool_calls=tuple(
                ToolCall.from_dict(call, requestor=role) for call in data.get("tool_calls") or ()
            ),
        )


class ToolKind(StrEnum):
    """What a tool does to the world. Only `WRITE` changes it."""

    READ = "read"
    WRITE = "write"
    THINK = "think"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as agents see it: `schema` is the OpenAI function schema."""

    name: str
    kind: ToolKind
    schema: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        parameters: dict[str, Any] = self.schema["function"]["parameters"]
        return parameters


@dataclass(frozen=True, slots=True)
class ExpectedAction:
    """A tool call a task expects. `compare_args`: see `tau2_gym.grading.action_matches`."""

    name: str
    arguments: dict[str, Any]
    requestor: Requestor = "assistant"
    compare_args: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class EnvFunction:
    """A call to a function of the world that is not a tool: to initialise the world, or to assert
    something about it.

    For an assertion, `expected` is the value the function must return.
    """

    side: Requestor
    name: str
    arguments: dict[str, Any]
    expected: bool = True


@dataclass(frozen=True, slots=True)
class InitialState:
    """Where a task starts: data merged into the databases, functions called, messages exchanged."""

    agent_data: dict[str, Any] | None = None
    user_data: dict[str, Any] | None = None
    functions: tuple[EnvFunction, ...] = ()
    messages: tuple[Message, ...] = ()


class RewardBasis(StrEnum):
    """A factor of the official reward."""

    DB = "DB"
    ENV_ASSERTION = "ENV_ASSERTION"
    COMMUNICATE = "COMMUNICATE"
    ACTION = "ACTION"
    NL_ASSERTION = "NL_ASSERTION"


@dataclass(frozen=True, slots=True)
class Criteria:
    """How a task is graded. `actions` and `env_assertions` are None where the task has no such key,
    which tau2-bench treats differently from an empty list. `answer` is what an agent that knows the
    answer says, where an answer ends the episode."""

    actions: tuple[ExpectedAction, ...] | None = None
    env_assertions: tuple[EnvFunction, ...] | None = None
    communicate: tuple[str, ...] = ()
    nl_assertions: tuple[str, ...] = ()
    basis: tuple[RewardBasis, ...] = (RewardBasis.DB, RewardBasis.COMMUNICATE)
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the user knows and wants. `text` is all of it, as tau2-bench shows it to a user model;
    the other fields are its parts, empty if the task is only prose."""

    text: str
    persona: str = ""
    reason: str = ""
    known: str = ""
    unknown: str = ""
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a domain."""

    id: str
    domain: str
    scenario: Scenario
    start: InitialState = InitialState()
    criteria: Criteria | None = None
    ticket: str | None = None
    user_tools: tuple[str, ...] | None = None


class Termination(StrEnum):
    """How an episode ended. tau2-bench grades the first two; every other end earns 0."""

    USER_STOP = "user_stop"
    AGENT_STOP = "agent_stop"
    MAX_STEPS = "max_steps"
    MAX_TURNS = "max_turns"
    TOO_MANY_ERRORS = "too_many_errors"
    AGENT_ERROR = "agent_error"
    USER_ERROR = "user_error"

    @property
    def graded(self) -> bool:
        """Whether tau2-bench evaluates an episode that ended this way."""
        return self in (Termination.USER_STOP, Termination.AGENT_STOP)

    @property
    def truncated(self) -> bool:
        """Whether a limit on its length ended it."""
        return self in (Termination.MAX_STEPS, Termination.MAX_TURNS)


class Fault(StrEnum):
    """Who is to blame when an episode could not be played to a gradable end."""

    AGENT = "agent"
    USER = "user"
    JUDGE = "judge"
    INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each component counts towards the partial score. Only their ratio matters.

    The defaults are those of Tau2-RL-Pipeline (`env.py`, `reward.py`).
    """

    action: float = 0.5
    communicate: float = 0.15
    env_assertion: float = 0.35
    db: float = 0.0

    def __post_init__(self) -> None:
        if any(getattr(self, item.name) < 0 for item in fields(self)):
            raise ConfigError(f"weights must not be negative: {self}")


@dataclass(frozen=True, slots=True)
class Checks:
    """What the grader finds at one moment. Empty tuples: the task has no such criterion.

    Attributes:
        db: the databases equal the expected end state.
        db_similarity: overlap in [0, 1] of the changed fields with the expected changes; 1 iff `db`.
        actions: for each expected action, whether some call so far matches it according to
            tau2-bench's ACTION check (`tau2_gym.grading.action_matches`), which accepts failed
            calls and the other side's calls.
        performed: for each expected action, whether the expected side has made that call, successfully
            and with the expected arguments (`tau2_gym.grading.action_performed`). One call performs
            one action.
        reads: for each expected action, whether it only reads.
        communicate: for each required string, whether the agent has said it.
        env_assertions: for each assertion, whether it holds now.
        unexpected: successful calls of tools that write, by either side, which performed no expected action.
    """

    db: bool
    db_similarity: float
    actions: tuple[bool, ...] = ()
    performed: tuple[bool, ...] = ()
    communicate: tuple[bool, ...] = ()
    env_assertions: tuple[bool, ...] = ()
    unexpected: int = 0
    reads: tuple[bool, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for results and `info`."""
        return {
            "db": self.db,
            "db_similarity": self.db_similarity,
            "actions": list(self.actions),
            "performed": list(self.performed),
            "communicate": list(self.communicate),
            "env_assertions": list(self.env_assertions),
            "unexpected": self.unexpected,
            "reads": list(self.reads),
        }
