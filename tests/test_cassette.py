"""Recording and replaying calls of models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.litellm_agent import LiteLLMAgent
from tau2_gym.cassette import Cassette, describe
from tau2_gym.completion import (
    CallTimeout,
    ChatModel,
    Completion,
    ContentFiltered,
    ContextOverflow,
    ExactTokens,
    RawCall,
    Usage,
    metered,
    run_sync,
)
from tau2_gym.completion import model as model_module
from tau2_gym.completion.wire import request_key
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, DataError, InfrastructureError
from tau2_gym.users.llm import LLMUser
from tests.chat_server import ChatServer, Hang, Status, in_turn, player, puppet
from tests.helpers import gold_moves, some
from tests.playing import play_metered

KEY = "sk-0123456789abcdef"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "cassette.jsonl"


def model(url: str, cassette: Cassette, **options: Any) -> ChatModel:
    options = {"api_key": KEY, "retries": 0, "timeout": 10.0, **options}
    return ChatModel("tiny", base_url=url, cassette=cassette, **options)


def ask(chat_model: ChatModel, text: str = "Hi.", seed: int = 0) -> Completion:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return run_sync(chat_model.complete(chat, seed=seed))


NOWHERE = "http://127.0.0.1:9/v1"


def test_a_replay_needs_no_server(server: ChatServer, path: Path) -> None:
    answers = ["One.", {"content": None, "tool_calls": _call()}, "Three."]
    server.brain = in_turn(*answers)
    recording = model(server.url, Cassette(path, "record"))
    first = [ask(recording, text) for text in "abc"]
    replayed = model(NOWHERE, Cassette(path, "replay"))
    with metered() as meter:
        assert [ask(replayed, text) for text in "abc"] == first
    assert meter.usage == Usage(300, 30, 0.0, 3)
    assert len(server.requests) == 3


def _call() -> list[dict[str, Any]]:
    return [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"é": 1}'}}]


def test_completions_survive_the_file(path: Path) -> None:
    completion = Completion(
        "é",
        (RawCall("1", "f", "{}"),),
        "tool_calls",
        "no",
        Usage(1, 2, 0.1 + 0.2, 1),
        ExactTokens((1, 2), (3,), (-0.1234567890123456,)),
    )

    async def answer(request: dict[str, Any]) -> Completion:
        return completion

    request = {"model": "m", "messages": [{"role": "user", "content": "½ \ud800"}]}
    run_sync(Cassette(path).play(request, answer))
    assert run_sync(Cassette(path, "replay").play(request, answer)) == completion
    assert run_sync(Cassette(path, "auto").play(request, answer)) == completion


def test_requests_alike_are_answered_in_order(server: ChatServer, path: Path) -> None:
    server.brain = in_turn("One.", "Two.", "Three.")
    recording = model(server.url, Cassette(path, "record"))
    assert [ask(recording).content for _ in range(2)] == ["One.", "Two."]
    cassette = Cassette(path, "replay")
    assert len(cassette) == 2
    replayed = model(NOWHERE, cassette)
    assert [ask(replayed).content for _ in range(2)] == ["One.", "Two."]
    with pytest.raises(DataError, match="all 2 recorded answers have been played"):
        ask(replayed)
    cassette.rewind()
    assert ask(replayed).content == "One."


def test_a_key_knows_the_content_and_not_its_layout() -> None:
    assert request_key({"a": 1, "b": [2]}) == request_key({"b": [2], "a": 1})
    assert request_key({"a": 1}) != request_key({"a": 2})


@pytest.mark.parametrize(
    ("options", "text", "seed", "words"),
    [
        ({}, "Hi.", 1, "differs in seed"),
        ({}, "Hi there.", 0, "differs in last"),
        ({"temperature": 0.5}, "Hi.", 0, "differs in parameters"),
    ],
)
def test_a_call_that_is_missing(
    server: ChatServer, path: Path, options: dict[str, Any], text: str, seed: int, words: str
) -> None:
    ask(model(server.url, Cassette(path, "record")))
    with pytest.raises(DataError, match=words) as caught:
        ask(model(NOWHERE, Cassette(path, "replay"), **options), text, seed)
    said = str(caught.value)
    assert "\n" not in said
    assert str(path) in said
    assert "'tiny'" in said
    assert f'"content": "{text}"' in said


def test_what_is_missing_is_named_in_its_own_letters(server: ChatServer, path: Path) -> None:
    ask(model(server.url, Cassette(path, "record")))
    with pytest.raises(DataError, match='"content": "Crème brûlée"'):
        ask(model(NOWHERE, Cassette(path, "replay")), "Crème brûlée")
    with pytest.raises(DataError) as caught:
        ask(model(NOWHERE, Cassette(path, "replay")), "x" * 5000)
    assert f"{'x' * 50}…" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_auto_records_what_is_missing(server: ChatServer, path: Path) -> None:
    server.brain = in_turn("One.", "Two.")
    for _ in range(3):
        auto = model(server.url, Cassette(path))
        assert [ask(auto, text).content for text in "ab"] == ["One.", "Two."]
    assert len(server.requests) == 2


def test_auto_knows_what_it_has_recorded_itself(server: ChatServer, path: Path) -> None:
    server.brain = in_turn("One.", Status(500), "Two.")
    cassette = Cassette(path)
    auto = model(server.url, cassette)
    assert ask(auto, "a").content == "One."
    with pytest.raises(InfrastructureError):
        ask(auto, "b")
    assert len(cassette) == 1
    cassette.rewind()
    assert [ask(auto, text).content for text in "ab"] == ["One.", "Two."]
    assert (len(server.requests), len(cassette)) == (3, 2)


def test_failures_are_played_again(server: ChatServer, path: Path) -> None:
    too_long = {"error": {"message": "maximum context length is 5"}}
    server.brain = in_turn(
        "Hello.",
        Status(400, too_long),
        {"content": None, "finish_reason": "content_filter"},
        Status(500),
        Hang(5),
    )
    recording = model(server.url, Cassette(path, "record"), timeout=0.5)
    ask(recording)
    kinds = [ContextOverflow, ContentFiltered, InfrastructureError, CallTimeout]
    said = []
    for text, kind in zip("abcd", kinds, strict=True):
        with pytest.raises(kind) as caught:
            ask(recording, text)
        said.append(str(caught.value))
    replayed = model(NOWHERE, Cassette(path, "replay"))
    for text, kind, words in zip("abcd", kinds, said, strict=True):
        with pytest.raises(kind) as again:
            ask(replayed, text)
        assert type(again.value) is kind
        assert str(again.value) == words
    # What was the server's failure is tried again, and what was the model's is not.
    server.brain = lambda body: "Better."
    auto = model(server.url, Cassette(path))
    for text in "ab":
        with pytest.raises((ContextOverflow, ContentFiltered)):
            ask(auto, text)
    assert [ask(auto, text).content for text in "cd"] == ["Better.", "Better."]


def test_a_writer_that_was_killed(server: ChatServer, path: Path) -> None:
    server.brain = in_turn("One.", "Two.", "Three.")
    recording = model(server.url, Cassette(path, "record"))
    ask(recording, "a")
    ask(recording, "b")
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    auto = model(server.url, Cassette(path))
    assert [ask(auto, text).content for text in "ab"] == ["One.", "Three."]
    replayed = model(NOWHERE, Cassette(path, "replay"))
    assert [ask(replayed, text).content for text in "ab"] == ["One.", "Three."]


def test_keys_never_enter_a_cassette(server: ChatServer, path: Path) -> None:
    def echo(body: dict[str, Any]) -> Status:
        return Status(500, {"error": {"message": f"no, {server.keys[-1]}, no"}})

    recording = model(server.url, Cassette(path, "record"))
    ask(recording)
    server.brain = echo
    with pytest.raises(InfrastructureError):
        ask(recording, "again")
    assert server.keys == [KEY, KEY]
    content = path.read_text("utf-8")
    assert "no, ***, no" in content
    assert KEY not in content
    assert "127.0.0.1" not in content
    assert "answered with status 500" in content


def test_modes_and_files(path: Path) -> None:
    with pytest.raises(ConfigError, match="auto, record, replay"):
        Cassette(path, "rewind")
    with pytest.raises(ConfigError, match="no cassette to replay"):
        Cassette(path, "replay")
    path.parent.mkdir()
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="no cassette to replay"):
        Cassette(path, "replay")
    assert len(Cassette(path, "record")) == 0
    path.write_bytes(b"\n")
    with pytest.raises(ConfigError, match="exists already"):
        Cassette(path, "record")
    for line in ("{}", "[]", '{"key": "a"}', '{"key": "a", "failure": "bad mood"}', "nothing"):
        path.write_text(line + "\n")
        with pytest.raises(DataError, match="line 1"):
            Cassette(path, "replay")
        with pytest.raises(ConfigError, match="exists already"):
            Cassette(path, "record")


def test_a_description_says_what_was_asked() -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "Hi."}]
    request = ChatModel("tiny", base_url=NOWHERE, temperature=0).request(chat, seed=5)
    described = describe(request)
    assert described["last"] == chat[-1]
    assert described["parameters"] == {"temperature": 0.0}
    assert (described["model"], described["seed"], described["messages"]) == ("tiny", 5, 2)


@pytest.mark.parametrize("name", ["retail", "telecom"])
def test_an_episode_is_the_same_bit_by_bit(server: ChatServer, path: Path, name: str) -> None:
    task = next(t for t in some(name, 8) if len(gold_moves(t)) > 2)
    moves = gold_moves(task)
    users = get_domain(name).user_guidelines[:40]

    def brain(body: dict[str, Any]) -> Any:
        is_user = body["messages"][0]["content"].startswith(users)
        return puppet(body) if is_user else player(moves)(body)

    server.brain = brain

    def played(url: str, mode: str) -> Any:
        chat_model = model(url, Cassette(path, mode))
        outcome, *took = asyncio.run(
            play_metered(LiteLLMAgent(chat_model), LLMUser(chat_model), task, seed=7)
        )
        trajectory = [message.to_dict() for message in outcome.info["privileged"]["trajectory"]]
        return trajectory, outcome.reward, outcome.info["reward_terms"], took

    live = played(server.url, "record")
    calls = len(server.requests)
    assert live[3][1].calls == calls
    assert played(NOWHERE, "replay") == live
    assert len(server.requests) == calls
    assert live[0][-1]["content"].endswith("###STOP###")
