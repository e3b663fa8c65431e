"""Code that wants more than it is given, or what is not its own."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from tau2_gym.sandbox import Limits, LocalSandbox, Result
from tau2_gym.sandbox.local import SPARE
from tests.sandbox.helpers import descendants, marked, settles


@pytest.fixture(autouse=True)
def nothing_is_left(sandbox: LocalSandbox, request: pytest.FixtureRequest) -> object:
    """After each attack, no process is there but the warm interpreter and jails that wait for a call, of two
    processes each."""
    sandbox.run("1")
    assert sandbox._process is not None
    warm = sandbox._process.pid
    before = set(os.listdir("/tmp"))
    yield
    assert settles(lambda: len(descendants(warm)) == 1 + 2 * SPARE), descendants(warm)
    assert sandbox.run("print('fine')").stdout == "fine\n"
    mine = {name for name in set(os.listdir("/tmp")) - before if "planted" in name}
    assert not mine


SHORT = Limits(seconds=3, memory_mb=200, disk_mb=16, processes=16)


@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
        'import subprocess, sys\nme = \'import subprocess,sys; [subprocess.Popen([sys.executable, "-c", '
        "sys.argv[1], sys.argv[1]]) for _ in \"ab\"]'\nsubprocess.run([sys.executable, '-c', me, me])\n"
        "import time; time.sleep(99)",
    ],
    ids=["forks", "threads", "programs"],
)
def test_a_fork_bomb_stays_in_its_jail(sandbox: LocalSandbox, code: str) -> None:
    count = "import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]))"
    result = sandbox.run(code, limits=SHORT)
    assert not result.ok
    assert sandbox.run(count).stdout == "1\n"


FILL = "import mmap, os, time\nheld = []\n"


@pytest.mark.parametrize(
    "code",
    [
        "x = [0] * 10**9",
        "x = []\nwhile True: x.append(bytearray(10**6))",
        FILL + "while True:\n    held.append(mmap.mmap(-1, 10**7)); held[-1][:] = b'x' * 10**7",
        # Each below the limit on a process; together above it.
        FILL + "for _ in range(3): os.fork()\n"
        "held.append(bytearray(os.urandom(1)) * 60_000_000)\ntime.sleep(99)",
        # Small programs that grow to what an interpreter has, which must not be had for nothing.
        FILL + "import subprocess, sys\n"
        "for _ in range(12): subprocess.Popen([sys.executable, '-c', "
        "'import time; x = bytearray(40_000_000); time.sleep(99)'])\ntime.sleep(99)",
        FILL + "try:\n    for i in range(99): held.append(open(f'f{i}', 'wb')); "
        "held[-1].write(b'x' * 10**6); held[-1].flush()\nexcept OSError: pass\nx = [0] * 10**9",
    ],
    ids=["at once", "heap", "shared", "many", "programs", "files"],
)
def test_a_memory_bomb_is_stopped(sandbox: LocalSandbox, code: str) -> None:
    result = sandbox.run(code, limits=Limits(seconds=15, memory_mb=200, disk_mb=64, processes=16))
    assert result.killed == "memory" or "Memory" in result.stderr or "allocate" in result.stderr


def test_shared_memory_counts_once(sandbox: LocalSandbox) -> None:
    code = FILL + (
        "held.append(mmap.mmap(-1, 10**8)); held[-1][:] = b'x' * 10**8\n"
        "for _ in range(2): os.fork()\nsum(held[-1][::4096]); time.sleep(.5)"
    )
    assert sandbox.run(code, limits=Limits(seconds=20, memory_mb=320)).ok


def test_pipes_and_sockets_hold_little(sandbox: LocalSandbox) -> None:
    code = """
import os, socket, fcntl
held, total = [], 0
try:
    while True:
        ends = socket.socketpair() if len(held) % 2 else os.pipe()
        held.append(ends)
        end = ends[1] if isinstance(ends[1], int) else ends[1].fileno()
        os.set_blocking(end, False)
        try:
            while True: total += os.write(end, b'x' * 65536)
        except BlockingIOError: pass
except OSError: pass
print(total)
"""
    assert int(sandbox.run(code).stdout) < 16 * 2**20


@pytest.mark.parametrize(
    "code",
    [
        "f = open('big', 'wb')\nwhile True: f.write(b'x' * 10**6)",
        "i = 0\nwhile True:\n    i += 1; open(f'f{i}', 'wb').write(b'x' * 10**6)",
        "i = 0\nwhile True:\n    i += 1; open(f'f{i}', 'wb')",
        "import os\nwhile True: os.mkdir('d'); os.chdir('d')",
        "import os\nwhile True: os.write(0, b'x')",
        "import os; os.ftruncate(0, 10**12)",
    ],
    ids=["big", "many", "inodes", "deep", "stdin", "stdin grows"],
)
def test_a_disk_bomb_is_stopped(sandbox: LocalSandbox, code: str) -> None:
    before = os.statvfs("/tmp")
    result = sandbox.run(code, limits=SHORT)
    assert not result.ok
    after = os.statvfs("/tmp")
    assert (before.f_bfree - after.f_bfree) * after.f_frsize < 2**27


@pytest.mark.parametrize(
    "code",
    [
        "print('x' * 10**8)",
        "while True: print('x' * 100)",
        "import sys\nwhile True: sys.stderr.write('x' * 1000)",
        "import os\nfor _ in range(4): os.fork()\nwhile True: os.write(1, b'x' * 4096)",
    ],
)
def test_endless_output_is_cut(sandbox: LocalSandbox, code: str) -> None:
    result = sandbox.run(code, limits=Limits(seconds=30, output_kb=64))
    assert result.killed == "output"
    assert max(len(result.stdout), len(result.stderr)) == 64 * 1024


ESCAPE = """
import os, time, signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv('/bin/sleep', ['sleep-planted', '300'])
    os._exit(0)
"""


@pytest.mark.parametrize(
    "then", ["", "time.sleep(99)", "while True: pass", "os.close(1); os.close(2)"]
)
def test_nothing_outlives_the_time_limit(sandbox: LocalSandbox, then: str) -> None:
    result = sandbox.run(ESCAPE + then, limits=Limits(seconds=2))
    assert result.killed == ("time" if then[:2] in ("ti", "wh") else None)
    assert settles(lambda: not marked("sleep-planted"))


@pytest.mark.parametrize("isolate", [True, False])
def test_sleeping_is_cut_and_leaves_nothing(sandbox: LocalSandbox, isolate: bool) -> None:
    with LocalSandbox(Limits(seconds=1), isolate=isolate) as own:
        result = own.run(ESCAPE + "time.sleep(99)")
        assert result.killed == "time"
        assert result.status is None
        assert 1 <= result.seconds < 6
        assert settles(lambda: not marked("sleep-planted"))


def test_the_parents_cannot_be_killed_or_stopped(sandbox: LocalSandbox) -> None:
    code = """
import os, signal
for pid in range(-1, 100):
    for number in (signal.SIGKILL, signal.SIGSTOP):
        try: os.kill(pid, number)
        except OSError as error: pass
print(os.getppid(), sorted(p for p in os.listdir('/proc') if p.isdigit()))
"""
    assert sandbox.run(code).stdout == "0 ['1']\n"


def test_the_environment_holds_no_secret(sandbox: LocalSandbox, secret: str) -> None:
    code = """
import os, glob, gc
for name in glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline') + glob.glob('/proc/*/maps'):
    try: print(open(name, errors='replace').read())
    except OSError: pass
print(dict(os.environ))
secret = 'sk-' + 'planted'
print('FOUND' if any(isinstance(o, (str, dict)) and secret in str(o)[:9999] and o is not secret
      and 'glob' not in str(o)[:9999] for o in gc.get_objects()) else 'none')
"""
    result = sandbox.run(code)
    assert result.ok, result.stderr
    assert secret not in result.stdout
    assert "FOUND" not in result.stdout


def test_files_of_the_machine_cannot_be_read(sandbox: LocalSandbox, tmp_path: Path) -> None:
    secret = Path.home() / ".planted_secret"
    secret.write_text("sk-in-a-file")
    (tmp_path / "other").write_text("sk-in-tmp")
    try:
        code = f"""
import os
for name in {[str(secret), str(tmp_path / "other"), "/etc/passwd", "/etc/shadow", "/etc/hosts", str(Path.cwd() / "pyproject.toml")]!r}:
    for way in (name, '/proc/self/root' + name, '/proc/1/root' + name, '/old' + name, '/tmp/../..' + name):
        try: print('READ', way, open(way).read())
        except OSError as error: pass
os.symlink({str(secret)!r}, 'link')
try: print('READ', open('link').read())
except OSError: pass
try: os.link('/proc/self/exe', 'hard')
except OSError: pass
for depth in range(1, 9):
    names = os.listdir('/'.join(['..'] * depth))
    if 'home' in names or 'boot' in names: print('READ', names)
print('done')
"""
        result = sandbox.run(code)
    finally:
        secret.unlink()
    assert "READ" not in result.stdout
    assert result.stdout == "done\n", result.stderr


@pytest.mark.parametrize(
    "code",
    [
        "s = socket.create_connection(('1.1.1.1', 80), 2)",
        "s = socket.create_connection(('127.0.0.1', PORT), 2)",
        "s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM); s.settimeout(2); s.connect(('::1', 80))",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('8.8.8.8', 53))",
        "socket.getaddrinfo('example.com', 80)",
        "socket.socket(40, socket.SOCK_STREAM)",
        "socket.socket(16, socket.SOCK_RAW)",
        "socket.socket(17, socket.SOCK_RAW)",
        "socket.socket(38, 5)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    ],
    ids=["ipv4", "localhost", "ipv6", "udp", "dns", "vsock", "netlink", "packet", "crypto", "raw"],
)
def test_there_is_no_network(sandbox: LocalSandbox, code: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        result = sandbox.run(
            "import socket\n" + code.replace("PORT", port), limits=Limits(seconds=15)
        )
    assert result.status == 1
    assert "rror" in result.stderr


def test_calls_cannot_talk_to_each_other(sandbox: LocalSandbox) -> None:
    listen = """
import socket
s = socket.socket(socket.AF_UNIX); s.bind('\\0planted'); s.listen(); s.settimeout(3)
open('/tmp/planted', 'w')
try: s.accept(); print('HEARD')
except TimeoutError: print('nobody')
"""
    call = """
import os, socket, time
for _ in range(10):
    time.sleep(.25)
    s = socket.socket(socket.AF_UNIX)
    try: s.connect('\\0planted'); print('TALKED')
    except OSError: pass
print(os.listdir('/tmp'))
"""
    results: list[Result] = []
    threads = [
        threading.Thread(target=lambda code=code: results.append(sandbox.run(code)))  # type: ignore[misc]
        for code in (listen, call)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.stdout for result in results) == ["[]\n", "nobody\n"]


@pytest.mark.parametrize(
    "place", ["/planted", "/usr/planted", "/etc/planted", "/dev/planted", "PREFIX"]
)
def test_nothing_can_be_written_outside(sandbox: LocalSandbox, place: str) -> None:
    import sys

    place = place.replace("PREFIX", sys.prefix + "/planted")
    code = f"""
import os
for way in ({place!r}, '/proc/self/root' + {place!r}):
    try: open(way, 'w').write('x'); print('WROTE')
    except OSError: pass
    os.symlink(way, 'link' + str(len(way)))
    try: open('link' + str(len(way)), 'w').write('x'); print('WROTE')
    except OSError: pass
    try: os.mkdir(way); print('WROTE')
    except OSError: pass
print('done')
"""
    result = sandbox.run(code)
    assert result.stdout == "done\n", result.stderr
    assert not os.path.exists(place)


CALLS = {
    "ptrace": (101, "16, 1, 0, 0"),
    "unshare a user": (272, "0x10000000"),
    "unshare a network": (272, "0x40000000"),
    "setns": (308, "3, 0"),
    "mount": (165, "b'none', b'/tmp', b'tmpfs', 0, 0"),
    "move a mount": (429, "-100, b'/', -100, b'/tmp', 0"),
    "umount": (166, "b'/proc', 2"),
    "pivot_root": (155, "b'/', b'/tmp'"),
    "chroot": (161, "b'/tmp'"),
    "read memory": (310, "1, 0, 0, 0, 0, 0"),
    "memfd": (319, "b'x', 0"),
    "bpf": (321, "0, 0, 0"),
    "io_uring": (425, "8, 0"),
    "keys": (248, "b'user', b'x', b'y', 1, -2"),
    "clone into a user": (56, "0x10000011, 0, 0, 0, 0"),
    "handle": (304, "-100, 0, 0"),
    "shared memory": (29, "0, 4096, 0o1600"),
    "clock": (227, "0, 0"),
    "hostname": (170, "b'x', 1"),
    "set user": (105, "0"),
    "capabilities": (126, "b'\\x22\\x05\\x08\\x20' + bytes(4), b'\\xff' * 24"),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
@pytest.mark.parametrize("name", CALLS)
def test_the_kernel_is_not_asked_for_power(sandbox: LocalSandbox, name: str) -> None:
    number, arguments = CALLS[name]
    code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall({number}, {arguments}), ctypes.get_errno())
"""
    result, number = map(int, sandbox.run(code).stdout.split())
    assert result == -1
    assert number in (errno.EPERM, errno.EINVAL)


def test_proc_tells_of_no_one_else(sandbox: LocalSandbox) -> None:
    code = """
import os, socket
print('PROCESSES', [name for name in os.listdir('/proc') if name.isdigit()])
for name in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/self/oom_score_adj'):
    try: os.write(os.open(name, os.O_WRONLY), b'-500'); print('WROTE', name)
    except OSError: pass
print(socket.gethostname(), os.getuid(), os.getgid(), os.getgroups())
"""
    result = sandbox.run(code)
    assert result.stdout.startswith("PROCESSES ['1']\nsandbox 1000 1000"), result
