from __future__ import annotations

import pytest

from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox import LocalSandbox, choice
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


@pytest.mark.parametrize("value", ["docker", "fusion", "fusion:", "local:", "LOCAL"])
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
