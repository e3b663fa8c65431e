"""The names of domains, and what one from outside this repository is made of.

`docs/domains.md` describes the files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from tau2_gym.errors import ConfigError, one_of
from tau2_gym.ids import add_id
from tau2_gym.plugins import find
from tau2_gym.types import ToolKind, Weights

if TYPE_CHECKING:
    from pydantic import BaseModel

F = TypeVar("F", bound=Callable[..., Any])

DOMAINS = ("airline", "retail", "telecom", "mock")
"""Names of tau2-bench's domains."""

GROUP = "tau2_gym.domains"
"""The group of entry points by which installed packages name domains."""

NAME = re.compile(r"[a-z][a-z0-9_]*")

TEST_SHARE = 1 / 5
"""Of the tasks, where a domain has no file of splits."""


def tool(kind: str) -> Callable[[F], F]:
    """Make a method of a tool class a tool, with its signature and docstring as its schema.

    Args:
        kind: `read`, `write`, `think` or `generic`. Only `write` may change the database.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in [known.value for known in ToolKind]:
        raise one_of("kind of tool", kind, [known.value for known in ToolKind])

    def mark(function: F) -> F:
        function.tool_kind = ToolKind(kind)  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class DomainSpec:
    """What a domain from outside is made of.

    Attributes:
        name: its own name, of small letters, digits and underscores.
        folder: its files.
        tools: the class of the agent's tools: methods marked by `tool`, which find the database in
            `self.db` and keep no state of their own. Methods without a mark are for tasks: they
            initialise worlds and assert on them.
        database: the model of `db`, whose fields are records (models), and tables (dict) and lists
            of them.
        user_tools, user_database: the same of the user, with `user_db`; both or neither.
        sync: called with both sides' tools (`tools`, `user_tools`) after a change, to carry over what
            one side's world means for the other's. It must change nothing when called twice.
        alpha, weights: of the partial score in rewards, where an environment does not say.

    Raises:
        ConfigError: a value is not allowed.
    """

    name: str
    folder: Path
    tools: type[Any]
    database: type[BaseModel]
    user_tools: type[Any] | None = None
    user_database: type[BaseModel] | None = None
    sync: Callable[[SimpleNamespace], None] | None = None
    alpha: float = 0.25
    weights: Weights = field(default_factory=Weights)

    def __post_init__(self) -> None:
        _check_name(self.name)
        if (self.user_tools is None) != (self.user_database is None):
            raise ConfigError(
                f"domain {self.name!r}: the user has tools and a database, or neither"
            )
        if self.alpha < 0:
            raise ConfigError(f"domain {self.name!r}: alpha must not be negative: {self.alpha}")


@dataclass(frozen=True)
class TaskSet:
    """Tasks of your own in one of tau2-bench's domains, under a name of their own.

    Attributes:
        name: of small letters, digits and underscores.
        folder: `tasks.json`, and `split_tasks.json` if there are splits.
        domain: all else is this domain's.

    Raises:
        ConfigError: a value is not allowed.
    """

    name: str
    folder: Path
    domain: str

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.domain not in DOMAINS:
            raise one_of(f"domain of the tasks {self.name!r}", self.domain, DOMAINS)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or name in DOMAINS:
        raise ConfigError(
            f"a domain's name has small letters, digits and underscores, and is none of "
            f"{', '.join(DOMAINS)}; not {name!r}"
        )


Spec = DomainSpec | TaskSet
"""What is found under the name of a domain from outside."""

_specs: dict[str, Spec] = {}
_origins: dict[str, str] = {}
"""Where the domains are found that were named by MODULE:NAME."""


def register(spec: Spec) -> None:
    """Make a domain known under its name in this process: to `get_domain`, to commands, and to
    Gymnasium as `tau2/NAME-v0`.

    Raises:
        ConfigError: another domain has that name.
    """
    known = _specs.setdefault(spec.name, spec)
    # A module that is imported again, as `__main__` say, has other classes of the same names.
    if (type(known).__name__, known.folder) != (type(spec).__name__, spec.folder):
        raise ConfigError(
            f"domain {spec.name!r} is registered already, with the files in {known.folder}"
        )
    add_id(f"tau2/{spec.name}-v0", domain=spec.name)


def resolve(name: str) -> str:
    """The plain name of a domain, which is known from then on.

    Args:
        name: that name; `MODULE:NAME`, where a `DomainSpec` or a `TaskSet` is; or an entry point of the group
            `tau2_gym.domains`.

    Raises:
        ConfigError: there is no such domain.
    """
    if name in DOMAINS or name in _specs:
        return name
    spec = find("domain", name, GROUP, known_domains())
    if not isinstance(spec, Spec):
        raise ConfigError(
            f"domain {name!r} is of type {type(spec).__name__}, and no DomainSpec or TaskSet"
        )
    register(spec)
    if ":" in name:
        _origins[spec.name] = name
    return spec.name


def known_domains() -> tuple[str, ...]:
    """The names of tau2-bench's domains and of those that have been registered or resolved."""
    return (*DOMAINS, *_specs)


def spec_of(name: str) -> Spec | None:
    """What a domain from outside is made of; None for a domain that is not, or not known."""
    return _specs.get(name)


def origins() -> tuple[str, ...]:
    """What another process must `resolve` to know the domains that were found by MODULE:NAME here."""
    return tuple(_origins.values())


def origin_of(name: str) -> str:
    """What another process finds a domain by."""
    return _origins.get(name, name)


def split(ids: list[str]) -> dict[str, list[str]]:
    """The splits of a domain without a file of them: a fifth of the tasks are `test`, one at least,
    the others `train`. Which ones depends on their ids alone, by the order of their SHA-256."""
    drawn = sorted(ids, key=lambda task: hashlib.sha256(json.dumps(task).encode()).digest())
    test = set(drawn[: max(1, round(TEST_SHARE * len(ids)))])
    return {
        "train": [task for task in ids if task not in test],
        "test": [task for task in ids if task in test],
    }
