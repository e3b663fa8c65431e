"""Secrets in runs are masked."""

from __future__ import annotations

import pytest

from tau2_gym.results.page.masking import masked

SECRET = 'sk-9f"8e7d\\6c5b4a39'


def test_secrets_are_masked_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", SECRET)
    data = {"a": [f"it is {SECRET}.", 3, None], SECRET: {"deep": ("Bearer abc123def", SECRET)}}
    assert masked(data) == {
        "a": ["it is ***.", 3, None],
        "***": {"deep": ["Bearer ***", "***"]},
    }


def test_data_without_a_secret_stay_as_they_are() -> None:
    data = {"a": ["hello", 1.5, True], "b": ("x",)}
    assert masked(data) is data
