"""`tau2-gym regrade`: tau2-bench's recorded simulations, graded again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tau2_gym import cli
from tau2_gym.results.exchange.comparing import KINDS, Comparison
from tau2_gym.results.exchange.files import find_results
from tau2_gym.results.exchange.regrading import Tasks, compare_file
from tests.helpers import RECORDINGS, needs_recordings
from tests.results.exchange.written import Row, as_results, info, read, simulation, task_rows

GAMES = RECORDINGS.parent / "games" / "gpt5_dev.jsonl.gz"
needs_games = pytest.mark.skipif(
    not GAMES.is_file(), reason="the recorded games are not beside the repository"
)


def regrade(path: Path, *options: str) -> Result:
    return CliRunner().invoke(cli.app, ["regrade", str(path), *options])


def comparisons(path: Path, tasks: Tasks = Tasks.EMBEDDED) -> list[Comparison]:
    return [each for file in find_results(path)[0] for each in compare_file(file, tasks)]


def write(folder: Path, data: Any, name: str = "results.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def mock_row(task_id: str, *, done: bool, status: str = "completed") -> Row:
    """A recording in which the agent has updated a task of `mock`, or has not."""
    messages: list[Row] = [
        {"role": "assistant", "content": "Hi! How can I help you today?"},
        {"role": "user", "content": "Please update task_1."},
    ]
    if done:
        arguments = {"task_id": "task_1", "status": status}
        title = {"title": "Test task", "description": "A test task"}
        result = {"task_id": "task_1", **title, "status": status}
        call = {"id": "1", "name": "update_task_status", "arguments": arguments}
        messages += [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{**call, "requestor": "assistant"}],
            },
            {"role": "tool", "id": "1", "content": json.dumps(result), "requestor": "assistant"},
        ]
    messages += [
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Thanks. ###STOP###"},
    ]
    return {
        "domain": "mock",
        "task_id": task_id,
        "termination_reason": "user_stop",
        "messages": messages,
        "reward": float(done),
        "db_match": done,
        "env_assertions": [],
        "action_checks": [done],
        "communicate_checks": None,
        "reward_basis": ["DB", "COMMUNICATE"],
    }


@pytest.fixture
def results() -> Row:
    """A file of four simulations that agree."""
    rows = [mock_row("update_task_1", done=done) for done in (True, False, True, False)]
    return deepcopy(as_results(rows, "mock"))


def first(results: Row) -> Row:
    found: Row = results["simulations"][0]
    return found


# Recordings


def all_agree(path: Path, tasks: Tasks, count: int) -> None:
    found = comparisons(path, tasks)
    assert [each for each in found if each.differences or each.problem] == []
    assert sum(bool(each.compared["reward"]) for each in found) == count
    for kind in KINDS:
        assert sum(each.compared[kind] for each in found) == sum(
            each.agreed[kind] for each in found
        )


@needs_games
@pytest.mark.parametrize("tasks", Tasks)
def test_every_check_of_the_recorded_games_agrees(tmp_path: Path, tasks: Tasks) -> None:
    rows = read(GAMES)
    for domain in ("airline", "retail"):
        write(tmp_path, as_results(rows, domain), f"{domain}.json")
    all_agree(tmp_path, tasks, len(rows))
    done = regrade(tmp_path, "--tasks", tasks.value)
    assert (done.exit_code, f"{len(rows)} agree, 0 differ, 0 cannot" in done.output) == (0, True)


@needs_recordings
@pytest.mark.parametrize("tasks", Tasks)
@pytest.mark.parametrize("domain", ["airline", "retail", "telecom"])
def test_every_check_of_the_recordings_agrees(tmp_path: Path, domain: str, tasks: Tasks) -> None:
    rows = [row for row in read(RECORDINGS / "grading.jsonl.gz") if row["domain"] == domain]
    write(tmp_path, as_results(rows, domain))
    all_agree(tmp_path, tasks, len(rows))


@needs_games
@pytest.mark.parametrize("renumbered", [False, True])
@pytest.mark.parametrize("tasks", Tasks)
def test_tasks_are_found_where_ids_are_only_positions(
    tmp_path: Path, tasks: Tasks, renumbered: bool
) -> None:
    rows = read(GAMES)
    for domain in ("airline", "retail"):
        data = deepcopy(as_results(rows, domain))
        place = {task["id"]: number for number, task in enumerate(data["tasks"])}
        for each in data["simulations"]:
            each["task_id"] = place[each["task_id"]]
        if renumbered:
            data["tasks"] = [{**task, "id": str(place[task["id"]])} for task in data["tasks"]]
        write(tmp_path, data, f"{domain}.json")
    all_agree(tmp_path, tasks, len(rows))
    said = sum(bool(each.notes) for each in comparisons(tmp_path, tasks))
    if renumbered and tasks is Tasks.EMBEDDED:
        assert said == 0  # consistent in itself
    else:
        assert said > 0.9 * len(rows)


@needs_recordings
@pytest.mark.parametrize("tasks", Tasks)
def test_no_simulation_of_telecom_is_graded_by_another_task(tmp_path: Path, tasks: Tasks) -> None:
    rows = [row for row in read(RECORDINGS / "grading.jsonl.gz") if row["domain"] == "telecom"]
    data = deepcopy(as_results(rows, "telecom"))
    place = {task["id"]: number for number, task in enumerate(data["tasks"])}
    for each in data["simulations"]:
        each["task_id"] = place[each["task_id"]]
    write(tmp_path, data)
    found = comparisons(tmp_path, tasks)
    assert [each for each in found if each.differences] == []
    unknown = [each for each in found if each.problem is not None]
    assert len(unknown) < 0.03 * len(rows)
    assert all("nothing tells which of" in (each.problem or "") for each in unknown)


# What is printed


def test_what_agrees(tmp_path: Path, results: Row) -> None:
    done = regrade(write(tmp_path, results))
    assert (done.exit_code, done.output.splitlines()[-1]) == (
        0,
        "4 agree, 0 differ, 0 cannot be graded completely",
    )


def test_what_differs_is_explained(tmp_path: Path, results: Row) -> None:
    first(results)["reward_info"]["reward"] = 0.0
    first(results)["reward_info"]["action_checks"][0]["action_match"] = False
    first(results)["messages"][3]["content"] = '{"status": "lost"}'
    done = regrade(write(tmp_path, results))
    assert done.exit_code == 1
    shown = " ".join(done.output.split())
    for said in (
        "reward: 1.0 instead of 0.0",
        'actions: update_task_status(task_id="task_1", status="completed"): met instead of not met',
        "the recorded reward is not what its own checks come to, which is 1.0",
        "another result than then: update_task_status",
        "3 agree, 1 differ, 0 cannot be graded completely",
    ):
        assert said in shown


def test_how_many_are_shown(tmp_path: Path, results: Row) -> None:
    for each in results["simulations"]:
        each["reward_info"]["reward"] = 0.5
    done = regrade(write(tmp_path, results), "--show", "1")
    assert ("Differ (4):" in done.output, "… and 3 more: --show 4" in done.output) == (True, True)
    assert done.output.count("instead of 0.5") == 1


def test_another_basis_is_an_explanation(tmp_path: Path, results: Row) -> None:
    first(results)["reward_info"].update(reward=0.0, reward_basis=["ACTION"])
    (found, *_) = comparisons(write(tmp_path, results))
    assert any(
        "multiplies ACTION; the task's is COMMUNICATE, DB" in line for line in found.differences
    )


def test_a_premature_end_is_worth_nothing(tmp_path: Path, results: Row) -> None:
    for each, end in zip(results["simulations"], ("max_steps", "timeout"), strict=False):
        each.update(termination_reason=end, reward_info={"reward": 0.0}, messages=None)
    assert regrade(write(tmp_path, results)).exit_code == 0
    results["simulations"][1]["reward_info"]["reward"] = 1.0
    done = regrade(write(tmp_path, results))
    assert (done.exit_code, "an end by timeout is worth nothing" in done.output) == (1, True)


# What cannot be graded


def not_called(results: Row) -> None:
    first(results)["messages"].insert(2, {"role": "tool", "id": "9", "content": "x"})


def judged(results: Row) -> None:
    criteria = results["tasks"][0]["evaluation_criteria"]
    criteria.update(reward_basis=["DB", "NL_ASSERTION"], nl_assertions=["The agent was kind."])


def asserted(results: Row, name: str) -> None:
    assertion = {"env_type": "assistant", "func_name": name, "arguments": {}}
    for task in results["tasks"]:
        task["evaluation_criteria"]["env_assertions"] = [assertion]
    for each in results["simulations"]:
        each["reward_info"]["env_assertions"] = [{"env_assertion": assertion, "met": True}]


def nested(results: Row, depth: int) -> None:
    deep: Any = []
    for _ in range(depth):
        deep = [deep]
    results["tasks"][0]["initial_state"] = {"initialization_data": {"agent_data": {"tasks": deep}}}


UNGRADED: dict[str, Callable[[Row], Any]] = {
    "it has no messages": lambda data: first(data).pop("messages"),
    "it is a call by voice": lambda data: first(data).update(messages=None, ticks=[]),
    "no grade was recorded": lambda data: first(data).update(reward_info=None),
    "it ended by boom, which tau2-bench does not have": lambda data: first(data).update(
        termination_reason="boom"
    ),
    "message 2 is the result of no call": not_called,
    "before message 3 has no result": lambda data: first(data)["messages"].pop(3),
    "its reward takes a judge": judged,
    "the task expects a call of fly, which mock does not have": lambda data: [
        check["action"].update(name="fly")
        for check in (
            *({"action": each} for each in data["tasks"][0]["evaluation_criteria"]["actions"]),
            *(each["reward_info"]["action_checks"][0] for each in data["simulations"]),
        )
    ],
    "a call succeeded of sing, which mock does not have": lambda data: first(data)["messages"][2][
        "tool_calls"
    ][0].update(name="sing"),
    "the assistant's side has no function 'nope'": lambda data: asserted(data, "nope"),
    "task 'update_task_1' does not fit mock": lambda data: nested(data, 10),
    "no task of the file has the checks": lambda data: first(data)["reward_info"]["action_checks"][
        0
    ].update(action={"name": "fly", "arguments": {}}),
}


@pytest.mark.parametrize("said", UNGRADED)
def test_what_cannot_be_graded_is_named(tmp_path: Path, results: Row, said: str) -> None:
    UNGRADED[said](results)
    (found, *others) = comparisons(write(tmp_path, results))
    assert said in (found.problem or "")
    assert (found.compared["reward"], found.differences) == (0, [])
    done = regrade(tmp_path / "results.json", "--tasks", "embedded")
    assert said in " ".join(done.output.split())
    graded = any(each.compared for each in (found, *others))
    assert done.exit_code == (0 if graded else 2)


@pytest.mark.parametrize("name", ["banking_knowledge", "os:system", "\x1b[31m<b>"])
def test_a_domain_that_is_not_here(tmp_path: Path, results: Row, name: str) -> None:
    results["info"]["environment_info"]["domain_name"] = name
    done = regrade(write(tmp_path, results))
    assert done.exit_code == 2
    assert "Cannot be graded, or not completely (4)" in done.output
    assert "nothing in" in done.output
    assert "\x1b" not in done.output


def test_what_a_judge_decides_is_compared_but_for_the_reward(tmp_path: Path, results: Row) -> None:
    judged(results)
    found = comparisons(write(tmp_path, results))
    assert [each.compared["db"] for each in found] == [1, 1, 1, 1]
    # Where the database is not what it should be, no judge can help.
    assert [each.compared["reward"] for each in found] == [0, 1, 0, 1]


def test_one_that_has_the_id_of_another_is_named(tmp_path: Path, results: Row) -> None:
    for each in results["simulations"]:
        each["id"] = "same"
    found = comparisons(write(tmp_path, results))
    assert [bool(each.notes) for each in found] == [False, True, True, True]


def test_where_nothing_was_recorded_but_the_reward_the_id_is_believed(
    tmp_path: Path, results: Row
) -> None:
    for each in results["simulations"]:
        each["reward_info"] = {"reward": each["reward_info"]["reward"]}
    found = comparisons(write(tmp_path, results))
    assert [(each.agreed["reward"], each.notes) for each in found] == [(1, [])] * 4


def test_of_two_tasks_of_one_id_what_was_graded_decides(tmp_path: Path, results: Row) -> None:
    other = deepcopy(task_rows("mock")["create_task_1"])
    results["tasks"].insert(0, {**other, "id": "update_task_1"})
    found = comparisons(write(tmp_path, results))
    assert [(each.agreed["reward"], each.differences) for each in found] == [(1, [])] * 4


# Tasks of another revision


def test_a_task_that_has_changed_is_said_to_have(tmp_path: Path, results: Row) -> None:
    for action in results["tasks"][0]["evaluation_criteria"]["actions"]:
        action["arguments"] = {**action["arguments"], "status": "pending"}
    for each in results["simulations"]:
        check = each["reward_info"]["action_checks"][0]
        check["action"] = results["tasks"][0]["evaluation_criteria"]["actions"][0]
        check["action_match"] = False
        each["reward_info"].update(reward=0.0, db_check={"db_match": False, "db_reward": 0.0})
    path = write(tmp_path, results)
    (found, *_) = comparisons(path, Tasks.CURRENT)
    assert "reward: 1.0 instead of 0.0" in found.differences
    assert any("task 'update_task_1' has changed since" in line for line in found.differences)


def test_without_tasks_in_the_file_the_installed_ones_are_taken(
    tmp_path: Path, results: Row
) -> None:
    results["tasks"] = []
    path = write(tmp_path, results)
    done = regrade(path)
    assert (done.exit_code, "holds no tasks: graded by the installed" in done.output) == (0, True)
    assert "4 agree, 0 differ" in done.output
    done = regrade(path, "--tasks", "embedded")
    assert (done.exit_code, "--tasks current" in done.output) == (2, True)
    assert regrade(path, "--tasks", "current").exit_code == 0


def test_a_task_that_is_not_in_the_file_is_the_installed_one(tmp_path: Path, results: Row) -> None:
    results["tasks"] = [task_rows("mock")["impossible_task_1"]]
    path = write(tmp_path, results)
    found = [each for file in find_results(path)[0] for each in compare_file(file)]
    assert [(each.agreed["reward"], each.differences) for each in found] == [(1, [])] * 4
    assert all("graded by the installed one" in each.notes[0] for each in found)
    found = comparisons(path, Tasks.EMBEDDED)
    assert all("no task of the file has the checks" in (each.problem or "") for each in found)


# Wrong input


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(simulations=[]), "holds no simulations"),
        (lambda data: data.update(simulations={}), "`simulations` is not a list"),
        (lambda data: data.update(tasks={}), "`tasks` is not a list"),
        (lambda data: data.pop("simulations"), "has no simulations"),
        (lambda data: data.pop("info"), "environment_info: Field required"),
        (lambda data: data["simulations"].append([1]), "simulation 4 does not have the form"),
        (lambda data: first(data).pop("task_id"), "simulation 0 does not have the form .*task_id"),
        (lambda data: first(data).update(messages=[{"role": "alien"}]), "messages.0.role"),
        (lambda data: first(data)["messages"][2]["tool_calls"][0].update(name=5), "name"),
        (lambda data: data["tasks"].append(7), "task 1 has no id"),
        (lambda data: data["tasks"].append({"id": "a"}), "task 'a' of mock is malformed"),
        (lambda data: asserted(data, "__init__"), "task 'update_task_1' calls '__init__'"),
        (lambda data: nested(data, 700), "a task is nested too deeply"),
        (lambda data: data.clear(), "neither `tasks` nor `simulations`"),
    ],
)
def test_wrong_input_gets_one_sentence(
    tmp_path: Path, results: Row, change: Callable[[Row], Any], said: str
) -> None:
    change(results)
    path = write(tmp_path, results)
    before = path.read_bytes()
    done = regrade(path)
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert re.search(said, " ".join(done.output.split()))
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", '{"tasks": [', "\x00", "null"])
def test_what_is_not_json_gets_one_sentence(tmp_path: Path, text: str) -> None:
    done = regrade(write(tmp_path, text))
    assert (done.exit_code, done.output.startswith("error: ")) == (2, True)


def test_a_path_where_nothing_is(tmp_path: Path) -> None:
    assert "no such file" in regrade(tmp_path / "gone.json").output
    assert "holds no results of tau2-bench" in regrade(tmp_path).output


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything"
)
def test_a_file_that_may_not_be_read(tmp_path: Path, results: Row) -> None:
    path = write(tmp_path, results)
    path.chmod(0)
    assert "cannot be read: Permission denied" in regrade(path).output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_gets_one_sentence(tmp_path: Path, results: Row) -> None:
    path = write(tmp_path, results)
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tau2_gym.cli", "regrade", path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.strip()) == (2, "error: No space left on device")


def test_keys_and_escapes_are_not_shown(tmp_path: Path, results: Row) -> None:
    key = "sk-proj-abcdefgh12345678"
    first(results)["task_id"] = f"\x1b[31m<script>{key}"
    first(results)["messages"][3]["content"] = f"\x1b]0;{key}\x07"
    first(results)["reward_info"]["reward"] = 0.5
    done = regrade(write(tmp_path, results))
    assert "***" in done.output
    assert not {"\x1b", "\x07"} & set(done.output)
    assert key not in done.output


# Folders


def test_a_folder_of_files_and_the_layout_of_folders(tmp_path: Path, results: Row) -> None:
    write(tmp_path, results, "one.json")
    write(tmp_path, {"model_name": "x"}, "submission.json")
    run = tmp_path / "run"
    (run / "simulations").mkdir(parents=True)
    meta = {name: value for name, value in results.items() if name != "simulations"}
    index = [{"id": each["id"], "task_id": "t", "trial": 0} for each in results["simulations"]]
    write(run, {**meta, "simulation_index": index})
    for each in results["simulations"]:
        write(run / "simulations", each, f"{each['id']}.json")
    done = regrade(tmp_path)
    assert (done.exit_code, "8 agree, 0 differ" in done.output) == (0, True)
    assert "Passed over, not results: " in done.output
    for path in (run, run / "results.json"):
        assert "4 agree, 0 differ" in regrade(path).output
    write(run / "simulations", {}, "extra.json")
    assert "extra.json is not in it" in regrade(run).output
    (run / "simulations" / "extra.json").unlink()
    (run / "simulations" / "000002.json").unlink()
    done = regrade(run)
    assert (done.exit_code, "000002.json is missing" in done.output) == (2, True)


def test_simulations_may_come_before_the_tasks(tmp_path: Path, results: Row) -> None:
    backwards = dict(reversed(results.items()))
    assert regrade(write(tmp_path, backwards)).exit_code == 0


def test_a_solo_agent_has_the_users_tools(tmp_path: Path) -> None:
    task = task_rows("telecom")[
        "[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"
    ]
    messages: list[Row] = [{"role": "assistant", "content": "I begin."}]
    for number, action in enumerate(task["evaluation_criteria"]["actions"]):
        call = {"id": str(number), "name": action["name"], "arguments": action["arguments"]}
        messages += [
            {"role": "assistant", "tool_calls": [{**call, "requestor": "assistant"}]},
            {"role": "tool", "id": str(number), "content": "?", "requestor": "assistant"},
        ]
    row = {
        "domain": "telecom",
        "task_id": task["id"],
        "termination_reason": "agent_stop",
        "messages": [*messages, {"role": "assistant", "content": "###STOP###"}],
        "reward": 1.0,
        "db_match": False,  # tau2-bench does not carry over what the expected calls mean for the user
        "env_assertions": [True] * len(task["evaluation_criteria"]["env_assertions"]),
        "action_checks": [True] * len(task["evaluation_criteria"]["actions"]),
        "communicate_checks": None,
        "reward_basis": task["evaluation_criteria"]["reward_basis"],
    }
    data = {"info": info("telecom-workflow"), "tasks": [task], "simulations": [simulation(row, 0)]}
    assert comparisons(write(tmp_path, data))[0].differences != []
    data["info"]["agent_info"]["implementation"] = "llm_agent_solo"
    data["info"]["user_info"]["implementation"] = "dummy_user"
    assert comparisons(write(tmp_path, data))[0].differences == []
