"""What a user can be asked to do with its phone, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tau2_gym.users.scripting.phone import SWITCHES


@dataclass(frozen=True, slots=True)
class Use:
    """Call a tool."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flip:
    """Bring a switch into a state."""

    switch: str
    on: bool


@dataclass(frozen=True, slots=True)
class Verify:
    """See whether the problem is gone."""


@dataclass(frozen=True, slots=True)
class Recount:
    """Say whether a tool has been used."""

    tool: str


@dataclass(frozen=True, slots=True)
class Query:
    """Ask back: the request leaves something open."""

    question: str


What = Use | Flip | Verify | Recount | Query


@dataclass(frozen=True, slots=True)
class Condition:
    """When an errand applies.

    Attributes:
        look: what tells: the result of a tool, whether the problem is gone, or whether the user is
            abroad.
        shows: what that result contains when the condition holds. None for the other two.
        expected: False turns the condition around.
    """

    look: Use | Literal["solved", "abroad"]
    shows: re.Pattern[str] | None = None
    expected: bool = True

    def negated(self) -> Condition:
        """The opposite condition."""
        return replace(self, expected=not self.expected)

    def is_state_of(self, switch: str) -> bool:
        """Whether the condition is that this switch is on, or off."""
        return self.shows is SWITCHES[switch].on


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to do, and when."""

    what: What
    when: Condition | None = None
