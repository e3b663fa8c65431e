"""Understanding "if …": what a user would look at to find out."""

from __future__ import annotations

import re

from tau2_gym.users.scripting.arguments import app_name, permissions
from tau2_gym.users.scripting.errands import Condition, Use
from tau2_gym.users.scripting.features import features
from tau2_gym.users.scripting.phone import SWITCHES

_OFF = re.compile(
    r"\b(?:off|disabled|not (?:on|enabled|active|turned on)|inactive|isn't (?:on|enabled))\b"
)
_ON = re.compile(r"\b(?:on|enabled|active|activated)\b")
_NOT = re.compile(r"\b(?:not|no|cannot|unable|without|never|still)\b|n't\b")
_SLOW = re.compile(
    rf"{_NOT.pattern}|\b(?:slow|poor|fair|lower|below|other than|less|fails?|no connection)\b"
)
_LACKING = re.compile(rf"{_NOT.pattern}|\b(?:missing|denied|off|disabled)\b")
_NEVER = re.compile(r"(?!)")

_COURTESY = re.compile(
    r"\b(?:correct|accurate)\b|"
    r"\b(?:details?|amount|bill|it|everything|that|this|which)"
    r"(?:'s| is| are| looks?| all looks?| seems?) (?:all )?(?:right|ok|okay|good|fine)\b|"
    r"\byou(?:'re| are| would| wish| want| agree| accept| approve)\b(?! (?:travel|abroad|outside|"
    r"roaming|connected|on|using|able|unable|not able|seeing|getting|still)\b)|"
    r"\byou(?:'ve| have) (?:already|just|now)\b"
)
"""Conditions that are met because the user wants its problem solved."""


def _shows(tool: str, pattern: str, expected: bool = True, **arguments: str) -> Condition:
    return Condition(Use(tool, arguments), re.compile(pattern), expected)


_TABLE: tuple[tuple[re.Pattern[str], Condition, re.Pattern[str]], ...] = tuple(
    (re.compile(pattern), condition, contrary)
    for pattern, condition, contrary in (
        (r"\b(?:abroad|travel\w*|overseas|outside)\b", Condition("abroad"), _NOT),
        (r"\bsim\b.*\b(?:missing|not (?:detected|inserted|found)|isn't detected)|\bno sim\b",
         _shows("check_sim_status", "No SIM card"), _NEVER),
        (r"\bsim\b.*\block|\bpu[kn]\b|\bpin\b", _shows("check_sim_status", "locked"), _NOT),
        (r"\bsim\b.*\b(?:active|working|ok|fine)", _shows("check_sim_status", "is active"), _NOT),
        (r"\bvpn\b", _shows("check_vpn_status", "is ON and connected"), _LACKING),
        (r"\bmmsc?\b.*\b(?:missing|not set|empty|blank)", _shows("check_apn_settings", "Not Set"),
         _NEVER),
        (r"\b[23]g\b", _shows("check_network_mode_preference", "[23]g_only"), _NOT),
        (r"\b(?:signal|service|bars|reception)\b", _shows("check_status_bar", "Status Bar: 📶"),
         _NOT),
        (r"\bno connection|data (?:is )?(?:still )?(?:not|isn't|doesn't|down)\b",
         _shows("run_speed_test", "Result", expected=False), _NEVER),
        (r"\b(?:speed|internet|connection|result|slow)\b",
         _shows("run_speed_test", r"\(Excellent\)"), _SLOW),
        (r"\bmms\b|\b(?:picture|photo) messages?\b", _shows("can_send_mms", "can send MMS"), _NOT),
    )
)  # fmt: skip
"""Key words, the condition they state, and the words with which they state the opposite."""
_FAILING = re.compile(
    r"\b(?:persist|continu|remain|still|fails?\b|same (?:issue|problem)|no (?:luck|change|improvement)|"
    r"nothing (?:has )?chang)|(?:not|n't) (?:work|help|fix|solve|resolve)"
)
_WORKING = re.compile(r"\b(?:work(?:s|ing)?|helps?|solved|resolved|fixed|restored)\b")


def understand(text: str, topic: str | None) -> Condition | bool | None:
    """The condition that a clause states.

    Args:
        text: the clause, "if …", normalised.
        topic: the feature that "it" stands for.

    Returns:
        True for a condition that is met anyway ("if that's okay with you"), None for one that the
        user cannot decide.
    """
    about = features(text) or ((topic,) if topic is not None else ())
    if about and about[0] in SWITCHES and (_ON.search(text) or _OFF.search(text)):
        switch = SWITCHES[about[0]]
        return Condition(Use(switch.check), switch.on, expected=not _OFF.search(text))
    if "permission" in text or permissions(text):
        return _permission(text)
    if about == ("VPN",):
        text = f"{text} vpn"
    for pattern, condition, contrary in _TABLE:
        if pattern.search(text):
            return condition.negated() if contrary.search(text) else condition
    if _FAILING.search(text):
        return Condition("solved", expected=False)
    if _WORKING.search(text):
        return Condition("solved")
    return True if _COURTESY.search(text) else None


def _permission(text: str) -> Condition | None:
    """ "if the storage permission is missing", of the messaging app if of none."""
    name = next(iter(permissions(text)), None)
    if name is None:
        return None
    app = app_name(text) or "messaging"
    return _shows("check_app_permissions", name, not _LACKING.search(text), app_name=app)
