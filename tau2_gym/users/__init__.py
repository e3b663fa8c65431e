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

USERS = ("scripted", "replay:FILE", "litellm:MODEL", "llm:MODEL@URL")
"""Users that can be named by a string."""


def make_user(user: str | User) -> User:
    """A user from its name, or as it is.

    `scripted` is the scripted user with its defaults; `replay:FILE` replays recorded trajectories;
    `litellm:MODEL` is a model through LiteLLM, and `llm:MODEL@URL` one on an OpenAI-compatible
    server, both at temperature 0 as in tau2-bench. `LLMUser` takes further options.

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
        if user.startswith(("litellm:", "llm:")):
            return _llm_user(user)
        raise one_of("user", user, USERS)
    if not isinstance(user, User):
        raise ConfigError(
            f"user must be a name ({', '.join(USERS)}) or have a method respond(view, seed), "
            f"not {type(user).__name__}"
        )
    return user


def _llm_user(name: str) -> User:
    from tau2_gym.completion import ChatModel
    from tau2_gym.users.llm import LLMUser

    kind, _, model = name.partition(":")
    if kind == "litellm":
        return LLMUser(ChatModel(model, temperature=0.0))
    model, at, address = model.partition("@http")
    if not at:
        raise ConfigError(f"user {name!r} names no server: write llm:MODEL@http://HOST:PORT/v1")
    return LLMUser(ChatModel(model, base_url=f"http{address}", temperature=0.0))


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
