"""Tools, and calls written out by name."""

from __future__ import annotations

from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.users.scripting.toolbox import NamedCall, cut_out_calls, toolbox

TOOLS = toolbox(list(get_domain("telecom").user_tools.values()))


def test_tools_know_what_they_take_and_whether_they_change_anything() -> None:
    tools = {tool.name: tool for tool in TOOLS}
    assert tools["grant_app_permission"].required == ("app_name", "permission")
    assert tools["toggle_wifi"].changes
    assert not tools["check_status_bar"].changes
    assert toolbox(list(get_domain("telecom").user_tools.values())) == TOOLS


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ("grant_app_permission(app_name='a', permission=\"b\")", {"app_name": "a", "permission": "b"}),
        ("grant_app_permission('a', 'b')", {"app_name": "a", "permission": "b"}),
        ('grant_app_permission({"app_name": "a"})', {"app_name": "a"}),
        ('set_apn_settings(apn_settings={"apn_name": "internet", "mms_port": null, "b": [1, true]})',
         {"apn_settings": {"apn_name": "internet", "mms_port": None, "b": [1, True]}}),
        ("set_apn_settings({'apn_name': 'internet'})", {"apn_settings": {"apn_name": "internet"}}),
        ("set_network_mode_preference(mode='a) b')", {"mode": "a) b"}),
        ("set_network_mode_preference(mode='x', colour='y')", {"mode": "x"}),
        ("set_network_mode_preference(mode=open('f'))", None),
        ("set_network_mode_preference(mode=1j)", None),
        ("set_network_mode_preference(4g)", None),
        ("set_network_mode_preference()", None),
        ("set_network_mode_preference", None),
    ],
)  # fmt: skip
def test_arguments(written: str, arguments: dict[str, Any] | None) -> None:
    text, (call,) = cut_out_calls(f"Please run {written}, thanks.", TOOLS)
    assert text == "Please run §0§, thanks."
    assert call.arguments == arguments


def test_longer_names_win_and_brackets_may_stay_open() -> None:
    text, calls = cut_out_calls(
        "toggle_data_saver_mode and toggle_data( and §7§ toggle_datas", TOOLS
    )
    assert text == "§0§ and §1§( and  7  toggle_datas"
    assert calls == (
        NamedCall("toggle_data_saver_mode", None, ""),
        NamedCall("toggle_data", None, ""),
    )


def test_a_name_within_arguments_is_no_call() -> None:
    text, calls = cut_out_calls("set_network_mode_preference(mode='toggle_wifi')", TOOLS)
    assert text == "§0§"
    assert [call.name for call in calls] == ["set_network_mode_preference"]


def test_without_tools_nothing_is_cut_out() -> None:
    assert cut_out_calls("toggle_wifi", ()) == ("toggle_wifi", ())
