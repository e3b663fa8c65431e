"""Test tasks are never trained on, however they are named."""

from __future__ import annotations

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, DataError
from trainers.sections import Evaluation, Tasks
from trainers.tasks import evaluation_tasks, pool_note, refuse_test_tasks, training_tasks

DOMAINS = ("airline", "retail", "telecom")


def test_the_train_split_has_178_tasks_and_shares_none_with_the_test_split() -> None:
    trained = training_tasks(Tasks())
    assert len(trained) == len(set(trained)) == 30 + 74 + 74
    tested = evaluation_tasks(DOMAINS, Evaluation())
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
