"""Answers from the scenario."""

from __future__ import annotations

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.users.scripting.memory import memory
from tau2_gym.users.scripting.recall import (
    best_match,
    details_asked,
    is_said,
    refused,
    triggered,
)
from tau2_gym.users.scripting.words import spoken, stems

TELECOM = memory(next(iter(get_domain("telecom").tasks.values())).scenario)
LAMP = memory(get_domain("retail").tasks["5"].scenario)
REFUND = memory(get_domain("airline").tasks["0"].scenario)


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("What is your phone number?", ["My phone number is 555-123-2002."]),
        ("Which number is associated with the line?", ["My phone number is 555-123-2002."]),
        ("Is your phone on?", []),
        ("Your phone number, customer ID, or full name with date of birth?",
         ["My name is John Smith.", "My phone number is 555-123-2002."]),
        ("Please verify your identity.", ["My name is John Smith.", "My phone number is 555-123-2002."]),
        ("Your zip code?", ["I don't have my zip code at hand."]),
        ("Your full name and email?", ["My name is John Smith.",
                                       "I don't have my email address at hand."]),
        ("How are you?", []),
    ],
)  # fmt: skip
def test_details(question: str, answers: list[str]) -> None:
    assert details_asked(TELECOM, question) == answers


def test_what_the_scenario_says_is_forgotten_is_said_so() -> None:
    assert details_asked(LAMP, "What is your email?") == ["I do not remember my email address"]


def test_the_best_match_shares_most() -> None:
    found = best_match(TELECOM.statements, "How much data would you like to refuel?")
    assert found is not None
    assert found.text.startswith("I am willing to refuel 2.0 GB")
    assert best_match(TELECOM.statements, "What is your favourite colour?") is None


@pytest.mark.parametrize(
    ("offer", "unwanted"),
    [
        ("Would you like to upgrade your plan?", True),
        ("I can change your mobile data plan. Is that okay?", True),
        ("Shall I refuel 2 GB of data?", False),
        ("May I run a check?", False),
    ],
)
def test_refusals(offer: str, unwanted: bool) -> None:
    assert (refused(TELECOM.statements, offer) is not None) is unwanted


def test_replies_wait_for_their_moment_and_come_once() -> None:
    assert triggered(REFUND, "I can cancel it.", []) is None
    reply = triggered(REFUND, "Unfortunately it cannot be cancelled.", [])
    assert reply is not None
    assert reply.text.startswith("I was told that I didn't need to get insurance")
    assert triggered(REFUND, "It cannot be cancelled.", spoken(reply.text)) is None


def test_what_was_said_in_other_words_is_said() -> None:
    wish = TELECOM.wishes[0]
    assert is_said(wish, spoken("Hello. My mobile data isn't working properly!"))
    assert not is_said(wish, spoken("My phone number is 555-123-2002."))
    assert not is_said(wish, [])


def test_words_of_one_meaning_agree() -> None:
    assert "=change" in stems("upgrade") & stems("modify")
    assert "=bags" in stems("How many suitcases?") & stems("I have no baggage.")
    assert stems("cancellation") == stems("cancelled")
    assert stems("please, would you?") == frozenset()
