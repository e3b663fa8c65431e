"""The verbs of phone support, in one table, and the forms they are met in.

A verb belongs to any number of *classes*: what it can ask for, as in "reboot" and "restart". A verb
without a class still makes a request of a sentence that starts with it ("go to settings and …").
Whatever needs to know verbs (requests, gerunds, passives, questions about what has been done) takes
them from here, so that a verb that is understood in one mood is understood in all.
"""

from __future__ import annotations

from collections.abc import Iterable

CLASSES: tuple[tuple[str, str], ...] = (
    ("reseat", "reseat re-seat reinsert re-insert"),
    ("restart", "restart re-restart re-start reboot re-boot power-cycle"),
    ("reset", "reset restore revert"),
    ("disconnect", "disconnect exit"),
    ("off", "disable deactivate"),
    ("on", "enable re-enable activate reactivate re-activate"),
    ("connect", "connect reconnect re-connect"),
    ("toggle", "toggle flip"),
    ("grant", "grant give allow provide add"),
    ("set", "set change switch select choose pick update adjust use prefer include"),
    ("pay", "pay make accept approve complete settle submit authorize"),
    (
        "run",
        "run do perform take conduct start complete execute rerun re-run repeat redo try retry send "
        "attempt measure receive",
    ),
    (
        "check",
        "check re-check recheck look see view open verify confirm tell know read inspect review describe "
        "report show find double-check examine test re-test retest share list ensure make",
    ),
)
"""The classes, the most telling first, with the verbs that are theirs."""

UNCLASSED = (
    "turn toggle put go power shut remove eject pull insert let call begin stop cycle navigate wait "
    "keep leave note help bring"
)
"""Verbs that start a request and say nothing of their own about what is wanted."""

VERBS: tuple[str, ...] = tuple(
    dict.fromkeys(word for _, words in (*CLASSES, ("", UNCLASSED)) for word in words.split())
)
"""Every verb, once."""

CLASSES_OF: dict[str, tuple[str, ...]] = {
    verb: tuple(name for name, words in CLASSES if verb in words.split()) for verb in VERBS
}
"""The classes of each verb."""

_DOUBLING = frozenset(
    [
        "set",
        "reset",
        "put",
        "let",
        "shut",
        "stop",
        "flip",
        "run",
        "rerun",
        "re-run",
        "begin",
        "submit",
        "prefer",
    ]
)
_IRREGULAR = {
    "begin": "begun",
    "choose": "chosen",
    "do": "done",
    "find": "found",
    "give": "given",
    "go": "gone",
    "keep": "kept",
    "know": "known",
    "leave": "left",
    "let": "let",
    "make": "made",
    "pay": "paid",
    "put": "put",
    "read": "read",
    "redo": "redone",
    "rerun": "rerun",
    "re-run": "re-run",
    "reset": "reset",
    "run": "run",
    "see": "seen",
    "send": "sent",
    "set": "set",
    "show": "shown",
    "shut": "shut",
    "take": "taken",
    "tell": "told",
}


def gerund(verb: str) -> str:
    """ "disable" → "disabling"."""
    if verb in _DOUBLING:
        verb += verb[-1]
    elif verb.endswith("e") and not verb.endswith("ee"):
        verb = verb[:-1]
    return f"{verb}ing"


def participle(verb: str) -> str:
    """The past participle: "disable" → "disabled", "take" → "taken"."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb in _DOUBLING:
        verb += verb[-1]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ied"
    return f"{verb}d" if verb.endswith("e") else f"{verb}ed"


GERUNDS = {gerund(verb): verb for verb in VERBS}
PARTICIPLES = {participle(verb): verb for verb in VERBS}


def any_of(words: Iterable[str]) -> str:
    """A pattern for any of the words, the longest first."""
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))
