"""What answers tell of the phone."""

from __future__ import annotations

import pytest

from agents.telecom_facts import told
from tau2_gym.domains.base import get_domain
from tau2_gym.domains.world import World

DOMAIN = get_domain("telecom")


def world(part: str) -> World:
    task = next(task for task_id, task in DOMAIN.tasks.items() if part in task_id)
    return DOMAIN.start(task)


@pytest.mark.parametrize(
    ("task", "tool", "facts"),
    [
        ("[service_issue]airplane_mode_on|", "check_network_status",
         {"airplane": "on", "service": "no", "roaming": "off"}),
        ("[service_issue]unseat_sim_card", "check_network_status", {"sim": "missing"}),
        ("[service_issue]lock_sim_card_pin", "check_sim_status", {"sim": "locked"}),
        ("bad_vpn", "check_vpn_status", {"vpn": "on"}),
        ("data_saver_mode_on", "check_data_restriction_status", {"saver": "on"}),
        ("bad_network_preference", "check_network_mode_preference", {"mode": "2g_only"}),
        ("bad_network_preference", "toggle_wifi", {"generation": "2g", "service": "yes"}),
        ("bad_wifi_calling", "check_wifi_calling_status", {"wifi calling": "on"}),
        ("break_apn_mms_setting", "check_apn_settings", {"mmsc": "not set"}),
        ("break_apn_mms_setting", "can_send_mms", {"mms": "no"}),
        ("data_mode_off", "run_speed_test", {"speed": "none"}),
        ("data_mode_off", "check_network_status", {"data": "off"}),
    ],
)  # fmt: skip
def test_results_of_tools(task: str, tool: str, facts: dict[str, str]) -> None:
    result, _ = world(task).call(tool, {}, "user")
    found = told(f'I looked. It says: "{result}"')
    assert facts.items() <= found.items()


def test_permissions() -> None:
    app = {"app_name": "messaging"}
    both = world("break_app_both_permissions").call("check_app_permissions", app, "user")[0]
    assert told(both)["permissions"] == "phone"
    assert told("App 'messaging' currently has no permissions granted.")["permissions"] == ""


def test_the_last_word_counts() -> None:
    assert told("Airplane Mode: ON … Airplane Mode is now OFF.")["airplane"] == "off"
    assert told("Airplane mode is already OFF.")["airplane"] == "off"


def test_small_talk_tells_nothing() -> None:
    assert told("Okay, thank you.") == {}
