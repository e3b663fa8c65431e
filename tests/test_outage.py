"""Servers that are killed and started again, that start late, and that never come back."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rich.console
from typer.testing import CliRunner

from agents.attempts import Attempt, attempt_seed
from agents.backends.sglang import SGLangBackend
from agents.codec import ChatCodec
from agents.litellm_agent import LiteLLMAgent
from agents.models import AgentModel, ChatOptions, make_model_agent
from agents.prompts import make_prompt
from agents.rollout import Limits, Player, rollout
from agents.runs.driver import WaitingColumn
from agents.runs.setup import Setup, bypass
from agents.sampling import SamplingParams
from agents.token_agent import TokenAgent
from benchmarks.passk import app
from tau2_gym.completion import ChatModel, run_sync
from tau2_gym.completion import model as model_module
from tau2_gym.completion import servers as servers_module
from tau2_gym.completion.servers import waiting
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.results.record import Record
from tau2_gym.rules import Rules
from tau2_gym.users.base import STOP
from tau2_gym.users.llm import LLMUser
from tests.raw_server import Killable, RawServer, good, loading
from tests.tiny_model import tiny_tokenizer

CHAT = [{"role": "user", "content": "Hi."}]
TEXTS = ["Hello.", "What is it?", "Please wait.", "Goodbye."]
WIRES = pytest.mark.parametrize("wire", ["chat", "generate"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(servers_module, "POLL", 0.05)


def spoken() -> list[list[int]]:
    """The texts in tokens."""
    tokenizer = tiny_tokenizer()
    return [[*tokenizer.encode(text), ChatCodec(tokenizer).end] for text in TEXTS]


@pytest.fixture
def killable() -> Iterator[Killable]:
    with Killable([*TEXTS, STOP], spoken()) as server:
        server.start()
        yield server


def chat_model(port: int, **options: Any) -> ChatModel:
    return ChatModel("tiny", base_url=f"http://127.0.0.1:{port}/v1", retries=2, **options)


def backend(*ports: int, **options: Any) -> SGLangBackend:
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    return SGLangBackend(urls, backoff=0.01, attempts=3, **options)


def player(wire: str, port: int, **options: Any) -> Player:
    """Both sides on one server, with less time for calls than an outage takes."""
    prompt = make_prompt("bare")
    agent: Any
    if wire == "chat":
        agent = LiteLLMAgent(chat_model(port, **options), prompt)
    else:
        codec = ChatCodec(tiny_tokenizer(), tools=False)
        sampling = SamplingParams(max_new_tokens=8)
        agent = TokenAgent(codec, backend(port, **options), sampling, prompt)
    return Player(
        agent,
        LLMUser(chat_model(port, **options)),
        rules=Rules(max_steps=40),
        limits=Limits(episodes=8, agent_calls=4, user_calls=4, call_timeout=5, episode_timeout=20),
    )


def play(player: Player, count: int, watch: Callable[[int], None]) -> list[Record]:
    """Attempts, in order; `watch` is told after each how many are done."""
    ids = get_domain("mock").task_ids("base")
    attempts = [
        Attempt("mock", task_id, trial, attempt_seed(0, "mock", task_id, trial))
        for trial in range(count // len(ids) + 1)
        for task_id in ids
    ][:count]

    async def run() -> list[Record]:
        records = []
        async for record in rollout(player.play, attempts, player.limits.episodes):
            records.append(record)
            watch(len(records))
        await player.close()
        return records

    return sorted(asyncio.run(run()), key=lambda record: (record.task_id, record.trial))


def lines(records: list[Record]) -> str:
    return "\n".join(json.dumps(record.to_dict()) for record in records)


@WIRES
def test_an_outage_loses_no_episode_and_changes_no_byte(killable: Killable, wire: str) -> None:
    calm = play(player(wire, killable.port), 60, lambda done: None)
    assert not any(record.fault for record in calm)
    assert len({record.num_turns for record in calm}) > 3
    seen: list[str] = []
    restarting: list[threading.Thread] = []

    def restart() -> None:
        time.sleep(1.2)
        seen.extend(waiting())
        killable.start(loading=1.2)
        time.sleep(0.8)
        seen.extend(waiting())

    def watch(done: int) -> None:
        if done in (8, 36):
            killable.kill()
            restarting.append(threading.Thread(target=restart))
            restarting[-1].start()

    shaken = play(player(wire, killable.port, outage=60), 60, watch)
    for thread in restarting:
        thread.join()
    assert [record.error for record in shaken] == [None] * 60
    assert lines(shaken) == lines(calm)
    assert len(restarting) == 2
    assert any(f"waiting for http://127.0.0.1:{killable.port}" in sentence for sentence in seen)
    assert all(sentence.endswith(" of 60 s") for sentence in seen)
    assert not waiting()


@WIRES
def test_time_outs_do_not_count_an_outage(killable: Killable, wire: str) -> None:
    made = player(wire, killable.port, outage=60)
    made.limits = Limits(episodes=4, agent_calls=2, user_calls=2, call_timeout=2, episode_timeout=8)

    def watch(done: int) -> None:
        if done == 4:
            killable.kill()
            threading.Timer(10, killable.start).start()

    records = play(made, 12, watch)
    assert [record.error for record in records] == [None] * 12


@WIRES
def test_a_server_that_never_comes_back_is_given_up_once(killable: Killable, wire: str) -> None:
    begun = 0.0

    def watch(done: int) -> None:
        nonlocal begun
        if done == 8:
            killable.kill()
            begun = time.monotonic()

    records = play(player(wire, killable.port, outage=1.5), 60, watch)
    # Sixty attempts, eight at a time, would be given up seven times over.
    assert 1.5 <= time.monotonic() - begun < 8
    faulted = [record for record in records if record.fault]
    assert len(faulted) >= 40
    assert {record.fault for record in faulted} == {"infrastructure"}
    assert all("(given up after 1.5 s)" in (record.error or "") for record in faulted)


@WIRES
def test_a_server_that_was_given_up_and_comes_back_is_used_again(
    killable: Killable, wire: str
) -> None:
    ask, close = asking(wire, killable.port, outage=0.3)
    ask()
    killable.kill()
    for _ in range(2):
        with pytest.raises(InfrastructureError, match="given up"):
            ask()
    killable.start()
    ask()
    close()


def asking(wire: str, *ports: int, **options: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    """A function that asks once, and one that closes what it holds."""
    if wire == "chat":
        made = chat_model(ports[0], **options)
        return lambda: run_sync(made.complete(CHAT, seed=1)), lambda: None
    tokens, runner = backend(*ports, **options), asyncio.Runner()

    async def ask() -> Any:
        await tokens.ready()
        return await tokens.generate([1, 2, 3], SamplingParams(max_new_tokens=8), "e/0")

    def close() -> None:
        runner.run(tokens.close())
        runner.close()

    return lambda: runner.run(ask()), close


# The command line


def passk(folder: Path, port: int, name: str, *more: str) -> list[str]:
    return [
        *("--agent", "sglang", "--model", str(folder / "tiny"), "--prompt", "bare"),
        *("--sglang-url", f"http://127.0.0.1:{port}", "--max-new-tokens", "8"),
        *("--user", f"llm:tiny@http://127.0.0.1:{port}/v1", "--max-steps", "40"),
        *("--domains", "mock", "--split", "base", "--num-samples", "8", "--concurrency", "8"),
        *("--output", str(folder / name), *more),
    ]


def test_a_run_waits_says_so_and_can_be_continued(
    killable: Killable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed and restarted, a run ends as an undisturbed one. One whose server never comes back ends
    soon, with code 3, and goes on when it is there again."""
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    runner, shown = CliRunner(), []
    render = WaitingColumn.render

    def noted(self: WaitingColumn, task: Any) -> Any:
        shown.append(str(render(self, task)))
        return render(self, task)

    monkeypatch.setattr(WaitingColumn, "render", noted)
    monkeypatch.setattr(rich.console.Console, "is_terminal", True)
    calm = runner.invoke(app, passk(tmp_path, killable.port, "calm.jsonl"))
    assert calm.exit_code == 0, calm.output
    wanted = (tmp_path / "calm.jsonl").read_bytes()

    def after(rows: int, name: str, then: Callable[[], None]) -> threading.Thread:
        """Do something when a run has written so many rows."""
        path = tmp_path / name

        def watch() -> None:
            for _ in range(6000):
                if path.exists() and path.read_bytes().count(b"\n") >= rows:
                    then()
                    break
                time.sleep(0.01)

        thread = threading.Thread(target=watch)
        thread.start()
        return thread

    def restart() -> None:
        killable.kill()
        time.sleep(1.5)
        killable.start(loading=0.5)

    thread = after(16, "shaken.jsonl", restart)
    shaken = runner.invoke(app, passk(tmp_path, killable.port, "shaken.jsonl", "--outage", "60"))
    thread.join()
    assert shaken.exit_code == 0, shaken.output
    assert (tmp_path / "shaken.jsonl").read_bytes() == wanted
    place = f"waiting for http://127.0.0.1:{killable.port}"
    assert any(line.startswith(place) and line.endswith(" s of 60 s") for line in shown)

    thread = after(16, "lost.jsonl", killable.kill)
    begun = time.monotonic()
    lost = runner.invoke(app, passk(tmp_path, killable.port, "lost.jsonl", "--outage", "1"))
    thread.join()
    assert time.monotonic() - begun < 60
    assert lost.exit_code == 3, lost.output
    assert "to play them again" in lost.output
    killable.start()
    again = runner.invoke(app, passk(tmp_path, killable.port, "lost.jsonl", "--outage", "60"))
    assert again.exit_code == 0, again.output
    assert (tmp_path / "lost.jsonl").read_bytes() == wanted


def test_a_server_that_is_asked_straight_is_said_to_be() -> None:
    model = AgentModel("openai/m", ("http://me:secret-9x@h:1/v1?key=planted-77",))
    setup = Setup("litellm", "scripted", 0, "progress", 100, 10, "inspect-evals", None, model=model)
    assert bypass(setup) == "'openai/m' is called directly at http://h:1/v1, without LiteLLM."
    assert bypass(replace(setup, model=AgentModel("openai/m"))) is None
    assert bypass(replace(setup, agent="sglang")) is None


def test_options_of_servers_reach_every_model(tmp_path: Path) -> None:
    reached: Any = {"startup": 1.0, "outage": 2.0, "send_seed": False}
    chat = ChatOptions("m", "http://h/v1", **reached).chat_model()
    assert (chat.startup, chat.outage, chat.send_seed) == (1.0, 2.0, False)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = AgentModel(str(tmp_path), ("http://h/v1",), **reached)
    agent: Any = make_model_agent("litellm", model, "inspect-evals")
    assert (agent.model.startup, agent.model.outage, agent.model.send_seed) == (1.0, 2.0, False)
    agent = make_model_agent("sglang", model, "inspect-evals")
    server = agent.backend._server
    assert (server.startup, server.outage, agent.backend._send_seed) == (1.0, 2.0, False)
    assert agent.backend.startup == 1.0
    known = AgentModel("m").identity()
    assert known["send_seed"] is True
    assert not {"startup", "outage"} & (known.keys() | ChatOptions("m").identity().keys())


# Starting


@WIRES
def test_a_server_that_is_starting_is_waited_for(wire: str) -> None:
    """Through refused connections, then through 503."""
    with Killable(TEXTS, spoken()) as server:
        starting = threading.Timer(1, server.start, kwargs={"loading": 1})
        starting.start()
        ask, close = asking(wire, server.port, startup=30)
        begun = time.monotonic()
        assert ask() is not None
        assert 2 <= time.monotonic() - begun < 15
        close()


@WIRES
def test_a_server_that_does_not_start_is_not_waited_for_for_ever(wire: str) -> None:
    with Killable(TEXTS, spoken()) as server:
        ask, close = asking(wire, server.port, startup=1)
        begun = time.monotonic()
        with pytest.raises(ConfigError, match=r"no SGLang server answers|given up after 1 s"):
            ask()
        assert time.monotonic() - begun < 6
        close()


# Everyone waits together


@WIRES
def test_one_looks_and_all_go_on(monkeypatch: pytest.MonkeyPatch, wire: str) -> None:
    monkeypatch.setattr(servers_module, "POLL", 0.5)
    asked = {"GET": 0, "POST": 0}

    def counted(method: str, path: str, head: bytes, body: bytes) -> Any:
        asked[method] += 1
        return down(method, path, head, body)

    with RawServer(good) as server:
        made = chat_model(server.port) if wire == "chat" else None
        tokens = backend(server.port)

        async def call() -> Any:
            if made is not None:
                return await made.complete(CHAT, seed=1)
            return await tokens.generate([1, 2, 3], SamplingParams(max_new_tokens=8), "e/0")

        async def scenario() -> None:
            await call()
            server.answer = counted
            async with asyncio.timeout(60):
                await asyncio.gather(*(call() for _ in range(100)))
            await tokens.close()

        down = loading(good, 3.0)
        asyncio.run(scenario())
    # A look every half a second; each call once before the outage is known, and once after it.
    assert asked["GET"] <= 12
    assert asked["POST"] <= 230


def test_one_server_of_two_is_enough(killable: Killable) -> None:
    with Killable(TEXTS, spoken()) as other:
        other.start()
        ask, close = asking("generate", killable.port, other.port, outage=30)
        ask()
        other.kill()
        begun = time.monotonic()
        for _ in range(4):
            ask()
        assert time.monotonic() - begun < 3
        close()
