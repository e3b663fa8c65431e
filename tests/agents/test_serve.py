"""Agent and user through LiteLLM against `transformers serve`, a real server of another make.

Opt-in, since it needs packages that the project does not:

    pip install 'tau2-gym[litellm]' 'transformers[serving]>=5.23' torch
    TAU2_GYM_TEST_SERVE=1 python -m pytest tests/agents/test_serve.py

It writes two tiny Qwen3 checkpoints, one that speaks as an agent and one as a customer, and starts
the server on them, on the CPU. That server does not take every field of a request (it answers unknown
ones with status 422), and answers with status 500 where the model's tool call is not JSON: hence the
retries. Last run with transformers 5.23.0 and LiteLLM 1.105.3.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from agents.litellm_agent import LiteLLMAgent
from agents.prompts import make_prompt
from tau2_gym.cassette import Cassette
from tau2_gym.completion import ChatModel, run_sync
from tau2_gym.completion import model as model_module
from tau2_gym.errors import ConfigError, UserFault
from tau2_gym.users.llm import LLMUser
from tests.helpers import some
from tests.playing import play_metered

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("TAU2_GYM_TEST_SERVE") != "1", reason="set TAU2_GYM_TEST_SERVE=1 to run it"
    ),
    pytest.mark.skipif(find_spec("litellm") is None, reason="LiteLLM is not installed"),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "LONGEST_PAUSE", 0.1)


@dataclass(frozen=True)
class Served:
    """The server's base URL and the two models on it, as LiteLLM is to call them."""

    url: str
    agent: str
    customer: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from tests.model_brain import tiny_customer
    from tests.tiny_model import checkpoint, tiny_model, transformers

    root = tmp_path_factory.mktemp("serve")
    agent, customer = (checkpoint(root / name, "instruct") for name in ("agent", "customer"))
    tiny_customer().save_pretrained(customer)
    ends = {"eos_token_id": tiny_model().config.eos_token_id, "do_sample": True}
    for folder in (agent, customer):  # the server samples only if the checkpoint says so
        transformers.GenerationConfig(**ends).save_pretrained(folder)
    (root / "home" / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-c", "from transformers.cli.transformers import main; main()"),
        *("serve", "--device", "cpu", "--port", str(port), "--reasoning", "off"),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(root / "home")}
    log = (root / "log").open("w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, root / "log")
        yield Served(f"http://127.0.0.1:{port}/v1", f"openai/{agent}", f"openai/{customer}")
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text("utf-8")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    raise AssertionError(f"not ready after two minutes: {log.read_text('utf-8')}")


def model(served: Served, name: str, cassette: Cassette | None = None) -> ChatModel:
    return ChatModel(
        name,
        base_url=served.url,
        litellm=True,
        temperature=1.0,
        max_tokens=48,
        retries=20,
        cassette=cassette,
    )


@pytest.mark.parametrize("name", ["retail", "telecom"])
def test_whole_episodes(served: Served, tmp_path: Path, name: str) -> None:
    """Both sides play on, tools are called by both, and the recording plays the same again."""
    prompt = make_prompt("compact")
    task = some(name, 1, seed=1)[0]

    def played(cassette: Cassette, seed: int) -> tuple[list[dict[str, object]], object]:
        agent = LiteLLMAgent(model(served, served.agent, cassette), prompt)
        user = LLMUser(model(served, served.customer, cassette), 20, "You are a customer.")
        outcome, own, both = asyncio.run(play_metered(agent, user, task, seed, max_steps=12))
        assert outcome.info["termination"] in ("max_steps", "too_many_errors")
        assert own.calls == outcome.info["num_turns"]
        assert both.calls > own.calls
        assert own.prompt_tokens > 1000 * own.calls
        trajectory = outcome.info["privileged"]["trajectory"]
        return [message.to_dict() for message in trajectory], (own, both)

    wanted = {"assistant"} if name == "retail" else {"assistant", "user"}
    called: set[object] = set()
    for seed in range(20):
        path = tmp_path / f"{seed}.jsonl"
        try:
            live = played(Cassette(path, "record"), seed)
        except UserFault:
            continue
        assert played(Cassette(path, "replay"), seed) == live
        called |= {message["requestor"] for message in live[0] if message["role"] == "tool"}
        if called == wanted:
            break
    assert called == wanted


def test_what_the_server_does_not_take(served: Served) -> None:
    odd = ChatModel(
        served.agent, base_url=served.url, litellm=True, extra_body={"no_such_field": 1}
    )
    with pytest.raises(ConfigError, match="no_such_field"):
        run_sync(odd.complete([{"role": "user", "content": "Hi."}]))


def test_without_litellm(served: Served) -> None:
    name = served.customer.removeprefix("openai/")
    plain = ChatModel(name, base_url=served.url, max_tokens=8, retries=20)
    completion = run_sync(plain.complete([{"role": "user", "content": "Hi."}], seed=1))
    assert completion.usage.completion_tokens > 0
