"""Ways of speaking."""

from __future__ import annotations

from random import Random

import pytest

from tau2_gym.users.base import STOP, TRANSFER
from tau2_gym.users.scripting.performing import Done, Note
from tau2_gym.users.scripting.voice import Verbosity, Voice


@pytest.mark.parametrize("verbosity", ["terse", "normal", "chatty"])
def test_reports_quote_results(verbosity: Verbosity) -> None:
    said = Voice(verbosity, Random(0)).report(
        [
            Done("ran a test", "Result: 1\nBar: 2", False),
            Note("Hm?"),
            Done("paid", "Error: x", True),
        ]
    )
    assert "Result: 1\nBar: 2" in said
    assert "Hm?" in said
    assert "Error: x" in said


def test_only_ends_end() -> None:
    voice = Voice("normal", Random(0))
    for words in (voice.solved(), voice.done(), voice.give_up()):
        assert words.endswith(STOP)
    assert voice.handed_over().endswith(TRANSFER)
    for words in (voice.hello(), voice.acknowledge(), voice.yes(), voice.no(), voice.unknown(),
                  voice.more(), voice.unsolved(frustrated=True)):  # fmt: skip
        assert words
        assert "###" not in words


def test_a_terse_user_does_not_greet() -> None:
    assert Voice("terse", Random(0)).hello() == ""


def test_words_follow_the_seed() -> None:
    def said(seed: int) -> str:
        voice = Voice("normal", Random(seed))
        return " ".join([voice.hello(), voice.yes(), voice.unsolved(frustrated=True)])

    assert said(1) == said(1)
    assert len({said(seed) for seed in range(20)}) > 5
