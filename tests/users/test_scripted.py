"""The scripted user in conversation."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.types import Message, Scenario
from tau2_gym.users.base import STOP, TRANSFER, User, UserView
from tau2_gym.users.scripted import ScriptedUser
from tau2_gym.users.scripting.phone import SWITCHES

DATA = "[mobile_data_issue]data_saver_mode_on|user_abroad_roaming_enabled_off[PERSONA:Easy]"
BILL = "[service_issue]airplane_mode_on|overdue_bill_suspension[PERSONA:None]"
MMS = "[mms_issue]break_app_sms_permission|data_mode_off[PERSONA:None]"
GREETING = "Hi! How can I help you today?"
VERBOSITIES = ("terse", "normal", "chatty")


@dataclass
class Talk:
    """A conversation with the scripted user, over a real world."""

    domain: str
    task: str
    user: User = field(default_factory=ScriptedUser)
    seed: int = 0
    start: Sequence[str] = (GREETING,)
    without: Sequence[str] = ()

    def __post_init__(self) -> None:
        domain = get_domain(self.domain)
        task = domain.tasks[self.task]
        self.world = domain.start(task)
        tools = [tool for name, tool in domain.user_tools.items() if name not in self.without]
        self.view = UserView(self.domain, self.task, task.scenario, tuple(tools), ())
        self.calls: list[str] = []
        self.said = ""
        for text in self.start:
            self.tell(text)

    def tell(self, text: str) -> str:
        """Say something to the user. Returns the answer, and leaves the calls in `calls`."""
        self._add(Message("assistant", text))
        self.calls = []
        while True:
            message = self.user.respond(self.view, self.seed)
            self._add(message)
            if not message.tool_calls:
                assert message.content is not None
                self.said = message.content
                return self.said
            (call,) = message.tool_calls
            assert message.content is None
            assert call.requestor == "user"
            self.calls.append(call.name)
            result, error = self.world.call(call.name, call.arguments, "user")
            self._add(Message("tool", result, call_id=call.id, requestor="user", error=error))

    def _add(self, message: Message) -> None:
        self.view = replace(self.view, messages=(*self.view.messages, message))


def results(talk: Talk) -> list[str]:
    return [message.content or "" for message in talk.view.messages if message.role == "tool"]


# Parameters


@pytest.mark.parametrize(
    "arguments",
    [{"patience": 0}, {"patience": 1.5}, {"patience": "5"}, {"patience": True},
     {"verbosity": "loud"}, {"verbosity": None}],
)  # fmt: skip
def test_wrong_parameters(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ScriptedUser(**arguments)


def test_it_is_a_user() -> None:
    assert isinstance(ScriptedUser(), User)
    assert ScriptedUser() == ScriptedUser(patience=5, verbosity="normal")


# Openings


def test_every_task_opens_in_the_first_person(domain: Domain) -> None:
    tools = tuple(domain.user_tools.values())
    scenarios = {task.scenario: task for task in domain.tasks.values()}
    for scenario, task in scenarios.items():
        lengths = []
        for verbosity in VERBOSITIES:
            view = UserView(
                domain.name, task.id, scenario, tools, (Message("assistant", GREETING),)
            )
            message = ScriptedUser(verbosity=verbosity).respond(view, 0)  # type: ignore[arg-type]
            said = message.content or ""
            assert not re.search(r"\b[Yy]ou(?:r|'re| are| want| have)\b(?! (?:able|can))", said)
            lengths.append(len(said))
        assert lengths[0] <= lengths[1] <= lengths[2] + 40


def test_not_everything_at_once() -> None:
    terse = Talk("telecom", DATA, ScriptedUser(verbosity="terse")).said
    chatty = Talk("telecom", DATA, ScriptedUser(verbosity="chatty")).said
    assert len(terse) < len(chatty)
    assert "excellent internet speed" not in terse
    assert "excellent internet speed" in chatty
    assert "John" not in chatty


def test_it_may_speak_first() -> None:
    domain = get_domain("telecom")
    view = UserView("telecom", DATA, domain.tasks[DATA].scenario, (), ())
    assert "mobile data" in (ScriptedUser().respond(view, 0).content or "")


def test_a_task_with_a_history_goes_on_from_there() -> None:
    domain = get_domain("mock")
    task = domain.tasks["update_task_with_message_history"]
    texts = tuple(one for one in task.start.messages if one.role != "tool" and not one.tool_calls)
    said = ScriptedUser().respond(UserView("mock", task.id, task.scenario, (), texts), 0).content
    assert said is not None
    assert "mark the task as completed" in said


# Purity


def test_the_same_view_and_seed_give_the_same_message() -> None:
    talk = Talk("telecom", DATA)
    talk.tell("What is your phone number? Please turn on data roaming, then check your status bar.")
    for end in range(1, len(talk.view.messages) + 1):
        view = replace(talk.view, messages=talk.view.messages[:end])
        copied = replace(
            view,
            messages=tuple(
                Message.from_dict(json.loads(json.dumps(message.to_dict())))
                for message in view.messages
            ),
        )
        random.seed(end)
        assert ScriptedUser().respond(view, 3) == ScriptedUser().respond(copied, 3)


def test_other_seeds_say_it_differently() -> None:
    openings = {Talk("telecom", DATA, seed=seed).said for seed in range(20)}
    assert len(openings) > 5
    assert all("mobile data" in opening for opening in openings)


def test_another_user_can_be_taken_over_from() -> None:
    """What somebody else's user said and did is taken as it is."""
    talk = Talk("telecom", DATA)
    talk._add(Message("assistant", "Please turn on data roaming."))
    talk.view = replace(
        talk.view,
        messages=(
            *talk.view.messages,
            Message("user", "Sure, I did. Roaming is on, I think."),
        ),
    )
    talk.tell("Please check your network status.")
    assert talk.calls == ["check_network_status"]


# The phone


def test_one_call_a_message_in_the_order_asked_then_a_report() -> None:
    talk = Talk("telecom", DATA)
    talk.tell("Please turn on data roaming, restart your phone and run a speed test.")
    assert talk.calls == [
        "check_network_status",
        "toggle_roaming",
        "reboot_device",
        "run_speed_test",
    ]
    positions = [talk.said.index(result) for result in results(talk)]
    assert positions == sorted(positions)


@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_results_are_reported_as_they_are(verbosity: Any) -> None:
    talk = Talk("telecom", DATA, ScriptedUser(verbosity=verbosity))
    talk.tell("Please check your network status, your APN settings and your VPN.")
    assert len(results(talk)) == 3
    assert all(result in talk.said for result in results(talk))


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("state", ["on", "off"])
@pytest.mark.parametrize("flipped", [False, True])
def test_switches_end_in_the_state_asked_for(name: str, state: str, flipped: bool) -> None:
    talk = Talk("telecom", DATA)
    switch = SWITCHES[name]
    if flipped:
        talk.world.call(switch.toggle, {}, "user")
    before, _ = talk.world.call(switch.check, {}, "user")
    was = "on" if switch.on.search(before) else "off"
    talk.tell(f"Please turn {name} {state}.")
    after, _ = talk.world.call(switch.check, {}, "user")
    assert (switch.on if state == "on" else switch.off).search(after)
    assert talk.calls == [switch.check] + [switch.toggle] * (was != state)
    if was == state:
        assert f"already {state.upper()}" in talk.said
    talk.tell(f"Turn {name} {state}, please.")
    assert talk.calls == []  # it knows


def test_what_it_refers_to_is_remembered() -> None:
    talk = Talk("telecom", DATA)
    talk.tell("Is data saver on?")
    assert talk.calls == ["check_data_restriction_status"]
    talk.tell("Please turn it off.")
    assert talk.calls == ["toggle_data_saver_mode"]


@pytest.mark.parametrize(
    "text",
    [
        "I have enabled roaming on your line.",
        "Please do not restart your phone.",
        "Airplane mode can cause this.",
        "I'm checking your VPN and your APN settings on our side.",
        "Would you like me to enable roaming on your line?",
    ],
)
def test_it_does_not_act_unasked(text: str) -> None:
    talk = Talk("telecom", DATA)
    talk.tell(text)
    assert talk.calls == []


def test_errors_are_reported() -> None:
    talk = Talk("telecom", DATA)
    talk.tell("Please run set_apn_settings(apn_settings={'apn_name': 'nonsense'})")
    assert talk.calls == ["set_apn_settings"]
    assert "Error" in talk.said


def test_a_missing_argument_is_asked_for() -> None:
    talk = Talk("telecom", MMS)
    assert "Which permission" in talk.tell(
        "Please grant the messaging app the permission it needs."
    )
    assert talk.calls == []
    talk.tell("Grant the messaging app the SMS permission.")
    assert talk.calls == ["grant_app_permission"]


def test_tools_it_does_not_have_are_not_called() -> None:
    talk = Talk("telecom", DATA, without=("reboot_device", "run_speed_test"))
    assert "I don't see a way" in talk.tell("Please restart your phone. Then do run_speed_test.")
    assert talk.calls == []


def test_conditions_are_looked_up() -> None:
    talk = Talk("telecom", DATA)
    talk.tell("If you are abroad, turn on data roaming. If the SIM is missing, reseat it.")
    assert talk.calls == ["check_network_status", "toggle_roaming", "check_sim_status"]
    assert "does not apply" in talk.said


# Questions


def test_it_identifies_itself_when_asked() -> None:
    talk = Talk("telecom", DATA)
    assert "555-123-2002" not in talk.said
    assert "555-123-2002" in talk.tell("Could you give me your phone number?")
    assert "John Smith" in talk.tell("And your full name?")
    assert "France" in talk.tell("Are you traveling at the moment?")


def test_it_refuels_but_keeps_its_plan() -> None:
    talk = Talk("telecom", DATA)
    assert "2.0 GB" in talk.tell("How much data would you like to refuel?")
    assert re.match(r"(?:Yes|Sure)", talk.tell("That will be $4.00. Shall I go ahead?"))
    assert talk.tell("Would you like to upgrade your plan instead?").startswith("No")


def test_it_pays_when_asked() -> None:
    talk = Talk("telecom", BILL)
    ids = {"customer_id": "C1001", "bill_id": "B1234321"}
    talk.world.call("send_payment_request", ids, "assistant")
    talk.tell("Please check your payment request and, if it is correct, pay the bill.")
    assert talk.calls == ["check_payment_request", "make_payment"]
    assert "Payment of 65.0 USD has been made" in talk.said


def test_what_it_does_not_know_it_says() -> None:
    assert "remember" in Talk("retail", "0").tell("What is your email address?")
    unknown = Talk("telecom", DATA).tell("What is your favourite colour?")
    assert unknown  # the next thing it wants, or that it does not know


def test_the_rest_comes_out_when_asked_whether_there_is_more() -> None:
    talk = Talk("airline", "35", ScriptedUser(verbosity="terse"))
    assert "SFO" not in talk.said
    assert "SFO" in talk.tell("Your flight was cancelled. Is there anything else?")


def test_instructions_for_later_wait_for_their_moment() -> None:
    talk = Talk("airline", "0")
    assert "insurance" not in talk.said
    assert "insurance" in talk.tell("Unfortunately, this reservation cannot be cancelled.")


def test_it_says_one_yes_a_message() -> None:
    talk = Talk("retail", "113")
    assert talk.tell("Shall I cancel them? Please confirm (yes/no).").lower().count("yes") <= 1


# Endings


@pytest.mark.parametrize("domain", ["airline", "retail", "mock", "telecom"])
def test_being_transferred(domain: str) -> None:
    talk = Talk(domain, next(iter(get_domain(domain).tasks)))
    assert TRANSFER not in talk.tell("I will transfer you to a human agent if you like.")
    assert TRANSFER in talk.tell("YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON.")


@pytest.mark.parametrize(
    "closing",
    ["Is there anything else I can help you with?", "Your issue is now resolved.", "Goodbye!"],
)
def test_it_sees_for_itself_before_it_stops(closing: str) -> None:
    talk = Talk("telecom", DATA)
    assert STOP not in talk.tell(closing)
    assert talk.calls == ["run_speed_test"]
    assert "Speed test failed" in talk.said
    talk.tell("Please turn on data roaming and turn off data saver.")
    assert STOP in talk.tell(closing)
    assert talk.calls == ["run_speed_test"]
    assert "(Excellent)" in talk.said


def test_a_fresh_good_result_is_enough() -> None:
    talk = Talk("telecom", DATA)
    talk.tell("Turn on data roaming, turn off data saver, and run a speed test.")
    assert STOP in talk.tell("Anything else?")
    assert talk.calls == []


def test_solved_alone_is_no_end() -> None:
    talk = Talk("telecom", DATA)
    talk.tell("Turn on data roaming, turn off data saver, and run a speed test.")
    assert STOP not in talk.tell("Is it working now?")


def test_each_goal_is_recognised() -> None:
    talk = Talk("telecom", MMS)
    talk.tell("Please turn on mobile data and grant the messaging app the SMS permission.")
    assert STOP in talk.tell("Is there anything else?")
    assert talk.calls == ["can_send_mms"]
    talk = Talk("telecom", BILL)
    assert STOP not in talk.tell("Anything else?")
    assert talk.calls == ["check_status_bar"]


def test_without_a_tool_to_see_with_it_takes_the_agents_word() -> None:
    talk = Talk("telecom", DATA, ScriptedUser(verbosity="chatty"), without=("run_speed_test",))
    for _ in range(4):
        if STOP in talk.tell("That is solved. Is there anything else?"):
            break
    assert STOP in talk.said
    assert talk.calls == []


@pytest.mark.parametrize("patience", [1, 3, 6])
@pytest.mark.parametrize(
    "text",
    ["Let me look into that.", "Is there anything else?", "Goodbye.", "What is your phone number?"],
)
def test_patience_ends(patience: int, text: str) -> None:
    talk = Talk("telecom", DATA, ScriptedUser(patience=patience))
    count = 0
    while STOP not in talk.said:
        talk.tell(text)
        count += 1
        assert count <= patience + 2
    assert count >= patience


def test_progress_renews_patience() -> None:
    talk = Talk("telecom", DATA, ScriptedUser(patience=2))
    for _ in range(5):
        assert STOP not in talk.tell("One moment.")
        assert STOP not in talk.tell("Please restart your phone.")


@pytest.mark.parametrize("name", ["airline", "retail", "mock"])
def test_it_stops_when_all_is_said(name: str) -> None:
    for task in get_domain(name).tasks:
        talk = Talk(name, task)
        for _ in range(12):
            if STOP in talk.tell("That is done. Is there anything else I can help you with?"):
                break
        assert STOP in talk.said


def test_frustration_is_shown_where_the_scenario_says_so() -> None:
    texts = set()
    for seed in range(10):
        talk = Talk("telecom", DATA, seed=seed)
        talk.tell("Please restart your phone.")
        texts.add("frustrating" in talk.tell("Anything else?") or "annoying" in talk.said)
    assert texts == {True}


# Whatever the agent says

WORDS = st.sampled_from(
    [
        "please", "turn", "off", "on", "airplane mode", "Wi-Fi", "if", "it", "is", "not", "and", "or",
        "check", "the", "status bar", "grant", "storage", "permission", "restart", "your", "phone",
        "pay", "bill", "VPN", "4G", "toggle_data", "set_network_mode_preference(", "mode='x')", "(",
        "grant_app_permission", "set_apn_settings({'a': 1})", "?", ".", ",", "anything else",
        "transferred", "confirm", "I", "have", "you", "don't", "\n", "§1§", "###", "2.0 GB", "otherwise",
    ]
)  # fmt: skip


@settings(max_examples=150)
@given(
    texts=st.lists(st.one_of(st.lists(WORDS, max_size=15).map(" ".join), st.text(max_size=40)),
                   min_size=1, max_size=3),
    seed=st.integers(0, 2**63 - 1),
    verbosity=st.sampled_from(VERBOSITIES),
)  # fmt: skip
def test_any_text_has_a_valid_answer(texts: list[str], seed: int, verbosity: Any) -> None:
    tools = get_domain("telecom").user_tools
    talk = Talk("telecom", MMS, ScriptedUser(verbosity=verbosity), seed=seed)
    for text in texts:
        said = talk.tell(f"{text} ")
        assert said.strip()
    for message in talk.view.messages:
        for call in message.tool_calls:
            assert set(call.arguments) <= set(tools[call.name].parameters.get("properties", {}))
            json.dumps(call.arguments, allow_nan=False)


@settings(max_examples=100)
@given(text=st.text(max_size=80), prose=st.text(max_size=80))
def test_any_scenario_has_an_answer(text: str, prose: str) -> None:
    scenario = Scenario(prose, reason=text, known=prose, unknown=text, instructions=prose)
    view = UserView("airline", "x", scenario, (), (Message("assistant", GREETING),))
    for _ in range(3):
        message = ScriptedUser().respond(view, 0)
        assert message.has_text
        assert not message.tool_calls
        more = (message, Message("assistant", "Could you confirm your name?"))
        view = replace(view, messages=(*view.messages, *more))
