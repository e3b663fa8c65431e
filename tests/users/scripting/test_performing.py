"""Errands, call by call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.types import ToolCall
from tau2_gym.users.scripting.dialogue import Deed
from tau2_gym.users.scripting.errands import (
    Condition,
    Errand,
    Flip,
    Query,
    Recount,
    Use,
    Verify,
    What,
)
from tau2_gym.users.scripting.performing import (
    Circumstances,
    Done,
    Note,
    Remark,
    advance,
    carry_out,
    verdict,
)
from tau2_gym.users.scripting.phone import SPEED
from tau2_gym.users.scripting.toolbox import toolbox

DOMAIN = get_domain("telecom")
AROUND = Circumstances(toolbox(list(DOMAIN.user_tools.values())), (), SPEED, True)
TASK = DOMAIN.tasks["[service_issue]airplane_mode_on|lock_sim_card_pin[PERSONA:Easy]"]


def do(
    *errands: What | Errand, around: Circumstances = AROUND, deeds: Sequence[Deed] = ()
) -> tuple[list[str], list[Remark]]:
    """Do errands in a fresh world. Returns the tools called and what there is to tell."""
    world = DOMAIN.start(TASK)
    plan = [one if isinstance(one, Errand) else Errand(one) for one in errands]
    done = list(deeds)
    called = []
    while True:
        step = advance(carry_out(plan, around), done)
        if not isinstance(step, Use):
            return called, step
        called.append(step.tool)
        result, error = world.call(step.tool, dict(step.arguments), "user")
        done.append(Deed(ToolCall(step.tool, dict(step.arguments)), result, error))


def seen(result: str, tool: str = "check_network_status") -> Deed:
    return Deed(ToolCall(tool), result, False)


def test_in_the_order_asked() -> None:
    called, remarks = do(Use("reboot_device"), Use("check_status_bar"), Use("reboot_device"))
    assert called == ["reboot_device", "check_status_bar", "reboot_device"]
    assert [remark.result[:6] for remark in remarks if isinstance(remark, Done)] == [
        "Restar", "Status", "Restar",
    ]  # fmt: skip


def test_a_switch_of_unknown_state_is_looked_at_first() -> None:
    called, remarks = do(Flip("airplane mode", False))
    assert called == ["check_network_status", "toggle_airplane_mode"]
    assert isinstance(remarks[-1], Done)
    assert remarks[-1].result.startswith("Airplane Mode is now OFF.")


def test_a_switch_that_is_there_already_stays() -> None:
    called, remarks = do(Flip("airplane mode", True))
    assert called == ["check_network_status"]
    assert remarks[-1] == Note("Airplane mode is already ON.")


def test_what_was_seen_still_holds() -> None:
    before = (seen("Airplane Mode: ON"),)
    assert do(Flip("airplane mode", False), around=replace(AROUND, before=before))[0] == [
        "toggle_airplane_mode"
    ]


@pytest.mark.parametrize("on", [False, True])
def test_without_a_tool_to_look_with_it_ends_in_the_state_asked_for(on: bool) -> None:
    tools = tuple(tool for tool in AROUND.tools if tool.name != "check_network_status")
    called, remarks = do(Flip("airplane mode", on), around=replace(AROUND, tools=tools))
    assert called == ["toggle_airplane_mode"] * (2 if on else 1)
    assert isinstance(remarks[-1], Done)
    assert f"now {'ON' if on else 'OFF'}" in remarks[-1].result


def test_a_switch_that_cannot_be_moved_is_left() -> None:
    called, remarks = do(Flip("Wi-Fi", True))  # airplane mode is on
    assert called == ["check_wifi_status", "toggle_wifi"]
    assert isinstance(remarks[-1], Done)
    assert remarks[-1].result.startswith("Cannot change Wi-Fi settings")


def test_there_and_back() -> None:
    called, _ = do(Flip("mobile data", False), Flip("mobile data", True))
    assert called == ["check_network_status", "toggle_data", "toggle_data"]


def test_a_tool_that_is_not_there_is_not_called() -> None:
    called, remarks = do(Use("reboot_device"), around=replace(AROUND, tools=()))
    assert called == []
    assert remarks == [Note("I don't see a way to do that on my phone (reboot_device).")]


def test_conditions() -> None:
    airplane = Condition(Use("check_network_status"), re.compile("Airplane Mode: ON"))
    called, remarks = do(
        Errand(Use("reboot_device"), airplane),
        Errand(Use("check_sim_status"), airplane.negated()),
        Errand(Use("check_vpn_status"), Condition("abroad")),
        Errand(Use("check_wifi_status"), Condition("abroad", expected=False)),
    )
    # The second look is needed: the phone was restarted in between.
    assert called == ["check_network_status", "reboot_device", "check_network_status",
                      "check_vpn_status"]  # fmt: skip
    assert sum(isinstance(remark, Note) for remark in remarks) == 1


def test_a_condition_that_cannot_be_decided_is_asked_about() -> None:
    errand = Errand(Use("reboot_device"), Condition("abroad"))
    called, remarks = do(errand, around=replace(AROUND, abroad=None))
    assert called == []
    assert remarks == [Note("I can't tell whether that applies. Should I do it anyway?")]


def test_the_goal_is_looked_at_once() -> None:
    called, _ = do(Verify(), Errand(Use("reboot_device"), Condition("solved", expected=False)))
    assert called == ["run_speed_test", "reboot_device"]
    _, remarks = do(Verify(), around=replace(AROUND, goal=None))
    assert remarks == [Note("I can't check that myself.")]


def test_questions_and_recollections() -> None:
    _, remarks = do(Query("Which one?"), Recount("reboot_device"))
    assert remarks == [Note("Which one?"), Note("No, I haven't done that yet.")]
    before = (seen("…", "reboot_device"),)
    _, remarks = do(Recount("reboot_device"), around=replace(AROUND, before=before))
    assert remarks == [Note("Yes, I restarted the phone.")]


def test_calls_that_were_not_asked_for_are_passed_over() -> None:
    called, _ = do(Use("check_sim_status"), deeds=[seen("…", "check_vpn_status")])
    assert called == ["check_sim_status"]


def test_verdict() -> None:
    good = seen("Speed Test Result: 275.00 Mbps (Excellent).", "run_speed_test")
    bad = seen("Speed test failed: No Connection.", "run_speed_test")
    change = seen("…", "toggle_wifi")
    assert verdict(SPEED, [bad, good, seen("…")], AROUND) is True
    assert verdict(SPEED, [good, bad], AROUND) is False
    assert verdict(SPEED, [good, change], AROUND) is None
    assert verdict(SPEED, [], AROUND) is None
