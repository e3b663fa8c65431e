"""Finding in what the user knows the answer to a question, by the words that both share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tau2_gym.users.scripting.memory import Memory, Statement
from tau2_gym.users.scripting.words import stems

_IDENTIFY = re.compile(
    r"\b(?:identify|identity|verify (?:you|who)|verif\w+|authenticat\w+|"
    r"(?:your|the) (?:account|details|information|profile|credentials)|who (?:am i|are you)|"
    r"locate|look (?:you )?up|pull up|access)\b"
)


def asks_to_identify(question: str) -> bool:
    """Whether a question, in lower case, asks who the user is."""
    return _IDENTIFY.search(question) is not None


def details_asked(known: Memory, question: str) -> list[str]:
    """The details a question asks for, as sentences; what the user does not have is said so."""
    text = question.lower()
    asked = [detail for detail in known.details if detail.asked.search(text)]
    if not asked and asks_to_identify(text):
        asked = [detail for detail in known.details if detail.values][:2]
    have = [detail for detail in asked if detail.values]
    lack = [detail for detail in asked if not detail.values]
    answers = [f"My {detail.name} is {' and '.join(detail.values)}." for detail in have]
    if have and " or " in text:
        return answers
    for detail in lack:
        said = next((one.text for one in known.unknown if stems(detail.name) & one.stems), None)
        answers.append(said or f"I don't have my {detail.name} at hand.")
    return answers


_AWAY = re.compile(r"\b(?:abroad|travel\w*|overseas)\b")
_HOME = re.compile(r"\bat home\b")
_WHERE = re.compile(
    r"\b(?:abroad|travel\w*|overseas|outside|location|located|where are you|country|home network)\b"
)


def is_abroad(known: Memory) -> bool | None:
    """Whether the user is abroad; None if it does not know."""
    for fact in known.facts:
        if _AWAY.search(fact.text):
            return True
        if _HOME.search(fact.text):
            return False
    return None


def whereabouts(known: Memory, question: str) -> str | None:
    """Where the user is, if the question is that and the user knows."""
    if _WHERE.search(question.lower()) is None:
        return None
    places = (one.text for one in known.facts if _AWAY.search(one.text) or _HOME.search(one.text))
    return next(places, None)


def best_match(statements: Iterable[Statement], question: str) -> Statement | None:
    """The statement that shares most with a question, if any shares a word of content."""
    wanted = stems(question)
    best: Statement | None = None
    score = 0.0
    for statement in statements:
        shared = len(statement.stems & wanted)
        value = shared / (4 + len(statement.stems)) ** 0.5
        if shared and value > score:
            best, score = statement, value
    return best


_REFUSAL = re.compile(
    r"\b(?:do not|don't|not willing to|no longer|prefer not to|rather not|in no case|under no "
    r"circumstances)\b",
    re.IGNORECASE,
)


def refused(statements: Iterable[Statement], question: str) -> Statement | None:
    """The statement that says the user does not want what a question offers."""
    wanted = stems(question)
    for statement in statements:
        for part in re.split(r",? but |;|, and ", statement.text):
            match = _REFUSAL.search(part)
            if match is None:
                continue
            unwanted = stems(part[match.end() :])
            willing = statement.stems - unwanted
            overlap = len(unwanted & wanted)
            if overlap >= min(2, len(unwanted)) and overlap > len(willing & wanted):
                return statement
    return None


_DENIAL = re.compile(r"\b(?:not|cannot|unable|unfortunately|no|only)\b|n't\b")


def triggered(known: Memory, told: str, said: Sequence[frozenset[str]]) -> Statement | None:
    """The reply whose moment has come with what the agent said, unless it was given before."""
    heard = stems(told)
    denied = _DENIAL.search(told.lower()) is not None
    for reply in known.replies:
        if not reply.cue or is_said(reply, said) or (reply.denial and not denied):
            continue
        if len(reply.cue & heard) >= min(2, len(reply.cue)):
            return reply
    return None


_MOSTLY = 0.7


def is_said(statement: Statement, said: Iterable[frozenset[str]]) -> bool:
    """Whether one of these sentences says it, if in somewhat different words."""
    own = statement.stems
    return any(len(own & words) >= _MOSTLY * len(own | words) for words in said if words)
