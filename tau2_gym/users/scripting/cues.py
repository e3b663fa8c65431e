"""What an agent's sentence does in the conversation: closes it, hands over, asks, seeks consent."""

from __future__ import annotations

import re
from enum import Flag, auto
from functools import lru_cache


class Cue(Flag):
    """What a sentence does; several may hold."""

    NONE = 0
    ANYTHING_ELSE = auto()
    """Asks whether there is more to do."""
    FAREWELL = auto()
    """Says goodbye, or that all is done."""
    TRANSFER = auto()
    """Says that the user is being handed over to somebody else."""
    QUESTION = auto()
    """Asks for information."""
    OPEN_QUESTION = auto()
    """Asks what the user wants."""
    CONSENT = auto()
    """Asks for a yes or a no."""


_ANYTHING_ELSE = re.compile(
    r"\b(?:any|some)thing (?:else|more|further)\b"
    r"(?! (?:on|in|shown|displayed|you (?:see|notice)|(?:that )?(?:is|looks)))|"
    r"\bany (?:other|further|more|additional) (?:questions?|issues?|concerns?|requests?|help|"
    r"assistance|problems?)\b|\bany (?:questions|concerns)\b|\b(?:further|additional|more) assistance\b"
)
_FAREWELL = re.compile(
    r"\b(?:good-?bye|bye|take care|farewell|have an? (?:very |really )?(?:great|good|nice|wonderful|"
    r"lovely|pleasant|safe|fantastic|enjoyable) (?:rest of (?:your|the) )?(?:day|evening|afternoon|"
    r"night|weekend|week|one|trip|flight|journey)|enjoy your|you(?:'re| are) all set|"
    r"(?:glad|happy|pleased) (?:that |it |to hear|to have (?:helped|been)|(?:i|we) (?:could|can|was|"
    r"were)|your|everything)|(?:that|this) concludes|you're (?:very |most )?welcome|my pleasure)\b"
)
_SOLVED = re.compile(
    r"\b(?:(?:issue|problem|request|everything|matter|concern)s? (?:is|are|has been|have been|should be|"
    r"should|was|were) (?:now )?(?:all |fully |successfully |be )?(?:resolved|fixed|solved|taken care of|"
    r"completed?|done|back to normal)|(?:it|everything|that) should (?:all )?(?:now )?(?:be )?work\w*)\b"
)
_OPEN_END = re.compile(r"\b(?:if|once|when|whether|until|before|unless|after|not)\b")
_TRANSFER = re.compile(
    r"\b(?:(?:are|is|have been|has been|been|now|am|'re|'m|'ve|have|get(?:ting)?) "
    r"(?:now |being |been |currently |just |successfully ){0,3}transferr(?:ed|ing)\b|"
    r"(?:am|'m|now) (?:now )?(?:connecting|handing|escalating)\b)|^transferring\b"
)
_NOT_TRANSFER = re.compile(
    r"\b(?:not|can't|cannot|n't|without|if|before|would you|do you|shall i|may i|should i)\b|\?\s*$|"
    r"\b(?:funds?|miles|points|balance|money|amount|data|ticket)\b"
)
_ASKS = re.compile(
    r"\?|\b(?:please|kindly|could you|can you) (?:also )?(?:provide|share|tell|give|confirm|specify|"
    r"state|enter|verify|let me know|clarify|describe|choose|select|indicate|supply|send)\b|"
    r"\b(?:may|can|could) i (?:please )?(?:have|get|know|ask)\b|\blet me know\b|"
    r"\bi(?:'ll| will| would|'d)? (?:also |first |just )?(?:need|require)\b|"
    r"\b(?:tell|give) me (?:your|the|what|which|how|more)\b"
)
_WH = re.compile(r"\b(?:how(?! about)|which|what|when|where|who|whose|why)\b")
_WANT_WHAT = re.compile(
    r"\b(?:how (?:can|may|could) (?:i|we) (?:help|assist)|what (?:can|may) (?:i|we) (?:do|help)|"
    r"what would you like|what do you (?:want|need)|what(?:'s| is| seems to be) the (?:issue|problem|"
    r"reason|matter)|(?:more|further|additional) (?:details?|information)|describe|"
    r"tell me (?:more|about)|how would you like (?:me )?to (?:proceed|go))\b"
)
_CONSENT = re.compile(
    r"\b(?:would you like|do you want|do you wish|shall (?:i|we)|should (?:i|we)|may i\b(?! (?:have|get|"
    r"know|ask))|can (?:i|we) (?:go ahead|proceed)|do you (?:agree|confirm|accept|consent|approve)|"
    r"is (?:that|this|it|everything) (?:all )?(?:ok|okay|correct|right|fine|acceptable|alright)|"
    r"are you (?:ok|okay|sure|willing|happy|fine|comfortable|interested)|(?:please|kindly|you) confirm|"
    r"yes/no|\(yes\)|reply (?:with )?\"?yes|proceed\?|go ahead\?|sound (?:good|ok|okay)|"
    r"would (?:that|this|it) (?:be|work)|do i have your)\b|"
    r"\b(?:confirm|proceed|continue|go ahead)\b[^.]*\?|\byes\b[^.]{0,20}\bno\b"
)


@lru_cache(maxsize=8192)
def cues(sentence: str) -> Cue:
    """What a sentence of the agent's does."""
    text = " ".join(sentence.replace("’", "'").lower().split())
    found = Cue.NONE
    if _TRANSFER.search(text) and not _NOT_TRANSFER.search(text):
        found |= Cue.TRANSFER
    if _ANYTHING_ELSE.search(text):
        return found | Cue.ANYTHING_ELSE
    if _FAREWELL.search(text):
        found |= Cue.FAREWELL
    if _SOLVED.search(text) and "?" not in text and not _OPEN_END.search(text):
        found |= Cue.FAREWELL
    if _ASKS.search(text):
        found |= Cue.QUESTION
        if _WANT_WHAT.search(text):
            found |= Cue.OPEN_QUESTION
        elif _CONSENT.search(text) and (not _WH.search(text) or "confirm" in text):
            found |= Cue.CONSENT
    elif _CONSENT.search(text):
        found |= Cue.CONSENT
    return found
