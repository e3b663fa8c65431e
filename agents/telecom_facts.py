"""Reading from a telecom user's answers what state the phone is in."""

from __future__ import annotations

import re
from functools import lru_cache

_FACTS: dict[str, tuple[tuple[re.Pattern[str], str | None], ...]] = {
    name: tuple((re.compile(pattern, re.I), value) for pattern, value in rules)
    for name, rules in {
        "airplane": (
            (r"Airplane Mode(?::| is now| is already| is) ON|✈", "on"),
            (r"Airplane Mode(?::| is now| is already| is) OFF", "off"),
        ),
        "sim": (
            (r"SIM Card Status: (\w+)", None),
            (r"No SIM card detected", "missing"),
            (r"SIM card is locked", "locked"),
            (r"SIM card is active", "active"),
        ),
        "service": (
            (r"Cellular Connection: connected|Status Bar: 📶", "yes"),
            (r"Cellular Connection: (?!connected)|Status Bar: ✈|No Signal|No Service", "no"),
        ),
        "generation": (
            (r"Cellular Network Type: ([2-5]G)", None),
            (r"Status Bar: 📶\S* \w+ \| ([2-5]G)", None),
        ),
        "data": (
            (r"Mobile Data(?: Enabled: Yes| is (?:now |already )?ON)|📱 Data Enabled", "on"),
            (r"Mobile Data(?: Enabled: No| is (?:now |already )?OFF)", "off"),
        ),
        "roaming": (
            (r"Data Roaming(?: Enabled: Yes| is (?:now |already )?ON)", "on"),
            (r"Data Roaming(?: Enabled: No| is (?:now |already )?OFF)", "off"),
        ),
        "speed": (
            (r"Speed Test Result: [\d.]+ Mbps \(([\w ]+)\)", None),
            (r"Speed test failed|no connection", "none"),
        ),
        "saver": (
            (r"Data Saver mode is (?:now |already )?ON", "on"),
            (r"Data Saver mode is (?:now |already )?OFF", "off"),
        ),
        "mode": ((r"(?:Preference|set to): (\w+)", None),),
        "vpn": (
            (r"VPN is ON|🔒 VPN Connected", "on"),
            (r"VPN is turned OFF|VPN disconnected|No active VPN", "off"),
        ),
        "mms": (
            (r"can send MMS", "yes"),
            (r"(?:cannot|can't|unable to) send (?:an )?MMS", "no"),
        ),
        "wifi calling": (
            (r"Wi-Fi Calling is (?:now |already |currently turned )?ON", "on"),
            (r"Wi-Fi Calling is (?:now |already |currently turned )?OFF", "off"),
        ),
        "permissions": (
            (r"App 'messaging' has permission for: ([\w, ]+)", None),
            (r"App 'messaging' currently has no permissions", ""),
        ),
        "mmsc": ((r"MMSC URL[^:]*: (Not Set|http\S*)", None),),
    }.items()
}
"""What users tell of their phone: for each fact, how it is said, and what that means; None for the
words in brackets."""


@lru_cache(maxsize=4096)
def told(answer: str) -> dict[str, str]:
    """The facts in a user's answer, in lower case; of contradicting ones the last."""
    facts = {}
    for name, rules in _FACTS.items():
        seen = [
            (match.start(), match[1] if value is None else value)
            for pattern, value in rules
            for match in pattern.finditer(answer)
        ]
        if seen:
            facts[name] = max(seen)[1].lower()
    return facts
