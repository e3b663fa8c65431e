"""Sentences, persons and variation."""

from __future__ import annotations

import re
from random import Random

import pytest

from tau2_gym.domains.base import Domain
from tau2_gym.users.scripting.speech import (
    finished,
    first_person,
    prose_sentences,
    sentences,
    vary,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ("One.", "Two!", "Three?")),
        ("It costs 2.0 GB, e.g. now. Ok", ("It costs 2.0 GB, e.g. now.", "Ok")),
        ("1\n2\n\n3", ("1", "2", "3")),
        ('He said "no." Then left.', ('He said "no."', "Then left.")),
        ("   ", ()),
    ],
)
def test_sentences(text: str, parts: tuple[str, ...]) -> None:
    assert sentences(text) == parts


def test_prose_may_break_its_lines() -> None:
    assert prose_sentences("If so,\ndo it.\nThen\n\nthat") == ("If so, do it.", "Then", "that")


@pytest.mark.parametrize(
    ("second", "first"),
    [
        ("You are John Smith.", "I am John Smith."),
        ("You mobile data is not working.", "My mobile data is not working."),
        ("You name is Yara.", "My name is Yara."),
        (
            "you're sure that you've paid your bill yourself",
            "I'm sure that I've paid my bill myself",
        ),
        ("Someone told you that you were late.", "Someone told me that I was late."),
        ("It allows you to take what is yours.", "It allows me to take what is mine."),
        ("You want the agent to help you.", "I want you to help me."),
        ("If the agent asks you, are you ready?", "If you ask me, am I ready?"),
        ("You aren't, you weren't, you are not.", "I am not, I wasn't, I am not."),
    ],
)
def test_first_person(second: str, first: str) -> None:
    assert first_person(second) == first


def test_variation_keeps_what_matters() -> None:
    said = "I am unable to send MMS to 555-123-2002, and I want to fix it."
    variants = {vary(said, Random(seed)) for seed in range(40)}
    assert len(variants) > 3
    assert all("MMS to 555-123-2002" in one and one.endswith("fix it.") for one in variants)
    assert vary(said, Random(7)) == vary(said, Random(7))


def test_finished() -> None:
    assert [finished(text) for text in ("a", "a.", "a?", 'a"')] == ["a.", "a.", "a?", 'a"']


def test_no_scenario_speaks_to_you_about_yourself(domain: Domain) -> None:
    scenarios = {task.scenario for task in domain.tasks.values()}
    for scenario in scenarios:
        for line in prose_sentences(scenario.known):
            assert not re.search(r"\byou(?:r|rs|rself)?\b", first_person(line), re.IGNORECASE)
