"""What a backend has sampled is checked where it arrives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.backends.base import Generation
from tau2_gym.errors import InfrastructureError

SOUND = Generation((5, 6), (-0.5, 0.0), "stop", (("a", 1), ("b", 1)))


def test_a_sound_one() -> None:
    assert SOUND.cached_tokens == 0
    assert replace(SOUND, logprobs=(-500.0, 0.0), cached_tokens=7).cached_tokens == 7


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ids": (), "logprobs": (), "versions": ()}, "sampled nothing"),
        ({"ids": (5, -1)}, "a token id that is none"),
        ({"ids": (5, True)}, "a token id that is none"),
        ({"ids": (5, "6")}, "a token id that is none"),
        ({"ids": (5, 6.0)}, "a token id that is none"),
        ({"logprobs": (-0.5,)}, "no log-probability for each token"),
        ({"logprobs": (-0.5, -0.5, -0.5)}, "no log-probability for each token"),
        ({"logprobs": (-0.5, 0.5)}, "no log-probability for each token"),
        ({"logprobs": (-0.5, float("nan"))}, "no log-probability for each token"),
        ({"logprobs": (-0.5, float("-inf"))}, "no log-probability for each token"),
        ({"logprobs": (-0.5, None)}, "no log-probability for each token"),
        ({"versions": (("a", 1),)}, "weight versions do not cover the tokens"),
        ({"versions": (("a", 3),)}, "weight versions do not cover the tokens"),
        ({"versions": ()}, "weight versions do not cover the tokens"),
    ],
)
def test_one_that_contradicts_itself_is_the_servers_fault(
    change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InfrastructureError, match=f"^the model server.* {sentence}$"):
        replace(SOUND, **change)
