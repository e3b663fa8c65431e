"""Submissions to the leaderboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tau2_gym.domains.base import get_domain
from tau2_gym.results.exchange.played import played
from tau2_gym.results.exchange.submission import pass_k
from tau2_gym.results.run import read_run
from tests.results.exchange.runs import Row, changed, play, tau2_gym

INSTALLED = find_spec("tau2") is not None and find_spec("tau2.registry") is not None

MODEL: dict[str, Any] = {
    "agent": "sglang",
    "model": {"name": "org/model", "prompt": "official"},
    "user": "litellm:gpt-4.1",
    "max_steps": 200,
    "agent_instruction": {"airline": "tau2"},
}
"""The set-up of a standard evaluation."""

SAID = {
    "--model-organization": "Org",
    "--contact-email": "someone@example.com",
    "--notes": "Trained with GRPO on the train split.",
    "--reference": "https://example.com/paper",
    "--date": "2026-11-28",
}

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "model_name",
        "model_organization",
        "submitting_organization",
        "submission_date",
        "contact_info",
        "results",
    ],
    "properties": {
        **{
            name: {"type": "string", "minLength": 1}
            for name in ("model_name", "model_organization", "submitting_organization")
        },
        "submission_date": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
        "submission_type": {"enum": ["standard", "custom"]},
        "modality": {"enum": ["text", "voice"]},
        "contact_info": {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: {"type": "string"} for name in ("email", "name", "github")},
        },
        "results": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        **{
                            f"pass_{k}": {"type": "number", "minimum": 0, "maximum": 100}
                            for k in (1, 2, 3, 4)
                        },
                        "cost": {"type": "number", "minimum": 0},
                    },
                }
                for name in ("retail", "airline", "telecom")
            },
        },
        "is_new": {"type": "boolean"},
        "trajectories_available": {"type": "boolean"},
        "trajectory_files": {"type": "object", "additionalProperties": {"type": "string"}},
        "references": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["title", "url"],
                "additionalProperties": False,
                "properties": {name: {"type": "string"} for name in ("title", "url", "type")},
            },
        },
        "methodology": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                **{
                    name: {"type": "string"}
                    for name in ("evaluation_date", "tau2_bench_version", "user_simulator", "notes")
                },
                "verification": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "modified_prompts": {"type": "boolean"},
                        "omitted_questions": {"type": "boolean"},
                        "details": {"type": "string"},
                    },
                },
            },
        },
    },
}
"""The facts of tau2-bench 1.0.1's model of a submission, as far as text goes."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four attempts at each of airline's tasks, by an agent that does nothing."""
    path = tmp_path_factory.mktemp("runs") / "noop.jsonl"
    options = ("--domains", "airline", "--split", "base", "--num-samples", "4")
    return play(path, "--agent", "noop", *options)


@pytest.fixture(scope="module")
def standard(run: Path) -> Path:
    """The same, as if a model had played it."""
    return changed(run, "standard", lambda rows: None, **MODEL)


def submit(run: Path, output: Path, *options: str, **without: None) -> Result:
    said = [word for name, value in SAID.items() if name not in without for word in (name, value)]
    return tau2_gym("export", run, "-o", output, "--format", "submission", *said, *options)


def test_a_submission(standard: Path, tmp_path: Path) -> None:
    output = tmp_path / "submission"
    done = submit(standard, output, "--trained-on-tau2")
    assert done.exit_code == 0, done.output
    assert "A custom submission: the model was trained on tau2-bench's" in done.output
    found = json.loads((output / "submission.json").read_text())
    pytest.importorskip("jsonschema").validate(found, SCHEMA)
    (part,) = played(read_run(standard))
    wins = sum(row["official_reward"] == 1 for row in part.rows)
    assert found["results"]["airline"]["pass_1"] == pytest.approx(100 * wins / len(part.rows))
    assert found["results"]["airline"]["pass_4"] == 100 * pass_k(part, 4)
    assert found["model_name"] == "org/model"
    assert found["submitting_organization"] == "Org"
    assert found["submission_type"] == "custom"
    assert found["submission_date"] == "2026-11-28"
    method = found["methodology"]
    assert method["user_simulator"] == "gpt-4.1"
    assert method["notes"].startswith("Trained with GRPO on the train split.")
    assert part.domain.revision in method["notes"]
    assert method["verification"]["modified_prompts"] is False
    file = output / "trajectories" / found["trajectory_files"]["airline"]
    assert tau2_gym("regrade", file).exit_code == 0
    assert tau2_gym("regrade", output).exit_code == 0


def test_a_standard_one_needs_no_notes(standard: Path, tmp_path: Path) -> None:
    done = submit(
        standard, tmp_path / "it", "--not-trained-on-tau2", **{"--notes": None, "--reference": None}
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "it" / "submission.json").read_text())
    assert found["submission_type"] == "standard"


DEVIATIONS: dict[str, dict[str, Any]] = {
    "the agent is 'noop', not a model": {"agent": "noop", "model": None},
    "the agent's prompt is 'bare'": {"model": {"name": "org/model", "prompt": "bare"}},
    "the instruction before the policy of airline is tau2-gym's": {
        "agent_instruction": {"airline": "tau2-gym"}
    },
    "the user is 'scripted', not a model": {"user": "scripted"},
    "limits: 100 steps and 10 errors in place of 200 and 10": {"max_steps": 100},
}


@pytest.mark.parametrize("said", DEVIATIONS)
def test_what_makes_it_a_custom_one(run: Path, tmp_path: Path, said: str) -> None:
    other = changed(run, "deviating", lambda rows: None, **{**MODEL, **DEVIATIONS[said]})
    options = ("--not-trained-on-tau2", "--model-name", "m")
    done = submit(other, tmp_path / "it", *options, **{"--notes": None})
    assert done.exit_code == 2
    shown = " ".join(done.output.split())
    assert ("needs --notes" in shown, said in shown) == (True, True)
    done = submit(other, tmp_path / "it", *options, **{"--reference": None})
    assert (done.exit_code, "needs a --reference" in done.output) == (2, True)
    assert not (tmp_path / "it").exists()
    done = submit(other, tmp_path / "it", *options)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "it" / "submission.json").read_text())
    checked = found["methodology"]["verification"]
    assert said in checked["details"]
    assert checked["modified_prompts"] is ("prompt" in said or "instruction" in said)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("--model-organization", "a submission needs --model-organization"),
        ("--contact-email", "a submission needs --contact-email"),
    ],
)
def test_what_has_to_be_said(standard: Path, tmp_path: Path, missing: str, said: str) -> None:
    done = submit(standard, tmp_path / "it", "--trained-on-tau2", **{missing: None})
    assert (done.exit_code, said in done.output) == (2, True)


def test_training_has_to_be_said(standard: Path, tmp_path: Path) -> None:
    done = submit(standard, tmp_path / "it")
    shown = " ".join(done.output.split())
    assert (done.exit_code, "--trained-on-tau2 or --not-trained-on-tau2" in shown) == (2, True)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--contact-email", "nobody", "--contact-email is an address"),
        ("--reference", "paper", "--reference is an address on the web"),
        ("--date", "28.11.2026", "--date is YYYY-MM-DD"),
    ],
)
def test_what_is_said_has_a_form(
    standard: Path, tmp_path: Path, option: str, value: str, said: str
) -> None:
    done = submit(standard, tmp_path / "it", "--trained-on-tau2", option, value)
    assert (done.exit_code, said in done.output) == (2, True)


def lost(rows: list[Row]) -> None:
    rows[:] = [row for row in rows if row["task_id"] != "7"]


REFUSED: dict[str, Callable[[list[Row]], Any]] = {
    "1 of 50 of airline are missing, '7' for example": lost,
    "at least 4 attempts at each task, at all as many, and airline has 3 at": lambda rows: (
        rows.pop()
    ),
    "1 attempts in airline have no result because of faults": lambda rows: rows[0].update(
        fault="user", error="x", official_reward=None, termination=None
    ),
    "1 tasks of airline have no grade": lambda rows: rows[0].update(official_reward=None),
    "says that pass^1 in airline is": lambda rows: rows[0].update(
        official_reward=1 - rows[0]["official_reward"]
    ),
    "the leaderboard has no domain mock": lambda rows: rows[0].update(domain="mock"),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_refused(run: Path, tmp_path: Path, said: str) -> None:
    other = changed(run, "other", REFUSED[said], **MODEL)
    done = submit(other, tmp_path / "it", "--trained-on-tau2")
    assert (done.exit_code, said in " ".join(done.output.split())) == (2, True), done.output
    assert not (tmp_path / "it").exists()


def test_tasks_outside_the_split_are_refused(tmp_path: Path) -> None:
    run = play(
        tmp_path / "telecom.jsonl",
        *("--agent", "noop", "--domains", "telecom", "--split", "base", "--num-samples", "1"),
    )

    def outside(rows: list[Row]) -> None:
        domain = get_domain("telecom")
        extra = next(each for each in domain.tasks if each not in domain.task_ids("base"))
        rows.append({**rows[0], "task_id": extra})

    done = submit(changed(run, "more", outside, **MODEL), tmp_path / "it", "--trained-on-tau2")
    assert (done.exit_code, "1 tasks of telecom are not in it" in done.output) == (2, True)


def test_too_few_trials(run: Path, tmp_path: Path) -> None:
    def one(rows: list[Row]) -> None:
        rows[:] = [row for row in rows if row["trial"] == 0]

    done = submit(changed(run, "one", one, **MODEL), tmp_path / "it", "--trained-on-tau2")
    assert (done.exit_code, "takes at least 4 attempts" in done.output) == (2, True)


def test_conversations_that_are_worth_something_else_are_refused(run: Path, tmp_path: Path) -> None:
    def exchanged(rows: list[Row]) -> None:
        good = next(row for row in rows if row["official_reward"] == 1)
        good["messages"] = [
            *good["messages"][:2],
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "x",
                        "name": "send_certificate",
                        "arguments": {"user_id": "mia_li_3668", "amount": 100},
                        "requestor": "assistant",
                    }
                ],
            },
            {"role": "tool", "id": "x", "content": "ok", "requestor": "assistant", "error": False},
            *good["messages"][2:],
        ]

    done = submit(changed(run, "false", exchanged, **MODEL), tmp_path / "it", "--trained-on-tau2")
    assert (done.exit_code, "is graded otherwise than the run says" in done.output) == (2, True)
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize("missing", [".summary.json", ".config.json"])
def test_a_set_up_that_is_missing(run: Path, tmp_path: Path, missing: str) -> None:
    other = changed(run, "bare", lambda rows: None, **MODEL)
    other.with_suffix(missing).unlink()
    done = submit(other, tmp_path / "it", "--trained-on-tau2")
    assert (done.exit_code, f"bare{missing} is missing" in done.output) == (2, True)


def test_what_is_said_of_a_model_goes_with_a_submission(run: Path, tmp_path: Path) -> None:
    done = tau2_gym("export", run, "-o", tmp_path / "it", "--notes", "x")
    assert (done.exit_code, "--format submission only" in done.output) == (2, True)


@pytest.mark.skipif(not INSTALLED, reason="tau2-bench itself is not installed")
def test_tau2_bench_reads_it(standard: Path, tmp_path: Path) -> None:
    from tau2.scripts.leaderboard.prepare_submission import (
        check_and_load_submission_data,
        get_metrics,
        validate_submission_traj_set,
    )

    submit(standard, tmp_path / "it", "--trained-on-tau2")
    fine, problem, data = check_and_load_submission_data(str(tmp_path / "it"))
    assert fine, problem
    assert validate_submission_traj_set(data.results) == (True, "")
    _, computed, model, user = get_metrics(data.results)
    assert (model, user) == ("org/model", "gpt-4.1")
    ours = data.submission.results.airline
    for k in (1, 2, 3, 4):
        assert ours.get_pass_k(k) == pytest.approx(computed["airline"].get_pass_k(k))
