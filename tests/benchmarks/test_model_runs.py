"""Whole runs of the Pass@k command line with a model: on troubled servers, killed, replayed, mistaken.

The agent is the tiny clerk, greedy, behind a real server; it solves some of the tasks and not others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.backends.transformers import TransformersBackend
from benchmarks.passk import app
from tau2_gym.completion import model as completion_model
from tests.chat_server import ChatServer
from tests.generate_server import Faults, GenerateServer
from tests.tiny_model import tiny_clerk, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
RUN = (
    *("--domains", "mock", "--split", "base", "--temperature", "0", "--max-new-tokens", "64"),
    *("--max-steps", "8", "--concurrency", "8"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tokenizer and no weights."""
    folder = tmp_path_factory.mktemp("clerk")
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def clerk(model: str, **options: Any) -> GenerateServer:
    # In batches of one, what is computed does not depend on who else is waiting.
    backend = TransformersBackend(tiny_clerk(), tiny_tokenizer(), batch_size=1)
    return GenerateServer(backend, tiny_tokenizer(), name=model, **options)


def sglang(model: str, url: str, output: Path, *more: str) -> list[str]:
    place = ("--sglang-url", url) if url else ()
    return ["--agent", "sglang", "--model", model, *place, "--output", str(output), *RUN, *more]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def summary(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.with_suffix(".summary.json").read_text("utf-8"))
    del found["wall_time_seconds"]
    return found


def assert_mixed(rows: list[dict[str, Any]]) -> None:
    """The run means something only if the model solves tasks, and fails at others."""
    rewards = {row["official_reward"] for row in rows}
    assert rewards == {0.0, 1.0}
    assert any(row["malformed"] for row in rows)


# Troubled servers


def test_a_troubled_server_loses_no_episode_and_changes_no_reward(
    model: str, tmp_path: Path
) -> None:
    sound = clerk(model)
    troubled = clerk(model, faults=Faults(drop=0.05, error=0.05, abort=0.02, seed=19))
    outputs = []
    for name, server in (("sound", sound), ("troubled", troubled)):
        outputs.append(tmp_path / f"{name}.jsonl")
        with server.serving() as url:
            run(*sglang(model, url, outputs[-1], "--num-samples", "4"))
    calm, shaken = (records(output) for output in outputs)
    assert_mixed(calm)
    assert len(shaken) == 36
    assert shaken == calm
    assert summary(outputs[1]) == summary(outputs[0])
    assert min(troubled.failed[kind] for kind in ("drop", "error", "abort")) >= 2
    assert len(troubled.requests) == len(sound.requests) + troubled.failed.total()


# Killed runs


def test_a_killed_run_goes_on_and_ends_like_an_uninterrupted_one(
    model: str, tmp_path: Path
) -> None:
    killed, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    server = clerk(model, latency=0.02)
    with server.serving() as url:
        arguments = sglang(model, url, killed, "--num-samples", "3", "--concurrency", "2")
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.passk", *arguments],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not killed.exists() or killed.read_bytes().count(b"\n") < 3:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kept = killed.read_bytes().count(b"\n")
        assert 3 <= kept < 27
        server.requests.clear()
        resumed = run(*arguments)
        rest = len(server.requests)
        server.requests.clear()
        arguments[arguments.index(str(killed))] = str(whole)
        uninterrupted = run(*arguments)
        assert 0 < rest < len(server.requests)
    assert f"{kept} attempts are already in" in resumed
    assert killed.read_bytes() == whole.read_bytes()
    assert summary(killed) == summary(whole)
    assert_mixed(records(whole))
    table = resumed[resumed.index("sglang with") : resumed.index("Attempts:")]
    assert table == uninterrupted[: uninterrupted.index("Attempts:")].lstrip()


def test_a_run_that_goes_on_asks_no_judge_twice(tmp_path: Path) -> None:
    from inspect_evals.tau2 import utils

    shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / "mock", tmp_path / "mock")
    tasks = next((tmp_path / "mock").glob("tasks.*"))
    rows = json.loads(tasks.read_text())
    for row in rows:
        row["evaluation_criteria"]["reward_basis"] = ["DB", "NL_ASSERTION"]
    tasks.write_text(json.dumps(rows))

    def judge(body: dict[str, Any]) -> str:
        count = body["messages"][-1]["content"].split("<assertions>")[1].count(". ")
        verdicts = [{"number": number + 1, "reason": "", "met": True} for number in range(count)]
        return json.dumps({"verdicts": verdicts})

    output = tmp_path / "results.jsonl"
    with ChatServer(judge) as server:
        arguments = (
            *("--domains", "mock", "--task-ids", "create_task_1,update_task_1", "--num-samples"),
            *("1", "--judge-model", "tiny", "--judge-url", server.url, "--data-dir"),
            *(str(tmp_path), "--output", str(output)),
        )
        run(*arguments)
        judged = output.read_bytes()
        asked = len(server.requests)
        assert asked
        assert [row["official_reward"] for row in records(output)] == [1.0, 1.0]
        assert [row["ungraded"] for row in records(output)] == [None, None]
        assert summary(output)["overall"]["tasks_covered"] == 2
        output.write_bytes(judged[:-10])  # killed before the last record was whole
        run(*arguments)
        assert len(server.requests) == asked
        assert output.read_bytes() == judged
        run(*arguments, "--fresh")
        assert len(server.requests) == 2 * asked


def test_without_a_judge_the_tasks_that_need_one_are_left_out_whole(tmp_path: Path) -> None:
    from inspect_evals.tau2 import utils

    shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / "mock", tmp_path / "mock")
    tasks = next((tmp_path / "mock").glob("tasks.*"))
    rows = json.loads(tasks.read_text())
    for row in rows:
        row["evaluation_criteria"]["reward_basis"] = ["DB", "NL_ASSERTION"]
        if row["id"] == "create_task_1":
            row["evaluation_criteria"]["nl_assertions"] = None
    tasks.write_text(json.dumps(rows))
    for agent, solved in (("oracle", 1.0), ("noop", 0.0)):
        output = tmp_path / f"{agent}.jsonl"
        said = run(
            *("--domains", "mock", "--task-ids", "create_task_1,update_task_1", "--num-samples"),
            *("2", "--agent", agent, "--data-dir", str(tmp_path), "--output", str(output)),
        )
        assert "1 of 2" in said
        assert "1 of 2 tasks need a judge" in " ".join(said.split())
        overall = summary(output)["overall"]
        assert overall["pass"]["excluded"]["pass@1"]["value"] == solved
        assert (overall["tasks_covered"], overall["ungraded"]) == (1, ["update_task_1"])


# Recorded runs


def test_a_recorded_run_needs_no_server(model: str, tmp_path: Path) -> None:
    live, again = tmp_path / "live.jsonl", tmp_path / "again.jsonl"
    tape = ("--num-samples", "2", "--keep-tokens", "--cassette", str(tmp_path / "tape.jsonl"))
    server = clerk(model)
    with server.serving() as url:
        run(*sglang(model, url, live, *tape))
        asked = len(server.requests)
        run(*sglang(model, url, again, *tape))
        assert len(server.requests) == asked
    run(*sglang(model, "", again, *tape, "--fresh"))
    assert again.read_bytes() == live.read_bytes()
    assert summary(again) == summary(live)
    assert_mixed(records(live))
    assert all(json.loads(row["tokens"])["segments"] for row in records(live))
    missing = CliRunner().invoke(app, sglang(model, "", again, *tape, "--fresh", "--seed", "1"))
    assert missing.exit_code == 2
    assert f"holds no turn of '{model}' after" in " ".join(missing.output.split())


def test_a_recorded_run_needs_no_weights(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny_tokenizer().save_pretrained(folder)
    tiny_clerk().save_pretrained(folder)

    def play(output: Path) -> bytes:
        tape = ("--num-samples", "1", "--keep-tokens", "--cassette", str(tmp_path / "tape.jsonl"))
        agent = ("--agent", "transformers", "--model", str(folder), "--output", str(output))
        run(*RUN, *agent, *tape)
        return output.read_bytes()

    live = play(tmp_path / "live.jsonl")
    next(folder.glob("*.safetensors")).unlink()
    assert play(tmp_path / "again.jsonl") == live


# Mistakes


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the tokenizer of a model that no server has."""
    folder = tmp_path_factory.mktemp("other")
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def template_free(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("plain")
    tiny_tokenizer().save_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    return str(folder)


@pytest.fixture(scope="module")
def servers(model: str) -> Iterator[dict[str, str]]:
    """Addresses: of a server that is well, one that does not get ready, one of a small context."""
    starting, small = clerk(model), clerk(model, context=200)
    starting.status = 503
    with (
        clerk(model).serving() as well,
        starting.serving() as slow,
        small.serving() as cramped,
    ):
        yield {"well": well, "starting": slow, "small": cramped, "nowhere": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("at", "arguments", "sentence"),
    [
        (
            "nowhere",
            ["--startup", "0"],
            "no SGLang server answers at {url} (Connect call failed ('127.0.0.1', 9)): start one "
            "with `python -m sglang.launch_server`, or correct the address",
        ),
        (
            "starting",
            ["--startup", "0.2"],
            "the server at {url} is not ready after 0.2 s (HTTP 503 from /health)",
        ),
        ("well", ["--model", "{other}"], "the server at {url} serves {model}, not {other}"),
        ("well", ["--model", "/nowhere"], "there is no model folder /nowhere"),
        ("well", ["--model", "{plain}"], "the tokenizer of {plain} has no chat template"),
        ("well", ["--model", ""], "agent 'sglang' needs a model: give its name or folder with --model"),
        ("well", ["--top-p", "2"], "top_p must lie in (0, 1], not 2.0"),
        ("well", ["--temperature", "nan"], "temperature must be a number, not nan"),
        ("well", ["--max-new-tokens", "0"], "max_new_tokens must be at least 1, not 0"),
        (
            "small",
            [],
            "the first prompt in mock is too long for the model (COUNT tokens, its context holds "
            "200): use prompt='compact', or a model with a longer context",
        ),
        ("", [], "agent 'sglang' needs the address of a server: give it with --sglang-url"),
        ("127.0.0.1:9", [], "a server's address begins with http:// or https://, not '127.0.0.1:9'"),
        (
            "",
            ["--agent", "litellm", "--model", "gpt-4.1"],
            "no key for 'gpt-4.1': set OPENAI_API_KEY in the environment "
            "(in Python, ChatModel also takes api_key)",
        ),
        (
            "",
            ["--agent", "litellm", "--model", "no-such-model"],
            "LiteLLM does not know whose model 'no-such-model' is: write PROVIDER/MODEL, for example "
            "openai/gpt-4.1, or openai/MODEL and a base URL for a server of yours",
        ),
        (
            "",
            ["--agent", "litellm", "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--startup", "0"],
            "'m' is called directly at http://127.0.0.1:9/v1, without LiteLLM. "
            "error: cannot connect to http://127.0.0.1:9/v1/chat/completions: All connection attempts failed",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_exit_code_2(
    at: str, arguments: list[str], sentence: str,
    model: str, other: str, template_free: str, servers: dict[str, str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(completion_model, "LONGEST_PAUSE", 0.01)
    known = {"url": servers.get(at, at), "model": model, "plain": template_free, "other": other}
    result = CliRunner().invoke(
        app,
        [
            *sglang(model, known["url"], tmp_path / "results.jsonl"),
            *(argument.format(**known) for argument in arguments),
        ],
    )
    assert result.exit_code == 2, result.output
    said = sentence.format(**known)
    said = said if "error: " in said else f"error: {said}"
    wanted = re.escape(said).replace("COUNT", r"\d+")
    assert re.fullmatch(wanted, " ".join(result.output.split())), result.output
