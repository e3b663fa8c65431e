"""What agents of the telecom domain share: finding the customer, reading answers, handing over."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from agents.base import AgentView
from agents.scripts import Call, Say, Script, Words, as_json
from tau2_gym.errors import ConfigError

TRANSFER_SENTENCE = "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."
_PHONE_NUMBER = re.compile(r"(?<!\d)\d{3}-\d{3}-\d{4}(?!\d)")
_TODAY = re.compile(r"current time is (\d{4}-\d{2}-\d{2})")
_GB = re.compile(r"(\d+(?:\.\d+)?)\s*(?:GB|gigabytes?)\b", re.IGNORECASE)
_YES = re.compile(r"\b(?:yes|sure|go ahead|please do|that's fine|okay|proceed)\b", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|not|don't)\b", re.IGNORECASE)

MAX_REFUEL_GB = 2.0


def require_telecom(view: AgentView, agent: str) -> None:
    """Make sure that the domain is telecom, with a user to talk to.

    Raises:
        ConfigError: it is another domain, or solo mode.
    """
    if view.domain != "telecom":
        raise ConfigError(f"the {agent} agent knows only the domain telecom, not {view.domain}")
    if view.ticket is not None:
        raise ConfigError(f"the {agent} agent needs a user: it does not play solo")


def today(policy: str) -> str:
    """The date the policy gives, as YYYY-MM-DD; empty if it gives none."""
    match = _TODAY.search(policy)
    return "" if match is None else match[1]


@dataclass(slots=True)
class Account:
    """The customer and the line they call about, as the tools show them."""

    customer: dict[str, Any] = field(default_factory=dict)
    line: dict[str, Any] = field(default_factory=dict)

    @property
    def ids(self) -> dict[str, str]:
        """The arguments that most tools take."""
        return {"customer_id": self.customer["customer_id"], "line_id": self.line["line_id"]}


def identify(heard: str, words: Words) -> Script[Account | None]:
    """Find the customer and the line by the phone number; None if that cannot be done."""
    for _ in range(3):
        numbers = _PHONE_NUMBER.findall(heard)
        if not numbers:
            heard = yield Say(
                words.pick(
                    "I'm sorry to hear that. Could you please give me the phone number of your line?",
                    "I can help with that. What is your phone number?",
                    "Let's sort this out. Please tell me the phone number on your account.",
                )
            )
            continue
        customer = as_json((yield Call("get_customer_by_phone", {"phone_number": numbers[-1]})))
        if isinstance(customer, dict):
            line = yield from _line(customer, numbers[-1])
            return None if line is None else Account(customer, line)
        heard = yield Say(f"I can't find the number {numbers[-1]}. What is your phone number?")
    return None


def _line(customer: dict[str, Any], number: str) -> Script[dict[str, Any] | None]:
    """The customer's line with that number."""
    for line_id in customer.get("line_ids", ()):
        line = as_json((yield Call("get_details_by_id", {"id": line_id})))
        if isinstance(line, dict) and line.get("phone_number") == number:
            return line
    return None


def refuel(account: Account, words: Words) -> Script[bool]:
    """Offer data at the plan's price, and add it if the user agrees. Returns whether it was added."""
    plan = as_json((yield Call("get_details_by_id", {"id": account.line["plan_id"]}))) or {}
    price = float(plan.get("data_refueling_price_per_gb", 0))
    answer = yield Say(
        words.pick(
            "You have used up your plan's data. How much data would you like to refuel? "
            f"I can add up to 2 GB at ${price:.2f} per GB.",
            f"Your plan's data is used up. You can refuel up to 2 GB for ${price:.2f} per GB. "
            "How much would you like to refuel?",
        )
    )
    wanted = [float(amount) for amount in _GB.findall(answer)]
    if not wanted or not 0 < wanted[0] <= MAX_REFUEL_GB:
        return False
    answer = yield Say(
        words.pick(
            f"{wanted[0]:g} GB will cost ${wanted[0] * price:.2f}. Shall I go ahead?",
            f"Refueling {wanted[0]:g} GB comes to ${wanted[0] * price:.2f}. Do you want me to proceed?",
        )
    )
    if not agrees(answer):
        return False
    added = yield Call("refuel_data", {**account.ids, "gb_amount": wanted[0]})
    return as_json(added) is not None


def agrees(answer: str) -> bool:
    """Whether an answer is a yes."""
    yes, no = _YES.search(answer), _NO.search(answer)
    return yes is not None and (no is None or yes.start() < no.start())


def overdue_bill(account: Account) -> Script[str | None]:
    """The id of the customer's overdue bill, or None."""
    bills = as_json(
        (yield Call("get_bills_for_customer", {"customer_id": account.customer["customer_id"]}))
    )
    overdue = (bill["bill_id"] for bill in bills or () if bill.get("status") == "Overdue")
    return next(overdue, None)


def is_paid(bill_id: str) -> Script[bool]:
    """Whether a bill is paid."""
    bill = as_json((yield Call("get_details_by_id", {"id": bill_id})))
    return isinstance(bill, dict) and bill.get("status") == "Paid"


def contract_ended(account: Account, date: str) -> bool:
    """Whether the line's contract is over on that date."""
    end = account.line.get("contract_end_date")
    return bool(end) and str(end) < date


def transfer(summary: str) -> Script[None]:
    """Hand over to a human agent, and say so for as long as the user listens."""
    yield Call("transfer_to_human_agents", {"summary": summary})
    while True:
        yield Say(TRANSFER_SENTENCE)
