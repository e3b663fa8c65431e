"""Somewhere to run code that a model wrote."""

from __future__ import annotations

from tau2_gym.sandbox.base import Limits, Result, Sandbox
from tau2_gym.sandbox.fusion import FusionSandbox
from tau2_gym.sandbox.local import LocalSandbox

__all__ = ["FusionSandbox", "Limits", "LocalSandbox", "Result", "Sandbox"]
