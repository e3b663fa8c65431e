"""Whether an agent waited for the user's yes, read from conversations."""

from __future__ import annotations

from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.results.confirmation import Writes, says_yes, wanted, writes

RETAIL = get_domain("retail")
CANCEL = {"name": "cancel_pending_order", "arguments": {}, "id": "1"}


def agent(text: str | None = None, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "tool_calls": list(calls)}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def result(*, error: bool = False) -> dict[str, Any]:
    return {"role": "tool", "content": "{}", "id": "1", "error": error}


GREETING = agent("Hi! How can I help you today?")
PROPOSAL = agent("I would cancel order #W1, and refund $5 to your card. Shall I?")


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([GREETING, user("Cancel #W1."), PROPOSAL, user("Yes."), agent(None, CANCEL), result()], (1, 0)),
        ([GREETING, user("Cancel #W1."), PROPOSAL, user("Which card?"), agent(None, CANCEL), result()], (1, 1)),
        ([GREETING, user("Cancel #W1."), PROPOSAL, user("No, not yes."), agent(None, CANCEL), result()], (1, 1)),
        # What a user says first answers nothing.
        ([GREETING, user("Please proceed to cancel #W1, yes?"), agent(None, CANCEL), result()], (1, 1)),
        ([GREETING, user("Cancel #W1."), agent(None, CANCEL), result(error=True)], (0, 0)),
        # One yes may be to several changes; the next thing said ends it.
        ([GREETING, user("Cancel."), PROPOSAL, user("Yes"), agent(None, CANCEL, CANCEL), result()], (2, 0)),
        ([GREETING, user("Cancel."), PROPOSAL, user("Yes"), agent(None, CANCEL), result(), agent("Done."),
          user("Now the other one."), agent(None, CANCEL), result()], (2, 1)),
        ([GREETING, user("Hi"), agent(None, {"name": "get_order_details", "arguments": {}, "id": "1"}), result()], (0, 0)),
        ([GREETING, user("Hi"), agent(None, {"name": "transfer_to_human_agents", "arguments": {}, "id": "1"}), result()], (0, 0)),
        ([], (0, 0)),
    ],
    ids=range(10),
)  # fmt: skip
def test_changes_before_a_yes(messages: list[dict[str, Any]], found: tuple[int, int]) -> None:
    assert writes(messages, RETAIL) == Writes(*found)


def test_the_users_own_tools_are_not_the_agents_changes() -> None:
    telecom = get_domain("telecom")
    call = {"name": "toggle_airplane_mode", "arguments": {}, "id": "1"}
    messages = [GREETING, {"role": "user", "content": None, "tool_calls": [call]}, result()]
    assert writes(messages, telecom) == Writes(0, 0)


def test_what_the_users_tools_answer_is_not_something_that_the_agent_said() -> None:
    look = {"name": "check_status_bar", "arguments": {}, "id": "1"}
    calls = [{"role": "user", "content": None, "tool_calls": [look]}, result()]
    refuel = {"name": "refuel_data", "arguments": {}, "id": "1"}
    messages = [GREETING, *calls, user("Yes, go ahead."), agent(None, refuel), result()]
    assert writes(messages, get_domain("telecom")) == Writes(1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "Yes.", "YES — please proceed with both.", "yep", "Sure, go ahead!", "Please do.", "I confirm.",
        "Thanks for reviewing everything.\n\nPlease proceed with the upgrade.", "That's correct.",
        "Sounds good to me", "I'm authorizing the charge.", "Perfect, that works.", "Okay", "Approved",
    ],
)  # fmt: skip
def test_a_yes_in_many_words(text: str) -> None:
    assert says_yes(text)


@pytest.mark.parametrize(
    "text",
    [
        "No.", "No, that is not correct.", "Don't do it.", "Hold on, is that okay with my bank?", "nope, sure not",
        "What does it cost?", "Can you confirm my address?", "I need to exchange a book.", "", "Eyesight",
    ],
)  # fmt: skip
def test_what_is_no_yes(text: str) -> None:
    assert not says_yes(text)


def test_which_policies_ask_for_it() -> None:
    asking = [name for name in ("airline", "retail", "telecom", "mock") if wanted(get_domain(name))]
    assert asking == ["airline", "retail"]
