"""The benchmark of the sandbox."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.sandbox import app, cost, shown
from tau2_gym.errors import InfrastructureError
from tau2_gym.sandbox import LocalSandbox, Result
from tests.raw_server import RawServer, response
from tests.sandbox.conftest import WHY_NOT
from tests.sandbox.helpers import serving

TIMES = r"median (\d+\.\d) ms, p95 (\d+\.\d) ms"


@pytest.mark.parametrize("over_http", [False, True])
def test_it_prints_what_calls_cost(over_http: bool) -> None:
    if WHY_NOT is not None:
        pytest.skip(WHY_NOT)
    options = ["--calls", "6", "--at-once", "3", "--seconds", "0.2"]
    with LocalSandbox() as sandbox, serving(sandbox) as server:
        options += ["--url", server.url] if over_http else []
        done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    found = re.fullmatch(
        rf"6 calls, one at a time: {TIMES}\n"
        rf"6 calls, 3 at a time, whose code sleeps 0\.2 s: {TIMES}\n"
        r"6 calls, 3 at a time, whose code takes no time: (\d+) per second on \d+ processors "
        r"\(load \d+\.\d\)\n",
        done.output,
    )
    assert found is not None, done.output
    alone, late, together, later, _ = map(float, found.groups())
    assert 0 < alone <= late
    assert 0 < together <= later


class Slow:
    """Takes longer than its code says."""

    def __init__(self, result: Result) -> None:
        self.result = result

    def run(self, code: str, **_: Any) -> Result:
        assert "time.sleep(2.5)" in code
        return self.result


def test_the_codes_own_time_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 13.0])
    monkeypatch.setattr("benchmarks.sandbox.time.perf_counter", lambda: next(clock))
    assert cost(Slow(Result("2.5\n", "", 0)), 2.5) == 0.5


def test_code_that_does_not_run_has_no_cost() -> None:
    with pytest.raises(InfrastructureError, match="the code did not run: no room"):
        cost(Slow(Result("", "no room\n", 1)), 2.5)
    with pytest.raises(InfrastructureError, match="the code did not run: time"):
        cost(Slow(Result("", "", None, "time")), 2.5)


def test_a_server_that_cannot_be_used_ends_it_with_a_sentence() -> None:
    with RawServer(lambda *_: [response(b"no", 404)]) as raw:
        done = CliRunner().invoke(app, ["--url", f"http://127.0.0.1:{raw.port}"])
    assert done.exit_code == 1
    assert done.output.startswith("error: the sandbox failed: ")
    assert "status 404" in done.output


def test_median_and_95th_percentile() -> None:
    assert shown(number / 1000 for number in range(100, 0, -1)) == "median 50.5 ms, p95 96.0 ms"
    assert shown([0.25]) == "median 250.0 ms, p95 250.0 ms"
