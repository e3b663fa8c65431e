"""Test tasks are never trained on, however they are named."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, DataError
from trainers.config import GRPOConfig, load_config
from trainers.sections import Evaluation, Tasks
from trainers.tasks import (
    dev_tasks,
    evaluation_cost,
    evaluation_tasks,
    judge_note,
    pool_note,
    refuse_test_tasks,
    run_tasks,
    training_tasks,
)

DOMAINS = ("airline", "retail", "telecom")
AIRLINE_DEV = ["7", "17", "23", "33", "34", "41"]


def test_the_train_split_has_178_tasks_and_shares_none_with_the_test_split() -> None:
    trained = training_tasks(Tasks())
    assert len(trained) == len(set(trained)) == 30 + 74 + 74
    tested = evaluation_tasks(DOMAINS, Evaluation(split="test"))
    assert len(tested) == 20 + 40 + 40
    assert not set(trained) & set(tested)


def test_the_pool_adds_all_telecom_tasks_outside_base() -> None:
    with_pool = training_tasks(Tasks(domains=("telecom",), pool=True))
    assert len(with_pool) == len(set(with_pool)) == 74 + 2171
    base = set(get_domain("telecom").task_ids("base"))
    assert sum(task in base for _, task in with_pool) == 74
    assert [task for _, task in with_pool[:74]] == list(get_domain("telecom").task_ids("train"))
    note = pool_note(with_pool)
    assert note is not None
    assert "2171 tasks of telecom" in note
    assert pool_note(with_pool[:74]) is None


def test_a_pool_is_refused_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match="no task of airline, retail lies outside base"):
        training_tasks(Tasks(domains=("airline", "retail"), pool=True))


def test_the_small_tasks_belong_to_the_pool_and_are_not_counted_twice() -> None:
    small = training_tasks(Tasks(domains=("telecom",), split="small"))
    assert len(small) == 20
    assert "20 tasks of telecom" in (pool_note(small) or "")
    assert len(training_tasks(Tasks(domains=("telecom",), split="small", pool=True))) == 2171


@pytest.mark.parametrize("split", ["test", "base", "full"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_splits_with_test_tasks_are_refused(split: str, domain: str) -> None:
    with pytest.raises(ConfigError, match=f"split '{split}' holds test tasks"):
        training_tasks(Tasks(domains=(domain,), split=split))


def test_named_tasks_are_taken_as_named_unless_they_are_test_tasks() -> None:
    domain = get_domain("retail")
    train, test = domain.task_ids("train"), domain.task_ids("test")
    only = (train[3], train[1], train[3])
    assert training_tasks(Tasks(domains=("retail",), only=only)) == [
        ("retail", train[3]),
        ("retail", train[1]),
    ]
    with pytest.raises(ConfigError, match=rf"task '{test[0]}' of retail and 1 others must not be"):
        training_tasks(Tasks(domains=("retail",), only=(train[0], *test[:2])))


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown task 'nope' of retail"):
        training_tasks(Tasks(domains=("retail",), only=("nope",)))
    with pytest.raises(ConfigError, match="unknown split of retail 'small'"):
        training_tasks(Tasks(domains=("retail",), split="small"))
    with pytest.raises(ConfigError, match="unknown domain 'bank'"):
        training_tasks(Tasks(domains=("bank",)))
    with pytest.raises(ConfigError, match="belong to one domain, and airline, retail are given"):
        training_tasks(Tasks(domains=("airline", "retail"), only=("1",)))


def test_evaluation_takes_any_split_or_named_tasks_or_none() -> None:
    assert evaluation_tasks(DOMAINS, Evaluation(split=None)) == []
    assert len(evaluation_tasks(("telecom",), Evaluation(split="small"))) == 20
    assert evaluation_tasks(("retail",), Evaluation(only=("5",))) == [("retail", "5")]


def test_data_that_come_from_test_tasks_are_refused() -> None:
    refuse_test_tasks([("retail", "0"), ("bank", "5"), ("mock", "create_task_1")])
    with pytest.raises(DataError, match="task '5' of retail must not be trained on"):
        refuse_test_tasks([("retail", "0"), ("retail", "5")])


# Development tasks


def config(**settings: Any) -> GRPOConfig:
    return load_config(GRPOConfig, None, {"model": "m", **settings})


@pytest.mark.parametrize("evaluation", [{}, {"evaluation.split": "dev"}], ids=["default", "named"])
def test_a_run_watches_tasks_that_it_neither_trains_nor_is_tested_on(
    evaluation: dict[str, Any],
) -> None:
    trained, watched = run_tasks(config(**evaluation))
    assert (len(trained), len(watched)) == (142, 36)
    train, test = set(training_tasks(Tasks())), evaluation_tasks(DOMAINS, Evaluation(split="test"))
    assert set(trained) | set(watched) == train
    assert not set(trained) & set(watched)
    assert not set(watched) & set(test)


def test_development_tasks_are_a_fifth_of_each_family() -> None:
    for name, whole in (("airline", 30), ("retail", 74), ("telecom", 74)):
        domain = get_domain(name)
        families = Counter(task.split("]")[0] for task in domain.task_ids("train"))
        if name != "telecom":
            families = Counter({"": whole})
        chosen = dev_tasks(domain)
        assert len(chosen) == sum(round(count / 5) for count in families.values())
        if name == "telecom":
            found = Counter(task.split("]")[0] for task in chosen)
            assert found == {family: round(count / 5) for family, count in families.items()}
    assert dev_tasks(get_domain("mock")) == []


def test_they_are_the_same_ones_for_good() -> None:
    """Results of runs on other development tasks are not comparable."""
    assert dev_tasks(get_domain("airline")) == AIRLINE_DEV
    runs = [
        run_tasks(config(**{"run.seed": seed, "tasks.domains": ["airline"]})) for seed in (1, 2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", DOMAINS)
def test_a_revision_exchanges_one_of_them_at_most(name: str) -> None:
    domain = get_domain(name)
    train, before = domain.splits["train"], set(dev_tasks(domain))
    revisions = [train[:at] + train[at + 1 :] for at in range(len(train))]
    revisions += [(*train, "[mms_issue]added"), ("added", *train), train[::-1]]
    for revised in revisions:
        other: Any = SimpleNamespace(name=name, splits={"train": revised})
        after = set(dev_tasks(other))
        assert len(before - after) <= 1
        assert len(after - before) <= 1


def test_telecoms_pool_and_named_tasks_leave_them_alone() -> None:
    everything = {"tasks.domains": ["telecom"], "tasks.pool": True}
    trained, watched = run_tasks(config(**everything))
    assert (len(trained), len(watched)) == (59 + 2171, 15)
    # What is named is trained on, and not watched.
    name, task = watched[0]
    trained, rest = run_tasks(config(**{"tasks.domains": [name], "tasks.only": [task]}))
    assert trained == [(name, task)]
    assert rest == watched[1:]
    # What is named to be watched is not trained on.
    other = ("telecom", get_domain("telecom").task_ids("train")[0])
    trained, watched = run_tasks(config(**everything, **{"evaluation.only": [other[1]]}))
    assert watched == [other]
    assert other not in trained
    assert len(trained) == 74 + 2171 - 1


def test_a_task_cannot_be_named_for_both() -> None:
    names = {"tasks.domains": ["retail"], "tasks.only": ["0", "1"], "evaluation.only": ["1"]}
    with pytest.raises(
        ConfigError, match=r"'1' of retail is named in tasks\.only and in evaluation"
    ):
        run_tasks(config(**names))
    with pytest.raises(ConfigError, match="no task to train on that is not evaluated on"):
        run_tasks(config(**{"tasks.domains": ["retail"], "evaluation.split": "train"}))


def test_all_may_be_trained_on_where_nothing_is_watched() -> None:
    assert run_tasks(config(**{"evaluation.split": None})) == (training_tasks(Tasks()), [])


def test_demonstrations_can_leave_them_out() -> None:
    trained, watched = run_tasks(config())
    assert training_tasks(Tasks(split="fit")) == trained
    assert not set(training_tasks(Tasks(split="fit"))) & set(watched)


def test_the_cost_is_said() -> None:
    small = config(**{"run.steps": 25, "rollout.tasks": 2, "rollout.samples": 4})
    assert evaluation_cost(small, run_tasks(small)[1]) == (
        "Evaluation on 36 tasks of dev (airline 6, retail 15, telecom 15), not trained on, 4 attempts "
        "at each: 144 attempts before the first step, every 10 steps and after the last, 576 in 4 "
        "evaluations, in addition to 200 episodes to train on."
    )
    none = config(**{"evaluation.split": None})
    assert evaluation_cost(none, []) == "No evaluation while training."


# Tasks that take a judge


def test_tasks_that_nobody_can_grade_are_left_out(tmp_path: Path) -> None:
    from inspect_evals.tau2 import utils

    shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / "airline", tmp_path / "airline")
    file = tmp_path / "airline" / "tasks.json"
    tasks = json.loads(file.read_text())
    train = get_domain("airline").task_ids("train")
    read, unread = train[:7], train[7]
    for task in tasks:
        if task["id"] in (*read, unread):
            criteria = task["evaluation_criteria"]
            criteria["reward_basis"] = ["DB", "NL_ASSERTION"]
            criteria["nl_assertions"] = ["It was said."] if task["id"] in read else []
    file.write_text(json.dumps(tasks))
    where = {"environment.data_dir": str(tmp_path), "tasks.domains": ["airline"]}
    trained, watched = run_tasks(config(**where))
    known = {task for _, task in [*trained, *watched]}
    assert known == set(train) - set(read)
    every = evaluation_tasks(("airline",), Evaluation(split="train"), data_dir=str(tmp_path))
    assert {task for _, task in every} == known
    note = judge_note(Tasks(domains=("airline",)), data_dir=str(tmp_path))
    assert note == (
        "Left out: 7 of 30 tasks of airline, whose reward takes a judge; training has none."
    )
    with pytest.raises(ConfigError, match=f"'{read[0]}' of airline cannot be trained or"):
        run_tasks(config(**where, **{"tasks.only": [read[0]]}))
    with pytest.raises(ConfigError, match="its reward takes a judge, and there is none"):
        run_tasks(config(**where, **{"evaluation.only": [read[0]]}))
    assert run_tasks(config(**where, **{"tasks.only": [unread]}))[0] == [("airline", unread)]
    assert judge_note(Tasks()) is None
