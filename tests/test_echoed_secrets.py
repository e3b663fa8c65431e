"""Keys, passwords and tokens stay out of everything that is written or said."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agents.backends.sglang import SGLangBackend
from agents.sampling import SamplingParams
from tau2_gym.cassette import Cassette
from tau2_gym.completion import ChatModel, run_sync
from tau2_gym.completion import redaction as redaction_module
from tau2_gym.errors import ConfigError, InfrastructureError
from tests.raw_server import RawServer, chat_answer, generate_answer, good, response
from tests.tiny_model import tiny_tokenizer

ROOT = Path(__file__).resolve().parents[1]
OPTION, ENVIRONMENT = "sk-option-4f1d9a77", "sk-environment-83bb2c/+="
USER, PASSWORD = "planted-user", "planted/pass+word-51c7"
QUERY = "planted-query-9e02"
SECRETS = (OPTION, ENVIRONMENT, PASSWORD, QUERY, f"{USER}:{PASSWORD}")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test knows the secrets that it was given, and no other's."""
    monkeypatch.setattr(redaction_module, "_given", set())


def forms(secret: str) -> list[str]:
    data = secret.encode()
    encoded = [base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()]
    return [
        secret,
        quote(secret, safe=""),
        quote(secret),
        *encoded,
        *(e.rstrip("=") for e in encoded),
    ]


def assert_clean(text: str, where: object = "") -> None:
    for secret in SECRETS:
        for form in forms(secret):
            at = text.find(form)
            assert at < 0, f"{where}: {text[max(0, at - 200) : at + 100]}"


# The echo


def echoed(head: bytes) -> str:
    """All that a request has brought, in every form, and what is in its headers taken apart."""
    text = head.decode("latin-1").replace("\r\n", " ")
    for found in re.findall(r"Basic ([\w+/=-]+)", text):
        text += " " + base64.b64decode(found).decode()
    words = text.split()
    more = [form for word in words for form in forms(word)]
    return " ".join([*words, *more, text])


def echoing(turns: int = 4, status: int = 400, model: str = "tiny") -> Any:
    """Answers so many times in words that repeat what was sent; then refuses in such words."""
    left = [turns]

    def answer(method: str, path: str, head: bytes, body: bytes) -> list[bytes]:
        if method == "GET":
            (made,) = good(method, path.partition("?")[0], head, body)
            if b'"model_path"' in made:
                return [response(json.dumps({"model_path": model}).encode())]
            return [made]
        said = echoed(head)
        asked = json.loads(body)
        left[0] -= 1
        if left[0] < 0:
            headers = f"X-Echo: {said[:2000]}\r\n"
            return [response(json.dumps({"error": {"message": said}}).encode(), status, headers)]
        if path.startswith("/generate"):
            ids = [*tiny_tokenizer().encode("Hello."), 2]
            found = generate_answer(len(asked["input_ids"]), ids)
            found["text"] = said
            for name in ("weight_version", "id"):
                found["meta_info"][name] = said
            found["meta_info"]["weight_versions"][0]["version"] = said
        else:
            call = {"name": said, "arguments": json.dumps({"said": said})}
            calls = [{"id": said, "type": "function", "function": call}]
            found = chat_answer(said, tool_calls=calls if left[0] % 2 else None)
            found["choices"][0]["finish_reason"] = said
        return [response(json.dumps(found).encode())]

    return answer


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer(echoing()) as running:
        yield running


def address(server: RawServer, credentials: bool, path: str = "") -> str:
    user = f"{USER}:{quote(PASSWORD, safe='')}@" if credentials else ""
    return f"http://{user}127.0.0.1:{server.port}{path}?token={QUERY}"


def said_by(error: BaseException) -> str:
    """All that a traceback of it would show, and all that hangs on it."""
    text = "".join(traceback.format_exception(error))
    return text + str(error) + repr(error)


@pytest.mark.parametrize("credentials", [False, True])
@pytest.mark.parametrize("litellm", [False, True])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_chat_server_that_echoes(
    server: RawServer, credentials: bool, litellm: bool, status: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if litellm:
        pytest.importorskip("litellm")
    caplog.set_level(logging.DEBUG, logger="tau2_gym")
    monkeypatch.setenv("OPENAI_API_KEY", ENVIRONMENT)
    path = tmp_path / "tape.jsonl"
    made = ChatModel(
        "openai/tiny" if litellm else "tiny",
        base_url=address(server, credentials, "/v1"),
        litellm=litellm,
        api_key=None if credentials else OPTION,
        retries=0,
        startup=0,
        cassette=Cassette(path, "record"),
    )
    shown = [repr(made)]
    server.answer = echoing(2, status)
    for seed in range(2):
        answer = run_sync(made.complete([{"role": "user", "content": "Hi."}], seed=seed))
        shown.append(repr(answer))
        assert "***" in shown[-1]
    with pytest.raises((InfrastructureError, ConfigError)) as caught:
        run_sync(made.complete([{"role": "user", "content": "Hi."}], seed=9))
    assert_clean(said_by(caught.value), "the error")
    assert_clean("\n".join(shown), "the answers")
    assert_clean(path.read_text("utf-8"), "the cassette")
    assert_clean(caplog.text, "the log")


@pytest.mark.parametrize("credentials", [False, True])
@pytest.mark.parametrize("status", [400, 401, 500])
def test_an_sglang_server_that_echoes(server: RawServer, credentials: bool, status: int) -> None:
    backend = SGLangBackend(
        [address(server, credentials)],
        api_key=None if credentials else OPTION,
        attempts=1,
        startup=0,
    )
    server.answer = echoing(1, status)

    async def scenario() -> tuple[str, BaseException]:
        context = await backend.ready()
        params = SamplingParams(max_new_tokens=8)
        made = repr(await backend.generate([1, 2, 3], params, "e/0"))
        try:
            await backend.generate([1, 2, 3], params, "e/1")
        except (InfrastructureError, ConfigError) as error:
            return f"{context} {made}", error
        finally:
            await backend.close()
        raise AssertionError

    made, error = asyncio.run(scenario())
    assert "***" in made
    assert_clean(made, "the turn")
    assert_clean(said_by(error), "the error")


@pytest.mark.parametrize("path", ["/health", "/model_info", "/v1/models"])
@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_an_sglang_server_that_echoes_before_the_first_turn(
    server: RawServer, path: str, status: int
) -> None:
    def answer(method: str, at: str, head: bytes, body: bytes) -> list[bytes]:
        if at.partition("?")[0] != path:
            return good(method, at.partition("?")[0], head, body)
        said = echoed(head)
        found = {"model_path": said, "data": [{"max_model_len": said}], "error": said}
        return [response(json.dumps(found).encode(), status)]

    server.answer = answer
    backend = SGLangBackend([address(server, True)], model="tiny", startup=0)

    async def scenario() -> str:
        try:
            return str(await backend.ready())
        except ConfigError as error:
            return said_by(error)
        finally:
            await backend.close()

    assert_clean(asyncio.run(scenario()))


def test_a_server_that_cannot_be_reached() -> None:
    for url in (
        f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:9/v1?token={QUERY}",
        f"http://{USER}:{quote(PASSWORD, safe='')}@no.such.host.invalid/v1?token={QUERY}",
    ):
        made = ChatModel("tiny", base_url=url, retries=0, startup=0)
        with pytest.raises(ConfigError) as caught:
            run_sync(made.complete([{"role": "user", "content": "Hi."}]))
        assert_clean(said_by(caught.value))

        async def ready(url: str = url) -> None:
            backend = SGLangBackend([url], startup=0)
            try:
                await backend.ready()
            finally:
                await backend.close()

        with pytest.raises(ConfigError) as caught:
            asyncio.run(ready())
        assert_clean(said_by(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://{USER}:{PASSWORD}@host/v1",
        f"{USER}:{PASSWORD}@host:30000",
        f"http://{USER}:planted-pass@host:port/v1?token={QUERY}",
        f"http://{USER}:planted-pass@[::1/v1?token={QUERY}",
        f"http://?token={QUERY}",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_secrets(url: str) -> None:
    for make in (lambda: ChatModel("tiny", base_url=url), lambda: SGLangBackend([url])):
        with pytest.raises(ConfigError) as caught:
            make()
        assert_clean(said_by(caught.value))
        assert "planted-pass" not in said_by(caught.value)
        assert QUERY not in said_by(caught.value)


# A run


def test_a_run_writes_and_says_no_secret(server: RawServer, tmp_path: Path) -> None:
    """Agent, user and judge on servers that echo; every file and all output is searched."""
    folder = tmp_path / "model"
    tiny_tokenizer().save_pretrained(folder)
    for agent in ("sglang", "litellm"):
        server.answer = echoing(40, 400, str(folder))
        runs = tmp_path / agent
        runs.mkdir()
        where = (
            ("--model", str(folder), "--sglang-url", address(server, True))
            if agent == "sglang"
            else ("--model", "openai/tiny", "--base-url", address(server, True, "/v1"))
        )
        found = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.passk", "--agent", agent, *where),
                *("--user", f"llm:tiny@{address(server, True, '/v1')}"),
                *("--judge-model", "tiny", "--judge-url", address(server, True, "/v1")),
                *("--domains", "mock", "--split", "base", "--num-samples", "2"),
                *("--max-steps", "8", "--max-new-tokens", "16", "--startup", "2"),
                *("--keep-tokens", "--cassette", str(runs / "tape.jsonl")),
                *("--output", str(runs / "results.jsonl")),
            ],
            cwd=ROOT,
            env={**os.environ, "OPENAI_API_KEY": ENVIRONMENT, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert "Traceback" not in found.stderr
        files = [path for path in runs.rglob("*") if path.is_file()]
        assert len(files) >= 3, found.stdout + found.stderr
        assert_clean(found.stdout + found.stderr, f"what {agent} prints")
        for path in files:
            assert_clean(path.read_text("utf-8", errors="replace"), path)
        assert "***" in (runs / "results.jsonl").read_text("utf-8")
        shutil.rmtree(runs)
