"""A floor: an agent that fixes everything there is to fix, without looking what is broken."""

from __future__ import annotations

from typing import ClassVar

from agents.base import Action, AgentView
from agents.scripts import Call, Say, Script, Words, next_move
from agents.telecom import (
    Account,
    contract_ended,
    identify,
    is_paid,
    overdue_bill,
    refuel,
    require_telecom,
    today,
    transfer,
)

PHONE_FIXES = (
    "turn off airplane mode",
    "take the SIM card out and put it back in",
    "set the network mode to 4G/5G preferred",
    "turn on mobile data",
    "turn on data roaming",
    "turn off data saver mode",
    "turn off Wi-Fi calling",
    "disconnect the VPN",
    "grant the messaging app the SMS and storage permissions",
    "reset the APN settings to default",
    "restart your phone",
)
"""Every fix that the published workflow asks of the user."""


class FixAllAgent:
    """Does every fix that the policy allows, asks for every fix of the phone, and says goodbye.

    What a diagnosing agent earns beyond it is what diagnosis is worth: this one never finds out that
    a problem cannot be fixed, so it never transfers when it should.

    Raises:
        ConfigError: on acting in another domain than telecom.
    """

    domains: ClassVar = ("telecom",)

    def act(self, view: AgentView, seed: int) -> Action:
        """See `agents.base.Agent.act`."""
        require_telecom(view, "fixall")
        date = today(view.policy)
        return next_move(view, seed, lambda heard, words: _fix_all(heard, words, date))


def _fix_all(heard: str, words: Words, date: str) -> Script[None]:
    account = yield from identify(heard, words)
    if account is None:
        yield from transfer("The customer could not be identified.")
        return
    yield Call("enable_roaming", account.ids)
    yield from refuel(account, words)
    yield from _pay(account, date)
    for fixes in (PHONE_FIXES[:6], PHONE_FIXES[6:]):
        yield Say(f"Please do the following: {', '.join(fixes[:-1])}, and {fixes[-1]}.")
    while True:
        yield Say(
            words.pick(
                "That should have solved it. Is there anything else I can help you with?",
                "Is there anything else I can do for you?",
            )
        )


def _pay(account: Account, date: str) -> Script[None]:
    """Have an overdue bill paid, and lift the suspension where the policy allows that."""
    bill = yield from overdue_bill(account)
    if bill is not None:
        customer = {"customer_id": account.customer["customer_id"]}
        yield Call("send_payment_request", {**customer, "bill_id": bill})
        yield Say("I have sent you a payment request. Please check it and make the payment.")
        if not (yield from is_paid(bill)):
            return
    if account.line.get("status") == "Suspended" and not contract_ended(account, date):
        yield Call("resume_line", account.ids)
