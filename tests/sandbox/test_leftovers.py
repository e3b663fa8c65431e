"""Nothing is left of many calls, of a parent that was killed, and of a fork of it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tau2_gym.errors import ConfigError
from tau2_gym.sandbox import Limits, LocalSandbox
from tau2_gym.sandbox.jail import linux
from tau2_gym.sandbox.local import SPARE, available
from tests.sandbox.helpers import descendants, descriptors, marked, settles

CALLS = int(os.environ.get("TAU2_GYM_SANDBOX_CALLS", "300"))
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1200)
def test_many_calls_at_once_leave_nothing(sandbox: LocalSandbox) -> None:
    """TAU2_GYM_SANDBOX_CALLS=10000 makes it the long test."""
    kinds: list[tuple[str, Callable[[object], bool]]] = [
        ("print({})", lambda result: result.stdout.strip().isdigit()),  # type: ignore[attr-defined]
        ("import os\nos.fork(); os.setsid() if os.getpid() > 1 else 0; {}", lambda result: True),
        ("open('f', 'w').write('{}' * 1000)", lambda result: result.ok),  # type: ignore[attr-defined]
        ("raise SystemExit({} % 100)", lambda result: result.killed is None),  # type: ignore[attr-defined]
        (
            "import socket\nheld = [socket.socketpair() for _ in range(9)]\n{}",
            lambda result: result.ok,
        ),  # type: ignore[attr-defined]
    ]

    def one(number: int) -> bool:
        code, right = kinds[number % len(kinds)]
        return right(own.run(code.format(number)))

    with LocalSandbox(Limits(seconds=60, memory_mb=256), at_once=64) as own:
        own.run("1")
        assert own._process is not None
        warm, threads = own._process.pid, threading.active_count()
        gc.collect()
        before = descriptors()
        with ThreadPoolExecutor(64) as pool:
            assert all(pool.map(one, range(CALLS)))
        assert settles(lambda: len(descendants(warm)) == 1 + 2 * SPARE)
        assert descriptors() <= before
        assert not os.path.exists("/tmp/f")
        assert threading.active_count() == threads
        inside = int(own.run("import os; print(len(os.listdir('/proc/self/fd')))").stdout)
        assert inside < 8
    assert settles(lambda: not descendants(warm))
    assert not os.path.exists(f"/proc/{warm}")


PARENT = """
import glob, os, sys, threading, time
from tau2_gym.sandbox import Limits, LocalSandbox
sandbox = LocalSandbox(Limits(seconds=300), isolate={isolate})
sandbox.run("1")
code = "import subprocess; subprocess.run(['sleep', '{marker}'])"
threading.Thread(target=sandbox.run, args=(code,), daemon=True).start()
def runs(path):
    try:
        return open(path, "rb").read().split(bytes(1))[:2] == [b"sleep", b"{marker}"]
    except OSError:
        return False
while not any(map(runs, glob.glob("/proc/[0-9]*/cmdline"))):
    time.sleep(.02)
if {fork}:
    child = os.fork()
    if child == 0:
        time.sleep(30); os._exit(0)
print(sandbox._process.pid, flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("fork", [True, False])
def test_a_parent_that_is_killed_takes_all_with_it(
    sandbox: LocalSandbox, isolate: bool, fork: bool
) -> None:
    marker = f"3{os.getpid()}{int(isolate)}{int(fork)}"
    code = PARENT.format(isolate=isolate, marker=marker, fork=fork)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        warm = int(parent.stdout.readline())
        assert settles(lambda: any(_runs(pid, marker) for pid in marked(marker)))
        everyone = descendants(warm) | {warm}
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert settles(lambda: not any(_is_alive(pid) for pid in everyone)), everyone
        assert not any(_runs(pid, marker) for pid in marked(marker))


def _runs(pid: int, marker: str) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:2] == [
            b"sleep",
            marker.encode(),
        ]
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_fork_of_the_parent_gets_a_sandbox_of_its_own(sandbox: LocalSandbox) -> None:
    sandbox.run("1")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, sandbox.run("print('child')").stdout.encode())
            sandbox.close()
        finally:
            os._exit(0)
    os.close(write)
    assert sandbox.run("print('parent')").stdout == "parent\n"
    with open(read) as said:
        assert said.read() == "child\n"
    assert os.waitpid(child, 0)[1] == 0
    assert sandbox.run("print('still')").stdout == "still\n"


def test_where_there_are_no_namespaces_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tau2_gym.sandbox.local.START", REFUSES)
    with pytest.raises(ConfigError, match="isolate=False") as refused:
        LocalSandbox().run("1")
    assert "\n" not in str(refused.value)
    assert "no new namespaces" in str(available())


REFUSES = (
    f"import sys; sys.path.insert(0, {str(Path(linux.__file__).parents[1])!r}); from jail import linux, warm\n"
    + textwrap.dedent("""
    def unshare(flags):
        raise linux.Refused("no new namespaces: Operation not permitted (EPERM)")
    linux.unshare = unshare
    warm.main()
""")
)

AS_NOBODY = """
import os, sys
sys.path[:0] = {paths!r}
os.environ["PLANTED"] = "sk-planted"
from tau2_gym.sandbox import Limits, LocalSandbox
with LocalSandbox(Limits(seconds=5, memory_mb=256, processes=16)) as sandbox:
    run = lambda code: sandbox.run(code, limits=Limits(seconds=2, memory_mb=200, processes=16))
    assert run("print(6 * 7)").stdout == "42\\n"
    assert "PLANTED" not in run("import os; print(dict(os.environ))").stdout
    assert run("open('/etc/passwd')").status == 1
    assert run("while True: pass").killed == "time"
    assert not run("import os\\nwhile True: os.fork()").ok
    assert "Memory" in run("x = [0] * 10**9").stderr
    assert run("import os, time\\nfor _ in range(3): os.fork()\\nx = b'x' * 60_000_000; time.sleep(9)").killed == "memory"
    assert run("import socket; socket.create_connection(('127.0.0.1', 1))").status == 1
    assert run("open('/usr/x', 'w')").status == 1
    assert run("import os; os.kill(0, 9); os.kill(-1, 9)").status is not None
    assert run("import os; print(os.getuid(), [p for p in os.listdir('/proc') if p.isdigit()])").stdout == "1000 ['1']\\n"
print("as", os.getuid())
"""


def test_an_ordinary_user_gets_the_same(sandbox: LocalSandbox) -> None:
    if os.getuid():
        pytest.skip("this is an ordinary user, and the other tests are about that")
    nobody = 65534
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [
        python
        for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}")
        if os.path.exists(python)
        and _as(nobody, [python, "-c", "import sys; print(sys.version_info[:2])"]).returncode == 0
    ]
    if not found:
        pytest.skip("nobody may run no Python of this version")
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    done = _as(nobody, [found[0], "-c", AS_NOBODY.format(paths=paths)])
    assert done.stdout == f"as {nobody}\n", done.stderr


def _as(user: int, command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            user=user,
            group=user,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
        )
    except PermissionError as error:
        return subprocess.CompletedProcess(command, 126, "", str(error))
