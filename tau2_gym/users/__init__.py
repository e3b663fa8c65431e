"""Who answers the agent."""

from __future__ import annotations

from tau2_gym.errors import ConfigError, one_of
from tau2_gym.users.base import (
    OUT_OF_SCOPE,
    STOP,
    STOP_TOKENS,
    TRANSFER,
    AsyncUser,
    User,
    UserView,
)

USERS = ("scripted", "replay:FILE")
"""Users that can be named by a string."""


def make_user(user: str | User) -> User:
    """A user from its name, or as it is.

    `scripted` is the scripted user with its defaults; `replay:FILE` replays recorded trajectories.

    Raises:
        ConfigError: unknown name, or neither a name nor a user.
    """
    if isinstance(user, str):
        if user == "scripted":
            from tau2_gym.users.scripted import ScriptedUser

            return ScriptedUser()
        if user.startswith("replay:"):
            from tau2_gym.users.replay import ReplayUser

            return ReplayUser.from_file(user.removeprefix("replay:"))
        raise one_of("user", user, USERS)
    if not isinstance(user, User):
        raise ConfigError(
            f"user must be a name ({', '.join(USERS)}) or have a method respond(view, seed), "
            f"not {type(user).__name__}"
        )
    return user


__all__ = [
    "OUT_OF_SCOPE",
    "STOP",
    "STOP_TOKENS",
    "TRANSFER",
    "USERS",
    "AsyncUser",
    "User",
    "UserView",
    "make_user",
]
