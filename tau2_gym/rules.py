"""The rules of an episode: its limits and its modes."""

from __future__ import annotations

from dataclasses import dataclass

from tau2_gym.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits and modes of an episode, the same in an environment, in a session and in an episode.

    Attributes:
        max_steps: the episode ends after this many steps, once no tool results are due. The limit
            overrides a stop on the same step.
        max_turns: the episode ends when the agent would act once more than this; None leaves it to the
            domain, and tau2-bench's have no such limit.
        max_errors: as `max_steps`, for failed tool calls, the agent's and the user's together.
        max_calls: how many calls of one message are run, the agent's or the user's. The others are
            reported as one failed call.
        validate_communication: an empty message, or one with both text and tool calls, ends the
            episode as its sender's error.
        solo: no user: the agent has both sides' tools and may only call tools.
        agent_stop: the agent may end the episode itself.

    Raises:
        ConfigError: a limit is not positive.
    """

    max_steps: int = 100
    max_errors: int = 10
    max_calls: int = 20
    validate_communication: bool = False
    solo: bool = False
    agent_stop: bool = False
    max_turns: int | None = None

    def __post_init__(self) -> None:
        if self.max_steps < 1 or self.max_errors < 1:
            raise ConfigError(
                f"max_steps and max_errors must be at least 1, not {self.max_steps} and "
                f"{self.max_errors}"
            )
        if self.max_turns is not None and self.max_turns < 1:
            raise ConfigError(f"max_turns must be at least 1, not {self.max_turns}")
        if self.max_calls < 1:
            raise ConfigError(f"max_calls must be at least 1, not {self.max_calls}")


DEFAULT = Rules()
"""tau2-bench's."""
