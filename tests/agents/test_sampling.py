"""Sampling parameters are refused before a run starts, in one sentence that says what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from agents.sampling import SamplingParams
from tau2_gym.errors import ConfigError

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"temperature": -0.1}, "temperature must be at least 0, not -0.1"),
    ({"temperature": float("nan")}, "temperature must be a number, not nan"),
    ({"temperature": "0.8"}, "temperature must be a number, not '0.8'"),
    ({"temperature": True}, "temperature must be a number, not True"),
    ({"top_p": 0.0}, "top_p must lie in (0, 1], not 0.0"),
    ({"top_p": 1.1}, "top_p must lie in (0, 1], not 1.1"),
    ({"top_k": 0}, "top_k must be at least 1, or -1 for none, not 0"),
    ({"top_k": 2.0}, "top_k must be a whole number, not 2.0"),
    ({"min_p": 1}, "min_p must lie in [0, 1), not 1"),
    ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, not 0"),
    ({"seed": None}, "seed must be a whole number, not None"),
    ({"stop": "</tool_call>"}, "stop must be a list of at most 32 texts"),
    ({"stop": ["a", ""]}, "stop must be a list of at most 32 texts"),
    ({"stop": ["a"] * 33}, "stop must be a list of at most 32 texts"),
    ({"max_tokens": 3}, "unknown sampling parameter 'max_tokens'; allowed: max_new_tokens, min_p"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_what_is_not_allowed_is_named(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SamplingParams.of(options)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_edges_are_allowed() -> None:
    params = SamplingParams.of(
        {"temperature": 0, "top_p": 1, "top_k": 1, "min_p": 0, "stop": ["</tool_call>"]}
    )
    assert params.greedy
    assert params.stop == ("</tool_call>",)
    assert not SamplingParams().greedy


def test_sglang_gets_all_of_them() -> None:
    sent = SamplingParams(temperature=0.8, top_k=20, max_new_tokens=7, seed=3).to_sglang()
    assert (sent["temperature"], sent["top_k"], sent["max_new_tokens"]) == (0.8, 20, 7)
    assert (sent["sampling_seed"], sent["repetition_penalty"]) == (3, 1.0)
    # The text is not used, but what people see in a server's log should be whole.
    assert sent["no_stop_trim"]
    assert not sent["skip_special_tokens"]
