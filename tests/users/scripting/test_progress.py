"""When a conversation gets anywhere."""

from __future__ import annotations

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.types import ToolCall
from tau2_gym.users.scripting.dialogue import Deed, Exchange
from tau2_gym.users.scripting.memory import memory
from tau2_gym.users.scripting.performing import Circumstances
from tau2_gym.users.scripting.progress import is_fruitful, led_nowhere
from tau2_gym.users.scripting.toolbox import toolbox

DOMAIN = get_domain("telecom")
KNOWN = memory(next(iter(DOMAIN.tasks.values())).scenario)
AROUND = Circumstances(toolbox(list(DOMAIN.user_tools.values())), (), None, True)


def deed(name: str) -> Deed:
    return Deed(ToolCall(name), "…", False)


LOOK = Exchange("Check your status bar.", (deed("check_status_bar"),), "It says: …")
CHANGE = Exchange("Restart.", (deed("reboot_device"),), "Done.")
NUMBER = Exchange("Your number?", (), "My phone number is 555-123-2002.")
WISH = Exchange("How can I help?", (), "My mobile data is not working properly.")
CONSENT = Exchange("Shall I go ahead?", (), "Yes.")
IDLE = Exchange("One moment.", (), "Okay.")
CLOSING = Exchange("Anything else?", (), "It's still not working for me.")


@pytest.mark.parametrize("turn", [LOOK, CHANGE, NUMBER, WISH, CONSENT])
def test_something_new_is_fruitful(turn: Exchange) -> None:
    assert is_fruitful(turn, [], KNOWN, AROUND)


@pytest.mark.parametrize("turn", [LOOK, NUMBER, WISH, CONSENT])
def test_the_same_again_is_not(turn: Exchange) -> None:
    assert not is_fruitful(turn, [turn], KNOWN, AROUND)


def test_a_look_after_a_change_is_new() -> None:
    assert is_fruitful(LOOK, [LOOK, CHANGE], KNOWN, AROUND)
    assert is_fruitful(CHANGE, [CHANGE], KNOWN, AROUND)


@pytest.mark.parametrize("turn", [IDLE, CLOSING])
def test_talk_is_not(turn: Exchange) -> None:
    assert not is_fruitful(turn, [], KNOWN, AROUND)


def test_patience() -> None:
    assert not led_nowhere([WISH, IDLE, CLOSING], 3, KNOWN, AROUND)
    assert led_nowhere([WISH, IDLE, CLOSING], 2, KNOWN, AROUND)
    assert not led_nowhere([IDLE, LOOK, CLOSING], 2, KNOWN, AROUND)
    assert not led_nowhere([IDLE], 2, KNOWN, AROUND)
