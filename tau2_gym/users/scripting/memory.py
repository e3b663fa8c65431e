"""What the scenario lets the user say.

A scenario is prose. It is cut into statements in the first person; details that identify the user
(phone number, order number …) are found by their form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from tau2_gym.types import Scenario
from tau2_gym.users.scripting.speech import first_person, prose_sentences
from tau2_gym.users.scripting.words import stems


@dataclass(frozen=True, slots=True)
class Statement:
    """Something the user can say.

    Attributes:
        text: the words, in the first person.
        stems: the stems of its content words.
        wish: whether it is part of what the user wants, and so comes out in time unasked.
        cue: for a reply that waits for its moment ("if the agent says …, mention …"), the stems of
            what has to be said first; else empty.
        denial: whether that moment is a refusal of the agent's.
    """

    text: str
    stems: frozenset[str]
    wish: bool = False
    cue: frozenset[str] = frozenset()
    denial: bool = False


@dataclass(frozen=True, slots=True)
class Detail:
    """A detail that identifies the user or its matter: what it is called, and its values."""

    name: str
    asked: re.Pattern[str]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """All that a user knows of itself."""

    wishes: tuple[Statement, ...]
    replies: tuple[Statement, ...]
    facts: tuple[Statement, ...]
    unknown: tuple[Statement, ...]
    details: tuple[Detail, ...]

    @property
    def statements(self) -> tuple[Statement, ...]:
        """Everything that can be said, wishes first."""
        return (*self.wishes, *self.facts, *self.unknown, *self.replies)


_DETAILS: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (name, re.compile(asked), re.compile(form))
    for name, asked, form in (
        (
            "name",
            r"\b(?:(?:full|first|last|your|customer) name|name(?:,| or| and) (?:your )?(?:zip|phone|"
            r"e-?mail))\b",
            r"(?:[Yy]ou are|[Yy]ou're|[Yy]our? name is|called) ([A-Z][\w'-]+(?: [A-Z][\w'-]+)+)",
        ),
        (
            "phone number",
            r"\b(?:(?:phone|mobile|cell|telephone|contact|line|callback) number|your number|"
            r"number (?:is )?(?:associated|on|for|linked|you)\b)",
            r"(?<![\w-])(\+?\d{3}-\d{3}-\d{4})(?![\w-])",
        ),
        ("email address", r"\be-?mail", r"([\w.+-]+@[\w-]+\.[\w.]*\w)"),
        ("zip code", r"\b(?:zip|postal|postcode)", r"(?<![\w-])(\d{5})(?![\w-])"),
        (
            "user id",
            r"\b(?:user|customer|account|member\w*|profile)[ -]?(?:id|name|number)\b|\busername\b",
            r"\b([a-z]+_[a-z]+_\d{3,5})\b",
        ),
        (
            "reservation number",
            r"\b(?:(?:reservation|booking|confirmation)s? (?:number|id|code)s?|pnr|record locator|"
            r"which (?:reservation|booking)s?)\b",
            r"(?<![\w#$-])(?!HAT\d|\d{6})([A-Z0-9]{6})(?![\w-])",
        ),
        ("order number", r"\borders? (?:number|id)|\bwhich orders?\b", r"(#W\d{6,8})\b"),
    )
)
"""Details: what they are called, how they are asked for, and the form they have."""

_HIDDEN = re.compile(
    r"\s*\([^()]*\breveal[^()]*\)|\s*\((?:only|do not|don't)[^()]*\)", re.IGNORECASE
)
_CONDITIONAL = re.compile(
    r"(?:but |and |also )?(?:if(?: and only if)?|when|only after|after|once|unless|even if)\b(?P<when>[^,]*"
    r"(?:,(?! you\b| say| mention| ask| insist| only| do\b| try| then)[^,]*)*?),?\s+(?:then )?"
    r"(?P<then>(?:you\b|say|mention|ask|insist|only|do\b|try|add|suddenly|it is|drop|tell|agree|accept)"
    r".*)",
    re.IGNORECASE | re.DOTALL,
)
_OF_THE_AGENT = re.compile(
    r"\bagent\b|\bthey\b|\basked?\b|\bnot possible\b|\bsays?\b", re.IGNORECASE
)
_WISHING = re.compile(
    r"(?:\w+ly,? |also,? |then,? |first,? |now |, )*(?:you (?:\w+ )?(?:want|would like|'d like|need|"
    r"wish|hope|plan|are looking|do not want|don't want)|"
    r"your goal is|request|create|ask\b|get\b|find\b)",
    re.IGNORECASE,
)
_STAGE = re.compile(
    r"(?:make sure|be (?!sent)|you like to|you are (?:a |an |very |extremely |quite |polite|happy|"
    r"sad|shy|busy|detail|impatient|patient|messy|flexible|outgoing)|do not|don't|never|always|for "
    r"example|whenever|try to|continue the|the previous|tell the agent|sound|if the tool|this is|use |"
    r"first complain|otherwise|in the middle|halfway|follow|get angry|act )|\W*$",
    re.IGNORECASE,
)
_REPORTING = re.compile(
    r"(?:please |also |then |suddenly )*(?:mention|say|insist|tell (?:the agent|them)|explain|"
    r"claim|state)(?: on| once)?(?: that)?,? ",
    re.IGNORECASE,
)
_ORDERING = re.compile(r"(?:then,? )?((?:request|ask)\b.*)", re.IGNORECASE)
_NEGATIVE = re.compile(
    r"\b(?:not|never|n't|cannot|unable|impossible|denies|refuse\w*|no longer|only)\b", re.IGNORECASE
)


def _as_said(text: str) -> str:
    """An instruction as the user would say it: "mention that you …" becomes "I …"."""
    match = _REPORTING.match(text)
    said = text if match is None else text[match.end() :]
    if match is None:
        if (order := _ORDERING.match(said)) is not None:
            said = f"you would like to {order[1][0].lower()}{order[1][1:]}"
        elif re.match(
            r"(?:create|get|find|try|cancel|book|change|do|drop|accept|agree|only (?!after|if))\b",
            said,
            re.I,
        ):
            said = f"please {said[0].lower()}{said[1:]}"
    return first_person(said)


def _statement(text: str, *, wish: bool) -> Statement:
    """One sentence of the scenario, which may wait for its moment."""
    match = _CONDITIONAL.match(text)
    if match is not None and _OF_THE_AGENT.search(match["when"]):
        cue = stems(match["when"]) - _REPORTED_SPEECH
        said = _as_said(match["then"])
        return Statement(said, stems(said), False, cue, bool(_NEGATIVE.search(match["when"])))
    said = _as_said(text)
    return Statement(said, stems(said), wish)


_REPORTED_SPEECH = frozenset(
    stems("says said asks asked tells mention mentions finally suggests service")
)


@lru_cache(maxsize=4096)
def memory(scenario: Scenario) -> Memory:
    """What a scenario lets its user say."""
    reason = [_HIDDEN.sub("", line).lstrip(" .") for line in prose_sentences(scenario.reason)]
    orders = [_HIDDEN.sub("", line) for line in prose_sentences(scenario.instructions)]
    if not reason:  # prose without parts, as in the mock domain
        reason, orders = orders, []
    told = [_statement(line, wish=True) for line in reason if line and not _STAGE.match(line)]
    told += [
        _statement(line, wish=bool(_WISHING.match(line)))
        for line in orders
        if not _STAGE.match(line)
    ]
    facts = [_statement(line, wish=False) for line in prose_sentences(scenario.known)]
    unknown = [
        _statement(line, wish=False)
        for line in prose_sentences(scenario.unknown)
        if line.strip(". ")
    ]
    told_of = (scenario.known, f"{scenario.reason} {scenario.instructions}")
    details = tuple(
        Detail(name, asked, next(filter(None, (_values(form, text) for text in told_of)), ()))
        for name, asked, form in _DETAILS
    )
    return Memory(
        wishes=tuple(one for one in told if one.wish and one.stems),
        replies=tuple(one for one in told if not one.wish),
        facts=tuple(facts),
        unknown=tuple(unknown),
        details=details,
    )


def _values(form: re.Pattern[str], text: str) -> tuple[str, ...]:
    """What in a text has the form, each once."""
    return tuple(dict.fromkeys(form.findall(text)))
