"""What SGLang's `/generate` answers, read to the letter, and whatever else a server may answer."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.backends.wire import Part, is_overflow, joined, read_answer, read_error
from tau2_gym.completion.faults import CallFailed, Kind

PLACE = "http://127.0.0.1:30000"


def answer(**changes: Any) -> dict[str, Any]:
    """An answer as SGLang gives it; changes are of its `meta_info`, and None takes a field away."""
    meta = {
        "prompt_tokens": 3,
        "cached_tokens": 2,
        "finish_reason": {"type": "stop", "matched": 8},
        "output_token_logprobs": [[-0.5, 7, None], [0, 8, None]],
        "weight_version": "v1",
        **changes,
    }
    return {"output_ids": [7, 8], "meta_info": {k: v for k, v in meta.items() if v is not None}}


def read(given: Any, prompt: int = 3) -> Part:
    return read_answer(json.dumps(given).encode(), PLACE, prompt)


def test_a_whole_answer() -> None:
    part = read(answer())
    assert part == Part([7, 8], [-0.5, 0.0], "stop", (("v1", 2),), 2)
    assert all(isinstance(number, float) for number in part.logprobs)


def test_what_may_be_missing() -> None:
    bare = answer(cached_tokens=None, weight_version=None)
    del bare["output_ids"]
    assert read(bare) == Part([7, 8], [-0.5, 0.0], "stop", (("", 2),), 0)
    assert read(answer(cached_tokens=0)).cached == 0
    aborted = answer(output_token_logprobs=[], finish_reason={"type": "abort"})
    assert read({**aborted, "output_ids": []}) == Part([], [], "abort", (), 2)


def test_versions_of_weights_that_changed_under_way() -> None:
    def spans(*named: tuple[Any, int, int]) -> list[dict[str, Any]]:
        return [{"version": name, "start": start, "end": end} for name, start, end in named]

    one = answer(weight_versions=spans(("v1", 0, 1), ("v2", 1, 1), (3, 1, 2)))
    assert read(one).versions == (("v1", 1), ("3", 1))
    same = answer(weight_versions=spans(("v1", 0, 1), ("v1", 1, 2)))
    assert read(same).versions == (("v1", 2),)
    ((name, _),) = read(answer(weight_version="v" * 500)).versions
    assert name == "v" * 100
    for odd in (("v1", 2, 1), ("v1", -1, 1), ("v1", 0, 1.0), (None, 0, 2), ("v1", True, 2)):
        with pytest.raises(CallFailed, match="a weight version that is none"):
            read(answer(weight_versions=spans(odd)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"output_token_logprobs": [[-0.5, -7]]}, "a token id that is none"),
        ({"output_token_logprobs": [[-0.5, "7"]]}, "a token id that is none"),
        ({"output_token_logprobs": [[0.5, 7]]}, "a log-probability that is none"),
        ({"output_token_logprobs": [[None, 7]]}, "a log-probability that is none"),
        ({"output_token_logprobs": [[-0.5]]}, "IndexError"),
        ({"output_token_logprobs": [7]}, "TypeError"),
        ({"output_token_logprobs": None}, "KeyError"),
        ({"finish_reason": None}, "KeyError"),
        ({"finish_reason": "stop"}, "TypeError"),
        ({"finish_reason": {"type": ["stop"]}}, "a reason to end that is not text"),
        ({"prompt_tokens": None}, "KeyError"),
        ({"prompt_tokens": "3"}, "a number of tokens that is none"),
        ({"prompt_tokens": 3.0}, "a number of tokens that is none"),
        ({"cached_tokens": -1}, "a number of tokens that is none"),
        ({"cached_tokens": True}, "a number of tokens that is none"),
    ],
)
def test_anything_else_is_garbled(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CallFailed) as caught:
        read(answer(**changes))
    assert caught.value.kind is Kind.GARBLED
    assert str(caught.value).startswith(f"{PLACE} did not answer as SGLang does: {sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"3", b"\xff", b"[" * 10**5])
def test_a_body_of_something_else_is_garbled(body: bytes) -> None:
    with pytest.raises(CallFailed, match="did not answer as SGLang does") as caught:
        read_answer(body, PLACE, 3)
    assert caught.value.kind is Kind.GARBLED


def test_tokens_and_log_probabilities_must_agree() -> None:
    for ids in ([7], [7, 9], [], "78"):
        with pytest.raises(CallFailed, match="other log-probabilities than tokens") as caught:
            read({**answer(), "output_ids": ids})
        assert caught.value.kind is Kind.GARBLED


@pytest.mark.parametrize("prompt", [2, 4])
def test_a_prompt_that_was_cut_is_refused_for_good(prompt: int) -> None:
    with pytest.raises(CallFailed, match=f"has read 3 of {prompt} prompt tokens") as caught:
        read(answer(), prompt)
    assert caught.value.kind is Kind.REJECTED


runs = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3))).map(tuple)


@given(runs, runs)
def test_versions_are_joined_token_by_token(first: Any, second: Any) -> None:
    found = joined(first, second)
    assert "".join(name * count for name, count in found) == "".join(
        name * count for name, count in (*first, *second)
    )
    assert all(count for _, count in found)
    assert all(one[0] != other[0] for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("message", "overflow"),
    [
        ("The input (9 tokens) is longer than the model's context length (8 tokens).", True),
        ("Requested token count exceeds the model's maximum context length of 8 tokens.", True),
        ("Input length exceeds the maximum allowed length (8 tokens).", True),
        ("The model is not loaded.", False),
        ("", False),
    ],
)
def test_a_context_that_is_too_small_is_known_by_its_words(message: str, overflow: bool) -> None:
    assert is_overflow(message) is overflow


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "no"}', "no"),
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"object": "error", "message": "no"}', "no"),
        (b"<h1>Bad gateway</h1>", "<h1>Bad gateway</h1>"),
        (b"", "no reason given"),
        (b"see http://me:secret@there/x?key=abc", "see http://***@there/x?key=***"),
        (b'{"error": "Bearer abcdef was wrong"}', "Bearer *** was wrong"),
    ],
)
def test_errors_in_any_shape_are_read_without_secrets(body: bytes, said: str) -> None:
    assert read_error(body) == said


def test_a_long_error_is_shortened() -> None:
    assert read_error(b"\xff" + b"x" * 5000).startswith("\ufffdxxx")
    assert len(read_error(b"\xff" + b"x" * 5000)) <= 2000
