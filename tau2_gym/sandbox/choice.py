"""Which sandbox this process runs models' code in."""

from __future__ import annotations

import os
from functools import cache

from tau2_gym.completion.redaction import redact
from tau2_gym.completion.servers import announced
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.base import Sandbox
from tau2_gym.sandbox.local import LocalSandbox

VARIABLE = "TAU2_GYM_SANDBOX"
"""The environment variable that names it."""

CHOICES = ("local", "local-unisolated", "fusion:URL")

AT_ONCE = max(16, 2 * (os.cpu_count() or 1))
"""Calls of the local sandbox that run at the same time. Most are short or spend their time waiting; those
that compute share the processors."""


def sandbox() -> Sandbox:
    """The process's sandbox: on this machine, unless `TAU2_GYM_SANDBOX` says otherwise.

    Raises:
        ConfigError: the variable names none.
    """
    return _made(os.environ.get(VARIABLE) or "local")


def check_sandbox() -> None:
    """Check that the process's sandbox runs code. If it is a server that does not answer, say so and wait.

    Raises:
        ConfigError: it does not, or there is none.
    """
    _checked(os.environ.get(VARIABLE) or "local")


@cache
def _made(name: str) -> Sandbox:
    kind, _, url = name.partition(":")
    if kind == "fusion" and url:
        from tau2_gym.sandbox.fusion import FusionSandbox

        return FusionSandbox(url)
    if name not in CHOICES[:2]:
        raise ConfigError(f"{VARIABLE} must be one of {', '.join(CHOICES)}, not {name!r}")
    return LocalSandbox(at_once=AT_ONCE, isolate=name == "local")


@cache
def _checked(name: str) -> None:
    shown = redact(name)
    try:
        with announced():
            result = _made(name).run("print(6 * 7)")
    except InfrastructureError as error:
        raise ConfigError(f"the sandbox {shown!r} does not work: {error}") from error
    if not result.ok or result.stdout.strip() != "42":
        said = (result.stderr or result.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise ConfigError(f"the sandbox {shown!r} does not run Python; it says {said[0]!r}")
