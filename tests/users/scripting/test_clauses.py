"""Clauses and what they do."""

from __future__ import annotations

import pytest

from tau2_gym.users.scripting.clauses import Mood, clauses

REQUEST, NEGATED, AGENT, ASIDE = Mood.REQUEST, Mood.NEGATED, Mood.AGENT, Mood.ASIDE
CONDITION, STATEMENT, PAST, OFFER, ELSE = (
    Mood.CONDITION,
    Mood.STATEMENT,
    Mood.PAST,
    Mood.OFFER,
    Mood.ELSE,
)


@pytest.mark.parametrize(
    ("sentence", "moods"),
    [
        ("restart your phone.", [REQUEST]),
        ("i have enabled roaming, so please restart, but don't touch the apn.",
         [AGENT, REQUEST, NEGATED]),
        ("i enabled roaming and reset your line.", [AGENT, AGENT]),
        ("i see, restart your phone.", [STATEMENT, REQUEST]),
        ("great, restart your phone.", [STATEMENT, REQUEST]),
        ("don't restart, reset or reseat anything.", [NEGATED, NEGATED, NEGATED]),
        ("don't restart, run a test.", [NEGATED, REQUEST]),
        ("after you turn it off and restart, run a test.", [ASIDE, ASIDE, REQUEST]),
        ("restart after a minute and run a test.", [REQUEST, ASIDE, REQUEST]),
        ("if it is on, turn it off; otherwise restart.", [CONDITION, REQUEST, ELSE]),
        ("turn it off if it is on.", [REQUEST, CONDITION]),
        ("check if it is on.", [REQUEST]),
        ("check it to see whether it helps.", [REQUEST, ASIDE]),
        ("i need you to check it.", [REQUEST]),
        ("i need to check it.", [AGENT]),
        ("let me know what it says.", [REQUEST]),
        ("let me check it.", [AGENT]),
        ("you have turned it off.", [PAST]),
        ("you have to turn it off.", [REQUEST]),
        ("have you restarted?", [PAST]),
        ("would you like me to restart it?", [OFFER]),
        ("is it on?", [REQUEST]),
        ("it is on.", [STATEMENT]),
        ("it is on and restart is needed.", [STATEMENT, STATEMENT]),
        ("turn it on, which helps.", [REQUEST, ASIDE]),
        ("do this: restart (it takes a minute).", [REQUEST, REQUEST, REQUEST]),
    ],
)  # fmt: skip
def test_moods(sentence: str, moods: list[Mood]) -> None:
    assert [clause.mood for clause in clauses(sentence)] == moods


def test_a_clause_knows_whether_it_goes_on() -> None:
    parts = list(clauses("turn it on, wait, and then off."))
    assert [part.text for part in parts] == ["turn it on", "wait", "off"]
    assert [part.follows_on for part in parts] == [False, True, True]


@pytest.mark.parametrize("sentence", ["", "...", ", ", "?!", "()"])
def test_nothing_is_no_clause(sentence: str) -> None:
    assert list(clauses(sentence)) == []
