"""A sandbox behind SandboxFusion's API: what is sent, what is made of the answers, whose fault is what."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tau2_gym.completion import model as model_module
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox import FusionSandbox, Limits, LocalSandbox, Result, Sandbox
from tau2_gym.sandbox.server import SandboxServer
from tests.raw_server import RawServer, response
from tests.sandbox.helpers import serving

pytest.importorskip("httpx", reason="httpx is not installed")

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "FIRST_PAUSE", 0.01)


@pytest.fixture(scope="module")
def server(sandbox: LocalSandbox) -> Iterator[SandboxServer]:
    with serving(sandbox) as server:
        yield server


@pytest.fixture(scope="module")
def fusion(server: SandboxServer, sandbox: LocalSandbox) -> FusionSandbox:
    return FusionSandbox(server.url, sandbox.limits)


# The same as a sandbox on this machine


@pytest.mark.parametrize(
    ("code", "echo"),
    [
        ("import sys\nprint(input() * 2)\nprint('e', file=sys.stderr)", False),
        ("1/0", False),
        ("def f(n):\n    return 1 / n\n\nf(0)", False),
        ("def f(:", True),
        ("import sys; sys.exit(3)", False),
        ("raise SystemExit('bye')", False),
        ("import ctypes; ctypes.string_at(0)", False),
        ("import random; random.random(), sorted({'a', 'b'}), hash('a')", True),
        ("a = 6\na * 7", True),
        ("a = 6\na * 7", False),
        ("'žluť 🎈'", True),
        ("(1,\n 2)  # two", True),
        ("None", True),
        ("x = 5;", True),
        ("if True:\n    5", True),
        ("print(sorted(name for name in dir() if not name.startswith('__')), __name__)", False),
        ("class A: pass\nimport pickle; print(type(pickle.loads(pickle.dumps(A()))).__name__)", True),
        ("import threading, time\nthreading.Thread(target=lambda: (time.sleep(.2), print('t'))).start()", True),
        ("print('x' * 10**7)", False),
        ("import os; os.write(1, b'a\\xffb')", False),
        ("print('\\0\\x1b' * 1000)", False),
        ("", True),
        ("\0", True),
        ("print('\ud800')", True),
        ("#" * 10_000_001, False),
        ("\"\"\"'''\\'\\\"\\\\", True),
        ("(" * 100_000, False),
    ],
    ids=range(27),
)  # fmt: skip
def test_code_does_what_it_does_in_a_local_sandbox(
    fusion: FusionSandbox, sandbox: LocalSandbox, code: str, echo: bool
) -> None:
    theirs, ours = (one.run(code, stdin="ab\nč", echo=echo) for one in (fusion, sandbox))
    assert (theirs.stdout, theirs.stderr) == (ours.stdout, ours.stderr)
    assert (theirs.status, theirs.killed, theirs.ok) == (ours.status, ours.killed, ours.ok)


@pytest.mark.parametrize(
    ("code", "killed"),
    [
        ("print('begun', flush=True)\nwhile True: pass", "time"),
        ("kept = b'x' * 10**9", None),
        (
            "import os, time\nfor _ in range(3): os.fork()\nx = b'x' * 60_000_000; time.sleep(9)",
            "memory",
        ),
        ("while True: print('x' * 10**5)", "output"),
    ],
    ids=["time", "allocation", "memory", "output"],
)
def test_limits_are_passed_on_and_what_was_too_much_is_said(
    fusion: FusionSandbox, code: str, killed: str | None
) -> None:
    result = fusion.run(code, limits=Limits(seconds=2, memory_mb=200))
    assert result.killed == killed
    assert not result.ok
    assert (result.status is None) == (killed is not None)
    if killed == "time":
        assert result.stdout == "begun\n"
    if killed is None:
        assert "MemoryError" in result.stderr


def test_it_is_a_sandbox_for_many_threads_and_can_be_pickled(fusion: FusionSandbox) -> None:
    assert isinstance(fusion, Sandbox)
    twin = pickle.loads(pickle.dumps(fusion))
    assert twin.limits == fusion.limits
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda n: twin.run(f"print({n})").stdout, range(48)))
    assert said == [f"{n}\n" for n in range(48)]


# What is sent


def result_of(**ran: Any) -> dict[str, Any]:
    ran = {"status": "Finished", "return_code": 0, "stdout": "1\n", "stderr": "", **ran}
    return {"status": "Success", "message": "", "run_result": ran}


def saying(body: Any, status: int = 200, headers: str = "") -> RawServer:
    """A server that always gives the same answer to a call."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawServer(lambda *_: [response(raw, status, headers)])


def test_the_published_client_would_send_the_same_fields() -> None:
    models = pytest.importorskip("sandbox_fusion.models", reason="sandbox-fusion is not installed")
    heard: list[tuple[str, str, bytes, bytes]] = []

    def answer(*request: Any) -> list[bytes]:
        heard.append(request)
        return [response(json.dumps(result_of()).encode())]

    with RawServer(answer) as raw:
        sandbox = FusionSandbox(f"http://127.0.0.1:{raw.port}/", key="sk-key-1234567890")
        limits = Limits(seconds=30, memory_mb=2048)
        assert sandbox.run("print(1)", stdin="in\ud800", limits=limits).stdout == "1\n"
    (method, path, head, body) = heard[0]
    assert (method, path) == ("POST", "/run_code")
    assert b"bearer sk-key-1234567890" in head.lower()
    assert b"content-type: application/json" in head.lower()
    sent = json.loads(body)
    request = models.RunCodeRequest(**sent)
    assert request.language == "python"
    assert (request.run_timeout, request.compile_timeout) == (30, 30)
    assert request.stdin == "in?"
    # The seed's tool sends this, too, which the servers know and the published models do not.
    assert sent.keys() - request.dict().keys() == {"memory_limit_MB"}
    assert sent["memory_limit_MB"] == 2048
    assert request.code.isascii()
    # As a server of another make runs it, whose interpreter has no fixed seeds.
    code = request.code.replace("print(1)", "import random; print(random.random())")
    command = [sys.executable, "-c", code]
    said = {subprocess.run(command, capture_output=True, text=True).stdout for _ in range(2)}
    assert said == {"0.8444218515250481\n"}


# What comes back


@pytest.mark.parametrize(
    ("ran", "result"),
    [
        ({}, Result("1\n", "", 0)),
        ({"return_code": 3, "stderr": "e"}, Result("1\n", "e", 3)),
        ({"return_code": -11, "stdout": None, "stderr": None}, Result("", "", -11)),
        (
            {"status": "TimeLimitExceeded", "return_code": None, "execution_time": 2.5},
            Result("1\n", "", None, "time", 2.5),
        ),
        ({"stdout": "half \ud83c"}, Result("half ?", "", 0)),
        ({"stdout": "x" * 3000}, Result("x" * 1024, "", None, "output")),
        ({"stderr": "é" * 1000, "return_code": 1}, Result("1\n", "é" * 512, None, "output")),
    ],
)
def test_answers_of_any_server_of_this_api_are_read(ran: dict[str, Any], result: Result) -> None:
    with saying(result_of(**ran)) as raw:
        sandbox = FusionSandbox(f"http://127.0.0.1:{raw.port}", Limits(output_kb=1))
        assert sandbox.run("1") == result


GARBLED = {
    "no JSON": b"<html>",
    "no object": [],
    "no status": {"run_result": {}},
    "another status": {**result_of(), "status": "Fine"},
    "a text for a number": result_of(return_code="0"),
    "a fraction for a number": result_of(return_code=0.5),
    "true for a number": result_of(return_code=True),
    "a number for a text": result_of(stdout=1),
    "time that is not a number": result_of(execution_time=float("nan")),
    "negative time": result_of(execution_time=-1),
    "nothing": b"",
    "no result": {"status": "Success", "message": ""},
    "no exit code": result_of(return_code=None),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("body", GARBLED.values(), ids=GARBLED.keys())
def test_what_is_not_a_result_is_the_servers_fault(body: Any) -> None:
    with saying(body) as raw:
        url = f"http://user:{SECRET}@127.0.0.1:{raw.port}/api"
        failed = failure(FusionSandbox(url, retries=1))
        assert f"http://127.0.0.1:{raw.port}/api/run_code answered with something" in failed
        assert "that is not a result: " in failed
        assert raw.requests == 2


STATUSES: list[tuple[int, int, str]] = [
    (400, 1, "answered with status 400"),
    (404, 1, "answered with status 404"),
    (413, 1, "answered with status 413"),
    (422, 1, "answered with status 422"),
    (429, 3, "answered with status 429"),
    (500, 3, "answered with status 500"),
]


@pytest.mark.parametrize(("status", "calls", "said"), STATUSES)
def test_only_what_may_pass_is_tried_again(status: int, calls: int, said: str) -> None:
    with saying({"detail": f"no {SECRET}"}, status) as raw:
        url = f"http://user:{SECRET}@127.0.0.1:{raw.port}"
        failed = failure(FusionSandbox(url, retries=2), stdin="x" * 100_000)
        assert said in failed
        assert "no ***" in failed
        assert raw.requests == calls


def test_a_sandbox_that_says_it_has_failed_has() -> None:
    begins = "exception on running code " + "x" * 4000
    for body in (
        {"status": "SandboxError", "message": f"{begins}: no disk {SECRET}"},
        {**result_of(status="Error", stderr="no disk"), "message": ""},
        {"status": "SandboxError", "message": ""},
    ):
        with saying(body) as raw:
            url = f"http://127.0.0.1:{raw.port}/?token={SECRET}"
            failed = failure(FusionSandbox(url, retries=2))
            assert "says that it has failed: " in failed
            assert "no disk" in failed or "no reason given" in failed
            assert len(failed) < 500
            assert raw.requests == 3


def test_code_that_a_server_finds_too_long_is_the_codes_fault() -> None:
    with saying({"detail": "too long"}, 413) as raw:
        result = FusionSandbox(f"http://127.0.0.1:{raw.port}").run("1" * 1000)
    assert (result.status, result.stderr) == (1, "the code is too long for the sandbox\n")


def test_a_body_that_is_too_large_is_not_read() -> None:
    with saying(result_of(stdout="x" * 17 * 2**20)) as raw:
        failed = failure(FusionSandbox(f"http://127.0.0.1:{raw.port}", retries=0))
        assert "a body of more than 16 MiB" in failed
    with saying(result_of(stdout="\0" * 2**20, stderr="\0" * 2**20)) as raw:
        assert FusionSandbox(f"http://127.0.0.1:{raw.port}").run("1").ok  # the most that is allowed


def test_a_server_that_is_late_or_hangs_up_is_tried_again() -> None:
    answers: list[Callable[[], list[bytes]]] = [
        lambda: [b""],
        lambda: [time.sleep(1.0) or b""],  # type: ignore[func-returns-value]
        lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"],
        lambda: [response(b"busy", 503, "Retry-After: 0\r\n")],
        lambda: [response(json.dumps(result_of()).encode())],
    ]
    calls = iter(answers)

    def answer(method: str, *_: Any) -> list[bytes]:
        return [response(b"pong")] if method == "GET" else next(calls)()

    with RawServer(answer) as raw:
        url = f"http://127.0.0.1:{raw.port}"
        sandbox = FusionSandbox(url, Limits(seconds=0.1), patience=0.4, retries=4)
        assert sandbox.run("1").stdout == "1\n"
        assert next(calls, None) is None
        raw.answer = lambda *request: [response(b"pong")] if request[0] == "GET" else [b""]
        failed = failure(FusionSandbox(url, retries=1))
        assert f"the connection to {url}/run_code was lost" in failed


def test_a_server_that_is_not_there_is_waited_for_and_given_up() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    sandbox = FusionSandbox(f"http://user:{SECRET}@127.0.0.1:{port}", startup=0.2)
    begun = time.monotonic()
    failed = failure(sandbox)
    assert f"cannot connect to http://127.0.0.1:{port}/run_code" in failed
    assert "given up after 0.2 s" in failed
    assert time.monotonic() - begun < 10


def failure(sandbox: FusionSandbox, **options: Any) -> str:
    """What is said when a call fails: one line, without secrets, and with nothing chained to it."""
    with pytest.raises(InfrastructureError) as failed:
        sandbox.run("print(1)", **options)
    said = str(failed.value)
    assert said.startswith("the sandbox failed: ")
    assert "\n" not in said
    assert SECRET not in said
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    return said


# What is wrong from the beginning


def test_what_is_given_is_checked() -> None:
    with pytest.raises(ConfigError, match="begins with http:// or https://"):
        FusionSandbox("127.0.0.1:8080")
    for wrong in ({"retries": -1}, {"patience": -1}, {"startup": float("nan")}, {"outage": 1e12}):
        with pytest.raises(ConfigError, match="must not be negative"):
            FusionSandbox("http://127.0.0.1:8080", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="stdin has 10000001 characters"):
        FusionSandbox("http://127.0.0.1:8080").run("1", stdin="x" * 10_000_001)


def test_without_httpx_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tau2_gym.sandbox.fusion.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tau2-gym\[sandbox\]'"):
        FusionSandbox("http://127.0.0.1:8080")
