from __future__ import annotations

import json
from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.domains.world import World
from tau2_gym.types import EnvFunction


@pytest.fixture
def world() -> World:
    domain = get_domain("mock")
    return domain.start(domain.task("create_task_1"))


def call(world: World, name: str, side: Any = "assistant", **arguments: Any) -> Any:
    content, error = world.call(name, arguments, side)
    assert not error, content
    return json.loads(content) if content[:1] in ("{", "[") else content


def holds(world: World, side: Any, name: str, **arguments: Any) -> bool:
    return world.holds(EnvFunction(side, name, arguments))


def test_a_created_task_is_pending_and_its_users(world: World) -> None:
    new = call(world, "create_task", user_id="user_1", title="Party")
    assert new == {
        "task_id": "task_2",
        "title": "Party",
        "description": None,
        "status": "pending",
    }
    (user,) = call(world, "get_users")
    assert user["tasks"] == ["task_1", "task_2"]
    assert holds(world, "assistant", "assert_number_of_tasks", user_id="user_1", expected_number=2)
    described = call(world, "create_task", user_id="user_1", title="Trip", description="To Ulm")
    assert (described["task_id"], described["description"]) == ("task_3", "To Ulm")


def test_the_status_of_a_task_can_be_updated(world: World) -> None:
    updated = call(world, "update_task_status", task_id="task_1", status="completed")
    assert updated["status"] == "completed"
    for status, expected in (("completed", True), ("pending", False)):
        assert expected is holds(
            world, "assistant", "assert_task_status", task_id="task_1", expected_status=status
        )


def test_a_transfer_changes_nothing(world: World) -> None:
    assert call(world, "transfer_to_human_agents", summary="…") == "Transfer successful"
    assert world.difference() == {}


def test_the_inbox_is_empty_at_first_and_can_be_filled_and_dismissed(world: World) -> None:
    assert call(world, "check_notifications", "user") == []
    arguments = {"notification_id": "n1", "message": "Hello"}
    world.initialise((EnvFunction("user", "add_notification", arguments),))
    (notification,) = call(world, "check_notifications", "user")
    assert notification == {**arguments, "status": "unread", "task_id": None}
    call(world, "dismiss_notification", "user", notification_id="n1")
    for status, expected in (("read", True), ("unread", False)):
        assert expected is holds(
            world,
            "user",
            "assert_notification_status",
            notification_id="n1",
            expected_status=status,
        )


@pytest.mark.parametrize(
    ("side", "name", "arguments", "message"),
    [
        ("assistant", "create_task", {"user_id": "u", "title": "t"}, "Error: User u not found"),
        (
            "assistant",
            "update_task_status",
            {"task_id": "t", "status": "pending"},
            "Error: Task t not found",
        ),
        (
            "user",
            "dismiss_notification",
            {"notification_id": "n"},
            "Error: Notification n not found",
        ),
        (
            "assistant",
            "create_task",
            {"user_id": "user_1"},
            "Error: MockTools.create_task() missing 1 required positional argument: 'title'",
        ),
    ],
)
def test_what_is_not_there_is_an_error(
    world: World, side: Any, name: str, arguments: dict[str, Any], message: str
) -> None:
    assert world.call(name, arguments, side) == (message, True)
    assert world.difference() == {}


@pytest.mark.parametrize(
    ("side", "name", "arguments"),
    [
        ("assistant", "assert_number_of_tasks", {"user_id": "u", "expected_number": 0}),
        ("assistant", "assert_task_status", {"task_id": "t", "expected_status": "pending"}),
        ("user", "assert_notification_status", {"notification_id": "n", "expected_status": "read"}),
    ],
)
def test_an_assertion_on_what_is_not_there_does_not_hold(
    world: World, side: Any, name: str, arguments: dict[str, Any]
) -> None:
    assert not holds(world, side, name, **arguments)
