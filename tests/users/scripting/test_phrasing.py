"""Turns of phrase in simpler words."""

from __future__ import annotations

import pytest

from tau2_gym.users.scripting.phrasing import normalise


@pytest.mark.parametrize(
    ("said", "simpler"),
    [
        ("  **Restart** your `phone`  ", "restart your phone"),
        ("1. Don’t forget to reboot.", "please reboot."),
        ("Turn your phone off and on again.", "restart your phone."),
        ("Switch off the device, wait a minute, then turn it back on.", "restart your phone."),
        ("Take the SIM card out and put it back in.", "reseat the sim card."),
        ("Try removing it and reinserting it", "try remove it and reinsert it"),
        ("Data saver must be disabled.", "data saver please disable."),
        ("Wi-Fi needs to be turned off.", "wi-fi please turn off."),
        ("Your bill must be paid.", "your bill please pay."),
        ("Set it to 4G, 5G", "set it to 4g/5g"),
        ("Allow storage and SMS", "allow storage+sms"),
        ("Turn Wi-Fi and mobile data on.", "turn on wi-fi and mobile data."),
        ("If you don't mind, restart.", ", restart."),
        ("Step 2 run a test", "run a test"),
    ],
)
def test_normalise(said: str, simpler: str) -> None:
    assert normalise(said) == simpler


@pytest.mark.parametrize(
    "said", ["turn on your phone's wi-fi off again", "turn off the phone", "take the sim out"]
)
def test_what_only_resembles_an_idiom_stays(said: str) -> None:
    assert normalise(said) == said
