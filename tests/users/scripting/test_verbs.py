"""A verb that is understood in one mood is understood in all."""

from __future__ import annotations

import pytest

from tau2_gym.users.scripting.verbs import CLASSES, VERBS, gerund, participle
from tests.users.scripting.test_instructions import asked

OBJECTS = {
    "reseat": ("the SIM card", "reseat_sim_card"),
    "restart": ("your phone", "reboot_device"),
    "reset": ("your APN settings", "reset_apn_settings"),
    "disconnect": ("the VPN", "disconnect_vpn"),
    "off": ("mobile data", "mobile data off"),
    "on": ("mobile data", "mobile data on"),
    "connect": ("the VPN", "connect_vpn"),
    "toggle": ("airplane mode", "toggle_airplane_mode"),
    "grant": (
        "the storage permission to the messaging app",
        "grant_app_permission(app_name=messaging, permission=storage)",
    ),
    "set": ("your network mode to 4G only", "set_network_mode_preference(mode=4g_only)"),
    "pay": ("the payment request", "make_payment"),
    "run": ("a speed test", "run_speed_test"),
    "check": ("your SIM card status", "check_sim_status"),
}
MOODS = (
    "{Verb} {it}.",
    "Please {verb} {it}.",
    "Could you {verb} {it}?",
    "I recommend {gerund} {it}.",
    "Try {gerund} {it}.",
    "You should {verb} {it}.",
    "I'd like you to {verb} {it}.",
    "Once that is done, {verb} {it}.",
    "The next step is to {verb} {it}.",
    "Then {verb} {it}.",
    "{It} should be {participle}.",
    "{It} needs to be {participle}.",
)


@pytest.mark.parametrize("mood", MOODS)
@pytest.mark.parametrize(("name", "verbs"), CLASSES)
def test_every_verb_works_in_every_mood(name: str, verbs: str, mood: str) -> None:
    it, wanted = OBJECTS[name]
    for verb in verbs.split():
        text = mood.format(
            verb=verb,
            Verb=verb.capitalize(),
            gerund=gerund(verb),
            participle=participle(verb),
            it=it,
            It=it[0].upper() + it[1:],
        )
        assert asked(text) == [wanted], text


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_forbidden_is_not_done(verb: str) -> None:
    for text in (f"Do not {verb} mobile data.", f"Please avoid {gerund(verb)} mobile data."):
        assert asked(text) == [], text


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("restart", "reboot_device"),
        ("reseat", "reseat_sim_card"),
        ("reset", "reset_apn_settings"),
    ],
)
def test_what_has_been_done_can_be_asked_with_every_verb(name: str, tool: str) -> None:
    it, _ = OBJECTS[name]
    for verb in dict(CLASSES)[name].split():
        for text in (f"Have you {participle(verb)} {it}?", f"Did you {verb} {it}?"):
            assert asked(text) == [f"recount {tool}"], text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Retry the speed test.", "run_speed_test"),
        ("Conduct a speed test.", "run_speed_test"),
        ("Re-enable mobile data.", "mobile data on"),
        ("Re-boot your phone.", "reboot_device"),
        ("Examine your APN settings.", "check_apn_settings"),
        ("Settle the bill.", "make_payment"),
        ("Add the storage permission.", "ask: Which app do you mean?"),
    ],
)
def test_sentences_of_agents(text: str, wanted: str) -> None:
    assert asked(text) == [wanted]


@pytest.mark.parametrize(
    ("verb", "doing", "done"),
    [
        ("disable", "disabling", "disabled"),
        ("submit", "submitting", "submitted"),
        ("see", "seeing", "seen"),
        ("verify", "verifying", "verified"),
        ("put", "putting", "put"),
        ("re-boot", "re-booting", "re-booted"),
        ("retry", "retrying", "retried"),
        ("navigate", "navigating", "navigated"),
    ],
)
def test_forms(verb: str, doing: str, done: str) -> None:
    assert (gerund(verb), participle(verb)) == (doing, done)
