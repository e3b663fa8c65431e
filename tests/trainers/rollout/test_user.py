"""The user of a training run, and what is found out about it before anything is claimed."""

from __future__ import annotations

from typing import Any

import pytest

from tau2_gym.errors import ConfigError
from tau2_gym.users.llm import LLMUser
from tau2_gym.users.scripted import ScriptedUser
from tests.chat_server import Brain, ChatServer, Status
from trainers.config import GRPOConfig, load_config
from trainers.rollout.user import check_user, make_training_user

NAME = "Qwen/Qwen3-4B-Instruct-2507"
CALL = {
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "ring", "arguments": "{}"}}]
}


def config(url: str = "") -> GRPOConfig:
    settings: dict[str, Any] = {"model": "m"}
    if url:
        settings["environment.user"] = f"llm:{NAME}@{url}"
    return load_config(GRPOConfig, None, settings)


def test_the_user_that_the_settings_name() -> None:
    assert isinstance(make_training_user(config()), ScriptedUser)
    assert isinstance(make_training_user(config("http://127.0.0.1:1/v1")), LLMUser)
    check_user(config())


@pytest.mark.parametrize("answer", ["Ring, ring.", CALL])
def test_a_user_that_answers_does(answer: Any) -> None:
    with ChatServer(lambda body: answer) as server:
        check_user(config(server.url))
        (request,) = server.requests
    assert request["model"] == NAME
    assert [tool["function"]["name"] for tool in request["tools"]] == ["ring"]


def unknown(body: dict[str, Any]) -> Status:
    return Status(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})


@pytest.mark.parametrize(
    ("brain", "says"),
    [
        (unknown, f"the user's model cannot be used: .*{NAME}"),
        (lambda body: Status(500), "the user's model cannot be used: .*500"),
        (
            lambda body: '<tool_call>\n{"name": "ring", "arguments": {}}\n</tool_call>',
            "hands out tool calls as text: start it with a parser .*--tool-call-parser",
        ),
    ],
)
def test_a_user_that_would_spoil_every_episode_is_refused(brain: Brain, says: str) -> None:
    with ChatServer(brain) as server, pytest.raises(ConfigError, match=says):
        check_user(config(server.url))


def test_a_server_that_is_not_there_is_noticed() -> None:
    with pytest.raises(ConfigError, match=r"the user.s model cannot be used: .*127\.0\.0\.1:1"):
        check_user(config("http://127.0.0.1:1/v1"))
