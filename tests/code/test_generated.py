from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from tau2_gym.code import generated
from tau2_gym.code.generated import load
from tau2_gym.code.problems import FAMILIES, LEVELS, VERSION
from tau2_gym.code.tasks import load_tasks
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tests.code.helpers import problem_of

CONTENT = "d6a12820480bee06293f47f2fa104ab5dec6f93b4d2e9933fde8e0aece924cba"
"""A hash of all that the default tasks say, ask and expect. If it changes, `VERSION` must, too."""


def content(options: str) -> str:
    rows = load(options).rows
    return hashlib.sha256(json.dumps([dict(row) for row in rows.values()]).encode()).hexdigest()


def test_the_default_tasks() -> None:
    source = load_tasks("")
    assert (len(source.splits["train"]), len(source.splits["test"])) == (300, 100)
    assert list(source.rows) == [*source.splits["train"], *source.splits["test"]]
    assert len(set(source.rows)) == 400
    kinds = Counter(problem_of(row).kind for row in source.rows.values())
    assert kinds == {"mathematics": 241, "program": 159}
    assert {task.split("-")[1] for task in source.rows} == {str(level) for level in LEVELS}


def test_what_the_default_tasks_say_changes_with_the_version_only() -> None:
    assert (VERSION, content("")) == (1, CONTENT)


def test_a_seed_draws_the_same_tasks_in_every_process() -> None:
    code = (
        "from tests.code.test_generated import content; print(content('seed=11,count=30,test=9'))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "5"},
    )
    assert elsewhere.stdout.strip() == content("seed=11,count=30,test=9")


def test_seeds_draw_different_tasks() -> None:
    one, other = load("seed=1"), load("seed=2")
    assert one.revision != other.revision
    assert len(set(one.rows) & set(other.rows)) < 0.3 * len(one.rows)


def test_no_test_task_of_any_seed_is_a_training_task_of_any_other() -> None:
    sources = [load(f"seed={seed},count=400,test=400") for seed in range(5)]

    def asked(split: str) -> set[str]:
        return {
            str(source.rows[task]["ticket"]) for source in sources for task in source.splits[split]
        }

    assert len(asked("train")) > 1500
    assert not asked("train") & asked("test")


def test_no_two_tasks_ask_the_same() -> None:
    rows = load("seed=4,count=2000,test=500").rows
    assert len({row["ticket"] for row in rows.values()}) == len(rows) == 2500


def test_options_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    source = load("count=40,test=8,difficulty=2-3,families=numbers+lists")
    assert source.source == (
        "generated:seed=0,count=40,test=8,difficulty=2-3,families=numbers+lists"
    )
    kinds = {kind.__name__.lower() for name in ("numbers", "lists") for kind in FAMILIES[name]}
    for split, count in {"train": 40, "test": 8}.items():
        assert len(source.splits[split]) == count
        for task in source.splits[split]:
            kind, level, _ = task.split("-")
            assert kind in kinds
            assert level in {"2", "3"}
    assert {task.split("-")[1] for task in load("difficulty=5").rows} == {"5"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "size=3",
            "unknown option of generated tasks 'size'; allowed: count, difficulty, families",
        ),
        ("seed", "write seed=VALUE once"),
        ("seed=", "write seed=VALUE once"),
        ("seed=1,seed=2", "write seed=VALUE once"),
        ("seed=-1", "seed must be a number from 0 to"),
        ("count=0", "count must be a number from 1 to 100000, not '0'"),
        ("count=" + "0" * 19 + "1000000000", "count must be a number from 1 to 100000"),
        ("seed=٣", "seed must be a number from 0 to"),
        (f"seed={2**63 + 1}", f"seed must be a number from 0 to {2**63}, not '{2**63 + 1}'"),
        ("seed=1:count=2", "options are separated by commas: write generated:seed=1,count=2"),
        ("test=100001", "test must be a number from 1 to 100000, not '100001'"),
        ("test=1000000", "test must be a number from 1"),
        ("difficulty=0", "difficulty must be one of 1 to 5"),
        ("difficulty=3-2", "difficulty must be one of 1 to 5"),
        ("difficulty=a-b", "difficulty must be one of 1 to 5"),
        ("families=algebra", "unknown family of generated tasks 'algebra'; allowed: arithmetic"),
    ],
)
def test_other_options_are_refused(options: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(options)


def test_the_largest_seed_is_a_seed() -> None:
    assert len(load(f"seed={2**63},count=1,test=1").rows) == 2


def test_no_more_tasks_are_promised_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        FAMILIES, "lists", (FAMILIES["lists"][5],)
    )  # circles, of which there are few
    with pytest.raises(ConfigError, match="there are no 400 different problems for train, only"):
        load("count=400,families=lists,difficulty=1")


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown source of tasks 'stolen'; allowed: "):
        load_tasks("stolen:count=3")


def test_tasks_are_made_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[str]()
    row = generated.Drawn.row
    monkeypatch.setattr(
        generated.Drawn, "row", lambda drawn, task: made.append(task) or row(drawn, task)
    )
    source = load("seed=99")
    assert made == []
    task = source.splits["test"][3]
    assert source.rows[task]["id"] == task
    assert made == [task]


def test_the_domain_holds_them() -> None:
    domain = get_domain("code:generated:seed=3,count=12,test=6")
    assert len(domain.task_ids("train")) == 12
    assert len(domain.task_ids("base")) == 18
    assert domain.max_turns == 16
    assert domain.slow
    task = domain.task(domain.task_ids("test")[0])
    assert task.ticket == task.scenario.instructions
    assert task.criteria is not None
    assert domain.revision != get_domain("code").revision
