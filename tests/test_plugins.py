"""Agents and users from outside, through every front door and with everything that can be wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from typer.testing import CliRunner

import tau2_gym  # noqa: F401 - registers the environments
from agents import make_agent
from agents.runs.setup import Setup, domains_to_play, make_player
from benchmarks import passk
from tau2_gym.errors import ConfigError
from tau2_gym.users import check_user, is_model, make_user, without_address
from tau2_gym.users.llm import LLMUser
from trainers import collect
from trainers.config import GRPOConfig, load_config
from trainers.rollout.user import make_training_user

ROOT = Path(__file__).resolve().parents[1]

MODULE = '''
from tau2_gym.types import Message


class Clerk:
    """Says goodbye in every way there is."""

    domains = ("mock", "retail")

    def act(self, view, seed):
        return "Goodbye. Is there anything else?"


class Patient:
    async def aact(self, view, memory, seed):
        from agents.base import Reply

        return Reply("Goodbye.")


class Typos:
    def respond(self, view, seed):
        said = sum(message.role == "user" for message in view.messages)
        return Message("user", "Helo, I have a porblem." if not said else "###STOP###")


class Awaited:
    async def arespond(self, view, seed):
        return Typos().respond(view, seed)


class Idle:
    pass


class Picky:
    def __init__(self, model):
        self.model = model


class Broken:
    def __init__(self):
        raise OSError("no such folder: /data")


clerk = Clerk()
number = 3


def made():
    return Clerk()


def nothing():
    return None


class Quitter:
    def __init__(self):
        raise SystemExit(4)


class OneDomain(Clerk):
    domains = "mock"


class Number(Clerk):
    domains = 5


class NoDomain(Clerk):
    domains = ()
'''

INSTALLED = """[tau2_gym.agents]
clerk = my_module:Clerk
lost = my_module:Lost

[tau2_gym.users]
typos = my_module:Typos
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules, and with a package's entry points, that Python finds."""
    (tmp_path / "my_module.py").write_text(MODULE)
    (tmp_path / "my_broken.py").write_text("import my_missing_part\n")
    (tmp_path / "my_quitter.py").write_text("raise SystemExit('no')\n")
    (tmp_path / "my_syntax.py").write_text("class Clerk(:\n")
    info = tmp_path / "clerks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clerks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(INSTALLED)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


MOCK = ["--domains", "mock", "--task-ids", "create_task_1,update_task_1", "--num-samples", "2"]


def played(folder: Path, *options: str) -> list[dict[str, Any]]:
    """The rows of a run, by the command line in a process of its own, in two workers."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.passk", *MOCK, "--workers", "2", *options),
            *("--output", str(folder / "out.jsonl")),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("agent", "user"),
    [
        ("my_module:Clerk", "my_module:Typos"),
        ("clerk", "typos"),
        ("my_module:Patient", "my_module:Awaited"),
    ],
)
def test_agents_and_users_from_outside_play_in_workers(folder: Path, agent: str, user: str) -> None:
    rows = played(folder, "--agent", agent, "--user", user)
    assert len(rows) == 4
    for row in rows:
        assert row["fault"] is None, row["error"]
        spoken = [message["content"] for message in row["messages"]]
        assert spoken[1] == "Helo, I have a porblem."
        assert spoken[2].startswith("Goodbye.")


def test_they_are_collected_from(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        collect.app,
        [
            *("--domains", "retail", "--task-ids", "0", "--num-samples", "1", "--workers", "1"),
            *("--agent", "my_module:Clerk", "--user", "typos", "-o", str(tmp_path / "data")),
        ],
    )
    assert result.exit_code == 0, result.output
    (row,) = map(json.loads, (tmp_path / "data" / "attempts.jsonl").read_text().splitlines())
    assert row["messages"][1]["content"] == "Helo, I have a porblem."


def test_a_user_from_outside_answers_in_an_environment_and_in_training() -> None:
    for name in ("my_module:Typos", "typos"):
        env = gym.make("tau2/mock-v0", user=name)
        assert (
            env.reset(seed=0, options={"task_id": "create_task_1"})[0] == "Helo, I have a porblem."
        )
        settings = {"model": "m", "environment.user": name}
        user = make_training_user(load_config(GRPOConfig, None, settings))
        assert type(user).__name__ == "Typos"


def test_an_agent_may_be_a_class_an_object_or_a_function_that_makes_one() -> None:
    for name in ("Clerk", "clerk", "made"):
        assert type(make_agent(f"my_module:{name}")).__name__ == "Clerk"


def test_an_agent_from_outside_may_name_its_domains() -> None:
    result = CliRunner().invoke(passk.app, ["--agent", "my_module:Clerk", "--domains", "telecom"])
    assert result.exit_code == 2
    assert "agent 'my_module:Clerk' plays mock, retail only, not telecom" in result.output


WRONG = [
    ("my_modul:Clerk", "there is no module 'my_modul', neither here nor among the installed"),
    ("my_module.sub:Clerk", "there is no module 'my_module.sub'"),
    ("my_module:Clrk", "module 'my_module' has no 'Clrk'; did you mean my_module:Clerk?"),
    ("my_module:zzz", "module 'my_module' has no 'zzz'"),
    ("my_module:", "is incomplete: write MODULE:NAME"),
    (":Clerk", "is incomplete: write MODULE:NAME"),
    (
        "my_broken:Clerk",
        "importing 'my_broken' failed: ModuleNotFoundError: No module named 'my_mis",
    ),
    ("my_quitter:Clerk", "importing 'my_quitter' failed: SystemExit: no"),
    ("my_syntax:Clerk", "importing 'my_syntax' failed: SyntaxError: "),
    ("my_module:Picky", "could not be made: TypeError: Picky.__init__() missing 1 required"),
    ("my_module:Broken", "could not be made: OSError: no such folder: /data"),
    ("my_module:Quitter", "could not be made: SystemExit: 4"),
    ("my_module:Idle", "is of type Idle, and has no "),
    ("my_module:number", "is of type int, and has no "),
    ("my_module:nothing", "is of type NoneType, and has no "),
    ("clark", ", or MODULE:NAME"),
]


@pytest.mark.parametrize("name", ["OneDomain", "Number", "NoDomain"])
def test_the_domains_of_an_agent_are_names(name: str) -> None:
    result = CliRunner().invoke(passk.app, ["--agent", f"my_module:{name}", *MOCK])
    assert result.exit_code == 2
    said = " ".join(result.output.split())
    assert f"agent 'my_module:{name}': domains must be a tuple of names, not" in said


@pytest.mark.parametrize(("name", "says"), WRONG)
@pytest.mark.parametrize("option", ["agent", "user"])
def test_what_is_wrong_is_said_in_one_sentence(option: str, name: str, says: str) -> None:
    make: Any = make_agent if option == "agent" else make_user
    with pytest.raises(ConfigError) as caught:
        make(name)
    said = str(caught.value)
    assert says in said
    assert repr(name) in said
    assert "\n" not in said
    result = CliRunner().invoke(passk.app, [f"--{option}", name, *MOCK])
    assert result.exit_code == 2
    assert " ".join(says.split()) in " ".join(result.output.split())


def test_entry_points_that_lead_nowhere_are_told_from_those_that_are_none() -> None:
    with pytest.raises(ConfigError, match="'lost' is installed as my_module:Lost, and importing"):
        make_agent("lost")
    with pytest.raises(ConfigError, match=r"unknown agent 'clark'; allowed: .*clerk.*workflow"):
        make_agent("clark")
    with pytest.raises(ConfigError, match="domains must be a tuple of names, not 'mock'"):
        domains_to_play("my_module:OneDomain", ["mock"])


def test_a_user_that_must_be_awaited_cannot_answer_an_environment() -> None:
    with pytest.raises(ConfigError, match="have a method respond"):
        make_user("my_module:Awaited")


@pytest.mark.parametrize("option", ["--agent", "--user"])
@pytest.mark.parametrize("word", ["my_modul:Clerk", "my_module:Clrk", "clark"])
def test_a_typing_error_is_answered_at_once(folder: Path, option: str, word: str) -> None:
    code = (
        "import sys, time\n"
        "begun = time.process_time()\n"
        "from benchmarks.passk import app\n"
        "try:\n"
        f"    app([{option!r}, {word!r}])\n"
        "finally:\n"
        "    print({'inspect_evals', 'torch', 'transformers', 'litellm'} & set(sys.modules))\n"
        "    print(time.process_time() - begun)\n"
    )
    took: list[float] = []
    while not took or (min(took) >= 1.0 and len(took) < 3):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2, done.stdout + done.stderr
        *said, loaded, seconds = done.stdout.splitlines()
        assert word in "\n".join(said)
        assert loaded == "set()"
        took.append(float(seconds))
    assert min(took) < 1.0


# One grammar


def setup(user: str, **more: Any) -> Setup:
    return Setup(
        agent="oracle", user=user, seed=0, reward="progress", max_steps=100, max_errors=10,
        source="inspect-evals", data_dir=None, **more,
    )  # fmt: skip


NAMES = ["litellm:gpt-4.1-mini", "llm:org/tiny@http://127.0.0.1:1/v1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_same_user_everywhere(name: str) -> None:
    alone = make_user(name)
    assert isinstance(alone, LLMUser)
    assert gym.make("tau2/mock-v0", user=name).unwrapped.user == alone  # type: ignore[attr-defined]
    assert make_player(setup(name)).user == alone
    settings = {"model": "m", "environment.user": name, "environment.user_temperature": 0.0}
    assert make_training_user(load_config(GRPOConfig, None, settings)) == alone


@pytest.mark.parametrize("name", NAMES)
def test_a_run_records_what_its_user_says(name: str, tmp_path: Path) -> None:
    user = make_player(setup(name, cassette=str(tmp_path / "tape.jsonl"))).user
    assert isinstance(user, LLMUser)
    assert user.model.cassette is not None


def test_results_do_not_depend_on_where_a_user_is_served() -> None:
    here, there = (setup(f"llm:tiny@http://{host}/v1") for host in ("a:1", "u:secret@b:2"))
    assert here.identity() == there.identity()
    assert here.identity()["user"] == "llm:tiny"
    assert setup("litellm:tiny").identity() != here.identity()
    assert [without_address(name) for name in ("scripted", "replay:x@http://y")] == [
        "scripted",
        "replay:x@http://y",
    ]


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("litellm:", "the model's name is empty: write litellm:MODEL"),
        ("llm:m", "names no server: write llm:MODEL@http://HOST:PORT/v1"),
        ("llm:@http://h/v1", "the model's name is empty: write llm:MODEL"),
        ("litellm", "unknown user 'litellm'; allowed: "),
        ("my_modul:Typos", "there is no module 'my_modul'"),
    ],
)
def test_a_recipe_with_a_wrong_user_is_refused(user: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(GRPOConfig, None, {"model": "m", "environment.user": user})
    with pytest.raises(ConfigError, match=says):
        check_user(user)
    assert is_model(user) == user.startswith(("litellm:", "llm:"))
