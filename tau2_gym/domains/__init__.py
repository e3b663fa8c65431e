"""The worlds: policy, tools, tasks and database of each domain."""

from tau2_gym.domains.registry import (
    DOMAINS,
    SHIPPED,
    DomainSpec,
    TaskSet,
    TaskSource,
    known_domains,
    register,
    resolve,
    tool,
    with_tasks,
)

__all__ = [
    "DOMAINS",
    "SHIPPED",
    "DomainSpec",
    "TaskSet",
    "TaskSource",
    "known_domains",
    "register",
    "resolve",
    "tool",
    "with_tasks",
]
