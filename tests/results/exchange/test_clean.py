"""Texts for others."""

from __future__ import annotations

from typing import Any

import pytest

from tau2_gym.results.exchange.clean import clean

KEY = "sk-proj-abcdefgh12345678"


def test_what_holds_nothing_of_the_kind_stays_as_it_is() -> None:
    data: dict[str, Any] = {"a": ["task-1", {"b": (1, 2.5, None, True, "é <b>")}]}
    assert clean(data) is data


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        "sk-ant-api03-abcDEF123456-xyz",
        "hf_abcdefghijklmnop1234",
        "ghp_abcdefghijklmnop1234",
        "github_pat_11ABCDEFG0abcdefghij_klm",
        "AKIAABCDEFGHIJKLMNOP",
        "AIzaSyA-abcdefghijklmnopqrstuvwxyz012345",
        "xoxb-1234567890-abcdef",
    ],
)
def test_keys_of_services_are_masked(key: str) -> None:
    assert clean({"a": [f"it is {key}."]}) == {"a": ["it is ***."]}


@pytest.mark.parametrize("word", ["sk-learn-based-methods", "task-12345678901234567", "hf_hub"])
def test_words_that_look_like_them_stay(word: str) -> None:
    assert clean(word) == word


def test_names_are_texts_too() -> None:
    assert clean({KEY: {"x": (KEY,)}}) == {"***": {"x": ["***"]}}


def test_secrets_of_this_process_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "correct horse battery")
    assert clean(["the correct horse battery"]) == ["the ***"]


def test_lone_surrogates_become_question_marks() -> None:
    assert clean({"a": "x\ud800y"}) == {"a": "x?y"}
