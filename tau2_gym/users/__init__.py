"""Who answers the agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tau2_gym.errors import ConfigError
from tau2_gym.plugins import find, make
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
"""Users that can be named by a string, besides those from outside."""

MODELS = ("litellm:", "llm:")
"""How names of users that are models begin."""

GROUP = "tau2_gym.users"
"""The group of entry points by which installed packages name users."""


def make_user(user: str | User, source: str = "inspect-evals", **model: Any) -> User:
    """A user from its name, or as it is.

    Args:
        user: `scripted`, the scripted user with its defaults; `replay:FILE`, which replays recorded
            trajectories; `litellm:MODEL`, a model through LiteLLM; `llm:MODEL@URL`, one on an
            OpenAI-compatible server; `MODULE:CLASS`, or an entry point of the group `tau2_gym.users`;
            or any object with the method `respond`.
        source: where the domains come from, and with them the guidelines of a user that is a model.
        model: options of `ChatModel`, for a user that is a model; others ignore them. By
            default its temperature is 0, as in tau2-bench.

    Raises:
        ConfigError: unknown name, an option that is not allowed, or neither a name nor a user.
    """
    made = named_user(user, source, **model) if isinstance(user, str) else user
    if not isinstance(made, User):
        raise ConfigError(
            f"user must be a name ({', '.join(USERS)}, MODULE:CLASS) or have a method "
            f"respond(view, seed), not {type(made).__name__}"
        )
    return made


def named_user(name: str, source: str = "inspect-evals", **model: Any) -> User | AsyncUser:
    """As `make_user`, but from a name only; the user may also be one that must be awaited."""
    if name == "scripted":
        from tau2_gym.users.scripted import ScriptedUser

        return ScriptedUser()
    if name.startswith("replay:"):
        from tau2_gym.users.replay import ReplayUser

        return ReplayUser.from_file(name.removeprefix("replay:"))
    if is_model(name):
        return _llm_user(name, source, model)
    user: User | AsyncUser = make("user", name, GROUP, USERS, "respond,arespond")
    return user


def check_user(name: str) -> None:
    """Check that a name can be that of a user, without making one: the model need not exist yet.

    Raises:
        ConfigError: the user is unknown.
    """
    if is_model(name):
        _model_and_address(name)
    elif name != "scripted" and not name.startswith("replay:"):
        find("user", name, GROUP, USERS)


def is_model(name: str) -> bool:
    """Whether a user of that name is a model."""
    return name.startswith(MODELS)


def without_address(name: str) -> str:
    """A user's name without the address of its server, on which results do not depend."""
    if not is_model(name):
        return name
    kind = name.partition(":")[0]
    return f"{kind}:{_model_and_address(name)[0]}"


def _model_and_address(name: str) -> tuple[str, str | None]:
    kind, _, model = name.partition(":")
    if kind == "litellm":
        address = None
    else:
        model, at, host = model.partition("@http")
        if not at:
            raise ConfigError(f"user {name!r} names no server: write llm:MODEL@http://HOST:PORT/v1")
        address = f"http{host}"
    if not model:
        raise ConfigError(f"the model's name is empty: write {kind}:MODEL")
    return model, address


def _llm_user(name: str, source: str, options: Mapping[str, Any]) -> User:
    from tau2_gym.completion import ChatModel
    from tau2_gym.users.llm import LLMUser

    model, address = _model_and_address(name)
    chat = ChatModel(model, base_url=address, **{"temperature": 0.0, **options})
    return LLMUser(chat, source=source)


__all__ = [
    "OUT_OF_SCOPE",
    "STOP",
    "STOP_TOKENS",
    "TRANSFER",
    "USERS",
    "AsyncUser",
    "User",
    "UserView",
    "check_user",
    "is_model",
    "make_user",
    "named_user",
    "without_address",
]
