"""Conditions the user can look up."""

from __future__ import annotations

import pytest

from tau2_gym.users.scripting.conditions import understand
from tau2_gym.users.scripting.errands import Condition, Use


@pytest.mark.parametrize(
    ("text", "tool", "holds", "fails"),
    [
        ("if airplane mode is on", "check_network_status", "Airplane Mode: ON", "Airplane Mode: OFF"),
        ("if mobile data is off", "check_network_status", "Mobile Data Enabled: No",
         "Mobile Data Enabled: Yes"),
        ("if the sim is missing", "check_sim_status", "No SIM card detected in the phone.",
         "Your SIM card is active and working."),
        ("if your sim is locked", "check_sim_status", "The SIM card is locked with a PIN code.",
         "Your SIM card is active and working."),
        ("if you are connected to a vpn", "check_vpn_status", "VPN is ON and connected. Details: x",
         "VPN is turned OFF."),
        ("if the mmsc url is missing", "check_apn_settings", "MMSC URL (…): Not Set",
         "MMSC URL (…): http://x"),
        ("if it is set to 2g", "check_network_mode_preference", "2g_only", "4g_5g_preferred"),
        ("if you have no signal", "check_status_bar", "Status Bar: 📵 No Signal",
         "Status Bar: 📶⁴ Excellent"),
        ("if you see signal", "check_status_bar", "Status Bar: 📶⁴ Excellent",
         "Status Bar: 📵 No Signal"),
        ("if the speed is not excellent", "run_speed_test", "1.00 Mbps (Poor)",
         "275.00 Mbps (Excellent)"),
        ("if your internet is slow", "run_speed_test", "1.00 Mbps (Poor)", "9 Mbps (Excellent)"),
        ("if it says no connection", "run_speed_test", "Speed test failed", "Speed Test Result: 1"),
        ("if you still can't send an mms", "can_send_mms", "cannot send MMS", "can send MMS"),
        ("if the storage permission is missing", "check_app_permissions", "sms", "sms, storage"),
    ],
)  # fmt: skip
def test_a_look_decides(text: str, tool: str, holds: str, fails: str) -> None:
    condition = understand(text, None)
    assert isinstance(condition, Condition)
    assert isinstance(condition.look, Use)
    assert condition.shows is not None
    assert condition.look.tool == tool
    assert bool(condition.shows.search(holds)) is condition.expected
    assert bool(condition.shows.search(fails)) is not condition.expected
    assert condition.negated().expected is not condition.expected


@pytest.mark.parametrize(
    ("text", "look", "expected"),
    [
        ("if the issue persists", "solved", False),
        ("if it still does not work", "solved", False),
        ("if that doesn't help", "solved", False),
        ("if everything works", "solved", True),
        ("if you are abroad", "abroad", True),
        ("if you are not traveling", "abroad", False),
    ],
)
def test_other_conditions(text: str, look: str, expected: bool) -> None:
    assert understand(text, None) == Condition(look, None, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["if that's okay", "if it looks correct", "if you agree"])
def test_courtesies_are_met(text: str) -> None:
    assert understand(text, None) is True


@pytest.mark.parametrize("text", ["if your phone is new", "if the moon is full", "if permission"])
def test_the_rest_cannot_be_decided(text: str) -> None:
    assert understand(text, None) is None


def test_it_is_what_was_spoken_of() -> None:
    condition = understand("if it is on", "VPN")
    assert isinstance(condition, Condition)
    assert condition.look == Use("check_vpn_status")
