"""Servers that answer with anything at all: infrastructure's fault, bounded in time and memory.

Whatever comes back, on either wire, is an answer or an `InfrastructureError` once the server has
answered properly: never the agent's or the user's fault, never the end of a run, never a crash.
"""

from __future__ import annotations

import asyncio
import copy
import gzip
import itertools
import json
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agents.attempts import Attempt
from agents.backends.base import Generation
from agents.backends.recorded import RecordedBackend
from agents.backends.sglang import SGLangBackend
from agents.backends.wire import read_answer
from agents.codec import ChatCodec
from agents.litellm_agent import LiteLLMAgent
from agents.noop import NoopAgent
from agents.rollout import Limits, Player
from agents.sampling import SamplingParams
from agents.token_agent import TokenAgent
from tau2_gym.cassette import Cassette
from tau2_gym.completion import EXACT_TOKENS, ChatModel, Completion, run_sync
from tau2_gym.completion import model as model_module
from tau2_gym.completion.bodies import MOST
from tau2_gym.completion.faults import CallFailed, Kind
from tau2_gym.completion.wire import NotACompletion, read_completion
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.results.record import Record
from tau2_gym.users.base import STOP
from tau2_gym.users.llm import LLMUser
from tau2_gym.users.scripted import ScriptedUser
from tests.raw_server import (
    RawServer,
    chat_answer,
    chunked,
    generate_answer,
    good,
    response,
)
from tests.tiny_model import tiny_tokenizer

PROMPT = [1, 2, 3]
CHAT = [{"role": "user", "content": "Hi."}]
WIRES = [
    "chat",
    "generate",
    pytest.param(
        "litellm",
        marks=pytest.mark.skipif(find_spec("litellm") is None, reason="LiteLLM is not installed"),
    ),
]
both_wires = pytest.mark.parametrize("wire", WIRES)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer(good) as running:
        yield running


def chat_model(server: RawServer, litellm: bool = False) -> ChatModel:
    return ChatModel(
        "openai/tiny" if litellm else "tiny",
        base_url=f"http://127.0.0.1:{server.port}/v1",
        litellm=litellm,
        retries=1,
        timeout=20,
        startup=0,
        outage=0.5,
        extra_body=EXACT_TOKENS,
    )


def backend(server: RawServer) -> SGLangBackend:
    url = f"http://127.0.0.1:{server.port}"
    return SGLangBackend([url], attempts=2, backoff=0.01, timeout=20, startup=0, outage=0.5)


class Client:
    """Asks the server on one of the wires, with one object for all its questions."""

    def __init__(self, server: RawServer, wire: str) -> None:
        self.wire = wire
        if wire == "generate":
            self._runner = asyncio.Runner()
            self._backend = backend(server)
        else:
            self._model = chat_model(server, wire == "litellm")

    def ask(self) -> Generation | Completion:
        if self.wire == "generate":
            params = SamplingParams(max_new_tokens=8)
            return self._runner.run(self._backend.generate(PROMPT, params, "e/0"))
        return run_sync(self._model.complete(CHAT, seed=1))

    def close(self) -> None:
        if self.wire == "generate":
            self._runner.run(self._backend.close())
            self._runner.close()


@pytest.fixture
def client(server: RawServer, wire: str) -> Iterator[Client]:
    """One that has been answered once, and has failed once: LiteLLM imports more when it must."""
    made = Client(server, wire)
    made.ask()
    server.answer = lambda *_: [response(b"{}", 500)]
    with pytest.raises(InfrastructureError):
        made.ask()
    server.answer = good
    yield made
    made.close()


def answer_of(wire: str) -> dict[str, Any]:
    return generate_answer(len(PROMPT)) if wire == "generate" else chat_answer()


# Whole responses

CHUNK = b" " * 2**16
GOOD = json.dumps(chat_answer()).encode()


@cache
def bomb(wbits: int) -> bytes:
    """Some 400 kB that unfold to 400 MB."""
    packer = zlib.compressobj(1, wbits=wbits)
    return b"".join([*(packer.compress(b" " * 2**20) for _ in range(400)), packer.flush()])


def encoded(name: str, body: bytes) -> list[bytes]:
    return [response(body, headers=f"Content-Encoding: {name}\r\n")]


RESPONSES: dict[str, Callable[[], Iterable[bytes]]] = {
    "empty": lambda: [response(b"")],
    "HTML": lambda: [response(b"<html>Welcome!</html>")],
    "null": lambda: [response(b"null")],
    "a number": lambda: [response(b"17")],
    "a text": lambda: [response(b'"Hello."')],
    "a list": lambda: [response(b"[]")],
    "an empty object": lambda: [response(b"{}")],
    "half of an object": lambda: [response(GOOD[: len(GOOD) // 2])],
    "not UTF-8": lambda: [response(b'{"choices": "\xff\xfe\x80"}')],
    "an unknown charset": lambda: [
        response(b"\xff", headers="Content-Type: application/json; charset=no-such\r\n")
    ],
    "a number of a million digits": lambda: [response(b"1" * 10**6)],
    "a million open brackets": lambda: [response(b"[" * 10**6)],
    "nested a hundred thousand times": lambda: [response(b"[" * 10**5 + b"]" * 10**5)],
    "objects nested a hundred thousand times": lambda: [
        response(b'{"choices":' * 10**5 + b"1" + b"}" * 10**5)
    ],
    "no HTTP": lambda: [b"SSH-2.0-OpenSSH_9.6\r\n"],
    "nothing": list,
    "a wrong status line": lambda: [b"HTTP/1.1 two hundred\r\n\r\n"],
    "a head without an end": lambda: itertools.repeat(b"X-Header: a\r\n", 10**6),
    "less than announced": lambda: [b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n{"],
    "ten gigabytes announced": lambda: [b"HTTP/1.1 200 X\r\nContent-Length: 10000000000\r\n\r\n{"],
    "an endless body": lambda: chunked(itertools.repeat(CHUNK)),
    "an endless error": lambda: [
        b"HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[b"10000\r\n%s\r\n" % CHUNK] * 1000,
    ],
    "a redirect": lambda: [response(b"", 302, "Location: http://127.0.0.1:1/\r\n")],
    "gzip": lambda: encoded("gzip", gzip.compress(GOOD)),
    "a bomb in gzip": lambda: encoded("gzip", bomb(31)),
    "a bomb in deflate": lambda: encoded("deflate", bomb(15)),
    "a bomb in raw deflate": lambda: encoded("deflate", bomb(-15)),
    "a bomb in gzip, twice": lambda: encoded("gzip, gzip", gzip.compress(bomb(31))),
    "what calls itself br": lambda: encoded("br", b"\x00" * 1000),
    "what calls itself zstd": lambda: encoded("zstd", b"\x28\xb5\x2f\xfd" + b"\x00" * 1000),
    "an error nested deeply": lambda: [
        response(b'{"error":' + b"[" * 900 + b"]" * 900 + b"}", 400)
    ],
}

SECONDS, BYTES = 30.0, 12 * MOST
"""What none of these may take more of; two attempts that hang would take 40 seconds."""


@both_wires
@pytest.mark.parametrize("case", RESPONSES)
def test_whatever_comes_back_is_infrastructures_fault(
    server: RawServer, client: Client, case: str
) -> None:
    made = RESPONSES[case]
    server.answer = lambda method, path, head, body: (
        made() if method == "POST" else good(method, path, head, body)
    )
    begun = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(InfrastructureError) as caught:
            client.ask()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < SECONDS
    assert most < BYTES
    assert f"http://127.0.0.1:{server.port}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800
    server.answer = good
    assert client.ask() is not None


TAKEN_APART = """
import resource, time
from tau2_gym.completion.bodies import MOST, read_json
body = b"[" + b"[]," * (MOST // 3 - 1) + b"[]]"
before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
read_json(body)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - begun)
"""


def test_the_body_that_unfolds_most_fits_into_memory() -> None:
    found = subprocess.run(
        [sys.executable, "-c", TAKEN_APART], capture_output=True, text=True, check=True
    )
    kilobytes, seconds = map(float, found.stdout.split())
    assert kilobytes < 300_000
    assert seconds < 5


@both_wires
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418, 422, 451])
def test_a_refusal_after_an_answer_does_not_end_a_run(
    server: RawServer, client: Client, status: int
) -> None:
    body = json.dumps({"error": {"message": "no such model"}}).encode()
    server.answer = lambda *_: [response(body, status)]
    with pytest.raises(InfrastructureError, match=r"no such model|status|HTTP"):
        client.ask()


@both_wires
def test_a_refusal_before_any_answer_does(server: RawServer, wire: str) -> None:
    body = json.dumps({"error": {"message": "wrong key"}}).encode()
    server.answer = lambda *_: [response(body, 401)]
    made = Client(server, wire)
    with pytest.raises(ConfigError):
        made.ask()
    made.close()


# Parts of an answer

JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 2**31, 2**70, float("nan"), float("inf"), 1e308, "", "5", "\ud800",
    [], [[]], [None], {}, {"a": 1}, [{}], ["x", -1],
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to everything in a JSON value."""
    yield path
    keys: Iterable[Any] = ()
    if isinstance(value, dict):
        keys = value
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield from places(value[key], (*path, key))


def changed(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    value = copy.deepcopy(value)
    at = value
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = junk
    return value


def broken(answer: Any) -> Iterator[Any]:
    """The answer with any one part of it in another form, or gone."""
    for path in places(answer):
        for junk in JUNK:
            yield changed(answer, path, junk)
        if path and isinstance(path[-1], str):
            made = copy.deepcopy(answer)
            at = made
            for key in path[:-1]:
                at = at[key]
            del at[path[-1]]
            yield made


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("calls", [None, [CALL]])
def test_every_ill_typed_part_of_a_completion(calls: Any) -> None:
    answer = chat_answer(tool_calls=calls)
    assert read_completion(answer).exact
    refused = 0
    for body in broken(answer):
        try:
            made = read_completion(body)
        except NotACompletion:
            refused += 1
            continue
        assert Completion.from_dict(json.loads(json.dumps(made.to_dict()))) == made
        assert isinstance(made.content, str | None)
        assert isinstance(made.finish_reason, str)
        assert isinstance(made.refusal, str)
        for call in made.tool_calls:
            assert all(isinstance(part, str) for part in (call.id, call.name, call.arguments))
        assert made.usage + made.usage
        if made.exact is not None:
            assert all(
                type(token) is int for token in made.exact.prompt_ids + made.exact.output_ids
            )
            assert all(type(number) is float for number in made.exact.logprobs or ())
    assert refused > 100


def test_every_ill_typed_part_of_an_answer_in_tokens() -> None:
    answer = generate_answer(len(PROMPT))
    refused = 0
    for body in broken(answer):
        try:
            part = read_answer(json.dumps(body).encode(), "http://h", len(PROMPT))
            reason = "stop" if part.reason == "stop" else "length"
            made = Generation(
                tuple(part.ids), tuple(part.logprobs), reason, part.versions, part.cached
            )
        except (CallFailed, InfrastructureError):
            refused += 1
            continue
        assert all(type(token) is int for token in made.ids)
        assert all(type(number) is float for number in made.logprobs)
        assert type(made.cached_tokens) is int
        assert all(type(name) is str and type(count) is int for name, count in made.versions)
    assert refused > 100


def meta(answer: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**answer, "meta_info": {**answer["meta_info"], **fields}}


TOKENS = {
    "a prompt cut short": meta(generate_answer(3), prompt_tokens=2),
    "a prompt that has grown": meta(generate_answer(3), prompt_tokens=4),
    "a probability above one": meta(
        generate_answer(3), output_token_logprobs=[[0.02, 5, None], [-1, 6, None]]
    ),
    "no number": meta(
        generate_answer(3), output_token_logprobs=[[float("nan"), 5, None], [-1, 6, None]]
    ),
    "minus infinity": meta(
        generate_answer(3), output_token_logprobs=[[float("-inf"), 5, None], [-1, 6, None]]
    ),
    "a negative token": generate_answer(3, [5, -1]),
    "half a token": generate_answer(3, [5, 1.5]),  # type: ignore[list-item]
    "a token in words": generate_answer(3, [5, "6"]),  # type: ignore[list-item]
    "a token of 40 bits": generate_answer(3, [5, 2**40]),
    "more versions than tokens": meta(
        generate_answer(3), weight_versions=[{"version": "1", "start": 0, "end": 9}]
    ),
    "nothing sampled": {**meta(generate_answer(3), output_token_logprobs=[]), "output_ids": []},
}


@pytest.mark.parametrize("wire", ["generate"])
@pytest.mark.parametrize("case", TOKENS)
def test_tokens_that_cannot_be(server: RawServer, client: Client, case: str) -> None:
    body = json.dumps(TOKENS[case]).encode()
    server.answer = lambda method, *rest: (
        [response(body)] if method == "POST" else good(method, *rest)
    )
    with pytest.raises(InfrastructureError):
        client.ask()


def test_rounding_is_no_probability_above_one() -> None:
    rounded = meta(generate_answer(3), output_token_logprobs=[[1e-6, 5, None], [0.004, 6, None]])
    assert read_answer(json.dumps(rounded).encode(), "h", 3).logprobs == [1e-6, 0.004]


def test_a_wrong_prompt_is_a_wrong_setup_only_before_the_first_answer() -> None:
    with pytest.raises(CallFailed) as caught:
        read_answer(json.dumps(TOKENS["a prompt cut short"]).encode(), "h", 3)
    assert caught.value.kind is Kind.REJECTED


# Who is to blame


def attempts(count: int) -> list[Attempt]:
    ids = get_domain("mock").task_ids("base")[:count]
    return [Attempt("mock", task_id, 0, 0) for task_id in ids]


def played(player: Player, server: RawServer, bad: Callable[[], Iterable[bytes]]) -> list[Record]:
    """An attempt at a server in order, and two at one that is not."""

    async def play() -> list[Record]:
        first, *rest = attempts(3)
        records = [await player.play(first)]
        server.answer = lambda method, *more: bad() if method == "POST" else good(method, *more)
        records += [await player.play(attempt) for attempt in rest]
        await player.close()
        return records

    return asyncio.run(play())


@both_wires
@pytest.mark.parametrize(
    "case",
    ["HTML", "a million open brackets", "not UTF-8", "a bomb in gzip", "a redirect", "nothing"],
)
def test_a_hostile_agents_server_is_nobodys_fault(server: RawServer, wire: str, case: str) -> None:
    agent: Any
    if wire == "generate":
        codec = ChatCodec(tiny_tokenizer())
        agent = TokenAgent(codec, backend(server), SamplingParams(max_new_tokens=4))
    else:
        agent = LiteLLMAgent(chat_model(server, wire == "litellm"))
    player = Player(agent, ScriptedUser(), limits=Limits(call_timeout=30))
    first, *rest = played(player, server, RESPONSES[case])
    assert first.fault is None
    assert [record.fault for record in rest] == ["infrastructure"] * 2
    assert all(record.official_reward is None for record in rest)


@pytest.mark.parametrize("wire", [WIRES[0], WIRES[2]])
@pytest.mark.parametrize(
    "case", ["HTML", "a million open brackets", "not UTF-8", "a bomb in gzip", "nothing"]
)
def test_a_hostile_users_server_is_nobodys_fault(server: RawServer, wire: str, case: str) -> None:
    said = json.dumps(chat_answer(f"Bye. {STOP}")).encode()
    server.answer = lambda *_: [response(said)]
    user = LLMUser(chat_model(server, wire == "litellm"))
    first, *rest = played(Player(NoopAgent(), user), server, RESPONSES[case])
    assert first.fault is None
    assert [record.fault for record in rest] == ["infrastructure"] * 2


@pytest.mark.parametrize("taped", [False, True])
@both_wires
def test_a_context_said_to_be_too_small_ends_no_run(
    server: RawServer, wire: str, taped: bool, tmp_path: Path
) -> None:
    """At the first prompt that would be a wrong set-up, had the server not answered others."""
    said = {"error": {"message": "The input is longer than the model's context length (9 tokens)."}}
    tape = Cassette(tmp_path / "tape.jsonl") if taped else None
    agent: Any
    if wire == "generate":
        made: Any = backend(server)
        if tape is not None:
            made = RecordedBackend(tape, "tiny", lambda: backend(server))
        agent = TokenAgent(ChatCodec(tiny_tokenizer()), made, SamplingParams(max_new_tokens=4))
    else:
        agent = LiteLLMAgent(replace(chat_model(server, wire == "litellm"), cassette=tape))
    first, *rest = played(
        Player(agent, ScriptedUser()), server, lambda: [response(json.dumps(said).encode(), 400)]
    )
    assert first.fault is None
    assert [record.fault for record in rest] == ["infrastructure"] * 2
    assert all("first prompt" in (record.error or "") for record in rest)


def test_a_token_that_the_tokenizer_does_not_know(server: RawServer) -> None:
    codec = ChatCodec(tiny_tokenizer())
    agent = TokenAgent(codec, backend(server), SamplingParams(max_new_tokens=4))
    first = codec.vocabulary

    def unknown(method: str, path: str, head: bytes, body: bytes) -> list[bytes]:
        if method == "GET":
            return good(method, path, head, body)
        prompt = len(json.loads(body)["input_ids"])
        return [response(json.dumps(generate_answer(prompt, [5, first])).encode())]

    server.answer = unknown
    (record,) = asyncio.run(_one(Player(agent, ScriptedUser())))
    assert record.fault == "infrastructure"
    assert f"gave token {first}" in (record.error or "")
    codec.vocabulary += 1
    (record,) = asyncio.run(_one(Player(agent, ScriptedUser(), limits=Limits(call_timeout=30))))
    assert record.fault is None


async def _one(player: Player) -> list[Record]:
    try:
        return [await player.play(attempts(1)[0])]
    finally:
        await player.close()
