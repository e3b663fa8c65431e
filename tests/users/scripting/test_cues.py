"""What sentences do in a conversation."""

from __future__ import annotations

import pytest

from tau2_gym.users.scripting.cues import Cue, cues


@pytest.mark.parametrize(
    ("sentence", "cue"),
    [
        ("Is there anything else I can help you with?", Cue.ANYTHING_ELSE),
        ("Let me know if you need any further assistance.", Cue.ANYTHING_ELSE),
        ("Do you have any other questions?", Cue.ANYTHING_ELSE),
        ("Have a great day!", Cue.FAREWELL),
        ("Goodbye.", Cue.FAREWELL),
        ("You're welcome!", Cue.FAREWELL),
        ("I'm glad that I could help.", Cue.FAREWELL),
        ("Your issue is now resolved.", Cue.FAREWELL),
        ("You're all set.", Cue.FAREWELL),
        ("YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON.", Cue.TRANSFER),
        ("I am transferring you to a specialist now.", Cue.TRANSFER),
        ("You have been transferred to a human agent.", Cue.TRANSFER),
        ("Transferring you to a human agent.", Cue.TRANSFER),
        ("What is your phone number?", Cue.QUESTION),
        ("Please provide your email.", Cue.QUESTION),
        ("I'll need your zip code.", Cue.QUESTION),
        ("What would you like to do?", Cue.QUESTION | Cue.OPEN_QUESTION),
        ("Could you describe the issue?", Cue.QUESTION | Cue.OPEN_QUESTION),
        ("Shall I go ahead?", Cue.QUESTION | Cue.CONSENT),
        ("Would you like to proceed (yes/no)?", Cue.QUESTION | Cue.CONSENT),
        ("Please confirm.", Cue.QUESTION | Cue.CONSENT),
        ("I'd like you to reply with yes or no.", Cue.CONSENT),
        ("How would you like to pay?", Cue.QUESTION),
        ("Is there anything else on your status bar?", Cue.QUESTION),
    ],
)
def test_cues(sentence: str, cue: Cue) -> None:
    assert cues(sentence) == cue


@pytest.mark.parametrize(
    "sentence",
    [
        "I will transfer you to a human agent.",
        "I cannot transfer you.",
        "The money has been transferred to your card.",
        "I'd be happy to help you.",
        "You have a flight on May 10.",
        "Once the issue is resolved, restart.",
        "I found your account.",
        "",
    ],
)
def test_no_cue(sentence: str) -> None:
    assert cues(sentence) == Cue.NONE


def test_an_offer_to_transfer_asks_for_consent() -> None:
    assert cues("Would you like to be transferred to a human agent?") == Cue.QUESTION | Cue.CONSENT
