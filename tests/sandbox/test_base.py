from __future__ import annotations

import pytest

from tau2_gym.errors import ConfigError
from tau2_gym.sandbox.base import LONGEST, Limits, Result, refused


def test_code_and_input_may_have_so_many_characters() -> None:
    longest = "x" * LONGEST
    assert refused(longest, longest) is None
    said = refused(f"{longest}x")
    assert said is not None
    assert (said.status, said.ok) == (1, False)
    assert said.stderr == f"the code has {LONGEST + 1} characters, and may have {LONGEST}\n"
    with pytest.raises(ConfigError, match=f"stdin has {LONGEST + 1} characters, and may have"):
        refused("", f"{longest}x")


@pytest.mark.parametrize("name", Limits.__slots__)
@pytest.mark.parametrize("value", [0, -1, 1e9, float("nan"), True, "1", None])
def test_a_limit_is_a_positive_number(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name} of a sandbox must be a positive number, not "):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_the_smallest_memory_is_that_of_an_interpreter() -> None:
    assert Limits(memory_mb=64).memory_mb == 64
    with pytest.raises(ConfigError, match="an interpreter needs 64 MiB, and memory_mb is 63"):
        Limits(memory_mb=63)


def test_all_is_well_if_a_program_ended_by_itself_with_0() -> None:
    assert Result("", "", 0).ok
    assert not Result("", "", 1).ok
    assert not Result("", "", None, "time").ok
    assert not Result("", "", 0, "output").ok


def test_small_limits_are_limits_and_no_time_is_said_by_default() -> None:
    assert Limits(seconds=0.01).seconds == 0.01
    assert Result("", "", 0).seconds == 0.0
