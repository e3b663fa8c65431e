"""The user played by a model, over real HTTP."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from agents.oracle import OracleAgent
from tau2_gym.completion import ChatModel, Usage, call_seed, metered
from tau2_gym.completion import model as model_module
from tau2_gym.domains.base import get_domain
from tau2_gym.episode import GREETING
from tau2_gym.errors import ConfigError, InfrastructureError, UserFault
from tau2_gym.types import Message, Scenario, ToolCall
from tau2_gym.users import STOP_TOKENS, AsyncUser, User, UserView, make_user
from tau2_gym.users.llm import LLMUser
from tests.chat_server import Answer, ChatServer, Drop, Hang, Status, call, in_turn, puppet
from tests.helpers import gold_moves, make, run, some

both_ways = pytest.mark.parametrize(
    "litellm",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.skipif(find_spec("litellm") is None, reason="LiteLLM is missing"),
        ),
    ],
    ids=["http", "litellm"],
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(puppet) as running:
        yield running


def user(server: ChatServer, litellm: bool = False, **options: Any) -> LLMUser:
    options = {"retries": 1, "timeout": 20.0, **options}
    name = "openai/tiny" if litellm else "tiny"
    return LLMUser(ChatModel(name, base_url=server.url, litellm=litellm, **options))


def view(*messages: Message, domain: str = "telecom", tools: int | None = None) -> UserView:
    specs = tuple(get_domain(domain).user_tools.values())[:tools]
    scenario = Scenario("Instructions:\n\tMy phone is broken.")
    return UserView(domain, "task", scenario, specs, (Message("assistant", GREETING), *messages))


# What the model is told


@both_ways
def test_roles_are_turned_round(server: ChatServer, litellm: bool) -> None:
    asked = ToolCall("check_apn_settings", {"a": 1}, "call-1", "user")
    seen = view(
        Message("user", "My phone is broken."),
        Message("assistant", "Please check."),
        Message("user", tool_calls=(asked,)),
        Message("tool", "Fine.", call_id="call-1", requestor="user"),
    )
    assert user(server, litellm).respond(seen, 0) == Message("user", "Done.")
    sent = server.requests[0]["messages"]
    assert sent[1:3] == [
        {"role": "user", "content": GREETING},
        {"role": "assistant", "content": "My phone is broken."},
    ]
    assert sent[3] == {"role": "user", "content": "Please check."}
    assert sent[4]["tool_calls"][0]["function"] == {
        "name": "check_apn_settings",
        "arguments": '{"a": 1}',
    }
    assert (sent[4]["role"], sent[4].get("content")) == ("assistant", None)
    assert sent[5] == {"role": "tool", "tool_call_id": "call-1", "content": "Fine."}


@pytest.mark.parametrize("name", ["retail", "telecom"])
def test_guidelines_and_scenario_are_the_system_message(server: ChatServer, name: str) -> None:
    seen = view(domain=name)
    user(server).respond(seen, 0)
    system = server.requests[0]["messages"][0]
    guidelines = get_domain(name).user_guidelines
    assert system == {
        "role": "system",
        "content": f"{guidelines}\n\n<scenario>\n{seen.scenario.text}\n</scenario>",
    }


def test_guidelines_of_ones_own(server: ChatServer) -> None:
    own = replace(user(server), guidelines="Be kind.<PERSONA_GUIDELINES>")
    own.respond(view(), 0)
    assert server.requests[0]["messages"][0]["content"].startswith("Be kind.\n\n<scenario>\n")


def test_tools_are_those_of_the_view(server: ChatServer) -> None:
    for tools in (3, 0):
        user(server).respond(view(tools=tools), 0)
    assert server.requests[0]["tools"] == [tool.schema for tool in view(tools=3).tools]
    assert "tools" not in server.requests[1]


def test_the_tools_of_a_task_are_filtered(server: ChatServer) -> None:
    domain = get_domain("telecom")
    task = replace(some("telecom", 1)[0], id="filtered", user_tools=("toggle_data",))
    from tau2_gym.episode import Episode

    user(server).respond(Episode(domain, task).user_view(), 0)
    assert [tool["function"]["name"] for tool in server.requests[0]["tools"]] == ["toggle_data"]


def test_seeds_differ_by_turn_and_attempt(server: ChatServer) -> None:
    server.brain = in_turn("", "Hello.")
    sarah = user(server, temperature=0.7)
    sarah.respond(view(), 5)
    sarah.respond(view(Message("user", "Hm."), Message("assistant", "Yes?")), 5)
    sarah.respond(view(), 6)
    seeds = [body["seed"] for body in server.requests]
    assert seeds == [call_seed(5, 1, 0), call_seed(5, 1, 1), call_seed(5, 3, 0), call_seed(6, 1, 0)]
    assert len(set(seeds)) == 4
    assert {body["temperature"] for body in server.requests} == {0.7}


# What the model says


@pytest.mark.parametrize("token", STOP_TOKENS)
def test_the_stop_tokens_pass(server: ChatServer, token: str) -> None:
    server.brain = lambda body: f"Bye. {token}"
    assert user(server).respond(view(), 0) == Message("user", f"Bye. {token}")


@both_ways
def test_calls_are_the_users_own(server: ChatServer, litellm: bool) -> None:
    server.brain = lambda body: call("check_apn_settings", "", number=4)
    message = user(server, litellm).respond(view(), 0)
    assert message.tool_calls == (ToolCall("check_apn_settings", {}, "call-4", "user"),)
    assert message.role == "user"
    assert message.content is None


def test_thoughts_stay_with_the_model(server: ChatServer) -> None:
    for opening in ("<think>", ""):
        server.brain = lambda body, opening=opening: f"{opening}It is secret.</think>\n\nHello."
        assert user(server).respond(view(), 0).content == "Hello."


BAD: list[tuple[Answer, str]] = [
    ("", "empty"),
    (" \n", "empty"),
    ({"content": "Wait.", **call("check_apn_settings")}, "both speaks and calls"),
    (call("check_apn_settings", "{'a': 1}"), "not valid JSON"),
    (call("check_apn_settings", "[1]"), "JSON object"),
    (call("check_apn_settings", '{"a": '), "not valid JSON"),
    (call("", {}), "name"),
    (
        {
            "tool_calls": [
                *call("check_apn_settings")["tool_calls"],
                *call("check_apn_settings", "[1]")["tool_calls"],
            ]
        },
        "JSON object",
    ),
    (call("get_customer_by_phone", {}), "no tool 'get_customer_by_phone'"),
    ("<tool_call>{}</tool_call>", "<tool_call>"),
    ('{"name": "check_apn_settings"}</tool_call>', "the text holds </tool_call>"),
    ("<think>I should", "<think>"),
    ({"content": "a\ud800b"}, "broken character"),
    ({"content": None, "refusal": "I cannot pretend."}, "I cannot pretend"),
    ({"content": "Hel", "finish_reason": "content_filter"}, "content filter"),
    (Status(400, {"error": {"message": "content_filter triggered"}}), "content filter"),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_an_unusable_answer_is_asked_for_again_then_the_users_fault(
    server: ChatServer, bad: Answer, words: str
) -> None:
    server.brain = in_turn(bad, bad, "Hello.")
    assert user(server).respond(view(), 0).content == "Hello."
    assert len(server.requests) == 3
    server.brain = lambda body: bad
    with pytest.raises(UserFault, match=words) as caught:
        user(server).respond(view(), 0)
    assert len(server.requests) == 6
    assert "3 attempts" in str(caught.value)


@both_ways
def test_a_late_model_and_one_that_is_full_are_at_fault(server: ChatServer, litellm: bool) -> None:
    sarah = user(server, litellm, timeout=0.3)
    server.brain = lambda body: Hang(5)
    with pytest.raises(UserFault, match="did not answer within"):
        sarah.respond(view(), 0)
    assert len(server.requests) == 2
    server.brain = lambda body: Status(400, {"error": {"message": "maximum context length is 9"}})
    with pytest.raises(UserFault, match="does not fit"):
        sarah.respond(view(), 0)
    assert len(server.requests) == 3


@both_ways
def test_a_broken_server_is_nobodys_fault(server: ChatServer, litellm: bool) -> None:
    sarah = user(server, litellm)
    sarah.respond(view(), 0)
    for answer in (Status(500), Drop()):
        server.brain = lambda body, answer=answer: answer
        with pytest.raises(InfrastructureError):
            sarah.respond(view(), 0)


def test_what_is_thrown_away_is_counted(server: ChatServer) -> None:
    server.brain = in_turn("", "", "Hello.")
    with metered() as meter:
        user(server).respond(view(), 0)
    assert meter.usage == Usage(300, 30, 0.0, 3)


# Whole episodes


@both_ways
@pytest.mark.parametrize("name", ["retail", "telecom", "airline"])
def test_whole_episodes_in_the_environment(server: ChatServer, litellm: bool, name: str) -> None:
    env = make(name, user=user(server, litellm))
    threads = 0
    for number, task in enumerate(some(name, 3, seed=5)):
        moves = gold_moves(task)
        *_, last = run(
            env, lambda turn, info, moves=moves: moves[min(turn, len(moves) - 1)],
            seed=number, options={"task_id": task.id},
        )  # fmt: skip
        info = last[4]
        assert info["termination"] == "user_stop"
        assert info["official_reward"] == 1.0
        trajectory = info["privileged"]["trajectory"]
        if name == "telecom":
            asked = [m for m in trajectory if m.role == "user" and m.is_tool_call]
            assert len(asked) == sum(move.startswith("Please run") for move in moves)
        threads = threads or threading.active_count()
    assert threading.active_count() == threads


def test_an_oracle_and_a_model_solve_telecom_without_blocking_each_other(
    server: ChatServer,
) -> None:
    """Sixteen episodes at once on one loop, with one user object."""
    from tests.playing import play

    sarah = user(server)
    tasks = some("telecom", 16, seed=3)

    class Oracle:
        async def aact(self, view: Any, memory: Any, seed: int) -> Any:
            from agents.base import Reply

            return Reply(OracleAgent().act(view, seed))

    async def play_all() -> list[Any]:
        return await asyncio.gather(*(play(Oracle(), sarah, task) for task in tasks))

    outcomes = asyncio.run(play_all())
    assert [outcome.info["official_reward"] for outcome, _ in outcomes] == [1.0] * 16


# Naming one


def test_users_by_name() -> None:
    assert make_user("litellm:gpt-4.1-mini") == LLMUser(ChatModel("gpt-4.1-mini", temperature=0.0))
    assert make_user("llm:org/m@1@https://host/v1") == LLMUser(
        ChatModel("org/m@1", base_url="https://host/v1", temperature=0.0)
    )
    for name, words in [
        ("llm:gpt-4.1", "names no server"),
        ("llm:@http://host/v1", "name is empty"),
        ("litellm:", "name is empty"),
        ("gpt-4.1", "allowed: .*litellm:MODEL, llm:MODEL@URL"),
    ]:
        with pytest.raises(ConfigError, match=words):
            make_user(name)
    with pytest.raises(ConfigError, match="at least 1 attempt"):
        LLMUser(ChatModel("tiny"), attempts=0)


def test_it_is_a_user_of_both_kinds() -> None:
    sarah = LLMUser(ChatModel("tiny"))
    assert isinstance(sarah, User)
    assert isinstance(sarah, AsyncUser)


def test_naming_a_user_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from tau2_gym.users import make_user; make_user('litellm:m'); "
        "heavy = {'litellm', 'openai', 'httpx'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ), timeout=60)
