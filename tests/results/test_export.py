"""`tau2-gym export`: runs as results of tau2-bench."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.results.exchange.files import find_results
from tau2_gym.results.exchange.regrading import Tasks, compare_file
from tests.results.exchange.runs import changed, play, tau2_gym

SCHEMA = json.loads(
    (Path(__file__).parent / "exchange" / "tau2_results.schema.json").read_text(encoding="utf-8")
)
INSTALLED = find_spec("tau2") is not None and find_spec("tau2.registry") is not None
THREE = ("airline", "retail", "telecom")


@pytest.fixture(scope="module", params=["oracle", "noop", "random", "workflow"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the test tasks of the three domains; `workflow` plays telecom."""
    path = tmp_path_factory.mktemp("runs") / f"{request.param}.jsonl"
    samples = "1" if request.param == "random" else "2"
    return play(path, "--agent", request.param, "--split", "test", "--num-samples", samples)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tasks of mock, twice each."""
    path = tmp_path_factory.mktemp("runs") / "mock.jsonl"
    ids = "create_task_1,update_task_1"
    options = ("--agent", "oracle", "--domains", "mock", "--task-ids", ids, "--num-samples", "2")
    return play(path, *options)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def exported(run: Path, folder: Path, *options: str) -> dict[str, Any]:
    done = tau2_gym("export", run, "-o", folder / "results.json", *options)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


# The round trip


def test_every_attempt_is_graded_alike_when_read_back(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    done = tau2_gym("export", run, "-o", output)
    assert done.exit_code == 0, done.output
    rows = lines(run)
    for tasks in Tasks:
        found = [each for file in find_results(output)[0] for each in compare_file(file, tasks)]
        assert len(found) == len(rows)
        assert [each for each in found if each.differences or each.problem or each.notes] == []
        assert sum(each.agreed["reward"] for each in found) == len(rows)
    done = tau2_gym("regrade", output)
    assert (done.exit_code, f"{len(rows)} agree, 0 differ, 0 cannot" in done.output) == (0, True)


def test_a_history_is_played_once(tmp_path: Path) -> None:
    ids = "update_task_with_message_history,update_task_with_history_and_env_assertions"
    options = ("--agent", "oracle", "--domains", "mock", "--task-ids", ids, "--num-samples", "1")
    run = play(tmp_path / "run.jsonl", *options)
    tau2_gym("export", run, "-o", tmp_path / "results.json")
    for tasks in Tasks:
        done = tau2_gym("regrade", tmp_path / "results.json", "--tasks", tasks.value)
        assert (done.exit_code, "2 agree, 0 differ" in done.output) == (0, True)


def test_files_have_the_form_of_tau2_bench(run: Path, tmp_path: Path) -> None:
    valid = pytest.importorskip("jsonschema").Draft202012Validator(SCHEMA)
    output = tmp_path / "results"
    tau2_gym("export", run, "-o", output)
    files = [output] if output.is_file() else sorted(output.iterdir())
    for file in files:
        data = json.loads(file.read_text())
        wrong = [f"{error.json_path}: {error.message}" for error in valid.iter_errors(data)]
        assert wrong == []
        tasks = [task["id"] for task in data["tasks"]]
        assert {each["task_id"] for each in data["simulations"]} == set(tasks)
        ids = [each["id"] for each in data["simulations"]]
        assert len(ids) == len(set(ids)) == len(tasks) * data["info"]["num_trials"]


@pytest.mark.skipif(not INSTALLED, reason="tau2-bench itself is not installed")
def test_tau2_bench_gives_the_same_rewards(run: Path, tmp_path: Path) -> None:
    from tau2.data_model.simulation import Results
    from tau2.metrics.agent_metrics import compute_metrics
    from tau2.scripts.evaluate_trajectories import compute_simulation_rewards

    output = tmp_path / "results"
    tau2_gym("export", run, "-o", output)
    for file in [output] if output.is_file() else sorted(output.iterdir()):
        loaded = Results.load(file)
        again = compute_simulation_rewards(loaded.model_copy(deep=True))
        ours = [each.reward_info.reward for each in loaded.simulations]
        assert [each.reward_info.reward for each in again.simulations] == ours
        assert compute_metrics(loaded).avg_reward == pytest.approx(sum(ours) / len(ours))


def test_the_same_run_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    exported(small, tmp_path)
    exported(small, tmp_path / "again")
    first, second = (folder / "results.json" for folder in (tmp_path, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()


# What is in a file


def test_what_is_told_of_the_run(small: Path, tmp_path: Path) -> None:
    run = changed(
        small,
        "model",
        lambda rows: None,
        agent="sglang",
        model={"name": "Qwen/Qwen3-4B", "prompt": "official"},
        user="litellm:gpt-4.1",
        user_model={"temperature": 0.5},
        max_steps=33,
        seed=7,
    )
    info = exported(run, tmp_path)["info"]
    assert info["agent_info"] == {
        "implementation": "sglang",
        "llm": "Qwen/Qwen3-4B",
        "llm_args": {"prompt": "official"},
    }
    assert info["user_info"] == {
        "implementation": "litellm",
        "llm": "gpt-4.1",
        "llm_args": {"temperature": 0.5},
    }
    assert (info["max_steps"], info["seed"], info["num_trials"]) == (33, 7, 2)
    assert info["environment_info"]["policy"] == get_domain("mock").policy


def test_conversations_are_whole(small: Path, tmp_path: Path) -> None:
    data = exported(small, tmp_path)
    for row, each in zip(lines(small), data["simulations"], strict=True):
        assert (each["task_id"], each["trial"], each["seed"]) == (
            row["task_id"],
            row["trial"],
            row["seed"],
        )
        kept = [
            {
                name: value
                for name, value in message.items()
                if name not in {"turn_idx", "timestamp"}
            }
            for message in each["messages"]
        ]
        assert kept == row["messages"]
        assert [message["turn_idx"] for message in each["messages"]] == list(range(len(kept)))
        assert each["reward_info"]["reward_breakdown"] == {"DB": 1.0, "COMMUNICATE": 1.0}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("max_turns", "max_steps"),
        ("context_overflow", "context_window_exceeded"),
        ("too_many_errors", "too_many_errors"),
    ],
)
def test_premature_ends(small: Path, tmp_path: Path, ours: str, theirs: str) -> None:
    run = changed(small, ours, lambda rows: rows[0].update(termination=ours, official_reward=0.0))
    (first, *_) = exported(run, tmp_path)["simulations"]
    assert (first["termination_reason"], first["reward_info"]["reward"]) == (theirs, 0.0)
    assert tau2_gym("regrade", tmp_path / "results.json").exit_code == 0


def test_faults_are_said_and_left_without_a_grade(small: Path, tmp_path: Path) -> None:
    fault = {"fault": "user", "error": "down", "termination": None, "official_reward": None}
    run = changed(small, "faulted", lambda rows: rows[0].update(fault))
    done = tau2_gym("export", run, "-o", tmp_path / "results.json")
    assert "1 attempts have no result because of faults" in done.output
    (first, *_) = json.loads((tmp_path / "results.json").read_text())["simulations"]
    assert (first["termination_reason"], first["reward_info"]) == ("infrastructure_error", None)
    assert first["info"]["tau2_gym"]["error"] == "down"
    done = tau2_gym("regrade", tmp_path / "results.json")
    assert (done.exit_code, "3 agree, 0 differ, 1 cannot" in done.output) == (0, True)


def test_verdicts_of_a_judge_are_kept(small: Path, tmp_path: Path) -> None:
    verdict = {"assertion": "kind", "met": True, "reason": "so"}
    run = changed(small, "judged", lambda rows: rows[0].update(verdicts=[verdict]))
    (first, *_) = exported(run, tmp_path)["simulations"]
    assert first["reward_info"]["nl_assertions"] == [
        {"nl_assertion": "kind", "met": True, "justification": "so"}
    ]
    ungraded = {"official_reward": None, "ungraded": ["NL_ASSERTION"]}
    run = changed(small, "unjudged", lambda rows: rows[0].update(ungraded))
    done = tau2_gym("export", run, "-o", tmp_path / "results.json", "--force")
    assert "1 attempts have no grade: their tasks take a judge" in done.output
    (first, *_) = json.loads((tmp_path / "results.json").read_text())["simulations"]
    assert (first["termination_reason"], first["reward_info"]) == ("user_stop", None)


def test_keys_are_masked_and_odd_texts_written(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "correct horse battery")
    odd = "sk-proj-abcdefgh12345678, correct horse battery, \ud800, <script>, \x1b[31m"
    run = changed(small, "odd", lambda rows: rows[0]["messages"][1].update(content=odd))
    (first, *_) = exported(run, tmp_path)["simulations"]
    assert first["messages"][1]["content"] == "***, ***, ?, <script>, \x1b[31m"
    assert tau2_gym("regrade", tmp_path / "results.json").exit_code == 0


# Where it goes


def test_one_domain_of_several(run: Path, tmp_path: Path) -> None:
    done = tau2_gym("export", run, "-o", tmp_path / "one.json", "--domain", "telecom")
    assert done.exit_code == 0, done.output
    data = json.loads((tmp_path / "one.json").read_text())
    assert data["info"]["environment_info"]["domain_name"] == "telecom"


def test_nothing_is_overwritten(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("mine")
    done = tau2_gym("export", small, "-o", path)
    assert (done.exit_code, "--force" in done.output, path.read_text()) == (2, True, "mine")
    assert tau2_gym("export", small, "-o", path, "--force").exit_code == 0
    assert "simulations" in json.loads(path.read_text())
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_device_is_not_replaced(small: Path) -> None:
    done = tau2_gym("export", small, "-o", "/dev/full", "--force")
    assert (done.exit_code, "is not a file" in done.output) == (2, True)
    assert not Path("/dev/full").is_file()


def test_a_disk_that_is_full(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full)
    done = tau2_gym("export", small, "-o", tmp_path / "results.json")
    assert (done.exit_code, "cannot be written: No space left" in done.output) == (2, True)
    assert list(tmp_path.iterdir()) == []


# What is refused


def test_a_run_of_another_revision(small: Path, tmp_path: Path) -> None:
    run = changed(small, "old", lambda rows: [row.update(revision="0123") for row in rows])
    done = tau2_gym("export", run, "-o", tmp_path / "results.json")
    assert (done.exit_code, "was played on revision 0123 of mock" in done.output) == (2, True)


def test_a_domain_that_tau2_bench_does_not_have(small: Path, tmp_path: Path) -> None:
    run = changed(small, "else", lambda rows: [row.update(domain="code") for row in rows])
    done = tau2_gym("export", run, "-o", tmp_path / "results.json")
    assert (done.exit_code, "tau2-bench's files are of" in done.output) == (2, True)
    done = tau2_gym("export", small, "-o", tmp_path / "results.json", "--domain", "retail")
    assert (done.exit_code, "mock" in done.output) == (2, True)


@pytest.mark.parametrize("text", ["", "{}\n", "[1]\n", "\x00"])
def test_a_run_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    done = tau2_gym("export", path, "-o", tmp_path / "results.json")
    assert (done.exit_code, done.output.startswith("error: ")) == (2, True)
    assert not (tmp_path / "results.json").exists()
