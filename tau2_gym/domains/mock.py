"""The mock domain: a list of tasks and an inbox, small enough to know by heart.

The default source publishes its data without its tools, so they are here. Names, parameters and
behaviour are tau2-bench's.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from tau2_gym.types import ToolKind

Status = Literal["pending", "completed"]


class Task(BaseModel):
    """An entry of the to-do list."""

    task_id: str
    title: str
    description: str | None = None
    status: Status


class User(BaseModel):
    """A person and the ids of their tasks."""

    user_id: str
    name: str
    tasks: list[str]


class MockDB(BaseModel):
    """The agent's database."""

    tasks: dict[str, Task]
    users: dict[str, User]


class Notification(BaseModel):
    """A message in the user's inbox."""

    notification_id: str
    message: str
    status: Literal["unread", "read"] = "unread"
    task_id: str | None = None


class MockUserDB(BaseModel):
    """The user's database."""

    notifications: dict[str, Notification] = {}


class MockTools:
    """The agent's tools."""

    KINDS: ClassVar = {
        "create_task": ToolKind.WRITE,
        "get_users": ToolKind.READ,
        "update_task_status": ToolKind.WRITE,
        "transfer_to_human_agents": ToolKind.GENERIC,
    }
    db: Any

    def create_task(
        self,
        user_id: str,
        title: str,
        description: str = None,  # type: ignore[assignment]  # noqa: RUF013  tau2-bench's schema
    ) -> Task:
        """Create a new task for a user.

        Args:
            user_id: The ID of the user creating the task
            title: The title of the task
            description: Optional description of the task
        """
        if user_id not in self.db.users:
            raise ValueError(f"User {user_id} not found")
        task_id = f"task_{len(self.db.tasks) + 1}"
        task = Task(task_id=task_id, title=title, description=description, status="pending")
        self.db.tasks[task_id] = task
        self.db.users[user_id].tasks.append(task_id)
        return task

    def get_users(self) -> list[User]:
        """Get all users in the database."""
        return list(self.db.users.values())

    def update_task_status(self, task_id: str, status: Status) -> Task:
        """Update the status of a task.

        Args:
            task_id: The ID of the task to update
            status: The new status of the task
        """
        if task_id not in self.db.tasks:
            raise ValueError(f"Task {task_id} not found")
        task: Task = self.db.tasks[task_id]
        task.status = status
        return task

    def assert_number_of_tasks(self, user_id: str, expected_number: int) -> bool:
        """Whether the user has that many tasks."""
        if user_id not in self.db.users:
            raise ValueError(f"User {user_id} not found")
        return len(self.db.users[user_id].tasks) == expected_number

    def assert_task_status(self, task_id: str, expected_status: Status) -> bool:
        """Whether the task has that status."""
        if task_id not in self.db.tasks:
            raise ValueError(f"Task {task_id} not found")
        return bool(self.db.tasks[task_id].status == expected_status)

    def transfer_to_human_agents(self, summary: str) -> str:
        """Transfer the user to a human agent, with a summary of the user's issue.

        Only transfer if
         -  the user explicitly asks for a human agent
         -  given the policy and the available tools, you cannot solve the user's issue.

        Args:
            summary: A summary of the user's issue.
        """
        return "Transfer successful"


class MockUserTools:
    """The user's tools."""

    KINDS: ClassVar = {
        "check_notifications": ToolKind.READ,
        "dismiss_notification": ToolKind.WRITE,
    }
    db: Any

    def check_notifications(self) -> list[Notification]:
        """Check all notifications in the user's inbox."""
        return list(self.db.notifications.values())

    def dismiss_notification(self, notification_id: str) -> str:
        """Dismiss (mark as read) a notification.

        Args:
            notification_id: The ID of the notification to dismiss.
        """
        if notification_id not in self.db.notifications:
            raise ValueError(f"Notification {notification_id} not found")
        self.db.notifications[notification_id].status = "read"
        return f"Notification {notification_id} dismissed"

    def add_notification(
        self, notification_id: str, message: str, task_id: str | None = None
    ) -> Notification:
        """Put a message into the inbox."""
        notification = Notification(
            notification_id=notification_id, message=message, task_id=task_id
        )
        self.db.notifications[notification_id] = notification
        return notification

    def assert_notification_status(self, notification_id: str, expected_status: str) -> bool:
        """Whether the message has that status."""
        if notification_id not in self.db.notifications:
            raise ValueError(f"Notification {notification_id} not found")
        return bool(self.db.notifications[notification_id].status == expected_status)
