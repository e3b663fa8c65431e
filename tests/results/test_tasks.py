"""`tau2-gym tasks`: the tasks of a domain, and one of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tau2_gym.cli import app
from tau2_gym.domains.base import get_domain


def tasks(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["tasks", *arguments], env={"COLUMNS": "130"})


@pytest.mark.parametrize("name", ["airline", "retail", "telecom"])
def test_every_task_of_a_split_is_listed(name: str) -> None:
    done = tasks("list", name, "--split", "test", "--json")
    ids = [json.loads(line)["id"] for line in done.output.splitlines()]
    assert ids == list(get_domain(name).task_ids("test"))


def test_what_is_graded_in_a_task() -> None:
    done = tasks("list", "mock", "--split", "base", "--json")
    rows = {row["id"]: row for row in map(json.loads, done.output.splitlines())}
    assert rows["create_task_1_with_env_assertions"] == {
        "id": "create_task_1_with_env_assertions",
        "agent_actions": 1,
        "user_actions": 0,
        "communicate": 0,
        "env_assertions": 1,
        "nl_assertions": 1,
        "basis": ["DB", "ENV_ASSERTION"],
    }


def test_a_table() -> None:
    done = tasks("list", "telecom")
    assert done.exit_code == 0
    assert done.output.startswith("telecom, test: 40 tasks, revision ")
    assert done.output.count("ENV_ASSERTION") == 40


def test_the_table_has_ids_as_they_are() -> None:
    done = CliRunner().invoke(app, ["tasks", "list", "telecom"], env={"COLUMNS": "300"})
    printed = {line.split()[0] for line in done.output.splitlines() if line.strip()}
    assert set(get_domain("telecom").task_ids("test")) <= printed


def test_a_task_is_shown_with_all_that_is_graded() -> None:
    done = tasks("show", "retail", "3")
    assert done.exit_code == 0
    assert "You are Yusuf Rossi in zipcode 19122." in done.output
    assert 'assistant: find_user_id_by_name_zip(first_name="Yusuf"' in done.output
    assert "To be said\n10\n" in done.output
    assert "Graded by\nDB COMMUNICATE\n" in done.output
    assert "Ticket" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "hotel"), ("list", "retail", "--split", "dev"), ("show", "retail", "9999"),
        ("list", "retail", "--source", "web"), ("list", "retail", "--data-dir", "/nowhere"),
        ("show", "retail"), ("show",), ("make",),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(arguments: tuple[str, ...]) -> None:
    done = tasks(*arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.output
