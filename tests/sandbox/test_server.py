"""The server of SandboxFusion's API: its real client, other clients, and those that mean no good."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from typer.testing import CliRunner

from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox import FusionSandbox, Limits, LocalSandbox
from tau2_gym.sandbox import server as server_module
from tau2_gym.sandbox.server import SandboxServer, app
from tests.sandbox.conftest import WHY_NOT
from tests.sandbox.helpers import ROOT, descendants, serving, settles


@pytest.fixture(scope="module")
def server(sandbox: LocalSandbox) -> Iterator[SandboxServer]:
    with serving(sandbox) as server:
        yield server


def post(server: SandboxServer, body: Any, **headers: str) -> tuple[int, Any]:
    """The status and the body of a response."""
    host, port = server.server_address[:2]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(str(host), int(port), timeout=60)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json", **headers}
        connection.request("POST", "/run_code", raw, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def asking(code: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "language": "python", **more}


# With the published client


@pytest.fixture(scope="module")
def client() -> Any:
    return pytest.importorskip("sandbox_fusion", reason="sandbox-fusion is not installed")


def test_the_published_client_runs_code(client: Any, server: SandboxServer) -> None:
    request = client.RunCodeRequest(code="print(input()[::-1])", stdin="abc", language="python")
    said = client.run_code(request, endpoint=server.url, max_attempts=1)
    assert said.status == client.RunStatus.Success
    assert (said.run_result.stdout, said.run_result.return_code) == ("cba\n", 0)
    assert said.run_result.execution_time > 0
    said = asyncio.run(client.run_code_async(request, endpoint=server.url, max_attempts=1))
    assert said.run_result.stdout == "cba\n"


def test_the_published_client_tells_how_a_program_ended(client: Any, server: SandboxServer) -> None:
    mapping = client.SummaryMapping(Success="ok", Failed="no", RunTimeout="late", RunFailed="bad")

    def summary(code: str, seconds: float = 10) -> str:
        request = client.RunCodeRequest(code=code, run_timeout=seconds, language="python")
        said = client.run_code(request, endpoint=server.url, max_attempts=1)
        return str(client.summary_run_code_result(said, mapping))

    assert summary("print(1)") == "ok"
    assert summary("1/0") == "bad"
    assert summary("import ctypes; ctypes.string_at(0)") == "bad"
    assert summary("while True: pass", seconds=1) == "late"
    assert summary("while True: print('x' * 10**5)") == "bad"


def test_the_published_client_gives_files_and_gets_them_back(
    client: Any, server: SandboxServer
) -> None:
    request = client.RunCodeRequest(
        code="print(open('a/b').read())\nopen('c', 'wb').write(bytes(5))",
        language="python",
        files={"a/b": base64.b64encode("ž".encode()).decode(), "none": None},
        fetch_files=["c", "a/b", "missing", "/usr"],
    )
    said = client.run_code(request, endpoint=server.url, max_attempts=1)
    assert said.run_result.stdout == "ž\n"
    assert {name: base64.b64decode(held) for name, held in said.files.items()} == {
        "c": bytes(5),
        "a/b": "ž".encode(),
    }
    for code, status in (("import os; os._exit(3)", 3), ("raise SystemExit(4)", 4)):
        request = client.RunCodeRequest(code=code, language="python", fetch_files=["c"])
        said = client.run_code(request, endpoint=server.url, max_attempts=1)
        assert (said.run_result.return_code, said.files) == (status, {})


def test_a_program_cannot_pass_something_else_for_a_file(server: SandboxServer) -> None:
    code = "import builtins\nopen('a', 'w').write('x')\nbuiltins.print = lambda *_: print_('%', end='')"
    code = f"print_ = print\n{code}"
    status, said = post(server, asking(code, fetch_files=["a"]))
    assert (status, said["status"], said["files"]) == (200, "Success", {})


def test_the_published_client_hears_of_a_sandbox_that_has_failed(
    client: Any, monkeypatch: pytest.MonkeyPatch, server: SandboxServer
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise InfrastructureError("the sandbox failed: no room")

    monkeypatch.setattr(server.sandbox, "session", fails)
    request = client.RunCodeRequest(code="1", language="python")
    with pytest.raises(
        Exception, match="Sandbox responded with error: the sandbox failed: no room"
    ):
        client.run_code(request, endpoint=server.url, max_attempts=1)


# What is refused


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body: Invalid JSON"),
        (b"[1]", "the body: Input should be an object"),
        (b"\xff", "the body: Invalid JSON"),
        (b"[" * 100_000, "the body: Invalid JSON"),
        ({"language": "python"}, "code: Field required"),
        ({"code": "1"}, "language: Field required"),
        ({"code": 1, "language": "python"}, "code: Input should be a valid string"),
        ({"code": "1", "language": "cpp"}, "language: only 'python' is served, not 'cpp'"),
        (asking("1", run_timeout=0), "run_timeout: Input should be greater than 0"),
        (asking("1", run_timeout=float("nan")), "run_timeout: "),
        (asking("1", run_timeout=21), "run_timeout: at most 20 is allowed here, not 21"),
        (asking("1", memory_limit_MB=257), "memory_limit_MB: at most 256 is allowed here, not 257"),
        (asking("1", memory_limit_MB=0), "memory_mb of a sandbox must be a positive number, not 0"),
        (asking("1", memory_limit_MB=1), "an interpreter needs 64 MiB, and memory_mb is 1"),
        (asking("1", files={"a": "%"}), "files: they cannot be written (binascii.Error"),
        (asking("1", files={"/usr/a": "eA=="}), "files: they cannot be written (OSError"),
        (asking("1", fetch_files=["a"] * 65), "fetch_files: List should have at most 64 items"),
        (asking("1", stdin="x" * 10_000_001), "stdin has 10000001 characters, and may have"),
    ],
    ids=range(18),
)  # fmt: skip
def test_requests_that_are_not_served_are_told_why(
    server: SandboxServer, body: Any, said: str
) -> None:
    status, answer = post(server, body)
    assert status == 422
    assert answer["detail"].startswith(said)
    assert "\n" not in answer["detail"]


def raw(server: SandboxServer, request: bytes) -> bytes:
    """All that comes back on a connection until it is closed."""
    with socket.create_connection(server.server_address[:2], timeout=20) as connection:
        connection.sendall(request)
        said = b""
        while more := connection.recv(65536):
            said += more
        return said


HEAD = b"POST /run_code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD + b"Content-Length: 67108865\r\n\r\n", 413),
        (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (HEAD + b"Content-Length: -1\r\n\r\n", 411),
        (HEAD + b"Content-Length: \xb2\r\n\r\n", 411),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n", 411),
        (b"POST /run_code HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 415),
        (b"POST /run_code HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 404),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        (b"GET /v1/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    ],
    ids=range(14),
)  # fmt: skip
def test_requests_of_other_kinds(server: SandboxServer, request_: bytes, status: int) -> None:
    said = raw(server, request_)
    assert f" {status} ".encode() in said.partition(b"\r\n")[0]
    if status == 200:
        assert said.endswith(b'"pong"')


def test_clients_that_go_away_leave_nothing(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A reset that the kernel drops is never sent again: then the silence ends the connection.
    monkeypatch.setattr(server_module.Handler, "timeout", 5.0)
    body = json.dumps(asking("import time; time.sleep(1)")).encode()
    with serving(sandbox) as server:
        free = server.places._value
        for request in (
            b"",
            HEAD + b"Content-Length: 1000\r\n\r\n{",
            HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        ):
            with socket.create_connection(server.server_address[:2]) as connection:
                connection.sendall(request)
                linger = b"\1\0\0\0\0\0\0\0"  # a reset at once
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        assert settles(lambda: not server.connections)
        assert server.places._value == free
        assert post(server, asking("print(1)"))[1]["run_result"]["stdout"] == "1\n"
        assert settles(lambda: not server.connections)
        assert capfd.readouterr().err == ""


def test_one_connection_serves_many_requests(server: SandboxServer) -> None:
    host, port = server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), int(port), timeout=60)
    with contextlib.closing(connection):
        connection.connect()
        opened = connection.sock
        for language in ("python", "cpp", "python"):
            body = json.dumps({"code": "print(1)", "language": language})
            connection.request("POST", "/run_code", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = json.loads(response.read())
            assert response.status == (200 if language == "python" else 422)
            assert connection.sock is opened
        assert said["run_result"]["stdout"] == "1\n"


# Many at once


def test_calls_beyond_those_that_may_wait_are_told_to_come_again(sandbox: LocalSandbox) -> None:
    with LocalSandbox(Limits(seconds=20), at_once=1) as own, serving(own, waiting=1) as server:
        with ThreadPoolExecutor(8) as pool:
            code = "import time; time.sleep(.5)"
            said = list(pool.map(lambda _: post(server, asking(code))[0], range(8)))
        assert sorted(set(said)) == [200, 503]
        assert said.count(200) >= 2
        fusion = FusionSandbox(server.url, own.limits, retries=12)
        with ThreadPoolExecutor(6) as pool:
            code = "import time; time.sleep(.2); print(1)"
            results = list(pool.map(lambda _: fusion.run(code).stdout, range(6)))
        assert results == ["1\n"] * 6  # Those that were told so came again.


def test_bodies_hold_so_much_memory_together_and_no_more(sandbox: LocalSandbox) -> None:
    large = asking("print(1)", stdin="x" * 600_000)
    raw = json.dumps(large).encode()
    head = "POST /run_code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    start = f"{head}Content-Length: {len(raw)}\r\n\r\n".encode()
    with serving(sandbox, bodies=1_000_000) as server:
        with socket.create_connection(server.server_address[:2], timeout=60) as slow:
            slow.sendall(start + raw[:500_000])
            assert settles(lambda: server.room.free == 500_000)
            status, said = post(server, large)
            assert (status, said["detail"]) == (503, "the requests that are waiting hold too much")
            assert post(server, asking("print(1)"))[0] == 200  # what is small has room
            assert server.room.free == 500_000
            slow.sendall(raw[500_000:])
            assert slow.recv(65536).startswith(b"HTTP/1.1 200 OK")
            assert settles(lambda: server.room.free == 1_000_000)
            slow.sendall(start + raw[:500_000])
            assert settles(lambda: server.room.free == 500_000)
        assert settles(lambda: server.room.free == 1_000_000)  # It has hung up.
        assert post(server, large)[0] == 200
        assert post(server, b"{")[0] == 422
        assert server.room.free == 1_000_000


def test_a_body_may_take_all_the_room_there_is(sandbox: LocalSandbox) -> None:
    raw = json.dumps(asking("print(1)")).encode()
    with serving(sandbox, bodies=len(raw)) as server:
        assert post(server, raw)[0] == 200
        assert post(server, raw + b" ")[0] == 503


def test_the_longest_body_fits() -> None:
    assert server_module.BODIES >= server_module.LONGEST_BODY


def test_connections_beyond_the_bound_are_closed(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 2)
    with serving(sandbox) as server, contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(server.server_address[:2]))
        assert settles(lambda: len(server.connections) == 2)
        with socket.create_connection(server.server_address[:2], timeout=20) as third:
            assert third.recv(1) == b""
        stack.close()
        assert settles(lambda: not server.connections)
        assert post(server, asking("print(1)"))[0] == 200


@pytest.mark.parametrize("more", [{}, {"fetch_files": ["a"]}])
def test_a_call_has_the_limits_of_its_request(server: SandboxServer, more: dict[str, Any]) -> None:
    code = "import time; time.sleep(30)"
    status, said = post(server, asking(code, run_timeout=0.2, **more))
    assert (status, said["run_result"]["status"]) == (200, "TimeLimitExceeded")


# The command


@pytest.mark.parametrize(
    ("arguments", "limits", "at_once"),
    [
        ([], Limits(60.0, 2048, 64, 32), None),
        (
            ["--seconds", "5", "--memory-mb", "99", "--disk-mb", "7", "--processes", "3"],
            Limits(5.0, 99, 7, 3),
            None,
        ),
        (["--at-once", "9"], Limits(60.0, 2048, 64, 32), 9),
    ],
)
def test_the_command_takes_limits(
    arguments: list[str], limits: Limits, at_once: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Any]()

    def made(given: Limits, **options: Any) -> LocalSandbox:
        asked.append((given, options))
        raise ConfigError("that is all")

    monkeypatch.setattr(server_module, "LocalSandbox", made)
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert asked == [(limits, {"at_once": at_once, "isolate": True})]


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tau2_gym.sandbox.server", "--port", "0", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "SERVER_API_KEY": "sk-planted-9876543210"},
        # A test run in the background of a shell ignores SIGINT, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_serves_until_it_is_ended_and_leaves_nothing(
    sandbox: LocalSandbox, how: int
) -> None:
    with started("--seconds", "300", "--memory-mb", "256", "--at-once", "4") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.endswith(f", process {process.pid}\n")
        url = line.split()[3].rstrip(",")
        assert url.startswith("http://127.0.0.1:")
        fusion = FusionSandbox(url, Limits(seconds=300, memory_mb=256), retries=0, outage=0)
        assert "sk-planted" not in fusion.run("import os; print(dict(os.environ))").stdout
        done: list[str] = []

        def sleep() -> None:
            try:
                fusion.run("import time; time.sleep(250)")
            except InfrastructureError as error:
                done.append(str(error))

        thread = threading.Thread(target=sleep)
        thread.start()
        below = descendants(process.pid)
        time.sleep(0.3)
        process.send_signal(how)
        assert process.wait(30) == (-how if how == signal.SIGKILL else 0)
        assert process.stderr is not None
        assert process.stderr.read() == ""
        thread.join(30)
        assert len(done) == 1
        assert settles(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in below))


def test_the_command_says_what_is_wrong() -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["--seconds", "0"])
    assert (done.exit_code, "seconds of a sandbox must be" in done.output) == (2, True)
    if WHY_NOT is None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = runner.invoke(app, ["--port", str(port)])
        assert done.exit_code == 2
        assert done.output == f"error: 127.0.0.1:{port}: Address already in use\n"
