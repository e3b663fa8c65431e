"""What code is given, and what comes of it."""

from __future__ import annotations

import os
import pickle
import threading
import time

import pytest

from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox import Limits, LocalSandbox, Result, Sandbox, local
from tests.sandbox.helpers import descriptors


def test_code_runs_as_a_program(sandbox: LocalSandbox) -> None:
    result = sandbox.run("import sys\nprint(input() * 2)\nprint('e', file=sys.stderr)", stdin="ab")
    assert (result.stdout, result.stderr, result.status) == ("abab\n", "e\n", 0)
    assert result.ok
    assert isinstance(sandbox, Sandbox)


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("1/0", 1, "ZeroDivisionError"),
        ("def f(:", 1, "SyntaxError"),
        ("import sys; sys.exit(3)", 3, ""),
        ("raise SystemExit('bye')", 1, "bye"),
        ("import ctypes; ctypes.string_at(0)", -11, ""),
    ],
)
def test_a_programs_end_is_its_exit_code(
    sandbox: LocalSandbox, code: str, status: int, said: str
) -> None:
    result = sandbox.run(code)
    assert result.status == status
    assert said in result.stderr
    assert "jail" not in result.stderr  # of the trace only the code's own part
    assert not result.ok


@pytest.mark.parametrize("name", ["stdout", "stderr", "__stdout__", "__stderr__"])
@pytest.mark.parametrize("value", ["None", "'text'", "io.StringIO()", "object()", "io.FileIO(9)"])
def test_a_program_may_put_anything_in_the_place_of_its_streams(
    sandbox: LocalSandbox, name: str, value: str
) -> None:
    put = f"import io, os, sys\nprint(7)\nos.dup2(1, 9)\nsys.{name} = {value}"
    result = sandbox.run(put)
    assert (result.stdout, result.stderr, result.status) == ("7\n", "", 0)
    if name == "stderr" and "IO" not in value:  # What it complains about is still seen.
        result = sandbox.run(f"{put}\n1 / 0")
        assert (result.status, "ZeroDivisionError" in result.stderr) == (1, True)
        result = sandbox.run(f"{put}\nsys.exit('bye')")
        assert (result.stdout, result.stderr, result.status) == ("7\n", "bye\n", 1)


def test_the_last_expression_is_shown_if_asked(sandbox: LocalSandbox) -> None:
    assert sandbox.run("a = 6\na * 7", echo=True).stdout == "42\n"
    assert sandbox.run("a = 6\na * 7").stdout == ""
    assert sandbox.run("if True:\n    5", echo=True).stdout == ""
    assert sandbox.run("print(3)", echo=True).stdout == "3\n"


def test_a_program_is_called_main_and_can_pickle_its_own(sandbox: LocalSandbox) -> None:
    code = "import pickle\nclass A: pass\nprint(__name__, type(pickle.loads(pickle.dumps(A()))).__name__)"
    assert sandbox.run(code).stdout == "__main__ A\n"
    code = "import multiprocessing as m\ndef f(x): return x * x\nprint(m.Pool(2).map(f, [1, 2, 3]))"
    assert sandbox.run(code).stdout == "[1, 4, 9]\n"


def test_threads_are_waited_for(sandbox: LocalSandbox) -> None:
    code = "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.2), print('t'))).start()"
    assert sandbox.run(code).stdout == "t\n"


def test_programs_see_nothing_of_each_other(sandbox: LocalSandbox) -> None:
    sandbox.run("import builtins, os; builtins.x = 1; open('left', 'w').write('1')")
    assert (
        sandbox.run("import os; print('x' in dir(__builtins__), os.listdir())").stdout
        == "False []\n"
    )


def test_a_session_keeps_its_variables(sandbox: LocalSandbox) -> None:
    with sandbox.session() as session:
        assert session.run("a = 5").ok
        assert session.run("1/0").status == 1
        assert session.run("a * 2", echo=True).stdout == "10\n"
        forked = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('both')"
        assert session.run(forked).stdout == "both\nboth\n"
        assert session.run("a", echo=True).stdout == "5\n"
        assert session.run("import os; os._exit(7)").status == 7
        assert session.over
        with pytest.raises(InfrastructureError, match="has ended"):
            session.run("a")


def test_what_a_session_leaves_running_rests_between_calls(sandbox: LocalSandbox) -> None:
    with sandbox.session() as session:
        session.run(
            "import threading, time\nn = 0\ndef count():\n    global n\n"
            "    while True: n += 1; time.sleep(.001)\n"
            "threading.Thread(target=count, daemon=True).start()"
        )
        before = int(session.run("n", echo=True).stdout)
        time.sleep(0.5)
        after = int(session.run("n", echo=True).stdout)
    assert after - before < 250


@pytest.mark.parametrize(
    "code",
    ["\0", "print(1)\0", "\ud800", "print('\ud800')", "'" * 99, "(" * 100_000, "-" * 100_000 + "1"]
    + ["\x1b[2J\x07", "x = " + "[" * 5000 + "]" * 5000, "ł" * 1000, "\r\n\t\f", "1" * 100_000]
    + ["import gc; gc.collect(); del __builtins__", "import sys; sys.stdout = None"]
    + ["import sys; sys.modules.clear()", "import os; [os.close(n) for n in range(63)]"]
    + ["import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()"]
    + ["import os; [os.write(n, b'x' * 9) for n in range(1, 64)]"],
    ids=range(18),
)
def test_no_code_harms_the_sandbox(sandbox: LocalSandbox, code: str) -> None:
    assert isinstance(sandbox.run(code, echo=True), Result)
    assert sandbox.run("print('fine')").stdout == "fine\n"


def test_long_code_and_long_input(sandbox: LocalSandbox) -> None:
    result = sandbox.run("# " + "x" * 9_999_000 + "\nprint(len(input()))", stdin="y" * 9_999_000)
    assert result.stdout == "9999000\n"
    # An emoji takes four bytes, and a lone surrogate cannot be encoded.
    result = sandbox.run("# " + "🙂" * 9_999_000 + "\nprint(1)", stdin="🙂" * 9_999_000 + "\ud83d")
    assert result.stdout == "1\n"
    result = sandbox.run("#" * 10_000_001)
    assert not result.ok
    assert "10000001 characters" in result.stderr


def test_text_is_unicode_whatever_comes(sandbox: LocalSandbox) -> None:
    assert sandbox.run("print('žluť', '\\ud800')").stdout == "žluť \\ud800\n"
    assert sandbox.run("import os; os.write(1, b'a\\xffb')").stdout == "a�b"
    assert sandbox.run("print(ascii(input()))", stdin="ž\ud800").status is not None


def test_limits_are_checked() -> None:
    for wrong in ({"seconds": 0}, {"memory_mb": -1}, {"processes": True}, {"disk_mb": "1"}):
        with pytest.raises(ConfigError, match="must be a positive number"):
            Limits(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least one call"):
        LocalSandbox(at_once=0)


def test_calls_run_side_by_side(sandbox: LocalSandbox) -> None:
    results: list[Result] = []
    code = "import time; time.sleep(1); print(1)"
    threads = [threading.Thread(target=lambda: results.append(sandbox.run(code))) for _ in range(4)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.stdout for result in results] == ["1\n"] * 4
    assert time.monotonic() - begun < 3.5


def test_a_sandbox_can_be_pickled_and_used_again_after_it_was_closed(sandbox: LocalSandbox) -> None:
    with pickle.loads(pickle.dumps(sandbox)) as twin:
        assert twin.run("print(1)").ok
        twin.close()
        assert twin.run("print(2)").ok


def test_a_warm_interpreter_that_has_died_is_started_again(sandbox: LocalSandbox) -> None:
    with LocalSandbox() as own:
        own.run("1")
        assert own._process is not None
        own._process.kill()
        own._process.wait()
        assert own.run("print(1)").stdout == "1\n"


def test_without_isolation_limits_hold() -> None:
    with LocalSandbox(Limits(seconds=2, memory_mb=256), isolate=False) as own:
        assert own.run("import os; print(os.path.exists('/etc/passwd'))").stdout == "True\n"
        assert own.run("while True: pass").killed == "time"
        assert own.run("print('x' * 10**7)").killed == "output"
        assert own.run("x = b'x' * 10**9").status == 1


def test_the_same_code_says_the_same_in_every_call_and_every_sandbox(
    sandbox: LocalSandbox,
) -> None:
    code = (
        "import random\nprint(random.random(), hash('a'), {'x', 'y', 'z'})\n"
        "try:\n    import numpy\n    print(numpy.random.random())\nexcept ImportError:\n    pass"
    )
    said = sandbox.run(code)
    assert said.ok
    assert sandbox.run(code).stdout == said.stdout
    with LocalSandbox() as other:
        assert other.run(code).stdout == said.stdout


def test_what_is_prepared_once_is_there_in_every_call(sandbox: LocalSandbox) -> None:
    prepare = "import sys, types\nsys.modules['prepared'] = types.SimpleNamespace(calls=[])"
    code = "import prepared\nprepared.calls.append(1)\nprint(len(prepared.calls))"
    with LocalSandbox(prepare=prepare) as prepared:
        assert [prepared.run(code).stdout for _ in range(2)] == ["1\n", "1\n"]
        again = pickle.loads(pickle.dumps(prepared))
    with again:
        assert again.run(code).stdout == "1\n"
    assert not sandbox.run(code).ok


def test_what_cannot_be_prepared_is_said() -> None:
    with (
        LocalSandbox(prepare="import no_such_module") as broken,
        pytest.raises(InfrastructureError, match="did not start: ModuleNotFoundError"),
    ):
        broken.run("pass")


def test_a_traceback_shows_nothing_but_the_code(sandbox: LocalSandbox) -> None:
    for code in ("1 +", "1 / 0", "def f():\n    return g\nf()"):
        said = sandbox.run(code).stderr
        assert {line.split('"')[1] for line in said.splitlines() if 'File "' in line} == {"<code>"}


def test_a_fork_of_this_process_has_none_of_the_calls_under_way(sandbox: LocalSandbox) -> None:
    with sandbox.session() as session:
        session.run("x = 6")
        child = os.fork()
        if not child:
            os._exit(session._connection.fileno() >= 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert session.run("x * 7", echo=True).stdout == "42\n"


def test_a_sandbox_that_does_not_start_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "START", "raise SystemExit")
    before = descriptors()
    with pytest.raises(InfrastructureError, match="it said nothing") as failed:
        LocalSandbox(isolate=False).run("1")
    assert failed.traceback  # which holds on to all that was in use
    assert descriptors() == before


def test_a_warm_interpreter_that_takes_for_ever_to_start_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "START", "import time; time.sleep(300)")
    monkeypatch.setattr(local, "STARTING", 0.2)
    with pytest.raises(InfrastructureError, match="the sandbox did not start: it said nothing"):
        LocalSandbox(isolate=False).run("1")
