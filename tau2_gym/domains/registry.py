"""The names of domains, and what one from outside this repository is made of.

`docs/domains.md` describes the files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
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

SHIPPED = {"code": "tau2_gym.code:CODE", "code_session": "tau2_gym.code:CODE_SESSION"}
"""Domains of this package that are none of tau2-bench's, and where each is found."""

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
class TaskSource:
    """Tasks that are made, not read from `tasks.json`.

    Attributes:
        rows: the tasks by id, in order, as `tasks.json` has them. A row may be made when it is asked for.
        splits: ids of tasks by split.
        revision: changes whenever a task or its grading does.
        source: where they come from, for results.
    """

    rows: Mapping[str, Mapping[str, Any]]
    splits: Mapping[str, Sequence[str]]
    revision: str
    source: str


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
        answer: ends episodes by what the agent says, in a domain without a user: called with the agent's
            tools and a text of the agent's. None if it is an answer, of which it has kept in `self.db`
            what the grade depends on; else what the agent is told. An episode then begins with the
            task's ticket.
        given: what the agent has answered, from its tools, so that equal answers of several attempts are
            equal texts (maj@k); empty if it has not answered, None if answers cannot be compared.
        max_turns: the most actions of the agent in an episode, where an environment does not say.
        tasks: makes the tasks, from what follows the domain's name in `NAME:TASKS`, empty if nothing
            does. Without it, they are in `tasks.json`.
        ready: checks, before a run starts, that this machine has what the tools need, and raises a
            `ConfigError` if it has not.
        slow: tools and `answer` may take long: drivers of many episodes call them on other threads.

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
    answer: Callable[[Any, str], str | None] | None = None
    given: Callable[[Any], str | None] | None = None
    max_turns: int | None = None
    tasks: Callable[[str], TaskSource] | None = None
    ready: Callable[[], None] | None = None
    slow: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        if (self.user_tools is None) != (self.user_database is None):
            raise ConfigError(
                f"domain {self.name!r}: the user has tools and a database, or neither"
            )
        if self.alpha < 0:
            raise ConfigError(f"domain {self.name!r}: alpha must not be negative: {self.alpha}")
        if self.answer is not None and self.user_tools is not None:
            raise ConfigError(
                f"domain {self.name!r}: where the agent's answer ends the episode there is no user, who "
                "could have tools"
            )
        if self.max_turns is not None and self.max_turns < 1:
            raise ConfigError(
                f"domain {self.name!r}: max_turns must be at least 1, not {self.max_turns}"
            )


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
    known = _specs.get(spec.name, spec)
    if spec.name in SHIPPED:
        known = find("domain", SHIPPED[spec.name], GROUP, known_domains())
    # A module that is imported again, as `__main__` say, has other classes of the same names.
    if (type(known).__name__, known.folder) != (type(spec).__name__, spec.folder):
        raise ConfigError(
            f"domain {spec.name!r} is registered already, with the files in {known.folder}"
        )
    _specs[spec.name] = known
    add_id(f"tau2/{spec.name}-v0", domain=spec.name)


def resolve(name: str) -> str:
    """The plain name of a domain, which is known from then on.

    Args:
        name: that name; `MODULE:NAME`, where a `DomainSpec` or a `TaskSet` is; or an entry point of the group
            `tau2_gym.domains`. `:TASKS` may follow where a domain makes its tasks, and then belongs to
            its name.

    Raises:
        ConfigError: there is no such domain, or it does not make its tasks.
    """
    if name in DOMAINS or name in _specs:
        return name
    if name.endswith(":"):
        raise ConfigError(
            f"nothing follows the colon of {name!r}: leave it out, or name what is meant"
        )
    place, tasks = _parted(name)
    spec = _specs.get(place)
    if spec is None:
        spec = find("domain", SHIPPED.get(place, place), GROUP, known_domains())
    if not isinstance(spec, Spec):
        raise ConfigError(
            f"domain {name!r} is of type {type(spec).__name__}, and no DomainSpec or TaskSet"
        )
    register(spec)
    if ":" in place:
        _origins[spec.name] = place
    return with_tasks(spec.name, tasks) if tasks else spec.name


def with_tasks(name: str, tasks: str) -> str:
    """The name of a domain with other tasks than its default.

    Args:
        name: as `resolve` takes it.
        tasks: what the domain makes them from; its default if empty.

    Raises:
        ConfigError: there is no such domain, it does not make its tasks, or they are named twice.
    """
    plain = resolve(name)
    spec = spec_of(plain)
    if not isinstance(spec, DomainSpec) or spec.tasks is None:
        raise ConfigError(f"domain {plain!r} has tasks of its own, and takes no others: {tasks!r}")
    if ":" in plain:
        raise ConfigError(f"the tasks of {plain!r} are named twice: {tasks!r}")
    if not tasks:
        return plain
    return f"{plain}:{tasks}"


def _parted(name: str) -> tuple[str, str]:
    """Where a domain is found, and which tasks it is to make."""
    first, _, rest = name.partition(":")
    known = _specs.get(first)
    if first in SHIPPED or (isinstance(known, DomainSpec) and known.tasks is not None):
        return first, rest
    module, *rests = name.split(":", 2)
    return ":".join([module, *rests[:1]]), "".join(rests[1:])


def known_domains() -> tuple[str, ...]:
    """The names of this package's domains and of those that have been registered or resolved."""
    return tuple(dict.fromkeys((*DOMAINS, *SHIPPED, *_specs)))


def is_known(name: str) -> bool:
    """Whether a domain of that name is known here, with whatever tasks."""
    return name in known_domains() or (":" in name and _parted(name)[0] in known_domains())


def spec_of(name: str) -> Spec | None:
    """What a domain from outside is made of; None for a domain that is not, or not known."""
    return _specs.get(without_tasks(name))


def without_tasks(name: str) -> str:
    """The plain name of a domain without the tasks that it is to make."""
    return name.partition(":")[0]


def tasks_of(name: str) -> str:
    """Which tasks a domain that makes them is to make; empty for its default."""
    return name.partition(":")[2]


def origins() -> tuple[str, ...]:
    """What another process must `resolve` to know the domains that were found by MODULE:NAME here."""
    return tuple(_origins.values())


def origin_of(name: str) -> str:
    """What another process finds a domain by."""
    plain, colon, tasks = name.partition(":")
    return f"{_origins.get(plain, plain)}{colon}{tasks}"


def split(ids: list[str]) -> dict[str, list[str]]:
    """The splits of a domain without a file of them: a fifth of the tasks are `test`, one at least,
    the others `train`. Which ones depends on their ids alone, by the order of their SHA-256."""
    drawn = sorted(ids, key=lambda task: hashlib.sha256(json.dumps(task).encode()).digest())
    test = set(drawn[: max(1, round(TEST_SHARE * len(ids)))])
    return {
        "train": [task for task in ids if task not in test],
        "test": [task for task in ids if task in test],
    }
