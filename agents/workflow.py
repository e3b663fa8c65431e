"""An agent that follows the troubleshooting workflow published with the telecom domain."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from agents.base import Action, AgentView
from agents.scripts import Call, Say, Script, Words, as_json, next_move
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
from agents.telecom_facts import told

_PROBLEMS = (
    ("mms", re.compile(r"\bMMS\b|(?:picture|photo|group)s? ?messag|send(?:ing)? pictures", re.I)),
    ("data", re.compile(r"\bdata\b|internet|\bslow|speed", re.I)),
    ("service", re.compile(r"no service|no signal|signal|service|connect", re.I)),
)
_NO_TRAVEL = re.compile(r"\b(?:at home|not (?:currently )?(?:abroad|travel)|no)\b", re.I)
_TRAVEL = re.compile(r"\b(?:abroad|travel\w*|overseas|outside|yes|roaming|france)\b", re.I)


class WorkflowAgent:
    """Follows the published workflow for telecom, from what the agent sees alone.

    It departs from the letter in that it asks for related checks in one message, and does not have
    the user test again after each single fix: worst cases would not fit into 100 steps otherwise.

    Raises:
        ConfigError: on acting in another domain.
    """

    domains: ClassVar = ("telecom",)

    def act(self, view: AgentView, seed: int) -> Action:
        """See `agents.base.Agent.act`."""
        require_telecom(view, "workflow")
        date = today(view.policy)
        return next_move(view, seed, lambda heard, words: _Case(heard, words, date).work())


@dataclass(slots=True)
class _Case:
    """One call for help: the account, and what is known of the phone."""

    heard: str
    words: Words
    date: str
    account: Account = field(default_factory=Account)
    facts: dict[str, str] = field(default_factory=dict)

    def work(self) -> Script[None]:
        """From the user's first words to the end. The case is worked on twice at most."""
        account = yield from identify(self.heard, self.words)
        if account is None:
            yield from transfer("The customer could not be identified.")
        else:
            self.account = account
        problem = yield from self.classify()
        paths = {"mms": self.mms, "data": self.fast_data, "service": self.service}
        for _ in range(2):
            solved = yield from paths[problem]()
            if not solved:
                break
            yield Say(
                self.words.pick(
                    "Great, that is working now. Is there anything else I can help you with?",
                    "I'm glad that works. Is there anything else you need?",
                    "Your issue should now be resolved. Anything else I can do for you?",
                )
            )
            self.facts.clear()
        yield from transfer(f"All steps for a {problem} problem were taken; it is not solved.")

    def ask(self, *choices: str) -> Script[None]:
        """Ask the user to do or check something, and take in the answer."""
        self.facts.update(told((yield Say(self.words.pick(*choices)))))

    def classify(self) -> Script[str]:
        """Which path of the workflow the problem belongs to."""
        heard = self.heard
        while True:
            for problem, pattern in _PROBLEMS:
                if pattern.search(heard):
                    return problem
            heard = yield Say(
                "What is the problem: no service, mobile data that does not work or is slow, or "
                "picture messages (MMS)?"
            )

    # --- Path 1: no service ---

    def service(self) -> Script[bool]:
        """Restore service. Returns whether there is any."""
        yield from self.ask(
            "Please check your phone's network status and tell me what it says.",
            "Could you check the network status on your phone and read it out to me?",
            "Let's look at the connection first. Please check your network status.",
        )
        if self.facts.get("airplane") == "on":
            yield from self.ask(
                "Airplane mode is on. Please turn airplane mode off and tell me what the status bar "
                "shows.",
                "Please switch airplane mode off. What does your status bar show then?",
            )
        if self.is_served():
            return True
        yield from self.seat_sim()
        if self.is_served():
            return True
        if self.facts.get("sim", "").startswith("locked"):
            yield from transfer("The SIM card is locked with a PIN or PUK code.")
        yield from self.ask(
            "Please reset your APN settings to default, then restart your phone and tell me what the "
            "status bar shows.",
            "Could you reset the APN settings, reboot your device, and check your status bar?",
        )
        if not self.is_served():
            yield from self.resume()
        return self.is_served()

    def is_served(self) -> bool:
        """Whether the phone has service, as far as is known."""
        return self.facts.get("service") == "yes"

    def seat_sim(self) -> Script[None]:
        """See to the SIM card."""
        if self.facts.get("sim") == "missing":
            yield from self.ask(
                "Your phone does not detect the SIM card. Please take the SIM card out and put it back "
                "in, then check the SIM card status.",
                "Please reseat your SIM card and then check your SIM status.",
            )
        elif "sim" not in self.facts:
            yield from self.ask("Please check your SIM card status.")

    def resume(self) -> Script[None]:
        """Lift a suspension, if the policy allows it."""
        if self.account.line.get("status") != "Suspended":
            return
        if contract_ended(self.account, self.date):
            yield from transfer("The line is suspended and its contract has ended.")
        bill = yield from overdue_bill(self.account)
        if bill is not None:
            customer = {"customer_id": self.account.customer["customer_id"]}
            yield Call("send_payment_request", {**customer, "bill_id": bill})
            yield from self.ask(
                "Your line is suspended because of an overdue bill, and I have sent you a payment "
                "request for it. Please check your payment request and pay the bill.",
                "There is an overdue bill on your account. I've sent you a payment request: please "
                "check your payment requests, then make the payment.",
            )
            if not (yield from is_paid(bill)):
                yield from transfer("The line is suspended for a bill that the user has not paid.")
        yield Call("resume_line", self.account.ids)
        yield from self.ask(
            "I have lifted the suspension of your line. Please restart your phone and tell me what the "
            "status bar shows.",
            "Your line is active again. Please reboot your phone and check the status bar.",
        )

    # --- Path 2: mobile data ---

    def fast_data(self) -> Script[bool]:
        """Restore mobile data at full speed. Returns whether that was reached."""
        if not ((yield from self.service()) and (yield from self.data())):
            return False
        if self.is_fast():
            return True
        yield from self.ask(
            "The speed is not what it should be. Please check your data restriction status, your "
            "network mode preference and your VPN status.",
            "Could you check whether data saver is on, which network mode is set, and whether you use "
            "a VPN?",
        )
        if self.facts.get("saver") == "on":
            yield from self.ask(
                "Please turn data saver mode off and run a speed test.",
                "Switch Data Saver off, please, and then run another speed test.",
            )
        if not self.is_fast() and self.facts.get("mode") != "4g_5g_preferred":
            yield from self.ask(
                "Please set your network mode to 4G/5G preferred and run a speed test.",
                "Please change the network mode preference to 4g_5g_preferred, then rerun the speed "
                "test.",
            )
        if not self.is_fast() and self.facts.get("vpn") != "off":
            yield from self.ask(
                "Please disconnect your VPN and run a speed test.",
                "Please turn off the VPN and then run the speed test again.",
            )
        return self.is_fast()

    def is_fast(self) -> bool:
        """Whether the last speed test was excellent."""
        return self.facts.get("speed") == "excellent"

    def is_online(self) -> bool:
        """Whether the last speed test found a connection."""
        return self.facts.get("speed", "none") != "none"

    def data(self) -> Script[bool]:
        """Restore mobile data at any speed. Returns whether there is any."""
        yield from self.ask(
            "Please run a speed test and tell me the result.",
            "Could you run a speed test for me?",
        )
        if self.is_online():
            return True
        where = yield Say(
            self.words.pick(
                "Are you currently traveling outside your home country?",
                "Are you abroad at the moment, or at home?",
            )
        )
        if _TRAVEL.search(where) and not _NO_TRAVEL.search(where):
            if str(self.account.line.get("roaming_enabled")).lower() != "true":
                yield Call("enable_roaming", self.account.ids)
            yield from self.switch_on(roaming=True)
        else:
            yield from self.switch_on(roaming=False)
        if self.is_online():
            return True
        if not (yield from self.top_up()):
            return False
        yield from self.ask(
            "I have added the data to your line. Please run another speed test.",
            "Your data has been refueled. Could you rerun the speed test?",
        )
        return self.is_online()

    def switch_on(self, *, roaming: bool) -> Script[None]:
        """Have mobile data, and data roaming if the user travels, switched on."""
        off = []
        if self.facts.get("data") != "on":
            off.append("mobile data")
        if roaming and self.facts.get("roaming") != "on":
            off.append("data roaming")
        if off:
            what = " and ".join(off)
            yield from self.ask(
                f"Please turn on {what} on your phone, then run a speed test.",
                f"Could you turn {what} on and run the speed test again?",
            )
        elif roaming:
            yield from self.ask(
                "I've made sure that roaming is enabled on your line. Please run the speed test again."
            )

    def top_up(self) -> Script[bool]:
        """Refuel data if the plan's are used up. Returns whether that was done."""
        usage = as_usage((yield Call("get_data_usage", self.account.ids)))
        if usage is None or usage[0] <= usage[1]:
            return False
        return (yield from refuel(self.account, self.words))

    # --- Path 3: MMS ---

    def mms(self) -> Script[bool]:
        """Make picture messages work. Returns whether they do."""
        if not ((yield from self.service()) and (yield from self.data())):
            return False
        if self.facts.get("generation") == "2g":
            yield from self.ask(
                "Your phone is on a 2G network, which is too old for picture messages. Please set the "
                "network mode to 4G/5G preferred.",
                "Please change your network mode preference to 4g_5g_preferred, since 2G does not "
                "carry picture messages.",
            )
        yield from self.ask(
            "Now please check your Wi-Fi calling status, the permissions of your messaging app, and "
            "your APN settings.",
            "Could you check whether Wi-Fi calling is on, which permissions the messaging app has, and "
            "what your APN settings are?",
        )
        steps = []
        if self.facts.get("wifi calling") == "on":
            steps.append("turn Wi-Fi calling off")
        granted = self.facts.get("permissions", "")
        missing = [name for name in ("storage", "sms") if name not in granted.split(", ")]
        if missing:
            steps.append(f"grant the messaging app the {' and '.join(missing)} permission")
        if self.facts.get("mmsc", "not set") == "not set":
            steps += ["reset your APN settings", "restart your phone"]
        steps.append("try to send an MMS")
        yield from self.ask(
            f"Please {', then '.join(steps)}.",
            f"Please do the following, one after the other: {'; '.join(steps)}.",
        )
        return self.facts.get("mms") == "yes"


def as_usage(result: str) -> tuple[float, float] | None:
    """Data used and data allowed, in GB, from the result of `get_data_usage`; None for an error."""
    usage = as_json(result)
    if not isinstance(usage, dict):
        return None
    allowed = float(usage["data_limit_gb"]) + float(usage["data_refueling_gb"])
    return float(usage["data_used_gb"]), allowed
