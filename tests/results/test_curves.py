"""The picture of a run: drawn, the same every time, and refused where it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.results import curves
from tau2_gym.results.curves import FORMATS, check_plot, plot
from tau2_gym.results.summary import summarise
from tests.results.helpers import row

ROWS = [row(task, trial, float(trial < int(task))) for task in "123" for trial in range(4)]
SUMMARY = {**summarise(ROWS, 4, 0), "floors": {"noop": summarise(ROWS[4:], 4, 0)}}


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_numbers_give_the_same_picture(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    paths = [tmp_path / "new" / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        plot(SUMMARY, 4, "a run", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(paths[0].read_bytes()) > 5000


def test_what_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules["matplotlib"].rcParams, "svg.fonttype", "none")  # text as text
    plot(SUMMARY, 4, "noop with user scripted", tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    for text in (
        "retail",
        "pass@k",
        "pass^k",
        "pass@k of noop",
        "noop with user scripted",
        "% of tasks",
    ):
        assert f">{text}<" in drawn


def test_metrics_that_no_task_has_enough_attempts_for_are_not_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(summarise([row("1")], 3, 0), 3, "one", tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_what_cannot_be_drawn_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown format of a plot '.gif'; allowed: .pdf, .png, .svg"
    ):
        check_plot(Path("a.gif"))
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs matplotlib, .* pip install 'tau2-gym\[plots\]'"):
        check_plot(Path("a.png"))


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        plot(SUMMARY, 4, "a run", tmp_path / "file" / "a.png")
