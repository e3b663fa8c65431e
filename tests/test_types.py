from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.types import Checks, Message, Termination, ToolCall, Weights

arguments = st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=3)


def calls(requestor: str) -> st.SearchStrategy[ToolCall]:
    return st.builds(
        ToolCall,
        name=st.text(min_size=1),
        arguments=arguments,
        id=st.text(),
        requestor=st.just(requestor),
    )


def messages() -> st.SearchStrategy[Message]:
    spoken = [
        st.builds(
            Message,
            role=st.just(role),
            content=st.none() | st.text(),
            tool_calls=st.lists(calls(role), max_size=2).map(tuple),
        )
        for role in ("assistant", "user")
    ]
    results = st.builds(
        Message,
        role=st.just("tool"),
        content=st.none() | st.text(),
        call_id=st.text(),
        requestor=st.sampled_from(["assistant", "user"]),
        error=st.booleans(),
    )
    return st.one_of(*spoken, results)


@given(messages())
def test_a_message_survives_tau2_benchs_form_written_as_json(message: Message) -> None:
    assert Message.from_dict(json.loads(json.dumps(message.to_dict()))) == message


@pytest.mark.parametrize("role", ["assistant", "user"])
def test_a_recorded_call_without_requestor_is_its_speakers(role: str) -> None:
    message = Message.from_dict({"role": role, "tool_calls": [{"name": "f", "arguments": None}]})
    assert message.tool_calls == (ToolCall("f", {}, "", role),)  # type: ignore[arg-type]


def test_a_recorded_requestor_is_kept() -> None:
    call = {"name": "f", "arguments": {}, "requestor": "user"}
    message = Message.from_dict({"role": "assistant", "tool_calls": [call]})
    assert message.tool_calls[0].requestor == "user"


@pytest.mark.parametrize("role", ["system", None, "Assistant"])
def test_a_message_of_another_role_is_refused(role: str | None) -> None:
    with pytest.raises(DataError, match=f"message role {role!r}"):
        Message.from_dict({"role": role, "content": "Hello"})


@pytest.mark.parametrize(
    ("content", "says"), [(None, False), ("", False), (" \n\t", False), ("x", True), (" x ", True)]
)
def test_white_space_is_not_text(content: str | None, says: bool) -> None:
    assert Message("user", content).has_text is says


def test_messages_and_calls_cannot_be_changed() -> None:
    message = Message("user", "Hello", (ToolCall("f"),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.content = "Bye"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.tool_calls[0].name = "g"  # type: ignore[misc]


def test_only_stops_are_graded() -> None:
    assert {end for end in Termination if end.graded} == {
        Termination.USER_STOP,
        Termination.AGENT_STOP,
    }


def test_checks_become_plain_data() -> None:
    checks = Checks(False, 0.25, actions=(True, False), communicate=(True,))
    assert json.loads(json.dumps(checks.to_dict())) == {
        "db": False,
        "db_similarity": 0.25,
        "actions": [True, False],
        "performed": [],
        "communicate": [True],
        "env_assertions": [],
        "unexpected": 0,
        "reads": [],
    }


@pytest.mark.parametrize("name", ["action", "communicate", "env_assertion", "db"])
def test_weights_may_be_nothing_and_not_negative(name: str) -> None:
    assert getattr(Weights(**{name: 0}), name) == 0
    with pytest.raises(ConfigError, match="weights must not be negative"):
        Weights(**{name: -0.01})


def test_a_result_is_no_error_unless_it_says_so() -> None:
    plain = {"role": "tool", "content": "1", "id": "c"}
    assert Message.from_dict(plain).error is False
    assert Message.from_dict({**plain, "error": True}).error is True
