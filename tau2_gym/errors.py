"""Errors meant for people: one sentence that names what is wrong and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable


class Tau2GymError(ValueError):
    """Base of every error this package raises on bad input."""


class ConfigError(Tau2GymError):
    """An argument or option has an unknown name or a value that is not allowed."""


class DataError(Tau2GymError):
    """A task file, database or recording is malformed."""


class UserFault(RuntimeError):
    """The simulated user could not produce a usable message. Never held against the agent."""


class InfrastructureError(RuntimeError):
    """A server or network failed, after all retries. Never held against the agent or the user."""


def one_of(what: str, value: object, allowed: Iterable[str]) -> ConfigError:
    """The error for a value outside a closed set, naming the set."""
    return ConfigError(f"unknown {what} {value!r}; allowed: {', '.join(sorted(allowed))}")


def first_line(error: Exception) -> str:
    """What a library says of an error, without what follows in further lines."""
    return str(error).strip().partition("\n")[0]
