"""What a telecom user knows about its phone: the tools, the switches, and what results mean.

The strings matched here are those that tau2-bench's user tools return.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tau2_gym.types import Scenario


@dataclass(frozen=True, slots=True)
class Switch:
    """A setting that is on or off and that one tool flips.

    Attributes:
        name: what people call it.
        check: the tool that shows its state.
        toggle: the tool that flips it.
        on, off: what a tool's result says when it is on, when it is off.
    """

    name: str
    check: str
    toggle: str
    on: re.Pattern[str]
    off: re.Pattern[str]


def _switch(name: str, check: str, toggle: str, on: str, off: str) -> Switch:
    return Switch(name, check, toggle, re.compile(on), re.compile(off))


SWITCHES: dict[str, Switch] = {
    switch.name: switch
    for switch in (
        _switch(
            "airplane mode",
            "check_network_status",
            "toggle_airplane_mode",
            r"Airplane Mode(?:: | is now )ON|Status Bar: ✈",
            r"Airplane Mode(?:: | is now )OFF|Status Bar: [^✈]",
        ),
        _switch(
            "mobile data",
            "check_network_status",
            "toggle_data",
            r"Mobile Data(?: Enabled: Yes| is now ON)|📱 Data Enabled",
            r"Mobile Data(?: Enabled: No| is now OFF)",
        ),
        _switch(
            "data roaming",
            "check_network_status",
            "toggle_roaming",
            r"Data Roaming(?: Enabled: Yes| is now ON)",
            r"Data Roaming(?: Enabled: No| is now OFF)",
        ),
        _switch(
            "data saver",
            "check_data_restriction_status",
            "toggle_data_saver_mode",
            r"Data Saver [Mm]ode is (?:now )?ON|🔽 Data Saver",
            r"Data Saver [Mm]ode is (?:now )?OFF",
        ),
        _switch(
            "Wi-Fi",
            "check_wifi_status",
            "toggle_wifi",
            r"Wi-Fi Radio: ON|Wi-Fi is (?:now )?ON",
            r"Wi-Fi Radio: OFF|Wi-Fi is (?:now |turned )?OFF",
        ),
        _switch(
            "Wi-Fi calling",
            "check_wifi_calling_status",
            "toggle_wifi_calling",
            r"Wi-Fi Calling is (?:now|currently turned) ON",
            r"Wi-Fi Calling is (?:now|currently turned) OFF",
        ),
    )
}


def switch_state(name: str, results: Iterable[str]) -> bool | None:
    """Whether a switch is on, by the last result that tells; None where none does.

    Only the user's own tools move its switches, and these always say where they ended, so what was
    seen last still holds.
    """
    switch = SWITCHES[name]
    state = None
    for result in results:
        if switch.on.search(result):
            state = True
        elif switch.off.search(result):
            state = False
    return state


@dataclass(frozen=True, slots=True)
class Goal:
    """What "solved" means to a telecom user, and how it finds out.

    Attributes:
        check: the tool that tells.
        tells: what a result contains that tells anything about the goal.
        solved: what it contains when the goal is reached.
        wish: what the reason for calling says of a user with this goal.
    """

    check: str
    tells: re.Pattern[str]
    solved: re.Pattern[str]
    wish: re.Pattern[str]


SERVICE = Goal(
    "check_status_bar",
    re.compile(r"Status Bar: "),
    re.compile(r"Status Bar: 📶"),
    re.compile(r"no service|no signal", re.IGNORECASE),
)
SPEED = Goal(
    "run_speed_test",
    re.compile(r"Speed [Tt]est (?:Result|failed)"),
    re.compile(r"\(Excellent\)"),
    re.compile(r"internet speed|mobile data|slow data", re.IGNORECASE),
)
MMS = Goal(
    "can_send_mms",
    re.compile(r"can(?:not)? send MMS"),
    re.compile(r"can send MMS"),
    re.compile(r"\bMMS\b|picture messag", re.IGNORECASE),
)


def goal_of(scenario: Scenario) -> Goal | None:
    """The goal the reason for calling states, or None where it states none of them."""
    reason = scenario.reason or scenario.instructions or scenario.text
    return next((goal for goal in (MMS, SPEED, SERVICE) if goal.wish.search(reason)), None)


DONE: dict[str, str] = {
    "check_status_bar": "looked at the status bar",
    "check_network_status": "checked the network status",
    "check_network_mode_preference": "checked the network mode preference",
    "set_network_mode_preference": "changed the network mode",
    "run_speed_test": "ran a speed test",
    "toggle_airplane_mode": "toggled airplane mode",
    "check_sim_status": "checked the SIM card",
    "reseat_sim_card": "took the SIM card out and put it back in",
    "toggle_data": "toggled mobile data",
    "toggle_roaming": "toggled data roaming",
    "check_data_restriction_status": "checked the data restrictions",
    "toggle_data_saver_mode": "toggled data saver mode",
    "check_apn_settings": "checked the APN settings",
    "set_apn_settings": "set the APN settings",
    "reset_apn_settings": "reset the APN settings",
    "check_wifi_status": "checked the Wi-Fi",
    "toggle_wifi": "toggled Wi-Fi",
    "check_wifi_calling_status": "checked Wi-Fi calling",
    "toggle_wifi_calling": "toggled Wi-Fi calling",
    "check_vpn_status": "checked the VPN",
    "connect_vpn": "tried to connect the VPN",
    "disconnect_vpn": "tried to disconnect the VPN",
    "check_installed_apps": "looked at the installed apps",
    "check_app_status": "checked the app",
    "check_app_permissions": "checked the app's permissions",
    "grant_app_permission": "changed the app's permissions",
    "can_send_mms": "tried to send an MMS",
    "reboot_device": "restarted the phone",
    "check_payment_request": "checked for a payment request",
    "make_payment": "went to pay",
}
"""What the user says it did after calling a tool; the result follows in quotes."""
