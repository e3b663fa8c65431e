"""Taking English apart: the clauses of a sentence, and what each does.

"I have enabled roaming, so please restart your phone, but don't touch the APN settings." holds
three clauses: a report, a request and a request not to. Only the second may move the user.

Rules, not grammar: a clause does what its cue words say; without cue words it does what the
clause before it does ("please turn Wi-Fi off *and restart the phone*"), and at the start of a
sentence it is a request if it starts with a verb that could be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from tau2_gym.users.scripting.verbs import PARTICIPLES, VERBS, any_of


class Mood(Enum):
    """What a clause does."""

    REQUEST = auto()
    """Asks for something, or asks about something."""
    OFFER = auto()
    """Asks whether the user wants something."""
    CONDITION = auto()
    """Says when the rest of the sentence applies."""
    ELSE = auto()
    """The rest of the sentence applies when the condition before does not hold."""
    NEGATED = auto()
    """Asks not to do something."""
    PAST = auto()
    """Speaks of what the user did or saw."""
    AGENT = auto()
    """Speaks of what the agent did, does or sees."""
    ASIDE = auto()
    """Says when, why or what for."""
    STATEMENT = auto()
    """Says how things are."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause of a sentence, in lower case, without the word that joins it to the one before."""

    text: str
    mood: Mood
    follows_on: bool
    """Whether it continues the clause before it, so that what it leaves out is to be found there."""


_BASE = any_of(VERBS)
_ASIDES = (
    r"after|once|when|whenever|as soon as|before|because|since|so that|so i\b|so we\b|so you\b|"
    r"now that|until|while|without|instead of|rather than|though|although|as this|as it|"
    r"in order to|due to|even if|even though"
)
_PURPOSES = (
    r"see|check|verify|confirm|make sure|ensure|determine|find out|improve|fix|resolve|restore|help|"
    r"get|allow|let|avoid|prevent"
)
_NOT_A_COMPLEMENT = "".join(
    rf"(?<!\b{word} )"
    for word in (
        "check", "see", "know", "me", "us", "verify", "confirm", "sure", "ask", "out", "determine",
        "test", "tell", "again", "for", "even",
    )
)  # fmt: skip
_NOT_AN_OBJECT = "".join(
    rf"(?<!\b{word} )"
    for word in (
        "you", "need", "needs", "have", "like", "want", "try", "able", "us", "next", "is", "going",
        "ready", "asking", "please", "sure",
    )
)  # fmt: skip
_JOINT = re.compile(
    r"(?=[ ,;:()—])(?:"
    r"(?P<joint>,? (?:and then|then|and also|and|but|or|plus|as well as|otherwise) |"
    rf": (?=(?:please |kindly )?(?:{_BASE})\b|§)|[,;] ?(?:otherwise,? )?| ?[()] ?| [-–—]+ |—| & )|"
    rf" (?=(?:{_ASIDES})\b)| (?=(?:if|unless|in case)\b){_NOT_A_COMPLEMENT}|"
    rf" (?=to (?:{_PURPOSES})\b){_NOT_AN_OBJECT})"
)
"""Where a normalised sentence can be cut: at a joint, which goes, or before a word that stays."""

_LEAD = (
    r"(?:(?:ok|okay|great|good|perfect|thanks|thank you|alright|sure|well|now|next|first|second|third|"
    r"also|so|then|please|just|again|once more|afterwards|instead|meanwhile|yes|no problem|"
    r"at this point|\w+ly)[,:]? )*"
)
"""Words before the one that counts. No two of them match the same text: that would take for ever."""
_IMPERATIVE = re.compile(rf"{_LEAD}(?:{_BASE})\b|{_LEAD}§")
_ASIDE = re.compile(rf"{_LEAD}(?:{_ASIDES}|to (?:{_PURPOSES}))\b")
_CONDITION = re.compile(r"(?:(?:and|but|or|also|then|only|so) )*(?:if|in case|should you)\b")
_NEGATED = re.compile(
    r"\b(?:do not|don't|dont|no need|needn't|need not|not necessary|unnecessary|isn't necessary|"
    r"avoid|never|shouldn't|should not|must not|mustn't|won't (?:have|need)|will not (?:have|need)|"
    r"not (?:have|need|want) (?:you )?to|refrain|hold off|leave|keep|cannot|can't|unless)\b"
)
_WANTS = re.compile(
    r"\b(?:i(?:'d| would| will|'ll)? (?:also )?(?:need|want|like|love|ask|recommend|suggest|advise)"
    r"(?: that)?(?: for)? you\b|i(?:'d| would)? (?:also )?(?:recommend|suggest|advise) \w|"
    r"(?:can|could|may|might) i (?:get|have|ask) you\b|i'm asking you|"
    r"we(?:'ll| will)? (?:also )?(?:need|have|should|can|could)(?: you)? (?:to |try )|"
    r"we (?:should|can|could) (?:also )?\w|let's|let us)"
)
_AGENT = re.compile(
    rf"{_LEAD}(?!i (?:see|understand)$)(?:(?:i|we)\b|let me\b(?! know)|"
    r"(?:may|can|could|shall|should) (?:i|we)\b|"
    r"(?:our|my) (?:system|records|team|side|end)\b|(?:that|here|this) i\b)"
)
_PARTICIPLES = rf"(?:already |just |now |ever |also )*(?:[\w-]+ed|{any_of(PARTICIPLES)})"
_PAST = re.compile(
    rf"\b(?:you(?:'ve| have| had) {_PARTICIPLES}|(?:have|had) you {_PARTICIPLES}|did you|you did|"
    r"you already|you just|you (?:turned|switched|toggled|said|mentioned|reported|told))\b"
)
_OFFER = re.compile(
    r"\b(?:would|do) you (?:like|want|prefer|wish|agree)\b|"
    r"\bare you (?:willing|happy|okay|ok|comfortable|interested)\b"
)
_REQUEST = re.compile(
    r"\b(?:please|kindly|(?:can|could|would|will) you|let's|try|go ahead|make sure|ensure|"
    r"you(?:'ll| will)? (?:should|must|need to|have to|can|could|may|might|want to)|"
    r"you(?:'re| are) going to|next step (?:is|would be) to|just)\b"
)
_QUESTION = re.compile(
    rf"{_LEAD}(?:is|are|does|do|has|have|what|which|how|where|any|who|can|could|did|was)\b"
)
_RESUMING = re.compile(rf"(?:now|next|then|so|just|instead|please)\b.*?\b(?:{_BASE})\b")


def clauses(sentence: str) -> Iterator[Clause]:
    """The clauses of a normalised sentence, in order."""
    question = sentence.rstrip(" \"')").endswith("?")
    listed_or = " or " in sentence
    before: Mood | None = None
    main: Mood | None = None
    joint: str | None = None
    start = 0
    cuts = [(cut.start(), cut.end(), cut["joint"]) for cut in _JOINT.finditer(sentence)]
    for stop, resume, next_joint in [*cuts, (len(sentence), len(sentence), None)]:
        text = sentence[start:stop].strip(" .,:;!?\"'")
        if text:
            mood = Mood.ELSE if joint == "otherwise" else _mood(text, question)
            mood = mood or _inherited(text, before, main, joint, listed_or)
            yield Clause(text, mood, follows_on=joint is not None)
            before = mood
            main = main if mood in _SUBORDINATE else mood
            joint = None
        if next_joint is not None:
            joint = next_joint.strip(" ,;()&-–—:") or joint or ""
        start = resume


_SUBORDINATE = (Mood.CONDITION, Mood.ASIDE)


def _mood(text: str, question: bool) -> Mood | None:
    """What a clause does by its own cue words, or None where it has none."""
    if text.startswith(("otherwise", "if not", "else ")):
        return Mood.ELSE
    if _CONDITION.match(text):
        return Mood.CONDITION
    if _ASIDE.match(text):
        return Mood.ASIDE
    asked = question and _QUESTION.match(text) is not None
    if _NEGATED.search(text) and not asked:
        return Mood.NEGATED
    if _OFFER.search(text):
        return Mood.OFFER
    wanted = _WANTS.search(text) is not None
    if _AGENT.match(text) and not wanted:
        return Mood.AGENT
    if _PAST.search(text):
        return Mood.PAST
    return Mood.REQUEST if wanted or asked or _REQUEST.search(text) else None


def _inherited(
    text: str, before: Mood | None, main: Mood | None, joint: str | None, listed_or: bool
) -> Mood:
    """What a clause without cue words does: what the clause before did, or what it looks like.

    Args:
        text: the clause.
        before: what the clause before it does; None at the start of a sentence.
        main: the same for the last clause that is not subordinate.
        joint: the word between them, "" for a comma, None for nothing.
        listed_or: whether the sentence has an "or".
    """
    imperative = Mood.REQUEST if _IMPERATIVE.match(text) else Mood.STATEMENT
    if text.startswith("which ") and before is not None:
        return Mood.ASIDE
    if before in _SUBORDINATE and main is None and joint in ("and", "or"):
        return before  # "after A and B, …"
    if before in _SUBORDINATE:
        before = main
    if before is Mood.REQUEST:
        return Mood.REQUEST
    if before is Mood.NEGATED:
        # "do not A, B or C" forbids all three; "do not A, just B" does not forbid B.
        still = joint in ("and", "or") or (joint == "" and listed_or)
        return Mood.NEGATED if still else imperative
    if before is None or before is Mood.ELSE or joint in ("but", "then", "and then"):
        return imperative
    if joint == "" and (before is not Mood.AGENT or _RESUMING.match(text)):
        return imperative
    return before
