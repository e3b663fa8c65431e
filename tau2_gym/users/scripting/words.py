"""Comparing what was said with what was meant: the content words of a sentence."""

from __future__ import annotations

import re
from functools import lru_cache

from tau2_gym.users.scripting.speech import sentences

_WORD = re.compile(r"#?[a-z0-9][\w.@'-]*[a-z0-9]|[a-z0-9]")
_STOP_WORDS = (
    "a about actually after all also am an and any are as ask at be because been before being but by "
    "can can't cannot could did do does doing don't else even ever for from get give go going got had has "
    "have having help her here his how i i'd i'll i'm i've if in into is isn't it its just know let "
    "like make may me might more my need no not now of ok okay on one only or other our out over "
    "please rather really same say should so some still such sure take tell than thank thanks that "
    "the their them then there these they thing this those through to too up us use very want was "
    "we well were what when where which while who whom why will wish with would yes you your agent "
    "able unable possible provide specific currently today using issue problem customer phone"
)
_STOP = frozenset(_STOP_WORDS.split())
_STEM_LENGTH = 5


_CONCEPTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("=change", r"\b(?:chang|modif|upgrad|downgrad|switch|mov(?:e|ing)\b)"),
        (
            "=date",
            r"\b(?:date|when|what day|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w* \d)",
        ),
        ("=cabin", r"\b(?:cabin|(?:travel|flight|service) class|economy|business|first class)\b"),
        ("=bags", r"\b(?:bags?|baggages?|luggage|suitcases?)\b"),
        ("=price", r"\$|\b(?:budget|price|spend|cost)\b"),
        ("=payment", r"\b(?:pay|paying|payment|card|certificates?|paypal)\b"),
    )
)
"""Words of different stems for the same thing."""


@lru_cache(maxsize=8192)
def stems(text: str) -> frozenset[str]:
    """The content words of a text, cut short so that "cancel" and "cancellation" agree."""
    text = text.lower().replace("’", "'")
    words = (word for word in _WORD.findall(text) if word not in _STOP)
    found = {word[:_STEM_LENGTH] if word.isalpha() else word for word in words}
    return frozenset(found.union(name for name, pattern in _CONCEPTS if pattern.search(text)))


@lru_cache(maxsize=4096)
def spoken(text: str) -> tuple[frozenset[str], ...]:
    """The stems of each sentence of a text, to tell later what was said in it."""
    return tuple(stems(sentence) for sentence in sentences(text))
