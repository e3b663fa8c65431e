"""The SGLang client against a real server of our own, and that server against recordings of SGLang's."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agents.backends.base import ContextOverflow, Generation, GenerationBackend
from agents.backends.sglang import SGLangBackend, sliding_window
from agents.backends.transformers import TransformersBackend
from agents.sampling import SamplingParams
from tau2_gym.completion import servers as servers_module
from tau2_gym.errors import ConfigError, InfrastructureError
from tests.generate_server import FIELDS, Faults, GenerateServer, web
from tests.raw_server import RawServer, generate_answer, response
from tests.tiny_model import plain_model, rescored, tiny_tokenizer, transformers

RECORDINGS = Path(__file__).resolve().parents[4] / "shared" / "reference" / "sglang_responses"
"""Requests to SGLang 0.5.23 and its answers, which lie beside the repository where they are at hand."""

needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recordings of SGLang are not beside the repository"
)

PROMPT: list[int] = tiny_tokenizer().encode("I want to cancel my reservation.")
GREEDY = SamplingParams(temperature=0, max_new_tokens=24)


def server(**options: Any) -> GenerateServer:
    return GenerateServer(
        TransformersBackend(plain_model(), tiny_tokenizer()), tiny_tokenizer(), **options
    )


@asynccontextmanager
async def client(*urls: str, **options: Any) -> AsyncIterator[SGLangBackend]:
    backend = SGLangBackend(urls, **{"backoff": 0.01, **options})
    try:
        yield backend
    finally:
        await backend.close()
        coroutines = [task.get_coro() for task in asyncio.all_tasks()]
        assert not [
            left for left in coroutines if "SGLangBackend" in getattr(left, "__qualname__", "")
        ]


def asked(
    made: GenerateServer, call: Callable[[SGLangBackend], Awaitable[Any]], **options: Any
) -> Any:
    """What a call of a client comes to, with that server running."""

    async def ask() -> Any:
        async with made.running() as url, client(url, **options) as backend:
            return await call(backend)

    return asyncio.run(ask())


async def one(backend: SGLangBackend) -> Generation:
    return await backend.generate(PROMPT, GREEDY, "e/0")


# Generating


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_are_those_of_one_pass(temperature: float) -> None:
    params = SamplingParams(temperature=temperature, max_new_tokens=40, top_k=20)
    made = asked(server(), lambda backend: backend.generate(PROMPT, params, "e/0"))
    scores = rescored(plain_model(), [*PROMPT, *made.ids], temperature)[len(PROMPT) - 1 :]
    assert made.logprobs == pytest.approx(scores, abs=1e-4)
    assert made.versions == (("default", len(made.ids)),)


def test_it_is_a_backend() -> None:
    assert isinstance(SGLangBackend(["http://127.0.0.1:1"]), GenerationBackend)


def test_failures_change_nothing() -> None:
    calm = asked(server(), one)
    troubled = server(faults=Faults(drop=0.2, error=0.2, abort=0.4, seed=3))

    async def repeat(backend: SGLangBackend) -> list[Generation]:
        return [await one(backend) for _ in range(12)]

    for made in asked(troubled, repeat):
        assert made.ids == calm.ids
        assert made.finish_reason == calm.finish_reason
        assert made.logprobs == pytest.approx(calm.logprobs, abs=1e-4)
        assert sum(count for _, count in made.versions) == len(made.ids)
    assert len(troubled.requests) > 20
    rids = [request["rid"] for request in troubled.requests]
    assert len(set(rids)) == len(rids)
    assert all(rid.startswith("e/0/") for rid in rids)


def test_an_abort_is_continued_under_new_weights() -> None:
    made = server(faults=Faults(abort=0.5, seed=1))
    answer = made._answer

    async def renamed(*arguments: Any) -> dict[str, Any]:
        found = await answer(*arguments)
        made.version = "next"
        return found

    made._answer = renamed  # type: ignore[method-assign]
    found = asked(made, lambda backend: backend.generate(PROMPT, GREEDY, "e/0"))
    (first, some), (second, rest) = found.versions
    assert (first, second) == ("default", "next")
    assert some + rest == len(found.ids) == GREEDY.max_new_tokens
    asked_for = [request["sampling_params"]["max_new_tokens"] for request in made.requests]
    assert asked_for[:2] == [24, 24 - some]
    assert made.requests[1]["input_ids"] == [*PROMPT, *found.ids[:some]]


def test_endless_aborts_end() -> None:
    made = server(faults=Faults(abort=1.0))
    made._chance.randrange = lambda *_: 0  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError, match="request e/0 was aborted 3 times in a row"):
        asked(made, one, attempts=3)


def test_failures_are_reported_after_all_attempts() -> None:
    made = server(faults=Faults(error=1.0))
    with pytest.raises(InfrastructureError, match=r"failed \(HTTP 500\): out of order"):
        asked(made, one, attempts=4)
    assert len(made.requests) == 4
    made = server(faults=Faults(drop=1.0))
    with pytest.raises(InfrastructureError, match=r"the connection to http.* failed"):
        asked(made, one, attempts=2)
    assert len(made.requests) == 2


def test_slow_servers_are_given_up_and_told_so() -> None:
    made = server(latency=5.0)
    with pytest.raises(InfrastructureError, match=r"did not answer in 0\.1 s"):
        asked(made, one, attempts=2, timeout=0.1)
    assert made.aborted == [request["rid"] for request in made.requests]


def test_refusals_are_not_repeated() -> None:
    made = server(context=len(PROMPT))
    with pytest.raises(ContextOverflow, match="longer than the model's context length"):
        asked(made, one)
    assert len(made.requests) == 1


def test_cancelling_aborts_at_the_server() -> None:
    made = server(latency=10.0)

    async def cancel(backend: SGLangBackend) -> None:
        call = asyncio.create_task(one(backend))
        while not made.requests:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asked(made, cancel)
    assert made.aborted == [made.requests[0]["rid"]]


def test_an_abort_gives_what_was_sampled() -> None:
    made = server()
    params = SamplingParams(temperature=0, max_new_tokens=2000)

    async def abort(backend: SGLangBackend) -> Any:
        url = backend.urls[0]
        body = {"rid": "r", "input_ids": PROMPT, "sampling_params": params.to_sglang()}
        call = asyncio.create_task(_post(f"{url}/generate", body))
        while not made.requests:
            await asyncio.sleep(0.01)
        await _post(f"{url}/abort_request", {"rid": "r"})
        return await call

    answer = json.loads(asked(made, abort))
    assert answer["meta_info"]["finish_reason"]["type"] == "abort"
    assert 0 < answer["meta_info"]["completion_tokens"] < 2000


async def _post(url: str, body: dict[str, Any]) -> str:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return await response.text()


def test_hundreds_of_calls_wait_side_by_side() -> None:
    class Gathering:
        """Answers nobody before all have asked."""

        def __init__(self) -> None:
            self.asked = 0
            self.all = asyncio.Event()

        async def generate(self, ids: Any, params: Any, rid: str, stop_ids: Any = ()) -> Generation:
            self.asked += 1
            if self.asked == 300:
                self.all.set()
            await self.all.wait()
            return Generation((1,), (-1.0,), "stop", (("", 1),))

    made = GenerateServer(Gathering(), tiny_tokenizer())  # type: ignore[arg-type]

    async def rush(backend: SGLangBackend) -> None:
        calls = [backend.generate([1], GREEDY, f"e{n}/0") for n in range(300)]
        async with asyncio.timeout(60):
            await asyncio.gather(*calls)

    asked(made, rush)


# Several servers


def test_episodes_take_turns_and_stay() -> None:
    first, second = server(), server()

    async def ask() -> None:
        async with (
            first.running() as one_url,
            second.running() as other_url,
            client(one_url, f"{other_url}/") as backend,
        ):
            for turn in range(3):
                for episode in range(4):
                    await backend.generate([1], GREEDY, f"{episode}/{turn}")

    asyncio.run(ask())
    homes = [
        {request["rid"].partition("/")[0] for request in made.requests} for made in (first, second)
    ]
    assert homes == [{"0", "2"}, {"1", "3"}]
    assert len(first.requests) == len(second.requests) == 6


def test_a_dead_server_is_left() -> None:
    alive = server()

    async def ask() -> None:
        async with alive.running() as url, client("http://127.0.0.1:1", url) as backend:
            for turn in range(3):
                await backend.generate([1], GREEDY, f"e/{turn}")

    asyncio.run(ask())
    assert len(alive.requests) == 3


# What is wrong is said before a run


def refusal(made: GenerateServer, **options: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        asked(made, lambda backend: backend.ready(), **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_ready() -> None:
    async def twice(backend: SGLangBackend) -> int:
        return await backend.ready() + 1000 * await backend.ready()

    assert asked(server(context=9), twice) == 9009
    assert asked(server(context=9), lambda backend: backend.ready(), context_length=5) == 5
    for model in ("tiny/qwen3", "/models/qwen3", "qwen3"):
        assert asked(server(), lambda backend: backend.ready(), model=model) == 32768
    assert asked(server(key="k"), lambda backend: backend.ready(), api_key="k") == 32768


def test_no_server() -> None:
    async def ask() -> None:
        async with client("http://127.0.0.1:1", startup=0) as backend:
            await backend.ready()

    with pytest.raises(
        ConfigError, match=r"no SGLang server answers at http://127\.0\.0\.1:1 "
    ) as no:
        asyncio.run(ask())
    assert "sglang.launch_server" in str(no.value)


def test_not_ready() -> None:
    made = server()
    made.status = 503
    said = refusal(made, startup=0.1)
    assert said.endswith("is not ready after 0.1 s (HTTP 503 from /health)")


def test_a_server_that_is_starting_is_waited_for() -> None:
    made = server(context=9)
    made.status = 503

    async def start(backend: SGLangBackend) -> int:
        asyncio.get_running_loop().call_later(0.2, setattr, made, "status", 200)
        return await backend.ready()

    assert asked(made, start) == 9


def test_older_servers_and_routers_know_another_path() -> None:
    made = server()
    made.paths["/get_model_info"] = made.paths.pop("/model_info")
    assert asked(made, lambda backend: backend.ready(), model="tiny/qwen3") == 32768


def test_another_model() -> None:
    assert refusal(server(), model="Qwen/Qwen3-4B").endswith("serves tiny/qwen3, not Qwen/Qwen3-4B")


@pytest.mark.parametrize(
    ("options", "window"),
    [
        ({}, None),
        ({"use_sliding_window": False, "sliding_window": 64}, None),
        ({"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 9}, None),
        ({"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1}, 64),
    ],
)
def test_a_sliding_window_is_warned_of_once(
    tmp_path: Path, options: dict[str, Any], window: int | None
) -> None:
    transformers.Qwen3Config(num_hidden_layers=2, **options).save_pretrained(tmp_path)
    assert sliding_window(str(tmp_path)) == window

    async def twice(backend: SGLangBackend) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await backend.ready()
            await backend.ready()
        return [str(warning.message) for warning in caught]

    said = asked(server(name=str(tmp_path)), twice, model=str(tmp_path))
    assert [sentence.startswith(f"{tmp_path} has layers") for sentence in said] == [True] * bool(
        window
    )


def test_a_model_whose_configuration_is_not_at_hand_is_not_warned_of(tmp_path: Path) -> None:
    assert sliding_window(str(tmp_path)) is None


@pytest.mark.parametrize("send", [True, False])
def test_seeds_are_sent_unless_they_are_not_to_be(send: bool) -> None:
    made = server()
    asked(made, one, send_seed=send)
    assert ("sampling_seed" in made.requests[0]["sampling_params"]) is send


@pytest.mark.parametrize(
    "wish", ["2", "86400", "-5", "nan", "inf", "1e400", "tomorrow", "", "2, 2"]
)
def test_a_server_is_left_alone_for_as_long_as_it_asks_within_reason(
    monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    """Pauses are taken note of instead of being waited for."""
    pauses: list[float] = []

    async def answer(request: Any) -> Any:
        return web.json_response({"error": "slow"}, status=429, headers={"Retry-After": wish})

    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    made = server()
    made.generate = answer  # type: ignore[method-assign]
    monkeypatch.setattr(servers_module.asyncio, "sleep", noted)
    with pytest.raises(InfrastructureError, match="HTTP 429"):
        asked(made, one, attempts=2, timeout=30)
    assert max(pauses) == {"2": 2, "86400": 30, "inf": 30, "1e400": 30}.get(
        wish, pytest.approx(0, abs=0.01)
    )


def test_another_key() -> None:
    assert "wants another API key (HTTP 401)" in refusal(server(key="right"), api_key="wrong")


def test_not_sglang() -> None:
    made = server()
    made.paths["/v1/models"] = made.health
    assert "does not say what it serves, as SGLang does" in refusal(made)
    made.status = 404
    assert "is not an SGLang server of version 0.5 or later (HTTP 404 from /health)" in refusal(
        made
    )


@pytest.mark.parametrize(
    ("urls", "sentence"),
    [
        ([], "the sglang backend needs the address of a server"),
        (["127.0.0.1:30000"], "begins with http:// or https://, not '127.0.0.1:30000'"),
    ],
)
def test_addresses(urls: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SGLangBackend(urls)
    assert SGLangBackend(["http://h:1/generate"]).urls == ["http://h:1"]


# Recordings


@cache
def recorded(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def replayed(status: int, answer: Any, prompt: list[int]) -> Generation:
    """What the client makes of one answer."""

    async def answers(request: Any) -> Any:
        return web.json_response(answer, status=status)

    async def ask() -> Generation:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/generate", answers)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with client(f"http://127.0.0.1:{runner.addresses[0][1]}", attempts=2) as backend:
                return await backend.generate(prompt, SamplingParams(max_new_tokens=29), "e/0")
        finally:
            await runner.cleanup()

    return asyncio.run(ask())


@needs_recordings
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("generate_length", "length"),
        ("generate_stop_str", "stop"),
        ("generate_eos", "stop"),
        ("generate_abort", "length"),
    ],
)
def test_recorded_answers_are_understood(name: str, reason: str) -> None:
    record = recorded(name)
    made = replayed(record["status"], record["response"], record["request"]["input_ids"])
    assert list(made.ids) == record["response"]["output_ids"]
    assert made.finish_reason == reason
    assert made.versions == (("default", len(made.ids)),)
    assert all(logprob <= 0 for logprob in made.logprobs)


@needs_recordings
def test_recorded_refusals_are_understood() -> None:
    record = recorded("generate_400_context")
    with pytest.raises(ContextOverflow, match=r"The input \(40000 tokens\) is longer"):
        replayed(400, record["response"], record["request"]["input_ids"])
    record = recorded("generate_400_unknown_sampling_field")
    with pytest.raises(ConfigError, match=r"\(HTTP 400\): unknown field `max_tokens`"):
        replayed(400, record["response"], record["request"]["input_ids"])


def test_answers_that_cannot_be_trusted() -> None:
    good = asked(server(), lambda backend: _answer_of(backend))
    assert replayed(200, good, PROMPT).ids == tuple(good["output_ids"])
    with pytest.raises(ConfigError, match="has read 3 of 7 prompt tokens: start it without"):
        replayed(200, changed(good, prompt_tokens=3), PROMPT[:7])
    with pytest.raises(InfrastructureError, match="gave other log-probabilities than tokens"):
        replayed(200, {**good, "output_ids": [1]}, PROMPT)
    with pytest.raises(InfrastructureError, match="did not answer as SGLang does"):
        replayed(200, {"text": "Hi."}, PROMPT)
    empty = {**changed(good, output_token_logprobs=[], weight_versions=None), "output_ids": []}
    with pytest.raises(InfrastructureError, match="sampled nothing"):
        replayed(200, empty, PROMPT)
    with pytest.raises(InfrastructureError, match="weight versions do not cover the tokens"):
        replayed(
            200, changed(good, weight_versions=[{"version": "1", "start": 0, "end": 1}]), PROMPT
        )
    old = changed(good, weight_versions=None, cached_tokens=None)
    assert replayed(200, old, PROMPT).versions == (("default", len(good["output_ids"])),)


async def _answer_of(backend: SGLangBackend) -> Any:
    body = {"rid": "r", "input_ids": PROMPT, "sampling_params": GREEDY.to_sglang()}
    return json.loads(await _post(f"{backend.urls[0]}/generate", body))


def changed(answer: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {**answer, "meta_info": {**answer["meta_info"], **meta}}


def shape(value: Any) -> Any:
    """Keys and types of an answer; of lists, those of the first entry."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def assert_like(ours: Any, theirs: Any) -> None:
    """Same keys, same types; the cache's details, None while nothing is cached, aside."""
    for found in (ours, theirs):
        found["meta_info"].pop("cached_tokens_details")
    ours, theirs = shape(ours), shape(theirs)
    assert ours == theirs


@needs_recordings
def test_our_server_answers_as_the_recorded_one() -> None:
    async def ask(backend: SGLangBackend) -> None:
        url = f"{backend.urls[0]}/generate"
        sent = {"rid": "r", "input_ids": PROMPT, "return_logprob": True}

        async def answer(**sampling: Any) -> Any:
            return json.loads(await _post(url, {**sent, "sampling_params": sampling}))

        assert_like(await answer(max_new_tokens=3), recorded("generate_length")["response"])
        cut = await answer(max_new_tokens=300, stop=["e"])
        assert_like(cut, recorded("generate_stop_str")["response"])
        ended = await answer(max_new_tokens=3, stop_token_ids=list(range(4000)))
        assert_like(ended, recorded("generate_eos")["response"])
        for refused, record in (
            (await answer(max_tokens=3), "generate_400_unknown_sampling_field"),
            (
                json.loads(
                    await _post(url, {**sent, "input_ids": [5] * 40000, "sampling_params": {}})
                ),
                "generate_400_context",
            ),
        ):
            assert refused == recorded(record)["response"]

    asked(server(), ask)
    aborting = server(faults=Faults(abort=1.0, seed=1))

    async def aborted(backend: SGLangBackend) -> None:
        assert_like(await _answer_of(backend), recorded("generate_abort")["response"])

    asked(aborting, aborted)


@needs_recordings
def test_our_server_describes_itself_as_the_recorded_one() -> None:
    async def ask(backend: SGLangBackend) -> Any:
        import aiohttp

        url = f"{backend.urls[0]}/model_info"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.json()

    ours, theirs = shape(asked(server(), ask)), shape(recorded("model_info"))
    assert ours == {key: theirs[key] for key in ours}


def test_our_server_knows_every_field_we_send() -> None:
    assert set(SamplingParams().to_sglang()) <= set(FIELDS)


def test_whether_a_model_has_a_sliding_window_is_not_asked_of_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def look_up(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise OSError("no network")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    assert sliding_window("nobody/no-such-model") is None
    assert asked == []


def test_cookies_are_not_kept_since_they_would_join_calls_that_have_nothing_in_common() -> None:
    heads = []

    def answer(method: str, path: str, head: bytes, body: bytes) -> list[bytes]:
        heads.append(head.lower())
        text = json.dumps(generate_answer(len(PROMPT))).encode()
        return [response(text, headers="Set-Cookie: session=1; Path=/\r\n")]

    async def ask(url: str) -> None:
        async with client(url) as backend:
            for number in range(2):
                await backend.generate(PROMPT, GREEDY, f"e{number}/0")

    with RawServer(answer) as raw:
        # By name: cookies of bare addresses are never kept.
        asyncio.run(ask(f"http://localhost:{raw.port}"))
    assert len(heads) == 2
    assert not any(b"cookie:" in head for head in heads)
