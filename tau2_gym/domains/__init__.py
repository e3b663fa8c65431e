"""The worlds: policy, tools, tasks and database of each domain."""

from tau2_gym.domains.registry import (
    DOMAINS,
    DomainSpec,
    TaskSet,
    known_domains,
    register,
    resolve,
    tool,
)

__all__ = ["DOMAINS", "DomainSpec", "TaskSet", "known_domains", "register", "resolve", "tool"]
