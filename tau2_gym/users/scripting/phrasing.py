"""Saying it more simply: turns of phrase put into the few forms that are understood."""

from __future__ import annotations

import re

from tau2_gym.users.scripting.verbs import GERUNDS, PARTICIPLES, any_of

PERMISSIONS = r"sms|storage|camera|location|contacts|microphone|media"

_NORMAL = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " "})
_MARKUP = re.compile(r"[*`#>•]+|^\s*(?:-+|\(?\d+[.)]|[Ss]tep \d+:?)(?=\s)")

_GERUND = re.compile(
    r"\b((?:try|trying|by|consider|recommend|suggest|mind|with|advise|start|begin|about|and|or|then)"
    rf" (?:also )?)({any_of(GERUNDS)})\b"
)
_PARTICIPLE = re.compile(
    rf"\b(?:must|should|needs? to|has to|have to|ought to) be ({any_of(PARTICIPLES)})\b"
)

_PHONE = r"(?:your |the )?(?:phone|device|cell ?phone|smartphone|handset)"
_SIM = r"(?:your |the )?(?:physical )?sim(?:[- ]?card)?"
_PLAIN = r"(?:(?!\b(?:on|off|and|then|turn|switch|run|check|restart)\b)[\w' -])"
_SHORT_GAP = r"[^.;!?]{0,60}?"
_IDIOMS: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (part, re.compile(pattern), replacement)
    for part, pattern, replacement in (
        ("forget", r"\b(?:don't|do not) forget to\b", "please"),
        ("hesitate", r"\b(?:don't|do not) hesitate to\b", "please"),
        (" to", r"\b(?:be sure|make sure|remember|feel free) to\b", "please"),
        ("why don't", r"\bwhy don't you\b", "please"),
        (
            "if ",
            r"\bif (?:you )?(?:possible|can|could|would|like|wish|want|don't mind)\b(?! to)|"
            r"\bif you have(?:n't| not)(?: done (?:so|that|it|this))?(?: already| yet)\b",
            "",
        ),
        ("when", r"\bwhen(?:ever)? you(?:'re| are) ready\b|\bwhen you (?:can|get a chance)\b", ""),
        (
            " on",
            rf"\b(?:turn|switch|power|shut)(?:ing)? (?:{_PHONE} (?:off|down)|(?:off|down) {_PHONE})\b"
            rf"{_SHORT_GAP}(?:turn |switch |power )?(?:it )?(?:back )?\bon\b(?: again)?"
            rf"(?! {_PHONE}| (?:the|your|my)\b)|"
            rf"\b(?:switch|power) (?:it |{_PHONE} )?off and (?:then )?(?:back )?on(?: again)?\b",
            "restart your phone",
        ),
        # "turn A and B on": the state moves to where the first half of the sentence has it too
        (
            " and ",
            rf"\b(turn|switch|put) ({_PLAIN}+) and ({_PLAIN}+) (on|off)\b",
            r"\1 \4 \2 and \3",
        ),
        (
            "sim",
            rf"\b(?:take|pull|remove|eject|pop|slide)(?:ing)? (?:out )?{_SIM}(?: out)?\b{_SHORT_GAP}"
            rf"\b(?:put|insert|re-?insert|place|pop|slide)(?:ting|ing)? (?:it|them|{_SIM}|the card)"
            r"(?: back)?(?: in(?:to)?(?: (?:the|your) \w+)?)?(?: again)?",
            "reseat the sim card",
        ),
        ("g", r"\b([2-5]g)(?: and |,? or |, |/)(?=[2-5]g\b)", r"\1/"),
        (
            "",
            rf"\b({PERMISSIONS})(?: permissions?)?(?:,? and |, | & | ?/ ?|,? or )(?:the )?"
            rf"(?=(?:{PERMISSIONS})\b)",
            r"\1+",
        ),
    )
)
"""Turns of phrase: a part that each has, the phrase, and simpler words for it."""


def normalise(sentence: str) -> str:
    """The sentence in lower case with plain quotes, without markup, and with a few turns of phrase
    put in simpler words ("take the SIM out and put it back in" is "reseat the sim card")."""
    text = _MARKUP.sub(" ", sentence.translate(_NORMAL)).lower()
    text = " ".join(text.split())
    if "ing" in text:
        text = _GERUND.sub(lambda match: match[1] + GERUNDS[match[2]], text)
    if " be " in text:
        text = _PARTICIPLE.sub(lambda match: f"please {PARTICIPLES[match[1]]}", text)
    for part, pattern, replacement in _IDIOMS:
        if part in text:
            text = pattern.sub(replacement, text)
    return text.strip()
