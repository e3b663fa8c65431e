"""What telecom agents share."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from agents.base import AgentView
from agents.scripts import Call, Move, Say, Script, Words
from agents.telecom import (
    TRANSFER_SENTENCE,
    Account,
    agrees,
    contract_ended,
    identify,
    is_paid,
    overdue_bill,
    refuel,
    require_telecom,
    today,
    transfer,
)
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError

WORDS = Words(Random(0))
DOMAIN = get_domain("telecom")
WORLD = DOMAIN.start(next(iter(DOMAIN.tasks.values())))
ACCOUNT = Account(
    {"customer_id": "C1001"},
    {"line_id": "L1002", "plan_id": "P1002", "contract_end_date": "2026-12-31"},
)


def play(script: Script[Any], *answers: str) -> tuple[Any, list[Move]]:
    """Run a script: tools act on a world, texts are answered in turn. Returns what it returned."""
    world = WORLD.fork()
    left = list(answers)
    moves: list[Move] = []
    try:
        move = next(script)
        while True:
            moves.append(move)
            if isinstance(move, Call):
                move = script.send(world.call(move.name, dict(move.arguments), "assistant")[0])
            elif left:
                move = script.send(left.pop(0))
            else:
                return None, moves
    except StopIteration as end:
        return end.value, moves


def test_the_number_finds_the_customer_and_the_line() -> None:
    account, moves = play(identify("My data is slow.", WORDS), "It's 555-123-2002.")
    assert account.ids == {"customer_id": "C1001", "line_id": "L1002"}
    assert isinstance(moves[0], Say)
    assert len(moves) == 4


def test_a_number_given_at_once_is_not_asked_for() -> None:
    account, moves = play(identify("I'm 555-123-2001.", WORDS))
    assert account.line["line_id"] == "L1001"
    assert all(isinstance(move, Call) for move in moves)


def test_an_unknown_customer_is_given_up() -> None:
    account, moves = play(identify("555-000-0000", WORDS), "555-000-0001", "no idea", "…")
    assert account is None
    assert len(moves) == 5


@pytest.mark.parametrize(
    ("answers", "added"),
    [
        (("2.0 GB, please.", "Yes, go ahead."), 2.0),
        (("1.5 GB", "Sure."), 1.5),
        (("2 GB", "No, that's too much."), None),
        (("50 GB", "Yes."), None),
        (("I don't want any.",), None),
    ],
)
def test_refuelling(answers: tuple[str, ...], added: float | None) -> None:
    done, moves = play(refuel(ACCOUNT, WORDS), *answers)
    assert done is (added is not None)
    calls = [move for move in moves if isinstance(move, Call) and move.name == "refuel_data"]
    assert [call.arguments["gb_amount"] for call in calls] == ([] if added is None else [added])


def test_bills() -> None:
    assert play(overdue_bill(ACCOUNT))[0] is None
    assert play(is_paid("B1001"))[0] is True
    assert play(is_paid("B1002"))[0] is False
    assert play(is_paid("B9"))[0] is False


def test_contracts() -> None:
    assert today(DOMAIN.policy) == "2025-02-25"
    assert today("no date") == ""
    assert not contract_ended(ACCOUNT, "2025-02-25")
    assert contract_ended(ACCOUNT, "2027-01-01")
    assert not contract_ended(Account(), "2025-02-25")


@pytest.mark.parametrize(
    ("answer", "yes"),
    [("Yes.", True), ("Sure, please do.", True), ("No, thanks.", False), ("Hm.", False),
     ("Yes, I do not mind.", True), ("I don't agree, okay?", False)],
)  # fmt: skip
def test_agreeing(answer: str, yes: bool) -> None:
    assert agrees(answer) is yes


def test_handing_over() -> None:
    _, moves = play(transfer("why"), "Okay.", "Hello?")
    assert moves[0] == Call("transfer_to_human_agents", {"summary": "why"})
    assert moves[1:] == [Say(TRANSFER_SENTENCE)] * 3


def test_only_telecom_with_a_user() -> None:
    require_telecom(AgentView("telecom", "", [], []), "x")
    with pytest.raises(ConfigError, match="airline"):
        require_telecom(AgentView("airline", "", [], []), "x")
    with pytest.raises(ConfigError, match="solo"):
        require_telecom(AgentView("telecom", "", [], [], ticket="…"), "x")
