"""A user that repeats what a recorded user said and did."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.types import Message
from tau2_gym.users.base import STOP, UserView


@dataclass(frozen=True)
class ReplayUser:
    """Replays the user's side of recorded trajectories, turn by turn, whatever the agent does.

    After the last recorded turn it stops. Messages that the task starts with are not replayed.

    Attributes:
        turns: the user's messages by task id.
    """

    turns: dict[str, tuple[Message, ...]] = field(repr=False)

    @classmethod
    def from_file(cls, path: str | Path) -> ReplayUser:
        """Read trajectories from JSON lines (gzipped or not) with `task_id` and `messages`, as
        `benchmarks.passk` writes them. Of several attempts at a task, the first one with messages
        counts.

        Raises:
            ConfigError: no such file.
            DataError: a line is not a trajectory.
        """
        path = Path(path)
        if not path.is_file():
            raise ConfigError(f"no recording to replay at {path}")
        opener = gzip.open if path.suffix == ".gz" else open
        turns: dict[str, tuple[Message, ...]] = {}
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    if row["messages"] is not None:
                        turns.setdefault(str(row["task_id"]), user_turns(row["messages"]))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise DataError(
                        f"{path}, line {number} is not a trajectory: {error!r}"
                    ) from error
        return cls(turns)

    def respond(self, view: UserView, seed: int) -> Message:
        """The next recorded message.

        Raises:
            ConfigError: there is no recording of this task.
        """
        if view.task_id not in self.turns:
            raise ConfigError(f"no recorded user for task {view.task_id!r}")
        taken = sum(message.role == "user" for message in view.messages)
        recorded = self.turns[view.task_id]
        return recorded[taken] if taken < len(recorded) else Message("user", STOP)


def user_turns(messages: list[dict[str, Any]]) -> tuple[Message, ...]:
    """The user's messages of a trajectory in tau2-bench's form, in order."""
    parsed = (Message.from_dict(message) for message in messages)
    return tuple(message for message in parsed if message.role == "user")
