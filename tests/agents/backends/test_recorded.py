"""Turns are replayed without a server, bit for bit."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.backends.base import ContextOverflow, Generation, GenerationBackend
from agents.backends.recorded import RecordedBackend, describe_turn
from agents.backends.sglang import SGLangBackend
from agents.backends.transformers import TransformersBackend
from agents.sampling import SamplingParams
from tau2_gym.cassette import Cassette
from tau2_gym.errors import ConfigError, DataError, InfrastructureError
from tests.generate_server import Faults, GenerateServer
from tests.tiny_model import plain_model, tiny_tokenizer

PROMPT: list[int] = tiny_tokenizer().encode("I want to cancel my reservation.")
PARAMS = SamplingParams(max_new_tokens=12)
KEY = "sk-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "cassette.jsonl"


def server(**options: Any) -> GenerateServer:
    return GenerateServer(
        TransformersBackend(plain_model(), tiny_tokenizer()), tiny_tokenizer(), key=KEY, **options
    )


async def turns(backend: GenerationBackend, count: int = 4) -> list[Any]:
    """The context length and a few turns, or what went wrong in their place."""
    found: list[Any] = [await backend.ready()]
    for seed in range(count):
        try:
            found.append(await backend.generate(PROMPT, replace(PARAMS, seed=seed), f"e/{seed}"))
        except (RuntimeError, ConfigError) as error:
            found.append((type(error), str(error)))
    await backend.close()
    return found


def live(made: GenerateServer, path: Path, mode: str = "record") -> list[Any]:
    async def ask() -> list[Any]:
        async with made.running() as url:
            return await turns(RecordedBackend(Cassette(path, mode), "tiny", lambda: sglang(url)))

    return asyncio.run(ask())


def sglang(url: str) -> SGLangBackend:
    return SGLangBackend([url], attempts=2, backoff=0.01, startup=0, api_key=KEY)


def replayed(path: Path, mode: str = "replay", count: int = 4) -> list[Any]:
    return asyncio.run(turns(RecordedBackend(Cassette(path, mode), "tiny"), count))


def never() -> GenerationBackend:
    raise AssertionError("nobody is to be asked")


def test_a_replay_needs_no_backend(path: Path) -> None:
    made = server()
    first = live(made, path)
    assert first[0] == made.context
    assert all(isinstance(turn, Generation) for turn in first[1:])
    for mode in ("replay", "auto"):
        assert replayed(path, mode) == first
    again = RecordedBackend(Cassette(path), "tiny", never)
    assert asyncio.run(turns(again)) == first
    assert isinstance(again, GenerationBackend)


def test_failures_are_played_again(path: Path) -> None:
    failing = server(faults=Faults(drop=0.4, error=0.4, seed=5))
    first = live(failing, path)
    kinds = {turn[0] for turn in first[1:] if isinstance(turn, tuple)}
    assert kinds == {InfrastructureError}
    assert replayed(path) == first
    # In mode `auto` a server's failures are made good, and what it did answer is kept.
    again = live(server(), path, "auto")
    assert all(isinstance(turn, Generation) for turn in again[1:])
    for before, now in zip(first, again, strict=True):
        assert isinstance(before, tuple) or before == now


def test_an_overflow_is_played_again(path: Path) -> None:
    first = live(server(context=len(PROMPT)), path)
    assert {turn[0] for turn in first[1:]} == {ContextOverflow}
    assert replayed(path) == first
    assert live(server(), path, "auto") == first


def test_neither_keys_nor_addresses_are_in_it(path: Path) -> None:
    live(server(faults=Faults(drop=0.5, error=0.5)), path)
    content = path.read_text("utf-8")
    assert "*** failed (HTTP 500)" in content
    assert KEY not in content
    assert "127.0.0.1" not in content


@pytest.mark.parametrize(
    ("ids", "stop_ids", "words"),
    [
        ([*PROMPT, 5], [], "differs in tokens, prompt, last"),
        (PROMPT, [7], "differs in stop_ids"),
    ],
)
def test_a_turn_that_is_missing(
    path: Path, ids: list[int], stop_ids: list[int], words: str
) -> None:
    live(server(), path)
    backend = RecordedBackend(Cassette(path), "tiny")
    with pytest.raises(DataError, match=words) as missing:
        asyncio.run(backend.generate(ids, PARAMS, "e/0", stop_ids))
    assert f"no turn of 'tiny' after {len(ids)} tokens (seed 0)" in str(missing.value)
    with pytest.raises(DataError, match="holds no context length of 'other'"):
        asyncio.run(RecordedBackend(Cassette(path), "other").ready())


def test_what_is_wrong_with_the_server_is_said_by_a_missing_turn_too(path: Path) -> None:
    live(server(), path)
    backend = RecordedBackend(Cassette(path), "tiny", lambda: sglang("http://127.0.0.1:1"))

    async def ask() -> None:
        await backend.ready()
        await backend.generate([5], PARAMS, "e/0")

    with pytest.raises(ConfigError, match="no SGLang server answers"):
        asyncio.run(ask())


def test_a_turn_that_was_tampered_with(path: Path) -> None:
    live(server(), path)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for row in rows[1:]:
        row["answer"]["logprobs"].pop()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"no usable turn of 'tiny' after \d+ tokens"):
        replayed(path)


def test_a_description_says_what_was_asked() -> None:
    request = {"model": "tiny", "ids": list(range(20)), "stop_ids": [3]}
    described = describe_turn(request | {"sampling": {"temperature": 0, "seed": 5}})
    assert described["last"] == list(range(12, 20))
    assert (described["tokens"], described["seed"]) == (20, 5)
    assert described["parameters"] == {"temperature": 0}
