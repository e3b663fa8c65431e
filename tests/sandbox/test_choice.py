from __future__ import annotations

import os
import socket
import time

import pytest

from tau2_gym.completion.servers import GLANCE, Waiting, announced
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox import FusionSandbox, LocalSandbox, choice
from tau2_gym.sandbox.base import Result


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    choice._made.cache_clear()
    choice._checked.cache_clear()


@pytest.mark.parametrize(
    ("value", "isolated"), [(None, True), ("", True), ("local", True), ("local-unisolated", False)]
)
def test_the_variable_chooses(
    value: str | None, isolated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(choice.VARIABLE, value)
    made = choice.sandbox()
    assert isinstance(made, LocalSandbox)
    assert (made.isolate, made.at_once) == (isolated, choice.AT_ONCE)
    assert choice.sandbox() is made


def test_two_calls_per_processor_run_at_once_and_16_at_least() -> None:
    assert max(16, 2 * (os.cpu_count() or 1)) == choice.AT_ONCE


@pytest.mark.parametrize(
    "value", ["docker", "docker:http://a:1", "fusion", "fusion:", "local:", "LOCAL"]
)
def test_other_values_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, value)
    for ask in (choice.sandbox, choice.check_sandbox):
        with pytest.raises(ConfigError) as refusal:
            ask()
        assert str(refusal.value) == (
            f"TAU2_GYM_SANDBOX must be one of local, local-unisolated, fusion:URL, not {value!r}"
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Result("42\n", "", 0), None),
        (
            Result("", "sh: python: not found\n", 127),
            "does not run Python; it says 'sh: python: not",
        ),
        (Result("41\n", "", 0), "does not run Python; it says '41'"),
        (Result("", "", None, "time"), "does not run Python; it says 'nothing'"),
        (InfrastructureError("it does not answer"), "does not work: it does not answer"),
        (ConfigError("this machine allows none"), "this machine allows none"),
    ],
)
def test_it_is_checked_that_it_runs_code(
    answer: Result | Exception, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def run(sandbox: LocalSandbox, code: str) -> Result:
        asked.append(code)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(LocalSandbox, "run", run)
    if message is None:
        choice.check_sandbox()
        choice.check_sandbox()
        assert len(asked) == 1
    else:
        for _ in range(2):
            with pytest.raises(ConfigError, match=message):
                choice.check_sandbox()
        assert len(asked) == 2


def test_a_server_that_does_not_answer_is_said_to_be_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(choice, "_made", lambda name: FusionSandbox(url, startup=2.0))
        monkeypatch.setenv(choice.VARIABLE, f"fusion:{url}")
        with pytest.raises(ConfigError, match=r"given up after 2 s") as failed:
            choice.check_sandbox()
    assert "secret" not in str(failed.value)
    out, err = capfd.readouterr()
    assert (out, err) == (
        "",
        f"waiting for {url.replace('user:secret@', '')}/run_code, 0 s of 2 s\n",
    )


def test_a_wait_is_said_once_and_none_not_at_all(capfd: pytest.CaptureFixture[str]) -> None:
    with announced():
        pass
    with announced(), Waiting("a server", 30.0):
        time.sleep(5 * GLANCE)  # Time enough to say it more than once.
    assert capfd.readouterr() == ("", "waiting for a server, 0 s of 30 s\n")
