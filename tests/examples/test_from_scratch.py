"""The example that starts from nothing: which tasks are for what, its tokenizer, its report."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from examples.from_scratch.__main__ import app
from examples.from_scratch.model import flat, make_model, make_tokenizer
from examples.from_scratch.plan import ARMS, FAMILIES, Plan, TaskSets, task_sets
from examples.from_scratch.report import STAGES, write_report
from examples.from_scratch.stages import scores
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.results.record import Record
from tests.trainers.playing import workflow_attempts
from trainers.data.sft_rows import RowMaker, make_rows
from trainers.sections import Tasks
from trainers.tasks import training_tasks

# Tasks

PLANS = {"whole": Plan(), "quick": Plan().quick, "large": replace(Plan(), demonstrations=900)}


def problems(task: str) -> str:
    """What is wrong in a task, whoever the customer is."""
    return task.rpartition("[PERSONA")[0]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_test_and_dev_tasks_are_in_no_other_set(plan: Plan) -> None:
    found = [task_sets(plan, seed) for seed in range(4)]
    for sets in found:
        learned = {*sets.demonstrations, *sets.practice, *sets.pool}
        assert set(sets.test) == set(get_domain("telecom").task_ids("test"))
        assert not {*learned, *sets.dev} & set(sets.test)
        assert not learned & set(sets.dev)
        for tasks in (sets.demonstrations, sets.practice, sets.pool, sets.dev):
            assert len(set(tasks)) == len(tasks)
        assert training_tasks(Tasks(domains=("telecom",), only=sets.pool))
        assert set(get_domain("telecom").task_ids("train")) <= set(sets.practice) <= set(sets.pool)
    assert len({sets.dev for sets in found}) == 1, "settings are chosen on the same tasks"
    assert len({sets.practice for sets in found}) == len(found)


def test_no_problem_of_a_test_task_is_learned_from_another_customer() -> None:
    sets = task_sets(Plan(), 0)
    tested = set(map(problems, sets.test))
    assert not tested & set(map(problems, (*sets.demonstrations, *sets.pool, *sets.dev)))


def test_sets_are_as_large_as_planned() -> None:
    def count(tasks: tuple[str, ...]) -> list[int]:
        return [sum(task.startswith(f"[{family}]") for task in tasks) for family in FAMILIES]

    plan = Plan()
    sets: TaskSets = task_sets(plan, 0)
    assert count(sets.dev) == list(plan.dev)
    assert len(sets.demonstrations) == sum(count(sets.demonstrations)) == plan.demonstrations
    train = count(tuple(get_domain("telecom").task_ids("train")))
    for tasks, outside in ((sets.practice, plan.practice), (sets.pool, plan.pool)):
        assert count(tasks) == [own + more for own, more in zip(train, outside, strict=True)]


# Model


def conversations() -> list[list[dict[str, str]]]:
    return [flat(attempt["messages"], "telecom") for attempt in workflow_attempts(6, 1)]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    pytest.importorskip("transformers")
    return make_tokenizer(conversations(), 1500)


@settings(max_examples=200)
@given(st.text() | st.text('ab ,.!?|\n<>{}":'))
def test_any_text_comes_back(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert decoded == text.encode("utf-8", "replace").decode()


def test_tokens_are_phrases(tokenizer: Any) -> None:
    assert len(tokenizer) <= 1500
    for conversation in conversations():
        text = tokenizer.apply_chat_template(conversation, tokenize=False)
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text
        assert len(ids) < len(text) / 8
        for token in ids:
            piece = tokenizer.decode([token])
            assert not re.search(r"(\n|[.?!|,] ).", piece), "no token goes on after a phrase"
    for mark in ("<tool_call>", "</tool_call>", "<|im_end|>"):
        assert len(tokenizer.encode(f"a{mark}b", add_special_tokens=False)) == 3


def test_it_is_made_of_what_the_model_is_shown(tokenizer: Any) -> None:
    """And the template renders structured calls and results as it does flat ones."""
    maker = RowMaker(tokenizer, prompt="bare", context=1024)
    rows, refused = make_rows(maker, workflow_attempts(6, 1))
    assert not refused
    for row, conversation in zip(rows, conversations(), strict=True):
        said = row["messages"]
        assert conversation[: len(said)] == said
        assert {message["role"] for message in conversation[len(said) :]} <= {"user"}


def test_a_model_is_its_seeds(tokenizer: Any) -> None:
    pytest.importorskip("torch")
    models = [
        make_model(tokenizer, seed, width=64, layers=2, context=256).state_dict()
        for seed in (0, 0, 1)
    ]
    name = "model.layers.1.mlp.up_proj.weight"
    assert models[0][name].shape == (192, 64)
    assert (models[0][name] == models[1][name]).all()
    assert (models[0][name] != models[2][name]).any()


# Report


def record(task: str, reward: float | None, turns: int = 4) -> Record:
    return Record(
        "telecom", task, 0, 0, "r", official_reward=reward, partial_score=0.5, num_turns=turns
    )


A, B = "[mms_issue]x|y[PERSONA:None]", "[service_issue]z[PERSONA:Easy]"


def test_scores() -> None:
    played = [record(A, reward) for reward in (1.0, 1.0, 0.0, None)]
    played += [record(B, 1.0, turns=8) for _ in range(4)]
    found = scores(played)
    assert found["attempts"] == 8
    assert found["pass@1"]["value"] == pytest.approx(0.75)
    assert found["pass@4"]["value"] == 1.0
    assert found["pass^4"]["value"] == 0.5
    assert found["pass@1"]["low"] == pytest.approx(0.5)
    assert found["families"] == {"mms_issue": 0.5, "service_issue": 1.0}
    assert (found["partial"], found["turns"]) == (0.5, 6.0)
    assert scores([record(A, 1.0)])["pass@4"]["value"] is None


def evaluation(stage: str, value: float) -> dict[str, Any]:
    estimated = {"value": value, "low": value - 0.1, "high": value + 0.1, "tasks": 40}
    nothing = dict.fromkeys(("value", "low", "high")) | {"tasks": 0}
    families = dict(zip(FAMILIES, (0.25, 0.5, 0.75), strict=True))
    sampled = {"pass@1": estimated, "pass@4": estimated, "pass^4": nothing}
    return {
        "model": stage,
        "sampled": {**sampled, "families": families, "turns": 7.25},
        "greedy": {"pass@1": estimated},
    }


def write_runs(folder: Path) -> Path:
    """Three seeds: a whole one, one that is under way, and one that has just begun."""
    values = {
        "seed0": {stage: 0.3 + 0.1 * number for number, stage in enumerate(STAGES)},
        "seed1": {"sft": 0.5, "grpo-sparse": 0.55},
        "seed2": {},
    }
    for seed, stages in values.items():
        (folder / seed / "evaluations").mkdir(parents=True)
        for stage, value in stages.items():
            file = folder / seed / "evaluations" / f"{stage}.json"
            file.write_text(json.dumps(evaluation(stage, value)))
    (folder / "seed0" / "seconds.json").write_text('{"sft": 90.0, "rft": 30.0}')
    (folder / "seed1" / "seconds.json").write_text('{"sft": 60.0}')
    for seed, last in (("seed0", 12), ("seed1", 6)):
        lines = [{"step": 0, "eval/pass@1": 0.25}, {"step": 3, "train/reward": 1.0}]
        lines.append({"step": last, "eval/pass@1": 0.5})
        (folder / seed / "grpo-sparse").mkdir()
        log = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / seed / "grpo-sparse" / "log.jsonl").write_text(log)
    return folder


def test_a_report_of_the_runs_there_are(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    write_report(write_runs(tmp_path / "runs"), tmp_path / "report")
    rows = (tmp_path / "report" / "tables.md").read_text().splitlines()
    cell = "50.0 (40–60)"
    assert f"| 1 | sft | {cell} | {cell} | – | {cell} | 25 / 50 / 75 | 7.2 |" in rows
    assert sum(row.startswith("| 0 | ") and "(" in row for row in rows) == len(STAGES)
    # Two values d apart have a standard error of d / 2, and t is 12.706 with one degree of freedom.
    assert "| sft | 2 | 40.0 (-87.1 to 167.1) | +0.0 (+0.0 to +0.0) |" in rows
    # Gains are over the same seeds' fine-tuned models.
    assert "| rft | 1 | 40.0 | +10.0 |" in rows
    assert "| grpo-sparse | 2 | 57.5 (25.7 to 89.3) | +17.5 (-141.3 to +176.3) |" in rows
    assert "| Seed | sft | rft |" in rows
    assert "| 0 | 1.5 min | 0.5 min |" in rows
    assert "| 1 | 1.0 min |  |" in rows
    data = json.loads((tmp_path / "report" / "numbers.json").read_text())
    assert data["plan"]["context"] == Plan().context
    assert data["dev_pass@1"]["grpo-sparse"]["1"] == [[0, 0.25], [6, 0.5]]
    assert data["evaluations"]["0"]["rft"]["model"] == "rft"
    picture = (tmp_path / "report" / "curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seed0").mkdir()
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match=r"there is no evaluation in .*: run the example"):
            write_report(folder, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_every_arm_has_a_place_in_the_report() -> None:
    assert {f"grpo-{arm.name}" for arm in ARMS} <= set(STAGES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arms", "dense"], "unknown arm 'dense'; allowed: progress, shaped, sparse"),
        (["--report", "there"], "there is no evaluation in"),
    ],
)
def test_wrong_options_take_one_sentence(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["--output", "runs", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


def test_every_stage_runs_and_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("openrlhf", reason="OpenRLHF is not installed: see docs/training.md")
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    runs, report = tmp_path / "runs", tmp_path / "report"
    options = ["--output", str(runs), "--quick", "--arms", "progress"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    done = {"sft", "rft", "rft+grpo", "grpo-progress"}
    assert {file.stem for file in (runs / "seed0" / "evaluations").iterdir()} == done
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*.safetensors")}
    assert CliRunner().invoke(app, options).exit_code == 0
    assert before == {path: path.stat().st_mtime_ns for path in runs.rglob("*.safetensors")}
    assert CliRunner().invoke(app, [*options, "--report", str(report)]).exit_code == 0
    assert done <= set(json.loads((report / "numbers.json").read_text())["evaluations"]["0"])
