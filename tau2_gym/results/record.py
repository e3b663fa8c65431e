"""The record of an attempt: a line of the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tau2_gym.completion.metering import Usage
from tau2_gym.errors import DataError
from tau2_gym.journal import to_json
from tau2_gym.rewards import Ledger

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1
"""The version of the form of results. What is added may be missing in older results; what is renamed or means
something else makes a new version."""

SUCCESS = 1 - 1e-6
"""Official rewards from here on count as success, as in tau2-bench."""

TaskKey = tuple[str, str]
"""Domain and task id: which task it is."""

Key = tuple[str, str, int]
"""Domain, task id and trial: which attempt it is."""


@dataclass(slots=True)
class Record:
    """How an attempt went: a line of the results.

    Attributes:
        official_reward: tau2-bench's reward; None if it could not be played or graded.
        reward: the sum of the environment's rewards.
        partial_score, checks: the grader's findings at the end.
        answer: what the agent answered, in a form in which equal answers are equal texts; empty if nothing;
            None where no answer is asked for or answers cannot be compared.
        termination: how it ended, `context_overflow` if the conversation no longer fitted the agent's
            model; None after a fault.
        fault, error: who is to blame that it could not be played to an end, and what happened.
        ungraded: parts of the task's reward basis that were not graded.
        steps, num_turns: deliveries of messages; the agent's actions.
        rewards: the environment's ledger of each of the agent's turns; one ledger, too, of an episode
            that was over before the first.
        usage, user_usage: what the agent's and the user's model calls have taken.
        messages: the whole trajectory in tau2-bench's form.
        verdicts: what a judge said of the task's natural-language assertions.
        tokens: an `agents.trajectory.Trajectory` as a line of JSON, if it was to be kept.
    """

    domain: str
    task_id: str
    trial: int
    seed: int
    revision: str
    official_reward: float | None = None
    reward: float = 0.0
    partial_score: float = 0.0
    checks: dict[str, Any] | None = None
    answer: str | None = None
    termination: str | None = None
    fault: str | None = None
    error: str | None = None
    ungraded: list[str] | None = None
    steps: int = 0
    num_turns: int = 0
    num_errors: int = 0
    malformed: int = 0
    ownership_violations: int = 0
    rewards: list[Ledger] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    user_usage: Usage = field(default_factory=Usage)
    messages: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    tokens: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, in the order of the fields."""
        return asdict(self)

    def observe(self, info: Mapping[str, Any]) -> None:
        """Take over the state of the episode from an environment's `info`, all but the messages:
        written out after every turn they would be written a thousand times."""
        self.official_reward = info["official_reward"]
        self.partial_score = info["partial_score"]
        self.checks = info["checks"]
        self.answer = info["answer"]
        self.termination = info["termination"]
        self.steps = info["steps"]
        self.num_turns = info["num_turns"]
        self.num_errors = info["num_errors"]
        self.malformed = info["malformed"]
        self.ownership_violations = info["ownership_violations"]
        self.ungraded = info["ungraded"] or None

    def pay(self, ledger: Ledger) -> None:
        """Enter what a turn earned."""
        self.rewards.append(ledger)
        self.reward += sum(ledger.values())

    def amend(self, ledger: Ledger) -> None:
        """Enter what the last turn earned in place of what was entered before."""
        self.rewards[-1] = ledger
        self.reward = sum((sum(each.values()) for each in self.rewards), 0.0)


def check_schema(path: Path, version: Any) -> None:
    """Check that results can be read.

    Args:
        path: the results.
        version: of their form.

    Raises:
        DataError: it is newer than this package.
    """
    if type(version) is not int or not 1 <= version <= SCHEMA:
        raise DataError(
            f"{path} has results of schema {version!r}, and this tau2-gym reads up to {SCHEMA}: use the one that "
            "wrote them, or a newer one"
        )


def schema() -> dict[str, Any]:
    """The JSON Schema of a line of results. It stands in `schema.json`, too, beside this module."""
    found = records().json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tau2-gym:results:{SCHEMA}",
        "title": "An attempt",
        **{key: value for key, value in found.items() if key != "title"},
    }


@cache
def records() -> TypeAdapter[Record]:
    """Records as pydantic reads them."""
    from pydantic import TypeAdapter

    return TypeAdapter(Record)


def problem(row: Any) -> str | None:
    """What keeps a row from being a `Record`, or None."""
    missing = (
        [item.name for item in fields(Record) if item.name not in row]
        if isinstance(row, Mapping)
        else []
    )
    if missing:
        return f"it has no {', '.join(missing)}"
    return unreadable(row)


def unreadable(row: Any) -> str | None:
    """What keeps a row from being a `Record` of this version or an older one, which may lack what has been
    added since; or None."""
    from pydantic import ValidationError

    if not isinstance(row, Mapping):
        return "it is not a JSON object"
    try:
        # A lone surrogate, which a model may write, is JSON to Python, and none to pydantic.
        text = to_json(row, ensure_ascii=False).encode(errors="replace")
        records().validate_json(text, strict=True)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(str(part) for part in wrong["loc"])
        return f"{place}: {wrong['msg']}"
    return None


@cache
def defaults() -> dict[str, Any]:
    """What an older row means that lacks a field."""
    return asdict(Record("", "", 0, 0, ""))
