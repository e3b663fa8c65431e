"""Calls of models over real HTTP, straight and through LiteLLM."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.completion import (
    EXACT_TOKENS,
    CallTimeout,
    ChatModel,
    Completion,
    ContentFiltered,
    ContextOverflow,
    ExactTokens,
    RawCall,
    Usage,
    call_seed,
    metered,
    run_sync,
)
from tau2_gym.completion import http as http_module
from tau2_gym.completion import model as model_module
from tau2_gym.completion.faults import wished_pause
from tau2_gym.completion.redaction import redact, shown_url
from tau2_gym.completion.wire import NotACompletion, read_completion
from tau2_gym.errors import ConfigError, InfrastructureError
from tests.chat_server import ChatServer, Drop, Hang, Status, Whole, call, in_turn
from tests.raw_server import RawServer, chat_answer, response

SGLANG = Path(__file__).resolve().parents[2] / "shared/reference/sglang_responses"
KEY = "sk-0123456789abcdef"
CHAT = [{"role": "user", "content": "Hi."}]
TOOL = {
    "type": "function",
    "function": {"name": "get_user", "description": "", "parameters": {"type": "object"}},
}
needs_litellm = pytest.mark.skipif(find_spec("litellm") is None, reason="LiteLLM is not installed")
both_ways = pytest.mark.parametrize(
    "litellm", [False, pytest.param(True, marks=needs_litellm)], ids=["http", "litellm"]
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "FIRST_PAUSE", 0.01)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


def model(server: ChatServer, litellm: bool = False, **options: Any) -> ChatModel:
    name = "openai/tiny" if litellm else "tiny"
    options = {"retries": 2, "timeout": 20.0, **options}
    return ChatModel(name, base_url=server.url, litellm=litellm, **options)


def ask(chat_model: ChatModel, **options: Any) -> Completion:
    return run_sync(chat_model.complete(CHAT, **options))


# Questions and answers


@both_ways
def test_text_calls_and_usage(server: ChatServer, litellm: bool) -> None:
    server.brain = in_turn("Hello.", call("get_user", {"id": "u2"}))
    tiny = model(server, litellm)
    said, called = ask(tiny), ask(tiny, tools=[TOOL])
    assert said == Completion("Hello.", usage=Usage(100, 10, 0.0, 1))
    assert not called.content
    assert called.tool_calls == (RawCall("call-0", "get_user", '{"id": "u2"}'),)
    assert called.finish_reason == "tool_calls"


@both_ways
def test_the_request_holds_what_was_asked_for(server: ChatServer, litellm: bool) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    tiny = model(server, litellm, temperature=0, top_p=0.9, max_tokens=7, extra_body=extra)
    ask(tiny, tools=[TOOL], seed=3)
    assert server.requests == [
        {
            "model": "tiny",
            "messages": CHAT,
            "tools": [TOOL],
            "temperature": 0.0,
            "top_p": 0.9,
            "max_tokens": 7,
            "seed": 3,
            **extra,
        }
    ]


@both_ways
def test_a_seed_that_is_not_sent(server: ChatServer, litellm: bool) -> None:
    ask(model(server, litellm, send_seed=False), seed=3)
    assert "seed" not in server.requests[0]


@both_ways
def test_the_key_is_sent_and_nothing_in_its_place(server: ChatServer, litellm: bool) -> None:
    ask(model(server, litellm, api_key=KEY))
    ask(model(server, litellm))
    assert server.keys[0] == KEY
    assert server.keys[1] in (None, "EMPTY")


@both_ways
def test_messages_are_left_as_they_are(server: ChatServer, litellm: bool) -> None:
    chat = [{"role": "user", "content": "½ \ud800 Hi."}]
    before = json.dumps(chat)
    if not litellm:  # LiteLLM's client cannot send half a surrogate pair.
        run_sync(model(server, litellm).complete(chat))
    assert json.dumps(chat) == before


def recorded() -> dict[str, Any]:
    path = SGLANG / "chat_tool_call.json"
    if not path.is_file():
        pytest.skip("the recordings of SGLang are not beside the repository")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@both_ways
def test_exact_tokens_of_a_recorded_sglang_response(server: ChatServer, litellm: bool) -> None:
    record = recorded()
    server.brain = lambda body: Whole(record["response"])
    completion = ask(model(server, litellm, extra_body=EXACT_TOKENS), tools=[TOOL])
    choice = record["response"]["choices"][0]
    triples = choice["meta_info"]["output_token_logprobs"]
    assert completion.exact == ExactTokens(
        tuple(choice["prompt_token_ids"]),
        tuple(choice["response_token_ids"]),
        tuple(triple[0] for triple in triples),
    )
    assert completion.tool_calls[0].arguments == '{"id": "u2"}'
    assert completion.usage == Usage(208, 27, 0.0, 1)
    assert server.requests[0]["return_token_ids"] is True


def test_exact_tokens_in_the_form_of_vllm() -> None:
    body = {
        "prompt_token_ids": [1, 2],
        "choices": [
            {
                "message": {"role": "assistant", "content": "a"},
                "token_ids": [3],
                "logprobs": {"content": [{"token": "a", "logprob": -0.5}]},
            }
        ],
    }
    assert read_completion(body).exact == ExactTokens((1, 2), (3,), (-0.5,))
    body["choices"][0]["token_ids"] = [3, 4]  # type: ignore[index]
    with pytest.raises(NotACompletion, match="2 tokens and 1 log-prob"):
        read_completion(body)


def test_our_server_answers_in_the_shape_of_the_recording() -> None:
    record = recorded()["response"]
    with ChatServer(lambda body: call("get_user")) as server:
        run_sync(model(server).complete(CHAT))
        ours = server._completion({"model": "tiny"}, call("get_user"))
    assert set(ours) <= set(record)
    assert set(ours["choices"][0]) <= set(record["choices"][0])
    assert set(ours["choices"][0]["message"]) <= set(record["choices"][0]["message"])
    theirs = record["choices"][0]["message"]["tool_calls"][0]
    mine = ours["choices"][0]["message"]["tool_calls"][0]
    assert set(mine) <= set(theirs)
    assert set(mine["function"]) == set(theirs["function"])


@needs_litellm
def test_costs_of_known_models(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer() as server:
        known = ChatModel("openai/gpt-4.1-mini", base_url=server.url, litellm=True)
        assert ask(known).usage.cost == pytest.approx(100 * 0.4e-6 + 10 * 1.6e-6)


# Failures


@both_ways
def test_what_may_pass_is_tried_again(server: ChatServer, litellm: bool) -> None:
    server.brain = in_turn(Status(500), Drop(), "Hello.")
    assert ask(model(server, litellm)).content == "Hello."
    assert len(server.requests) == 3
    server.brain = in_turn(Status(429), Status(503, "busy"), "Hello.")
    assert ask(model(server, litellm)).content == "Hello."


def test_a_server_that_breaks_over_an_answer_gets_another_seed(server: ChatServer) -> None:
    server.brain = lambda body: Status(500) if body["seed"] == 3 else "Hello."
    assert ask(model(server), seed=3).content == "Hello."
    assert [body["seed"] for body in server.requests] == [3, 3, call_seed(3, 0, 3)]


@both_ways
def test_a_service_that_asks_to_be_left_alone_is(server: ChatServer, litellm: bool) -> None:
    server.brain = in_turn(Status(429, headers={"Retry-After": "1"}), "Hello.")
    begun = time.monotonic()
    ask(model(server, litellm))
    assert time.monotonic() - begun >= 1


def test_what_retry_after_may_ask_for() -> None:
    for header, seconds in {
        None: 0, "": 0, "3": 3, "0.5": 0.5, "-1": 0, "86400": 60, "inf": 60, "-inf": 0, "nan": 0,
        "9" * 5000: 60, "soon": 0, "Mon, 01 Jan 1990 00:00:00 GMT": 0,
        "Fri, 31 Dec 9999 23:59:59 GMT": 60, "Fri, 99 Dec 9999 23:59:59 GMT": 0,
    }.items():  # fmt: skip
        assert wished_pause(header) == seconds, header
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert 15 < wished_pause(soon) <= 20


@both_ways
def test_no_wish_is_longer_than_a_call(server: ChatServer, litellm: bool) -> None:
    tiny = model(server, litellm, timeout=1.0)
    ask(tiny)
    server.brain = in_turn(Status(429, headers={"Retry-After": "86400"}), "Hello.")
    begun = time.monotonic()
    ask(tiny)
    assert 1 <= time.monotonic() - begun < 10


@both_ways
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Status(401, {"error": {"message": f"bad key {KEY}"}}), "does not accept the API key"),
        (
            Status(404, {"error": {"message": "The model `tiny` does not exist"}}),
            "not have the model",
        ),
        (Status(400, {"error": {"message": "top_k: unexpected"}}), "top_k: unexpected"),
        (Status(422, {"detail": "extra field seed"}), "seed"),
        (Status(429, {"error": {"message": "insufficient_quota"}}), "no credit"),
        (Whole("<html>Welcome!</html>"), "chat completion|[Ii]nvalid response"),
        (Whole({"choices": []}), "no choices|[Ii]nvalid response"),
    ],
)
def test_a_wrong_set_up_is_one_sentence_at_once(
    server: ChatServer, litellm: bool, answer: Status | Whole, words: str
) -> None:
    server.brain = lambda body: answer
    tiny = model(server, litellm, api_key=KEY, retries=1)
    # LiteLLM takes an answer that is none for a failure of the server.
    lenient = litellm and isinstance(answer, Whole)
    with pytest.raises((ConfigError, *[InfrastructureError] * lenient), match=words) as caught:
        ask(tiny)
    assert "\n" not in str(caught.value)
    assert KEY not in "".join(map(str, _chain(caught.value)))
    assert len(server.requests) == 1 or lenient


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@both_ways
def test_a_wrong_address(server: ChatServer, litellm: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = "openai/tiny" if litellm else "tiny"
    for url, words in [
        (f"http://127.0.0.1:{port}/v1", "cannot connect to http://127.0.0.1"),
        (server.url.removesuffix("/v1"), "usually ends in /v1"),
    ]:
        with pytest.raises(ConfigError, match=words):
            ask(ChatModel(name, base_url=url, litellm=litellm, retries=1, startup=0))


@both_ways
def test_a_service_that_has_answered_is_not_set_up_wrongly(
    server: ChatServer, litellm: bool
) -> None:
    tiny = model(server, litellm, retries=1)
    ask(tiny)
    for answer in (Status(401), Status(400)):
        server.brain = lambda body, answer=answer: answer
        with pytest.raises(InfrastructureError):
            ask(tiny)


@both_ways
def test_a_broken_service(server: ChatServer, litellm: bool) -> None:
    server.brain = lambda body: Status(500, {"error": {"message": f"key {KEY}"}})
    with pytest.raises(InfrastructureError, match=r"status 500.*\(after 3 attempts\)") as caught:
        ask(model(server, litellm, api_key=KEY))
    assert KEY not in "".join(map(str, _chain(caught.value)))


@both_ways
def test_a_late_service(server: ChatServer, litellm: bool) -> None:
    server.brain = lambda body: Hang(5)
    tiny = model(server, litellm, retries=1, timeout=0.3)
    begun = time.monotonic()
    with pytest.raises(CallTimeout, match=r"did not answer within 0\.3 s"):
        ask(tiny)
    assert 0.6 <= time.monotonic() - begun < 4


@both_ways
@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 32768 tokens. However, you requested 40000",
        "The input (40000 tokens) is longer than the model's context length (32768 tokens).",
        "prompt is too long: 200001 tokens > 200000 maximum",
    ],
)
def test_a_chat_that_does_not_fit(server: ChatServer, litellm: bool, text: str) -> None:
    server.brain = lambda body: Status(400, {"error": {"message": text}})
    with pytest.raises(ContextOverflow, match="does not fit"):
        ask(model(server, litellm))
    assert len(server.requests) == 1


@both_ways
def test_filters(server: ChatServer, litellm: bool) -> None:
    filtered = {"error": {"message": "triggered the content management policy"}}
    server.brain = in_turn(
        Status(400, filtered), {"content": "", "finish_reason": "content_filter"}
    )
    for _ in range(2):
        with pytest.raises(ContentFiltered):
            ask(model(server, litellm))
    assert len(server.requests) == 2


@needs_litellm
@pytest.mark.parametrize("name", ["anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro"])
@pytest.mark.parametrize("body", ["out of cards", {"error": {"message": "out of cards"}}])
def test_what_a_provider_says_is_repeated_without_litellms_words(name: str, body: Any) -> None:
    said = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    with RawServer(lambda *_: [response(said, 500)]) as broken:
        url = f"http://127.0.0.1:{broken.port}/v1"
        asked = ChatModel(name, base_url=url, litellm=True, api_key=KEY, retries=0)
        with pytest.raises(InfrastructureError, match=r"status 500: out of cards \(after 1 att"):
            ask(asked)


@needs_litellm
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openai/gpt-4.1", "set OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", "set ANTHROPIC_API_KEY"),
        ("no-such-model", "PROVIDER/MODEL"),
    ],
)
def test_what_litellm_needs(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ask(ChatModel(name))


@needs_litellm
def test_a_parameter_that_the_provider_does_not_take() -> None:
    with pytest.raises(ConfigError, match="temperature"):
        ask(ChatModel("openai/o3", api_key=KEY, temperature=0.3))


@pytest.mark.skipif(find_spec("litellm") is not None, reason="LiteLLM is installed")
def test_without_litellm() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'tau2-gym\[litellm\]'"):
        ask(ChatModel("gpt-4.1"))


@pytest.mark.parametrize("release", ["1.82.7", "1.82.8"])
def test_malicious_releases_are_not_imported(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    from tau2_gym.completion import via_litellm

    monkeypatch.setattr(via_litellm, "version", lambda name: release)
    via_litellm.load_litellm.cache_clear()
    with pytest.raises(ConfigError, match="malicious"):
        via_litellm.load_litellm()


@pytest.mark.parametrize(
    "options",
    [
        {"model": ""},
        {"base_url": "127.0.0.1:8000/v1"},
        {"base_url": "ftp://host/v1"},
        {"litellm": False},
        {"temperature": -1},
        {"top_p": 0},
        {"max_tokens": 0},
        {"timeout": 0},
        {"retries": -1},
        {"extra_body": {"api_key": KEY}},
        {"extra_body": {"Authorization": KEY}},
    ],
)
def test_values_that_are_not_allowed(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ChatModel(**{"model": "tiny", **options})


def test_secrets_stay_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = ChatModel("tiny", base_url="http://me:pass@host/v1?key=1", api_key=KEY)
    assert KEY not in repr(tiny) + json.dumps(tiny.request(CHAT))
    assert shown_url("http://me:pass@host:1/v1?key=1") == "http://host:1/v1"
    monkeypatch.setenv("SOME_API_KEY", "from-the-environment")
    ChatModel("tiny", base_url="http://host/v1", api_key="EMPTY")
    text = redact(f"{KEY} from-the-environment Bearer xyz EMPTY")
    assert text == "*** *** Bearer *** EMPTY"
    assert len(redact("word " * 1000)) == 400


# Loops and threads


def test_a_synchronous_call_inside_and_outside_a_loop(server: ChatServer) -> None:
    tiny = model(server)
    assert ask(tiny).content == "Hello."
    threads = threading.active_count()

    async def inside() -> str | None:
        return ask(tiny).content

    for _ in range(5):
        assert asyncio.run(inside()) == "Hello."
        assert ask(tiny).content == "Hello."
    assert threading.active_count() == threads
    assert server.connections == 1


def test_threads_do_not_grow_with_callers(server: ChatServer) -> None:
    tiny = model(server)
    ask(tiny)
    before = threading.active_count()
    callers = [threading.Thread(target=ask, args=(tiny,)) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert threading.active_count() == before


def test_a_coroutine_must_not_wait_for_itself() -> None:
    async def inner() -> int:
        return 1

    async def outer() -> int:
        return run_sync(inner())

    with pytest.raises(RuntimeError, match="must await"):
        run_sync(outer())


def test_the_context_of_the_caller_reaches_the_coroutine() -> None:
    variable: ContextVar[int] = ContextVar("variable")
    variable.set(3)

    async def read() -> int:
        return variable.get()

    assert run_sync(read()) == 3


def test_a_forked_process_starts_over(server: ChatServer) -> None:
    script = """
import os, sys, warnings
warnings.simplefilter("ignore")
from tau2_gym.completion import ChatModel, run_sync
model = ChatModel("tiny", base_url=sys.argv[1])
ask = lambda: run_sync(model.complete([{"role": "user", "content": "Hi."}])).content
assert ask() == "Hello."
child = os.fork()
if child == 0:
    os._exit(0 if ask() == "Hello." else 1)
assert os.waitpid(child, 0)[1] == 0
assert ask() == "Hello."
"""
    subprocess.run([sys.executable, "-c", script, server.url], check=True, timeout=60)


def test_clients_end_with_their_loops(server: ChatServer) -> None:
    tiny = model(server)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            asyncio.run(tiny.complete(CHAT))
        gc.collect()
    assert not [loop for loop in http_module._CLIENTS if loop.is_closed()]
    assert server.connections == 3


@both_ways
def test_many_calls_at_once(server: ChatServer, litellm: bool) -> None:
    tiny = model(server, litellm)
    ask(tiny)
    server.brain = lambda body: Hang(0.3)

    async def many() -> None:
        await asyncio.gather(*(tiny.complete(CHAT, seed=seed) for seed in range(100)))

    begun = time.monotonic()
    asyncio.run(many())
    assert time.monotonic() - begun < (10 if litellm else 5)
    assert {body.get("seed") for body in server.requests[1:]} == set(range(100))


@both_ways
def test_a_cancelled_call_lets_go_of_the_connection(server: ChatServer, litellm: bool) -> None:
    tiny = model(server, litellm)
    ask(tiny)
    server.brain = lambda body: Hang(30)

    async def cancel() -> None:
        task = asyncio.create_task(tiny.complete(CHAT))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    begun = time.monotonic()
    asyncio.run(cancel())
    assert time.monotonic() - begun < 5


# Counting


@both_ways
def test_meters_count_what_happens_inside_them(server: ChatServer, litellm: bool) -> None:
    tiny = model(server, litellm)
    one = Usage(100, 10, 0.0, 1)

    async def episode(calls: int) -> Usage:
        with metered() as meter:
            for _ in range(calls):
                await tiny.complete(CHAT)
        return meter.usage

    async def run() -> list[Usage]:
        with metered() as whole:
            parts = await asyncio.gather(episode(1), episode(2), episode(3))
        return [*parts, whole.usage]

    assert asyncio.run(run()) == [one, one + one, one + one + one, Usage(600, 60, 0.0, 6)]
    with metered() as meter:
        ask(tiny)
    ask(tiny)
    assert meter.usage == one


def test_what_calls_took_adds_up() -> None:
    assert Usage(1, 20, 0.5, 1) + Usage(3, 40, 0.25, 2) == Usage(4, 60, 0.75, 3)


def test_seeds_of_calls() -> None:
    seeds = {call_seed(seed, turn, n) for seed in range(20) for turn in range(20) for n in range(3)}
    assert len(seeds) == 1200
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert call_seed(2**63 - 1, 0) == call_seed(2**63 - 1, 0, 0)


@pytest.mark.parametrize(
    ("status", "up"),
    [(200, True), (401, True), (404, True), (499, True), (500, False), (503, False)],
)
def test_a_server_is_up_when_it_answers_anything_but_that_it_is_not(status: int, up: bool) -> None:
    with RawServer(lambda *_: [response(b"", status)]) as server:
        url = f"http://127.0.0.1:{server.port}/models"
        assert run_sync(http_module.looks_up(url, None)) is up
    assert run_sync(http_module.looks_up(url, None)) is False


def test_a_server_is_shown_the_key_when_it_is_looked_at() -> None:
    heads: list[str] = []

    def hear(method: str, path: str, head: bytes, body: bytes) -> list[bytes]:
        heads.append(head.decode().lower())
        return [response(b"")]

    with RawServer(hear) as server:
        transport = http_module.HTTPTransport(f"http://127.0.0.1:{server.port}/v1", KEY)
        assert run_sync(transport.looks_up()) is True
    assert heads[0].startswith("get /v1/models ")
    assert f"authorization: bearer {KEY}" in heads[0]


@both_ways
def test_compressed_answers_are_not_asked_for(litellm: bool) -> None:
    heads: list[str] = []

    def hear(method: str, path: str, head: bytes, body: bytes) -> list[bytes]:
        heads.append(head.decode().lower())
        return [response(json.dumps(chat_answer()).encode())]

    with RawServer(hear) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        ask(ChatModel("openai/tiny" if litellm else "tiny", base_url=url, litellm=litellm))
    assert re.findall(r"accept-encoding: (.*)\r\n", heads[0]) == ["identity"]


@needs_litellm
def test_a_server_behind_litellm_can_be_looked_at_where_its_address_is_known() -> None:
    from tau2_gym.completion.via_litellm import LiteLLMTransport

    with RawServer(lambda *_: [response(b"")]) as server:
        looks_up = LiteLLMTransport(f"http://127.0.0.1:{server.port}/v1", None, 5).looks_up
        assert looks_up is not None
        assert run_sync(looks_up()) is True
    assert run_sync(looks_up()) is False
    assert LiteLLMTransport(None, None, 5).looks_up is None


@needs_litellm
def test_what_litellm_logs_is_said_without_its_secrets(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PLANTED_API_KEY", "planted-0123")  # in no form that LiteLLM knows
    ask(model(server, litellm=True))
    logger = logging.getLogger("LiteLLM")
    logger.addHandler(caplog.handler)
    try:
        logger.warning("Is %s a key?", "planted-0123")
    finally:
        logger.removeHandler(caplog.handler)
    assert "Is *** a key?" in caplog.messages
    assert "planted" not in caplog.text
