"""What whoever plays the user is paid for: following the scenario, turn by turn.

A user model that tells everything at once, invents what it was not told, or hangs up too early makes every agent
look better or worse than it is. So the user's ledger pays for what the scenario asks of it:

| term | amount | for |
|---|---|---|
| `told` | +`told` | a detail that the agent has just asked for, told for the first time |
| `volunteered` | −`volunteered` | a detail told although the agent has not asked for it |
| `invented` | −`invented` | a value said that stands neither in the scenario nor in what the user has heard |
| `progress` | α·(Φ after − Φ before) | what the user's own tool calls did to the partial score |
| `ending` | +`ending` | stopping when everything is done |
| `early` | −`early` | stopping before that, unless handed over to a human |

A handover that the task does not want ends the conversation for nothing: paid, it could be had by asking for it.
An agent that asks who the user is, and for no detail by name, is told a few: more are not paid for.

Details are what identifies the user and its matter: name, phone number, email address, zip code, user id,
reservation and order numbers. Values are those, and amounts, ids of items and payment methods, and ISO dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from tau2_gym.errors import ConfigError
from tau2_gym.types import Message
from tau2_gym.users.base import STOP_TOKENS, TRANSFER, UserView
from tau2_gym.users.scripting.cues import Cue, cues
from tau2_gym.users.scripting.memory import memory
from tau2_gym.users.scripting.recall import asks_to_identify
from tau2_gym.users.scripting.speech import sentences


@dataclass(frozen=True, slots=True)
class UserReward:
    """The amounts; each is at least 0, and 0 turns its term off.

    Raises:
        ConfigError: an amount is not a number of at least 0.
    """

    told: float = 0.1
    volunteered: float = 0.1
    invented: float = 0.2
    progress: float = 1.0
    ending: float = 1.0
    early: float = 0.5

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if type(value) not in (int, float) or not 0 <= value < float("inf"):
                raise ConfigError(f"{item.name} must be a number of at least 0, not {value!r}")

    @classmethod
    def of(cls, options: UserReward | dict[str, Any] | None) -> UserReward:
        """Amounts from keyword arguments.

        Raises:
            ConfigError: an unknown name, or as the class.
        """
        if isinstance(options, UserReward):
            return options
        names = [item.name for item in fields(cls)]
        for name in options or {}:
            if name not in names:
                raise ConfigError(f"unknown user reward {name!r}; allowed: {', '.join(names)}")
        return cls(**(options or {}))


_VALUES = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.]*\w"  # email addresses
    r"|\+?\b\d{3}-\d{3}-\d{4}\b"  # phone numbers
    r"|#W\d{6,8}\b"  # orders
    r"|\b[a-z]+(?:_[a-z]+)+_\d{3,}\b|\b[a-z]+_[a-z]+_\d{3,5}\b"  # users, payment methods
    r"|\b\d{4}-\d{2}-\d{2}\b"  # dates
    r"|\$\d[\d,]*(?:\.\d+)?"  # amounts
    r"|\b\d{5,}\b"  # zip codes, items
    r"|\b(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{6}\b"  # reservations, flights
)


IDENTIFY = 2
"""How many details are paid for where the agent asks who the user is: those that the scripted user tells."""

_ASKING = Cue.QUESTION | Cue.OPEN_QUESTION | Cue.CONSENT


def values(text: str) -> set[str]:
    """The values in a text, in one form."""
    return {found.lower().replace(",", "").rstrip(".") for found in _VALUES.findall(text)}


def counts(view: UserView, message: Message) -> dict[str, int]:
    """What a message of the user's tells: `told`, `volunteered` and `invented`, counted.

    Args:
        view: what the user saw before it.
        message: its message.
    """
    text = _without_tokens(message.content or "")
    if message.is_tool_call or not text:
        return {"told": 0, "volunteered": 0, "invented": 0}
    before = [each.content or "" for each in view.messages if each.role == "user"]
    heard = [each.content or "" for each in view.messages if each.role != "user"]
    asked, anything = _asked(view)
    told = identified = volunteered = 0
    for detail in memory(view.scenario).details:
        new = [value for value in detail.values if value in text and not _in(value, before)]
        # What the agent has said itself may be repeated.
        new = [value for value in new if not _in(value, heard)]
        if detail.name in asked:
            told += len(new)
        elif anything:
            identified += len(new)
        else:
            volunteered += len(new)
    known = values("\n".join([view.scenario.text, *heard]))
    return {
        "told": told + min(identified, IDENTIFY),
        "volunteered": volunteered,
        "invented": len(values(text) - known - values("\n".join(before))),
    }


def _in(value: str, texts: Iterable[str]) -> bool:
    return any(value in text for text in texts)


def _without_tokens(text: str) -> str:
    for token in STOP_TOKENS:
        text = text.replace(token, "")
    return text.strip()


def _asked(view: UserView) -> tuple[set[str], bool]:
    """The details that the agent's last text asks for, and whether it asks who the user is."""
    told = next(
        (each.content or "" for each in reversed(view.messages) if each.role == "assistant"), ""
    )
    said = sentences(told)
    named = {
        detail.name
        for sentence in said
        for detail in memory(view.scenario).details
        if detail.asked.search(sentence.lower()) is not None
    }
    # "For your information" names no detail and asks for none.
    anything = any(asks_to_identify(each.lower()) and cues(each) & _ASKING for each in said)
    return named, anything


def ending(view: UserView, message: Message, official: float | None) -> Iterator[tuple[str, int]]:
    """How the user's message ends the conversation, if it does: well (`ending`), or too early (`early`).

    Args:
        view: what the user saw before it.
        message: its message.
        official: the official reward of the episode that it ends; None if only a judge can tell.
    """
    text = message.content or ""
    if message.is_tool_call or not any(token in text for token in STOP_TOKENS):
        return
    last = next(
        (each.content or "" for each in reversed(view.messages) if each.role == "assistant"), ""
    )
    handed_over = any(Cue.TRANSFER in cues(sentence) for sentence in sentences(last))
    if official is not None and official >= 1 and (handed_over or TRANSFER not in text):
        yield "ending", 1
    elif official is not None and not handed_over:
        yield "early", 1
