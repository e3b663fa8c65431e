"""Words: sentences, the change from "you" to "I", and saying the same thing differently.

Scenarios are written to the person who plays the user ("You are John Smith …"). The user speaks of
itself, so every sentence passes through `first_person` once, and through `vary` whenever it is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from random import Random

_ABBREVIATIONS = (
    r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bvs\.)"
)
_SENTENCE_END = re.compile(rf"{_ABBREVIATIONS}(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=\S)|\n+")
_SOFT_BREAK = re.compile(r"(?<![.!?:\n])[ \t]*\n(?!\n)[ \t]*")
_SPACE = re.compile(r"\s+")

_OBJECT_OF = (
    r"(?:tells?|told|gives?|gave|offers?|offered|helps?|helped|allows?|allowed|costs?|asks?|asked|"
    r"lets?|informs?|informed|shows?|sends?|sent|saves?|owes?|charged?|refunds?|transfers?|"
    r"corrects?|caused?|compensates?|upgrades?|to|for|with|of|about|from|by)"
)


def _without_s(match: re.Match[str]) -> str:
    return f"you {match[1].removesuffix('s')}"


_FLIPS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # tau2-bench's own slips: "You name is …", "You mobile data is not working".
        (r"\byou (?=(?:mobile|name|user|email|reservation|order|zip|phone) )", "my "),
        (r"\byourself\b", "myself"),
        (r"\byours\b", "mine"),
        (r"\byour\b", "my"),
        (rf"\b({_OBJECT_OF}) you\b(?!'| (?:are|were|have|want|do|can|will|would)\b)", r"\1 me"),
        (r"\bare you\b", "am I"),
        (r"\bwere you\b", "was I"),
        (r"\byou(?: are|'re) not\b", "I am not"),
        (r"\byou aren't\b", "I am not"),
        (r"\byou weren't\b", "I wasn't"),
        (r"\byou were\b", "I was"),
        (r"\byou are\b", "I am"),
        (r"\byou're\b", "I'm"),
        (r"\byou\b", "I"),
        # What is left of the third person is the person spoken to.
        (r"\b(?:the )?(?:customer )?(?:service )?agent's\b", "your"),
        (r"\bthe (?:customer )?(?:service )?agent\b", "you"),
        (r"\byou (asks?|says?|suggests?|corrects?|gives?|tells?|offers?)\b", _without_s),
    )
)
_CAPITALISED_I = re.compile(r"\bi\b(?=[ '])")

_VARIANTS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), choices)
    for pattern, choices in (
        (r"\bI am unable to\b", ("I am unable to", "I'm unable to", "I can't", "I'm not able to")),
        (r"\bI want to\b", ("I want to", "I'd like to", "I would like to")),
        (r"\bI do not want\b", ("I do not want", "I don't want", "I'd rather not have")),
        (r"\bI do not\b", ("I do not", "I don't")),
        (r"\bI am\b", ("I am", "I'm")),
        (r"\bis not\b", ("is not", "isn't")),
        (r"\bfor the past few hours\b", ("for the past few hours", "for a few hours now")),
        (r"^I have\b", ("I have", "I've got")),
    )
)
_RATHER_NOT_TO = re.compile(r"\bI'd rather not have to\b")


@lru_cache(maxsize=4096)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, stripped; line breaks end a sentence."""
    return tuple(part for part in map(str.strip, _SENTENCE_END.split(text)) if part)


def prose_sentences(text: str) -> tuple[str, ...]:
    """As `sentences`, for text whose lines are broken inside sentences."""
    return sentences(_SOFT_BREAK.sub(" ", text))


def first_person(sentence: str) -> str:
    """A sentence said to somebody, said by that person: "You are …" becomes "I am …"."""
    for pattern, replacement in _FLIPS:
        sentence = pattern.sub(replacement, sentence)
    return capitalised(_CAPITALISED_I.sub("I", _SPACE.sub(" ", sentence).strip()))


def capitalised(sentence: str) -> str:
    """The sentence with a capital at its start."""
    return sentence[:1].upper() + sentence[1:]


def vary(sentence: str, rng: Random) -> str:
    """The sentence with other function words. Names, numbers and content words stay."""
    for pattern, choices in _VARIANTS:
        if pattern.search(sentence):
            sentence = pattern.sub(rng.choice(choices), sentence)
    return capitalised(_RATHER_NOT_TO.sub("I'd rather not", sentence))


def finished(sentence: str) -> str:
    """The sentence with a mark at its end."""
    return sentence if sentence[-1:] in '.!?"' else f"{sentence}."
