"""What the phone's answers mean."""

from __future__ import annotations

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.types import Scenario
from tau2_gym.users.scripting.phone import (
    MMS,
    SERVICE,
    SPEED,
    SWITCHES,
    Goal,
    goal_of,
    switch_state,
)

DOMAIN = get_domain("telecom")


@pytest.mark.parametrize("name", SWITCHES)
def test_switches_are_read_as_the_world_shows_them(name: str) -> None:
    switch = SWITCHES[name]
    world = DOMAIN.start(next(iter(DOMAIN.tasks.values())))
    seen = []
    for _ in range(3):
        looked, _error = world.call(switch.check, {}, "user")
        before = switch_state(name, [looked])
        flipped, _error = world.call(switch.toggle, {}, "user")
        assert switch_state(name, [flipped]) is not before
        assert switch_state(name, [looked, flipped]) is not before
        seen.append(before)
    assert seen[0] is seen[2] is not seen[1]


def test_what_does_not_tell_is_not_known() -> None:
    assert switch_state("Wi-Fi", []) is None
    assert switch_state("Wi-Fi", ["Wi-Fi Calling is now ON.\nStatus Bar: 📶⁴ Excellent"]) is None


@pytest.mark.parametrize(
    ("goal", "solved", "unsolved"),
    [
        (SPEED, "Speed Test Result: 275.00 Mbps (Excellent).", "Speed test failed: No Connection."),
        (MMS, "Your messaging app can send MMS messages.", "… app cannot send MMS messages."),
        (SERVICE, "Status Bar: 📶¹ Poor | 2G", "Status Bar: 📵 No Signal"),
        (SERVICE, "Status Bar: 📶⁴ Excellent | 5G", "Status Bar: ✈️ Airplane Mode"),
    ],
)
def test_goals(goal: Goal, solved: str, unsolved: str) -> None:
    assert goal.tells.search(solved)
    assert goal.tells.search(unsolved)
    assert goal.solved.search(solved)
    assert not goal.solved.search(unsolved)


def test_every_task_states_its_goal() -> None:
    kinds = {"[mms_issue": MMS, "[mobile_data_issue": SPEED, "[service_issue": SERVICE}
    for task in DOMAIN.tasks.values():
        assert goal_of(task.scenario) is kinds[task.id.partition("]")[0]]


def test_other_scenarios_state_none() -> None:
    assert goal_of(Scenario("You want to return a lamp.")) is None
    assert goal_of(Scenario("", instructions="Your phone shows no signal.")) is SERVICE
