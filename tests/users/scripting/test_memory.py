"""What scenarios let their users say."""

from __future__ import annotations

import re

from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.types import Scenario
from tau2_gym.users.scripting.memory import Memory, memory


def details(known: Memory) -> dict[str, tuple[str, ...]]:
    return {detail.name: detail.values for detail in known.details if detail.values}


def test_parts() -> None:
    known = memory(
        Scenario(
            "…",
            reason="You want to cancel #W1234567. You also want a refund.",
            known="You are Ann Lee.\nYour zip code is 12345.",
            unknown="You do not remember your email.",
            instructions="Be polite. You want to be quick. If the agent says that it cannot be "
            "cancelled, mention that you were promised it. If the agent asks for the reason, say you "
            "don't need it. The lamp you want is red.",
        )
    )
    assert [one.text for one in known.wishes] == [
        "I want to cancel #W1234567.",
        "I also want a refund.",
        "I want to be quick.",
    ]
    promise, reason, lamp = known.replies
    assert (promise.text, promise.denial) == ("I was promised it.", True)
    assert (reason.text, reason.denial) == ("I don't need it.", False)
    assert reason.cue == {"reaso"}
    assert (lamp.text, lamp.cue) == ("The lamp I want is red.", frozenset())
    assert details(known) == {
        "name": ("Ann Lee",),
        "zip code": ("12345",),
        "order number": ("#W1234567",),
    }
    assert [one.text for one in known.unknown] == ["I do not remember my email."]


def test_prose_without_parts() -> None:
    known = memory(Scenario("…", instructions="You are new. Create a task. Request a compliment."))
    assert [one.text for one in known.wishes] == [
        "I am new.",
        "Please create a task.",
        "I would like to request a compliment.",
    ]


def test_nothing_at_all() -> None:
    known = memory(Scenario(""))
    assert known.statements == ()


def test_secrets_stay_secret() -> None:
    known = memory(Scenario("", reason="You want a lamp (but do not reveal it to the agent)."))
    assert known.wishes[0].text == "I want a lamp."


def test_every_task_has_something_to_say(domain: Domain) -> None:
    for scenario in {task.scenario for task in domain.tasks.values()}:
        known = memory(scenario)
        assert known.wishes
        for one in known.wishes:
            assert one.text.strip(" .")
            assert not re.match(r"You (?:are|want|have)\b", one.text)


def test_users_can_be_identified() -> None:
    for name in ("airline", "retail", "telecom"):
        for task in get_domain(name).tasks.values():
            assert details(memory(task.scenario)), task.id
