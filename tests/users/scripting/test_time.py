"""No text of the agent's keeps the user busy: what it thinks about is bounded, whatever is said."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tau2_gym.domains.base import get_domain
from tau2_gym.types import Message
from tau2_gym.users import scripting
from tau2_gym.users.base import UserView
from tau2_gym.users.scripted import ScriptedUser

pytestmark = pytest.mark.usefixtures("clean_heap")

SECONDS = 2.0
"""Of CPU time, for one answer. The slowest known takes a fortieth; a pattern that tries every way to
take a text apart would take longer than anybody waits."""

WORDS = sorted(
    {
        word
        for path in Path(scripting.__path__[0]).glob("*.py")
        for word in re.findall(r"[a-z0-9'_-]+|[^\w\s]", path.read_text(encoding="utf-8").lower())
    }
)
"""The words and signs that the user's rules are made of."""

words = st.sampled_from(WORDS) | st.text(max_size=3)
units = st.builds(
    str.join, st.sampled_from(["", " ", "\n", ", "]), st.lists(words, min_size=1, max_size=5)
)


def seconds_to_answer(domain: str, *texts: str) -> float:
    """The CPU time of an answer to the last of some texts."""
    world = get_domain(domain)
    task = world.task(world.task_ids("train")[0])
    messages = [Message("assistant", "Hi! How can I help you today?")]
    for text in texts:
        messages += [Message("user", "I need help."), Message("assistant", text)]
    view = UserView(
        domain, task.id, task.scenario, tuple(world.user_tools.values()), tuple(messages)
    )
    started = time.process_time()
    ScriptedUser().respond(view, 0)
    return time.process_time() - started


@pytest.mark.timeout(120)
@pytest.mark.parametrize("domain", ["airline", "telecom"])
@settings(max_examples=60)
@given(
    start=units,
    unit=units,
    end=st.sampled_from(["", " ", ", ", "\n", "("]),
    times=st.integers(1, 2000),
)
@example(start="", unit="turn", end=" ", times=1000)
@example(start="", unit="quickly", end=" ", times=1000)
@example(start="", unit="now", end=" ", times=1000)
@example(start="", unit="if it is on", end=" ", times=1000)
@example(start="", unit="check_status_bar(", end="", times=1000)
@example(start="", unit="§0§", end="", times=1000)
@example(start="", unit="x", end="", times=10_000_000)
def test_no_text_takes_for_ever(domain: str, start: str, unit: str, end: str, times: int) -> None:
    assert seconds_to_answer(domain, start + (unit + end) * times) < SECONDS


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("join", ["", " ", "\n", ", "])
def test_no_babble_takes_for_ever(join: str, seed: int) -> None:
    babble = join.join(random.Random(seed).choices(WORDS, k=1000))
    assert seconds_to_answer("telecom", babble) < SECONDS


@pytest.mark.timeout(120)
def test_no_number_of_texts_takes_for_ever() -> None:
    texts = [f"Please check your status bar {number}. " * 100 for number in range(100)]
    assert seconds_to_answer("telecom", *texts) < SECONDS
