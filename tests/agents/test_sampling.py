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


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p"])
@pytest.mark.parametrize("value", [True, None, "1", float("inf"), float("nan"), [1.0]])
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} must be a number, not "):
        SamplingParams(**{name: value})


@pytest.mark.parametrize("name", ["top_k", "max_new_tokens", "seed"])
@pytest.mark.parametrize("value", [True, None, "1", 1.0, float("nan"), [1]])
def test_what_is_no_whole_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} must be a whole number, not "):
        SamplingParams(**{name: value})


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("temperature", [0, 1e-9, 100.0], [-1e-9]),
        ("top_p", [1e-9, 1, 1.0], [0, -0.5, 1 + 1e-9]),
        ("top_k", [-1, 1, 2, 10**6], [0, -2]),
        ("min_p", [0, 1 - 1e-9], [-1e-9, 1.0]),
        ("max_new_tokens", [1], [0, -1]),
        ("seed", [0, -1, 2**40], []),
        ("stop", [(), ["a"] * 32, ("a",)], [None, 3, [3], ["a"] * 33, [""]]),
    ],
)
def test_edges(name: str, allowed: list[Any], refused: list[Any]) -> None:
    for value in allowed:
        expected = tuple(value) if isinstance(value, list) else value
        assert getattr(SamplingParams(**{name: value}), name) == expected
    for value in refused:
        with pytest.raises(ConfigError, match=f"^{name} must "):
            SamplingParams(**{name: value})


def test_the_defaults_sample_the_models_own_distribution() -> None:
    assert SamplingParams() == SamplingParams(1.0, 1.0, -1, 0.0, 1024, (), 0)
    with pytest.raises(AttributeError):
        SamplingParams().temperature = 0.0  # type: ignore[misc]


def test_edges_are_allowed() -> None:
    params = SamplingParams.of(
        {"temperature": 0, "top_p": 1, "top_k": 1, "min_p": 0, "stop": ["</tool_call>"]}
    )
    assert params.greedy
    assert params.stop == ("</tool_call>",)
    assert not SamplingParams().greedy


def test_sglang_gets_all_of_them() -> None:
    """The server's own defaults must change nothing; and though the text is not used, what people see
    in a server's log should be whole."""
    assert SamplingParams(0.8, 0.9, 20, 0.05, 7, ("x",), 3).to_sglang() == {
        "temperature": 0.8,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.05,
        "max_new_tokens": 7,
        "stop": ["x"],
        "sampling_seed": 3,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1.0,
        "skip_special_tokens": False,
        "no_stop_trim": True,
    }
