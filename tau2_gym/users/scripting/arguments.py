"""The arguments of the user's tools: found in what the agent said, or asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tau2_gym.users.scripting.errands import Query, Use
from tau2_gym.users.scripting.features import PERMISSION_NAMES

_PERMISSIONS = "|".join(PERMISSION_NAMES)
_MODES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mode)
    for pattern, mode in (
        (r"4g_5g_preferred|[45]g_only|[23]g_only", ""),
        (r"5g[ -]only|only 5g", "5g_only"),
        (r"5g|automatic|auto\b", "4g_5g_preferred"),
        (r"4g|lte", "4g_only"),
        (r"3g", "3g_only"),
        (r"2g", "2g_only"),
    )
)
_MESSAGING = re.compile(r"\bmessag\w*|\btext(?:ing)? app\b")
_BROWSER = re.compile(r"\bbrowser\b")
_SOME_APP = re.compile(
    r"\b(?:the|your|an?) ['\"]?(?!(?:default|right|same|following|this|that|required|installed)\b)"
    r"([\w-]+)['\"]? app\b"
)
_PERMISSION = re.compile(rf"\b({_PERMISSIONS})\b|\b(phone|network) (?:permission|access)")
_APN_NAME = re.compile(r"\bapn\b[^.]{0,30}?\b(?:to|as|is|name)[ :=]+['\"]?(internet|broken)\b")
_MMSC = re.compile(r"https?://[^\s'\"<>]+[^\s'\"<>.,;!?)]")


def network_mode(text: str) -> str | None:
    """The network mode a text asks for: of "from 2G to 4G/5G" the latter."""
    for part in (text.rpartition(" to ")[2], text):
        for pattern, mode in _MODES:
            match = pattern.search(part)
            if match is not None:
                return mode or match[0]
    return None


def app_name(text: str) -> str | None:
    """The app a text names, by the name it has on the phone."""
    if _MESSAGING.search(text):
        return "messaging"
    if _BROWSER.search(text):
        return "browser"
    match = _SOME_APP.search(text)
    return None if match is None else match[1]


def permissions(text: str) -> list[str]:
    """The permissions a text names, in order."""
    return list(dict.fromkeys(match[1] or match[2] for match in _PERMISSION.finditer(text)))


def apn_settings(text: str) -> dict[str, str]:
    """The values a text gives for APN settings."""
    settings = {}
    if (name := _APN_NAME.search(text)) is not None:
        settings["apn_name"] = name[1]
    if (url := _MMSC.search(text)) is not None:
        settings["mmsc_url"] = url[0]
    return settings


_FINDERS = {"mode": network_mode, "app_name": app_name, "apn_settings": apn_settings}
_QUESTIONS = {
    "mode": "Which network mode should I choose?",
    "app_name": "Which app do you mean?",
    "permission": "Which permission do you mean?",
    "apn_settings": "Which APN settings should I enter?",
}


def complete(
    tool: str, required: Sequence[str], given: Mapping[str, Any], sources: Sequence[str]
) -> Iterator[Use | Query]:
    """The calls of a tool that are asked for; where an argument is missing, the question for it.

    Args:
        tool: the tool.
        required: the arguments it needs.
        given: those that the agent wrote out.
        sources: texts in which to look for the others, the nearest first.

    Several permissions make several calls.
    """
    arguments = dict(given)
    for name in required:
        if name in arguments or name == "permission":
            continue
        find = _FINDERS.get(name)
        # APN settings are several values, which may be spread over the clauses of a sentence.
        places = sources[1:] if name == "apn_settings" else sources
        found = None if find is None else next(filter(None, map(find, places)), None)
        if found is None:
            yield Query(_QUESTIONS.get(name, f"What should I give as {name}?"))
            return
        arguments[name] = found
    if "permission" not in required or "permission" in arguments:
        yield Use(tool, arguments)
        return
    wanted = next(filter(None, map(permissions, sources)), [])
    if not wanted:
        yield Query(_QUESTIONS["permission"])
    for permission in wanted:
        yield Use(tool, {**arguments, "permission": permission})
