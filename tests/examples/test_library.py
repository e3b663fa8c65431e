"""A domain from outside through every front door, by the example of a library."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from agents import AgentView, make_agent
from agents.prompts import make_prompt
from benchmarks import conformance, passk
from examples.library import LIBRARY, AppDB, AppTools, LibraryTools
from tau2_gym.domains import DomainSpec, TaskSet, register, resolve, tool
from tau2_gym.domains.base import check_split, get_domain
from tau2_gym.errors import ConfigError, DataError
from tau2_gym.rewards import default_alpha, default_weights
from tau2_gym.types import ToolKind, Weights
from trainers import collect
from trainers.config import GRPOConfig, load_config
from trainers.tasks import refuse_test_tasks, run_tasks

ROOT = Path(__file__).resolve().parents[2]
PLACE = "examples.library:LIBRARY"
TASKS = ("borrow", "renew", "reserve", "reminders", "fine")


def solve(env: Any, task: str) -> dict[str, Any]:
    oracle: Any = make_agent("oracle")
    _, info = env.reset(seed=1, options={"task_id": task})
    done = False
    while not done:
        _, _, terminated, truncated, info = env.step(oracle.act(AgentView.from_info(info), 0))
        done = terminated or truncated
    return dict(info)


def made(door: str) -> Any:
    if door == "registered":
        register(LIBRARY)
        return gym.make("tau2/library-v0")
    if door == "name":
        register(LIBRARY)
        return gym.make("tau2/domain-v0", domain="library")
    return gym.make("tau2/domain-v0", domain=PLACE)


@pytest.mark.parametrize("door", ["registered", "name", "place"])
@pytest.mark.parametrize("task", TASKS)
def test_the_oracle_solves_every_task_in_an_environment(door: str, task: str) -> None:
    env = made(door)
    info = solve(env, task)
    assert (info["official_reward"], info["partial_score"]) == (1.0, 1.0)
    assert (info["domain"], info["source"]) == ("library", "examples.library")


def test_many_at_once() -> None:
    envs = gym.make_vec("tau2/domain-v0", num_envs=3, domain=PLACE)
    observations, _ = envs.reset(seed=0)
    assert len(observations) == 3
    assert all(observations)


def played(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *options],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_oracle_solves_every_task_in_a_run_with_workers(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    options = ["--domains", f"{PLACE},mock", "--split", "base", "--num-samples", "2"]
    done = played("benchmarks.passk", *options, "--workers", "2", "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    ours = [row for row in rows if row["domain"] == "library"]
    assert sorted({row["task_id"] for row in ours}) == sorted(TASKS)
    assert len(ours) == 2 * len(TASKS)
    assert {row["official_reward"] for row in ours} == {1.0}
    assert json.loads(output.with_suffix(".summary.json").read_text())["config"]["sources"] == {
        "library": "examples.library",
        "mock": get_domain("mock").source,
    }


def test_workers_that_are_started_afresh_know_it(tmp_path: Path) -> None:
    """A forked process knows what its parent did; one that is spawned is told."""
    script = (
        "import multiprocessing\n"
        "from typer.testing import CliRunner\n"
        "from benchmarks import passk\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        f"    options = ['--domains', {PLACE!r}, '--split', 'base', '--num-samples', '1']\n"
        "    more = ['--workers', '2', '--output', 'out.jsonl']\n"
        "    result = CliRunner().invoke(passk.app, [*options, *more])\n"
        "    print(result.output)\n"
        "    raise SystemExit(result.exit_code)\n"
    )
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == len(TASKS)


def test_an_installed_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "libraries-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: libraries\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tau2_gym.domains]\nlibrary = {PLACE}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert get_domain("library").tasks.keys() == set(TASKS)
    with pytest.raises(
        ConfigError,
        match="unknown domain 'libary'; allowed: airline, code, code_session, library, mo",
    ):
        get_domain("libary")


def test_a_pickled_environment_and_its_domain_are_found_again_elsewhere() -> None:
    env = gym.make("tau2/domain-v0", domain=PLACE).unwrapped
    env.reset(seed=0, options={"task_id": "borrow"})
    env.step('find_books(title="waves")')  # type: ignore[arg-type]
    data = pickle.dumps(env.snapshot())  # type: ignore[attr-defined]
    assert pickle.loads(data).episode.domain is get_domain(PLACE)
    script = "import pickle, sys; print(pickle.load(sys.stdin.buffer).episode.domain.name)"
    found = subprocess.run(
        [sys.executable, "-c", script], input=data, capture_output=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stdout.decode().strip() == "library", found.stderr.decode()


# Training


def test_attempts_are_collected_and_test_tasks_refused(tmp_path: Path) -> None:
    options = ["--agent", "oracle", "--domains", PLACE, "--num-samples", "1", "--workers", "1"]
    result = CliRunner().invoke(collect.app, [*options, "-o", str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    assert "library: 3 of 3 attempts solved their task" in result.output
    refused = CliRunner().invoke(collect.app, [*options, "--task-ids", "fine"])
    assert refused.exit_code == 2
    assert "task 'fine' of library must not be trained on" in " ".join(refused.output.split())
    with pytest.raises(DataError, match="'fine' of library must not be trained on"):
        refuse_test_tasks([("library", "fine")])


def test_a_recipe_names_it_and_another_process_that_reads_the_recipe_knows_it() -> None:
    config = load_config(GRPOConfig, None, {"model": "m", "tasks.domains": [PLACE]})
    trained, held_out = run_tasks(config)
    assert {task for _, task in trained + held_out} == {"borrow", "renew", "reserve"}
    assert {name for name, _ in trained} == {"library"}
    script = (
        "import sys\n"
        "from trainers.config import GRPOConfig\n"
        "from tau2_gym.domains.base import get_domain\n"
        "GRPOConfig.model_validate_json(sys.stdin.read())\n"
        "print(get_domain('library').name)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], input=config.model_dump_json(), capture_output=True,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
    )  # fmt: skip
    assert found.stdout.strip() == "library", found.stderr


def test_recordings_of_it_are_graded(tmp_path: Path) -> None:
    env = made("place")
    info = solve(env, "reserve")
    session = env.unwrapped.snapshot()
    row = {
        "domain": PLACE,
        "task_id": "reserve",
        "termination_reason": info["termination"],
        "messages": [message.to_dict() for message in session.episode.messages],
        "reward": 1.0,
        "db_match": True,
        "env_assertions": None,
        "action_checks": [True],
        "communicate_checks": None,
    }
    path = tmp_path / "grading.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(row) + "\n").encode()))
    result = CliRunner().invoke(conformance.app, ["grading", str(path)])
    assert "1 agree, 0 differ" in result.output


# What it brings, and what is there if it brings nothing


def test_weights_and_alpha_are_its_own() -> None:
    assert resolve(PLACE) == "library"
    assert default_alpha("library") == 0.3
    assert default_weights("library") == Weights() == default_weights("retail")
    env = made("place")
    env.reset(seed=0, options={"task_id": "renew"})
    _, reward, *_ = env.step('renew(book_id="B-3")')
    assert reward == pytest.approx(0.3)


def test_tools_are_those_that_are_marked() -> None:
    domain = get_domain(PLACE)
    assert {name: tool.kind for name, tool in domain.agent_tools.items()} == {
        "find_books": ToolKind.READ,
        "get_member": ToolKind.READ,
        "lend": ToolKind.WRITE,
        "renew": ToolKind.WRITE,
        "reserve": ToolKind.WRITE,
    }
    assert list(domain.user_tools) == ["check_app", "turn_on_reminders"]
    parameters = domain.agent_tools["find_books"].parameters
    assert parameters["properties"]["title"]["description"].startswith("A part of the title")


@pytest.mark.parametrize("prompt", ["official", "compact", "bare"])
def test_models_are_given_its_policy(prompt: str) -> None:
    env = made("place")
    _, info = env.reset(seed=0)
    said = make_prompt(prompt)(AgentView.from_info(info))
    assert ("Ask for the number on the member's card" in said) == (prompt != "bare")
    assert "###STOP###" in get_domain(PLACE).user_guidelines


def copied(tmp_path: Path, **changes: Any) -> DomainSpec:
    """The library under another name with files of its own."""
    folder = tmp_path / "data"
    if not folder.exists():
        shutil.copytree(LIBRARY.folder, folder)
    spec = replace(LIBRARY, name="other", folder=folder, **changes)
    register(spec)
    return spec


def test_files_without_splits_have_them_by_the_ids_of_tasks(tmp_path: Path) -> None:
    spec = copied(tmp_path)
    (spec.folder / "split_tasks.json").unlink()
    check_split("other", "test")
    domain = get_domain("other")
    assert domain.splits["base"] == domain.splits["full"] == TASKS
    assert set(domain.splits["train"]) | set(domain.splits["test"]) == set(TASKS)
    assert len(domain.splits["test"]) == 1
    assert not set(domain.splits["train"]) & set(domain.splits["test"])


def test_another_root_of_files_does_not_stand_in_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAU2_DATA_DIR", str(tmp_path))
    assert get_domain(PLACE, "inspect-evals", tmp_path) is get_domain("library")


def test_it_may_bring_guidelines_and_a_policy_without_a_user(tmp_path: Path) -> None:
    spec = copied(tmp_path)
    (spec.folder / "user_guidelines.md").write_text("Be kind.")
    (spec.folder / "policy_solo.md").write_text("Nobody is there.")
    domain = get_domain("other")
    assert (domain.user_guidelines, domain.policy_solo) == ("Be kind.", "Nobody is there.")


class Loose(BaseModel):
    books: dict[str, int] = {}
    members: dict[str, Any] = {}


class Stateful(LibraryTools):
    @tool("read")
    def count(self) -> int:
        """Count."""
        self.counted = 1
        return 1


class Sly(LibraryTools):
    @tool("read")
    def peek(self) -> str:
        """Look, and scribble."""
        self.db.books["B-1"].title = "Scribbled"
        return "nothing to see"

    @tool("read")
    def knot(self) -> str:
        """Store what JSON cannot express."""
        loop: list[Any] = []
        loop.append(loop)
        self.db.books["B-1"].title = loop
        return "nothing to see"

    def assert_lent_to(self, book_id: str, member_id: str) -> bool:
        self.db.books[book_id].borrower = member_id
        return True


class Bare:
    def look(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"database": AppDB}, "db of 'other' is malformed: "),
        ({"tools": Bare}, "Bare of 'other' has no method marked by @tool"),
    ],
)
def test_classes_that_do_not_fit_are_refused(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    copied(tmp_path, **change)
    with pytest.raises(DataError, match=says):
        get_domain("other")


def test_a_database_is_made_of_models(tmp_path: Path) -> None:
    spec = copied(tmp_path, database=Loose)
    (spec.folder / "db.json").write_text('{"books": {"B-1": 1}}')
    with pytest.raises(DataError, match="Loose of 'other': the field 'books' must be a model, or"):
        get_domain("other")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("tasks.json", None, "has no tasks.json"),
        ("tasks.json", "{", "cannot be read"),
        ("tasks.json", "[3]", "are not a list of tasks"),
        ("policy.md", None, "has no policy.md"),
        ("db.json", None, "has no db.json"),
        ("user_db.json", None, "has no user_db.json"),
        ("split_tasks.json", '{"train": ["nope"]}', "names unknown tasks: nope"),
        ("split_tasks.json", '["borrow"]', "must map names of splits to lists of ids"),
        ("split_tasks.json", '{"train": "borrow"}', "must map names of splits to lists of ids"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    file: str, content: str | None, says: str, tmp_path: Path
) -> None:
    path = copied(tmp_path).folder / file
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(DataError, match=says):
        get_domain("other")


def test_tools_keep_no_state(tmp_path: Path) -> None:
    copied(tmp_path, tools=Stateful)
    world = get_domain("other").start(get_domain("other").task("borrow"))
    said, failed = world.call("count", {}, "assistant")
    assert failed
    assert said == "Error: tools keep no state: 'counted' belongs into self.db"


def test_only_tools_that_write_change_anything(tmp_path: Path) -> None:
    """Not this episode, and not the database that all episodes share."""
    copied(tmp_path, tools=Sly)
    env = gym.make("tau2/other-v0")
    env.reset(seed=0, options={"task_id": "borrow"})
    said, *_, info = env.step("peek()")
    expected = "Error: nothing was changed: peek is not marked write, and changes books B-1"
    assert said == expected
    said, *_, info = env.step("knot()")
    assert said.startswith(
        "Error: nothing was changed: knot is not marked write, and changes a row to what is not JSON: "
    )
    assert info["checks"]["env_assertions"] == [True]
    world = env.unwrapped.snapshot().episode.world  # type: ignore[attr-defined]
    assert world.difference() == {}
    said, *_ = env.step('find_books(title="m")')
    assert '"title": "Middlemarch", "status": "in", "borrower": null' in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("examples.libary:LIBRARY", "there is no module 'examples.libary'"),
        ("examples.library:LIBARY", "module 'examples.library' has no 'LIBARY'"),
        ("examples.library:AppTools", "is of type type, and no DomainSpec or TaskSet"),
        (
            "library",
            "unknown domain 'library'; allowed: airline, code, code_session, mock, retail, telecom, or MODULE:",
        ),
    ],
)
def test_names_that_lead_nowhere(name: str, says: str) -> None:
    for find in (resolve, get_domain):
        with pytest.raises(ConfigError, match=says):
            find(name)
    result = CliRunner().invoke(passk.app, ["--domains", name])
    assert result.exit_code == 2
    assert " ".join(says.split()) in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "mock"}, "and is none of airline, retail, telecom, mock; not 'mock'"),
        ({"name": "My Library"}, "not 'My Library'"),
        ({"name": ""}, "not ''"),
        ({"user_database": None}, "the user has tools and a database, or neither"),
        ({"alpha": -1.0}, "alpha must not be negative"),
    ],
)
def test_specs_that_cannot_be_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(LIBRARY, **change)


def test_two_domains_cannot_have_one_name(tmp_path: Path) -> None:
    register(LIBRARY)
    register(LIBRARY)
    with pytest.raises(ConfigError, match="domain 'library' is registered already, with the files"):
        register(replace(LIBRARY, folder=tmp_path))
    with pytest.raises(ConfigError, match="unknown kind of tool 'reads'; allowed: generic, read,"):
        tool("reads")
    assert AppTools.check_app.tool_kind is ToolKind.READ  # type: ignore[attr-defined]


# Tasks of one's own in tau2-bench's domains


def night_shift(tmp_path: Path) -> TaskSet:
    (tmp_path / "tasks.json").write_text(json.dumps(NIGHT))
    return TaskSet("night_shift", tmp_path, "retail")


NIGHT: list[dict[str, Any]] = [
    {
        "id": "cancel",
        "user_scenario": {
            "instructions": "You want to cancel order #W5918442. You ordered by mistake."
        },
        "evaluation_criteria": {
            "actions": [
                {
                    "name": "cancel_pending_order",
                    "arguments": {"order_id": "#W5918442", "reason": "ordered by mistake"},
                }
            ]
        },
    }
]


def test_tasks_of_ones_own_are_played_in_a_domain_of_tau2_bench(tmp_path: Path) -> None:
    register(night_shift(tmp_path))
    env = gym.make("tau2/night_shift-v0")
    info = solve(env, "cancel")
    assert (info["official_reward"], info["partial_score"]) == (1.0, 1.0)
    retail, ours = get_domain("retail"), get_domain("night_shift")
    assert (ours.policy, ours.agent_tools) == (retail.policy, retail.agent_tools)
    assert ours.revision != retail.revision
    assert ours.task_ids("base") == ("cancel",)
    assert pickle.loads(pickle.dumps(env.unwrapped.snapshot())).episode.domain is ours  # type: ignore[attr-defined]
    assert default_alpha("night_shift") == default_alpha("retail") == 0.2
    assert default_weights("night_shift") == default_weights("retail")
    with pytest.raises(
        ConfigError, match="unknown domain of the tasks 'x' 'shop'; allowed: airline"
    ):
        TaskSet("x", tmp_path, "shop")
    with pytest.raises(ConfigError, match="not 'mock'"):
        TaskSet("mock", tmp_path, "retail")
