"""What one turn of the agent amounts to, for the optional terms of the reward."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tau2_gym.episode import Episode
from tau2_gym.types import INVALID_CALL, Message


@dataclass(frozen=True, slots=True)
class Turn:
    """Counts of one agent turn.

    Attributes:
        calls: tool calls made.
        valid_calls: of these, the ones that succeeded and did not repeat an earlier one.
        errors: the ones that failed, whatever the reason.
        malformed: actions that could not be read as what they were meant to be.
        ownership: calls of tools that only the user has.
        repeated: calls and texts identical to earlier ones, with the world unchanged since.
        text: what the agent said, for length penalties.
    """

    calls: int = 0
    valid_calls: int = 0
    errors: int = 0
    malformed: int = 0
    ownership: int = 0
    repeated: int = 0
    text: str = ""


class TurnReader:
    """Turns messages of an episode into `Turn`s, remembering what has been said and done."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def fork(self) -> TurnReader:
        """An independent copy."""
        twin = TurnReader()
        twin._seen = dict(self._seen)
        return twin

    def read(self, added: Sequence[Message], episode: Episode, version: int, text: str) -> Turn:
        """The turn that an agent's message and the results of its calls make up.

        Args:
            added: what `Episode.act` returned.
            episode: the episode after it.
            version: the world's version before it.
            text: what the agent wrote.
        """
        message, results = added[0], added[1:]
        repeated = valid = ownership = malformed = 0
        if not message.is_tool_call:
            repeated += self._repeats(f"say {message.content}", version)
        for call, result in zip(message.tool_calls, results, strict=False):
            again = self._repeats(
                f"{call.name} {json.dumps(call.arguments, sort_keys=True)}", version
            )
            repeated += again
            valid += not again and not result.error
            malformed += call.name == INVALID_CALL
            if not episode.rules.solo and call.name not in episode.domain.agent_tools:
                ownership += call.name in episode.domain.user_tools
        return Turn(
            calls=len(message.tool_calls),
            valid_calls=valid,
            errors=sum(result.error for result in results),
            malformed=malformed,
            ownership=ownership,
            repeated=repeated,
            text=text,
        )

    def _repeats(self, deed: str, version: int) -> bool:
        before = self._seen.get(deed)
        self._seen[deed] = version
        return before == version
