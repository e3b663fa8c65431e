"""The example of a custom agent does what the documentation says."""

from __future__ import annotations

import pytest

from agents.base import Agent
from examples.custom_agent import FirstAid, main


def test_it_is_an_agent() -> None:
    assert isinstance(FirstAid(), Agent)


@pytest.mark.parametrize(("seed", "earned"), [(0, "earned 0.036"), (1, "earned 1.000")])
def test_it_plays(seed: int, earned: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(seed)
    shown = capsys.readouterr().out
    assert 'get_customer_by_phone(phone_number="555-123-2002")' in shown
    assert earned in shown
    assert "ended by user_stop" in shown
