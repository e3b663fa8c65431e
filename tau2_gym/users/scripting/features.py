"""The vocabulary of phone support: what a clause is about, what it wants done, and with what values.

A *feature* is something of the phone that has a name; a *verb* is a class of verbs. `TOOLS` says
which tool serves a verb on a feature.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tau2_gym.users.scripting.phone import SWITCHES
from tau2_gym.users.scripting.verbs import CLASSES, CLASSES_OF

PERMISSION_NAMES = ("sms", "storage", "camera", "location", "contacts", "microphone", "media")
_PERMISSIONS = "|".join(PERMISSION_NAMES)

_NOUNS: tuple[tuple[str, str, str], ...] = (
    ("Wi-Fi calling", "call", r"wi-?fi[- ]call\w*"),
    ("Wi-Fi calling", "call", r"calls? over wi-?fi"),
    ("data saver", "data", r"data[- ](?:sav(?:er|ing)(?: mode)?|restrict\w*|limiting)"),
    ("data saver", "data", r"low data mode"),
    ("data saver", "limit", r"limit\w* (?:your )?(?:mobile |cellular )?data"),
    ("data roaming", "roaming", r"(?:data )?roaming"),
    ("network mode", "network", r"network (?:mode|preference|type preference)"),
    ("network mode", "preferred", r"preferred (?:(?:cellular |mobile )?network|mode|type)"),
    ("network mode", "type of", r"type of (?:cellular |mobile )?network"),
    ("network status", "connect", r"(?:connection status|connectivity)"),
    (
        "network status",
        "connect",
        r"connect(?:ion|ed) to (?:the |a )?(?:cellular |mobile )?network",
    ),
    ("network status", "connection", r"(?:cellular|network|mobile) connection"),
    ("network status", "network", r"network (?:status|type|technology)"),
    ("network status", "network", r"(?:cellular|mobile) network"),
    ("airplane mode", "mode", r"(?:airplane|aeroplane|plane|flight)[- ]?mode"),
    ("Wi-Fi", "fi", r"wi-?fi"),
    ("status bar", "bar", r"(?:status|notification)[- ]?bar"),
    ("status bar", "icon", r"icons?\b"),
    (
        "status bar",
        "on ",
        r"(?:see|shown|showing|displayed) on (?:the|your) (?:phone|screen|display)",
    ),
    ("status bar", "top of", r"top of (?:the|your) screen"),
    ("VPN", "vpn", r"vpn"),
    ("VPN", "virtual", r"virtual private network"),
    ("APN", "apn", r"apns?\b"),
    ("APN", "access point", r"access point names?"),
    ("APN", "mmsc", r"mmsc"),
    ("SIM", "sim", r"sim\b"),
    ("apps", "installed", r"installed apps?"),
    ("apps", "installed", r"apps? (?:(?:are|is|you have|do you have) )?installed"),
    ("apps", "apps", r"(?:which|what|list of|list|all) (?:of )?(?:your |the )?apps"),
    ("app", "app", r"app(?:lication)?(?:'?s)? (?:status|details?|info\w*)"),
    ("app", "app", r"(?:status|details|state) (?:of|for) (?:the |your )?[\w ]*?app\b"),
    ("permission", "permission", r"permissions?"),
    ("permission", "access to", rf"access to (?:the |your )?(?:{_PERMISSIONS})"),
    *(
        ("permission name", name, rf"{name}\b(?!'| messag)(?=(?:\+| access| and|$| to| for))")
        for name in PERMISSION_NAMES
    ),
    ("MMS", "mms", r"mms\b"),
    ("MMS", "messag", r"(?:picture|photo|multimedia|group)s?(?: and group)? messag\w*"),
    ("MMS", "picture", r"(?:send|receive|text) (?:a |any )?pictures?"),
    ("MMS", "photo", r"(?:send|receive|text) (?:a |any )?photos?"),
    ("speed", "speed", r"speed[- ]?test"),
    ("speed", "speed", r"(?:internet|download|data|connection|mobile)(?: \w+)? speeds?"),
    ("speed", "how fast", r"how fast"),
    ("problem", "it", r"it(?:'s| is)? (?:now )?(?:work\w*|help\w*|fix\w*|resolved)"),
    (
        "problem",
        "th",
        r"(?:that|this|everything|things)(?: is| are)? (?:now )?(?:work|help|fix)\w*",
    ),
    ("speed", "internet", r"internet"),
    ("payment request", "payment", r"payment requests?"),
    ("payment request", "payment", r"requests? for payment"),
    ("payment", "bill", r"bills?\b"),
    ("payment", "pay", r"pay(?:ments?)?\b"),
    ("payment", "invoice", r"invoices?\b"),
    ("payment", "balance", r"balance\b"),
    ("payment", "amount due", r"amount due"),
    (
        "mobile data",
        "data",
        r"(?:mobile |cellular |cell )?data\b(?! (?:usage|plan|limit|allow|refuel|cap|pack|test|option))",
    ),
    ("mobile data", "mobile internet", r"mobile internet"),
    ("signal", "signal", r"signal"),
    ("signal", "service", r"(?<!customer )service"),
    ("signal", "bars", r"bars\b"),
    ("signal", "reception", r"reception"),
    ("generation", "g", r"[2-5]g\b"),
    ("generation", "lte", r"lte\b"),
    ("problem", "issue", r"issue"),
    ("problem", "problem", r"problem"),
    ("problem", "try", r"try (?:it |that |this )?(?:once )?(?:more|again)"),
    ("problem", "improve", r"(?:any|an) improvement"),
    ("problem", "ed", r"(?:resolved|fixed|solved)\b"),
)
"""What features are called: the feature, a part of the name that is quick to look for, the name.
Of names that overlap, the one listed first counts."""
_NOUN = tuple((feature, part, re.compile(rf"\b{pattern}")) for feature, part, pattern in _NOUNS)

_ELSEWHERE = (
    r"(?! (?:your|the|this|my) (?:cell ?)?(?:phone|device|line|account|end|side|handset)\b(?!'))"
)
_SETTERS = r"\b(?:turn|switch|toggle|flip|put|set|make sure|ensure|get|bring|change|take)\b"
_RANK = {verb: rank for rank, (verb, _) in enumerate(CLASSES)}
_NOT_VERBS: dict[str, tuple[str, ...]] = {
    "default": ("reset",),
    "defaults": ("reset",),
    "how": ("check",),
    "screenshot": ("check",),
    "what": ("check",),
    "which": ("check",),
}
"""Words that ask for what a class of verbs asks for, and are none."""
_PHRASES: tuple[tuple[str, str, re.Pattern[str]], ...] = tuple(
    (verb, part, re.compile(pattern))
    for verb, part, pattern in (
        ("off", "off", rf"{_SETTERS}.*?\boff\b"),
        ("off", "ed", rf"{_SETTERS}.*?\b(?:disabled|deactivated|disconnected)\b"),
        ("off", "out of", r"\btake\b.*?\bout of\b"),
        ("on", " on", rf"{_SETTERS}.*?\bon{_ELSEWHERE}(?=\s|$)"),
        ("on", "ed", rf"{_SETTERS}.*?\b(?:enabled|activated)\b"),
        ("on", "put", r"\bput\b.*?\bin(?:to)?\b"),
        ("reseat", "back", r"\bput (?:it|(?:the|your) sim\b.*?) back\b"),
        ("reseat", "insert", r"\binsert (?:it|(?:the|your) sim)\b"),
        ("restart", "power cycle", r"\bpower cycle\b"),
        ("disconnect", "stop using", r"\bstop using\b"),
    )
)
"""Verbs of several words: the class, a part that the words have, and the words."""
_MAKE_SURE = re.compile(r"\bmake sure\b")
_WORD = re.compile(r"[a-z][a-z-]*")

TOOLS: dict[str, dict[str, str]] = {
    "network mode": {
        "check": "check_network_mode_preference",
        "set": "set_network_mode_preference",
        "on": "set_network_mode_preference",
    },
    "generation": {
        "check": "check_network_status",
        "set": "set_network_mode_preference",
        "on": "set_network_mode_preference",
        "connect": "set_network_mode_preference",
    },
    "network status": {"check": "check_network_status"},
    "status bar": {"check": "check_status_bar"},
    "signal": {"check": "check_status_bar"},
    "VPN": {
        "check": "check_vpn_status",
        "on": "connect_vpn",
        "connect": "connect_vpn",
        "off": "disconnect_vpn",
        "disconnect": "disconnect_vpn",
    },
    "APN": {
        "check": "check_apn_settings",
        "reset": "reset_apn_settings",
        "set": "set_apn_settings",
    },
    "SIM": {"check": "check_sim_status", "reseat": "reseat_sim_card"},
    "apps": {"check": "check_installed_apps"},
    "app": {"check": "check_app_status"},
    "permission": {
        "check": "check_app_permissions",
        "grant": "grant_app_permission",
        "on": "grant_app_permission",
        "set": "grant_app_permission",
    },
    "permission name": {"grant": "grant_app_permission", "on": "grant_app_permission"},
    "MMS": {"check": "can_send_mms", "run": "can_send_mms"},
    "speed": {"check": "run_speed_test", "run": "run_speed_test"},
    "payment request": {"check": "check_payment_request", "pay": "make_payment"},
    "payment": {"pay": "make_payment"},
} | {
    switch.name: {"check": switch.check, "toggle": switch.toggle, "on": "", "off": ""}
    for switch in SWITCHES.values()
}
"""The tool for each verb on each feature; empty for bringing a switch into a state."""


@lru_cache(maxsize=4096)
def features(text: str) -> tuple[str, ...]:
    """The features named in a clause, in order, each once."""
    found: list[tuple[int, int, str]] = []
    for feature, part, pattern in _NOUN:
        if part in text:
            for match in pattern.finditer(text):
                start, end = match.span()
                if all(end <= other or start >= stop for other, stop, _ in found):
                    found.append((start, end, feature))
    return tuple(dict.fromkeys(feature for _, _, feature in sorted(found)))


def verbs(text: str) -> list[str]:
    """The verb classes in a clause, the most telling first."""
    found = {
        verb
        for word in _WORD.findall(text)
        for verb in CLASSES_OF.get(word) or _NOT_VERBS.get(word, ())
    }
    found |= {verb for verb, part, words in _PHRASES if part in text and words.search(text)}
    if "pay" in found and _MAKE_SURE.search(text):
        found.discard("pay")
    return sorted(found, key=_RANK.__getitem__)
