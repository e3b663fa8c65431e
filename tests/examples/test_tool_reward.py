"""The study of the reward for tool calls: its problems, its demonstrations, its arms, its report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from examples.from_scratch.report import over_seeds
from examples.tool_reward.__main__ import app
from examples.tool_reward.report import write_report
from examples.tool_reward.study import ARMS, STARTS, Plan, Study, scores
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.results.record import Record
from tau2_gym.rewards import RewardConfig
from trainers.credit import group_advantages

SMALL = replace(Plan(), problems=80, test=8, held_out=20)


def study(folder: Path, seed: int = 0) -> Study:
    return Study(folder, seed, SMALL, Console(quiet=True))


def test_what_is_watched_and_what_is_tested_is_not_learned_from(tmp_path: Path) -> None:
    runs = [study(tmp_path, seed) for seed in (0, 1)]
    tests = set(get_domain(SMALL.domain).task_ids("test"))
    for run in runs:
        learned = run.config(tmp_path, tmp_path, "none").tasks.only
        assert len(set(learned)) == 60
        assert not {*learned, *run.held_out()} & tests
        assert not set(learned) & set(run.held_out())
    assert runs[0].problems != runs[1].problems
    assert runs[0].problems == study(tmp_path).problems


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_demonstrations_uses_the_tool_and_all_are_right(
    share: float, tmp_path: Path
) -> None:
    run = study(tmp_path)
    shown = scores(run._show(run.problems, share))
    assert shown["solved"] == 1.0
    assert abs(shown["called"] - share) <= 0.2
    assert shown == scores(run._show(run.problems, share)), "the same at the same seed"


@given(st.lists(st.booleans(), min_size=2, max_size=16))
def test_the_released_reward_trains_as_none_at_all(right: list[bool]) -> None:
    """Its number of turns is always 0, so a wrong answer is worth min(-.6, -1 + .1 * (0 - 2) / 2), however often
    the tool was called: an outcome of another scale, and the scale is divided out."""
    released = [[1.0 if one else min(-0.6, -1 + 0.1 * (0 - 2) / 2)] for one in right]
    plain = [[1.0 if one else 0.0] for one in right]
    hidden = [False] * len(right)
    expected = group_advantages(plain, hidden)
    assert group_advantages(released, hidden) == [
        pytest.approx(one, rel=1e-5, abs=1e-5) for one in expected
    ]


def test_an_arm_is_a_reward() -> None:
    for arm, options in ARMS.items():
        config = RewardConfig.of({"preset": "sparse", **options})
        assert (config.tool_call > 0) is (arm != "none")
        assert config.tool_call_cap >= config.tool_call


def record(solved: bool, used: bool) -> Any:
    tool = [{"role": "tool", "content": "4"}] if used else []
    return Record("code", "t", 0, 0, "r", messages=tool, official_reward=float(solved))


def test_scores_tell_answers_with_the_tool_from_those_without() -> None:
    records = [record(True, True), record(True, True), record(False, True), record(False, False)]
    assert scores(records) == {
        "attempts": 4,
        "solved": 0.5,
        "called": 0.75,
        "solved with the tool": pytest.approx(2 / 3),
        "solved without": 0.0,
    }
    assert scores(records[:1])["solved without"] is None


def test_the_mean_over_seeds_has_an_interval_of_student_s_t() -> None:
    # t at .975 with two degrees of freedom is 4.303, and the deviation of .1, .2, .3 is .1.
    assert over_seeds([0.1, 0.2, 0.3]) == "20.0 (-4.8 to 44.8)"
    assert over_seeds([0.25], "+.1f") == "+25.0"
    assert over_seeds([]) == "–"


def test_the_report_compares_each_arm_with_none_seed_by_seed(tmp_path: Path) -> None:
    for seed, gain in ((0, 0.1), (1, 0.3)):
        folder = tmp_path / "runs" / f"seed{seed}"
        (folder / "evaluations").mkdir(parents=True)
        for name, solved in (("able", 0.2), ("able-none", 0.4), ("able-tcr", 0.4 + gain)):
            found = {"solved": solved, "called": 0.5, "solved with the tool": solved}
            row = json.dumps({**found, "solved without": None})
            (folder / "evaluations" / f"{name}.json").write_text(row)
        (folder / "able-tcr").mkdir()
        rows = [{"step": s, "eval/pass@1": s / 10, "eval/turns": 1 + s} for s in (0, 5)]
        (folder / "able-tcr" / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write_report(tmp_path / "runs", tmp_path / "report")
    table = (tmp_path / "report" / "tables.md").read_text().splitlines()
    (row,) = [line for line in table if line.startswith("| able-tcr ")]
    assert row.startswith("| able-tcr | 2 | 60.0 (")
    assert row.endswith("| – | +20.0 (-107.1 to +147.1) |")
    assert (tmp_path / "report" / "curves.png").stat().st_size > 10_000
    curves = json.loads((tmp_path / "report" / "numbers.json").read_text())["curves"]
    assert curves["able-tcr"] == [[[0, 0, 0.0], [5, 5, 0.5]]] * 2


def test_there_is_no_report_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no evaluation in"):
        write_report(tmp_path, tmp_path / "report")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--arms", "tcr,half"], "unknown arm 'half'; allowed: none, tcr, tcr-double"),
        (["--starts", "abel"], "unknown start 'abel'; allowed: able, clumsy"),
    ],
)
def test_an_unknown_name_is_refused(options: list[str], says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["-o", str(tmp_path), *options])
    assert done.exit_code == 2
    assert says in done.output.replace("\n", " ")


@pytest.mark.timeout(900)
def test_all_of_it_runs(tmp_path: Path) -> None:
    pytest.importorskip("openrlhf")
    pytest.importorskip("torch")
    command = ["-o", str(tmp_path), "--quick", "--starts", STARTS[0].name, "--arms", "none,tcr"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "seed0" / "evaluations" / "able-tcr.json").read_text())
    assert found["attempts"] == 4
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0
    assert "step 1" not in again.output, "what is done is not done again"
