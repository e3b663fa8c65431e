"""Where this machine allows no isolation, these tests run code without it."""

from __future__ import annotations

import os

import pytest

from tau2_gym.sandbox.choice import VARIABLE
from tau2_gym.sandbox.local import available
from tests.code.helpers import Scripted

pytest.importorskip("math_verify", reason="math-verify is not installed: pip install -e '.[code]'")

if VARIABLE not in os.environ and available() is not None:
    os.environ[VARIABLE] = "local-unisolated"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """A scripted sandbox in place of the process's."""
    made = Scripted()
    monkeypatch.setattr("tau2_gym.code.tools.sandbox", lambda: made)
    return made
