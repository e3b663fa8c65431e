"""One sandbox for the tests of this folder, and how to see what it has left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tau2_gym.sandbox import LocalSandbox
from tau2_gym.sandbox.base import Limits
from tau2_gym.sandbox.local import available

WHY_NOT = available()
LIMITS = Limits(seconds=20, memory_mb=256, disk_mb=16)


@pytest.fixture(scope="session")
def secret() -> Iterator[str]:
    """A secret in this process's environment, from before the sandbox starts."""
    os.environ["PLANTED_API_KEY"] = "sk-planted-0123456789"
    yield os.environ["PLANTED_API_KEY"]
    del os.environ["PLANTED_API_KEY"]


@pytest.fixture(scope="session")
def sandbox(secret: str) -> Iterator[LocalSandbox]:
    """An isolated one."""
    if WHY_NOT is not None:
        pytest.skip(WHY_NOT)
    with LocalSandbox(LIMITS) as sandbox:
        yield sandbox
