"""The vocabulary."""

from __future__ import annotations

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.users.scripting.features import TOOLS, features, verbs
from tau2_gym.users.scripting.phone import DONE, SWITCHES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wi-fi calling and wifi", ("Wi-Fi calling", "Wi-Fi")),
        ("mobile data saver", ("data saver",)),
        ("turn on mobile data, then data roaming", ("mobile data", "data roaming")),
        ("your data usage and your data plan", ()),
        ("the preferred network mode", ("network mode",)),
        ("customer service", ()),
        ("the signal in the status bar", ("signal", "status bar")),
        ("flight mode", ("airplane mode",)),
        ("does it work now", ("problem",)),
        ("a payment request for your bill", ("payment request", "payment")),
        ("simple", ()),
    ],
)
def test_features(text: str, expected: tuple[str, ...]) -> None:
    assert features(text) == expected


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("turn it off", "off"),
        ("turn it on", "on"),
        ("toggle it on your phone", "toggle"),
        ("make sure it is enabled", "on"),
        ("put it back in", "reseat"),
        ("disable it", "off"),
        ("make sure it is right", "check"),
        ("make the payment", "pay"),
        ("power cycle it", "restart"),
        ("nothing here", None),
    ],
)
def test_the_most_telling_verb(text: str, first: str | None) -> None:
    assert next(iter(verbs(text)), None) == first


def test_the_vocabulary_knows_the_tools_of_the_domain() -> None:
    named = {tool for uses in TOOLS.values() for tool in uses.values() if tool}
    named |= {switch.toggle for switch in SWITCHES.values()} | {"reboot_device"}
    assert named == set(get_domain("telecom").user_tools) == set(DONE)
