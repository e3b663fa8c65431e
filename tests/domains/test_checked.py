"""Tasks from outside that mean something else than they say are refused."""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.library import LIBRARY
from tau2_gym.domains import DOMAINS, TaskSet, TaskSource, checked, register
from tau2_gym.domains.base import get_domain
from tau2_gym.domains.checked import TaskCheck, check_all
from tau2_gym.domains.tasks import TaskTable
from tau2_gym.errors import DataError
from tau2_gym.types import RewardBasis

FREE = ("arguments", "agent_data", "user_data", "message_history")
"""What is in these is for tools and databases to know."""

TASK: dict[str, Any] = {
    "id": "renew",
    "user_scenario": {
        "persona": "Brief.",
        "instructions": {
            "domain": "library",
            "reason_for_call": "You want to keep Dubliners for longer.",
            "known_info": "You are Ada Byron.",
            "unknown_info": None,
            "task_instructions": "Be brief.",
        },
    },
    "ticket": "Ada wants to keep Dubliners.",
    "user_tools": None,
    "initial_state": {
        "initialization_data": {"agent_data": None, "user_data": None},
        "initialization_actions": [],
        "message_history": None,
    },
    "evaluation_criteria": {
        "actions": [
            {
                "action_id": "1",
                "name": "renew",
                "arguments": {"book_id": "B-3"},
                "requestor": "assistant",
                "compare_args": ["book_id"],
                "info": None,
            }
        ],
        "env_assertions": [
            {
                "env_type": "assistant",
                "func_name": "assert_lent_to",
                "arguments": {"book_id": "B-3", "member_id": "M-101"},
                "assert_value": True,
                "message": None,
            }
        ],
        "communicate_info": [],
        "nl_assertions": [],
        "answer": None,
        "reward_basis": ["DB"],
    },
}


@pytest.fixture
def check() -> TaskCheck:
    sides = get_domain("examples.library:LIBRARY").sides
    return TaskCheck("tasks.json", sides.agent, sides.user)


def mappings(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where there are mappings whose keys have a meaning."""
    if isinstance(value, Mapping):
        yield place
        for key, item in value.items():
            if key not in FREE:
                yield from mappings(item, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from mappings(item, (*place, number))


def at(row: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        row = row[step]
    return row


def changed(change: Callable[[Any], None], *place: str | int) -> dict[str, Any]:
    row = copy.deepcopy(TASK)
    change(at(row, place))
    return row


KEYS = [(*place, key) for place in mappings(TASK) for key in at(TASK, place)]


def test_the_task_is_allowed_and_has_all_keys_that_are(check: TaskCheck) -> None:
    check(TASK)
    parts: tuple[tuple[str, ...], ...] = (checked.TASK, checked.SCENARIO, checked.INSTRUCTIONS)
    parts += (checked.START, checked.DATA)
    parts += (checked.CRITERIA, checked.ACTION, checked.FUNCTION)
    assert len(KEYS) == sum(map(len, parts))


@pytest.mark.parametrize("place", KEYS, ids=lambda place: ".".join(map(str, place)))
@pytest.mark.parametrize("spoil", [lambda key: key[:-1], lambda key: key + "s", str.upper])
def test_no_key_can_be_misspelt(
    place: tuple[str | int, ...], spoil: Callable[[str], str], check: TaskCheck
) -> None:
    *above, key = place
    wrong = spoil(str(key))

    def rename(holder: dict[str, Any]) -> None:
        holder[wrong] = holder.pop(str(key))

    row = changed(rename, *above)
    with pytest.raises(DataError) as refused:
        check(row)
    said = str(refused.value)
    assert said.startswith(f"tasks.json: task {row.get('id')!r}: ")
    where = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, above))) or "the task"
    if wrong in at(TASK, tuple(above)):
        assert "has no" in said
    else:
        assert f": {where} has an unknown key {wrong!r}; allowed: " in said
    assert f"{key}" in said


def action(**values: Any) -> Callable[[Any], None]:
    return lambda criteria: criteria["actions"][0].update(values)


def assertion(**values: Any) -> Callable[[Any], None]:
    return lambda criteria: criteria["env_assertions"][0].update(values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            action(name="renww"),
            r"actions\[0\]: unknown tool 'renww'; allowed: find_books, get_member, ",
        ),
        (action(name=None), r"actions\[0\]: unknown tool None; allowed: "),
        (action(name=["renew"]), r"actions\[0\]: unknown tool \['renew'\]; allowed: "),
        (action(requestor="user"), r"actions\[0\]: unknown tool 'renew'; allowed: "),
        (action(requestor="agent"), r"requestor: unknown side 'agent'; allowed: assistant, user"),
        (action(arguments={"book": "B-3"}), r"unknown argument of renew 'book'; allowed: book_id"),
        (action(arguments=["B-3"]), r"actions\[0\]\.arguments must be a mapping, not \['B-3'\]"),
        (action(compare_args=["book"]), r"compare_args: unknown argument 'book'; allowed: book_id"),
        (action(compare_args="book_id"), r"compare_args must be a list, not 'book_id'"),
        (assertion(func_name="lent"), r"env_assertions\[0\]: unknown function 'lent'; allowed: "),
        (assertion(func_name="_own"), r"env_assertions\[0\]: unknown function '_own'; allowed: "),
        (assertion(env_type="agent"), r"env_type: unknown side 'agent'; allowed: assistant, user"),
        (
            assertion(arguments={"book_id": "B-3"}),
            r"the arguments of assert_lent_to do not fit \(missing a required argument: 'member_id'\); "
            r"allowed: book_id, member_id",
        ),
        (
            assertion(arguments={"book_id": 1, "member_id": 2, "x": 3}),
            r"do not fit \(got an unexpected keyword argument 'x'\); allowed: book_id, member_id",
        ),
        (
            lambda criteria: criteria.update(reward_basis=["DB", "ENV"]),
            r"reward_basis: unknown entry 'ENV'; allowed: ACTION, COMMUNICATE, DB, ENV_ASSERTION, NL_ASS",
        ),
        (
            lambda criteria: criteria.update(reward_basis="DB"),
            r"reward_basis must be a list, not 'DB'",
        ),
        (
            lambda criteria: criteria.update(actions={}),
            r"criteria\.actions must be a list, not \{\}",
        ),
        (
            lambda criteria: criteria.update(actions=["renew"]),
            r"actions\[0\] must be a mapping, not 'r",
        ),
        (
            lambda criteria: criteria.update(communicate_info=[1]),
            r"communicate_info must hold texts",
        ),
        (lambda criteria: criteria.update(nl_assertions="Kind."), r"nl_assertions must be a list"),
    ],
)
def test_what_does_not_exist_cannot_be_expected(
    change: Callable[[Any], None], sentence: str, check: TaskCheck
) -> None:
    with pytest.raises(DataError, match=rf"^tasks\.json: task 'renew': .*{sentence}"):
        check(changed(change, "evaluation_criteria"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda row: row.update(user_tools=["fly"]),
            "user_tools: unknown tool of the user's 'fly'",
        ),
        (lambda row: row.update(user_tools="look"), "user_tools must be a list"),
        (
            lambda row: row.update(user_scenario="Be kind."),
            "user_scenario must be a mapping, not 'Be",
        ),
        (lambda row: row.update(user_scenario=None), "user_scenario must be a mapping, not None"),
        (lambda row: row.update(user_scenario={}), "user_scenario has no 'instructions'"),
        (lambda row: row.pop("user_scenario"), "the task has no 'user_scenario'"),
        (lambda row: row.update(evaluation_criteria=[]), "evaluation_criteria must be a mapping"),
        (
            lambda row: row["initial_state"].update(
                initialization_actions=[{"env_type": "user", "func_name": "f", "arguments": {}}]
            ),
            r"initial_state.initialization_actions\[0\]: unknown function 'f'",
        ),
    ],
)
def test_the_other_parts_of_a_task_have_their_form(
    change: Callable[[Any], None], sentence: str, check: TaskCheck
) -> None:
    with pytest.raises(DataError, match=rf"^tasks\.json: task 'renew': .*{sentence}"):
        check(changed(change))


def test_where_the_user_has_no_tools_nothing_is_expected_of_it(check: TaskCheck) -> None:
    alone = replace(check, user=None)
    with pytest.raises(DataError, match="is 'user', and the user of this domain has no tools"):
        alone(changed(action(requestor="user"), "evaluation_criteria"))
    alone(TASK)


def test_notes_are_allowed_and_parts_may_be_left_out(check: TaskCheck) -> None:
    check({"id": 1, "user_scenario": {"instructions": "Be kind."}, "description": {"any": "thing"}})
    every = [basis.value for basis in RewardBasis]
    check(changed(lambda criteria: criteria.update(reward_basis=every), "evaluation_criteria"))


def test_two_tasks_of_an_id_are_refused(check: TaskCheck) -> None:
    with pytest.raises(
        DataError, match=r"tasks.json: task 'renew': another task of the file has the id"
    ):
        check_all(check, [TASK, TASK])


def misspelt(folder: Path, **changes: Any) -> Path:
    """The library's files, with keys of its first task changed."""
    for file in LIBRARY.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    rows = json.loads((folder / "tasks.json").read_text())
    rows[0].update(changes)
    (folder / "tasks.json").write_text(json.dumps(rows))
    return folder


def test_a_domain_from_outside_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    folder = misspelt(tmp_path, evaluation_critera={})
    register(replace(LIBRARY, name="misspelt", folder=folder))
    with pytest.raises(DataError) as refused:
        get_domain("misspelt")
    assert str(refused.value) == (
        f"{folder / 'tasks.json'}: task 'borrow': the task has an unknown key 'evaluation_critera'; "
        "allowed: id, user_scenario, ticket, user_tools, initial_state, evaluation_criteria"
    )


def test_tasks_that_a_domain_makes_are_checked_when_they_are_asked_for() -> None:
    good, bad = ({**TASK, "id": name} for name in ("good", "bad"))
    bad["evaluation_criteria"] = {"reward_basis": ["none"]}
    made = TaskSource({"good": good, "bad": bad}, {"test": ["good", "bad"]}, "r1", "by hand")
    register(replace(LIBRARY, name="making", tasks=lambda options: made))
    tasks = get_domain("making").tasks
    assert tasks["good"].id == "good"
    with pytest.raises(DataError, match=r"the tasks of making: task 'bad': .*unknown entry 'none'"):
        tasks["bad"]


def rows_of(name: str) -> list[Mapping[str, Any]]:
    """tau2-bench's tasks of a domain, as its file has them."""
    tasks = get_domain(name).tasks
    assert isinstance(tasks, TaskTable)
    return list(tasks._rows.values())


@pytest.mark.parametrize("name", DOMAINS)
def test_tasks_of_tau2_bench_are_a_task_set_without_a_word(name: str, tmp_path: Path) -> None:
    rows = [
        {**row, "a_key_of_the_next_revision": 1, "initial_notes": ""} for row in rows_of(name)[:200]
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(rows))
    register(TaskSet("same", tmp_path, name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(get_domain("same").tasks) == len(rows)


def test_in_a_task_set_a_key_that_looks_like_another_is_a_warning(tmp_path: Path) -> None:
    row = {**rows_of("mock")[0], "evaluation_critera": {}}
    (tmp_path / "tasks.json").write_text(json.dumps([row]))
    register(TaskSet("other", tmp_path, "mock"))
    with pytest.warns(
        UserWarning, match="the task has an unknown key 'evaluation_critera'; allowed"
    ):
        get_domain("other")
