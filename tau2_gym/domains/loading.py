"""From a `DomainSpec` and its files to a `Domain`."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from pydantic import BaseModel

from tau2_gym.domains.base import Domain, load_domain
from tau2_gym.domains.checked import TaskCheck, check_all
from tau2_gym.domains.data import DataFolder
from tau2_gym.domains.instruction import AGENT_INSTRUCTION, USER_GUIDELINES
from tau2_gym.domains.overlay import BaseDatabase
from tau2_gym.domains.registry import (
    DomainSpec,
    Spec,
    TaskSet,
    TaskSource,
    origin_of,
    split,
    tasks_of,
)
from tau2_gym.domains.schema import openai_schema
from tau2_gym.domains.tasks import TaskTable
from tau2_gym.domains.toolkit import Toolkit
from tau2_gym.domains.world import Side, Sides
from tau2_gym.errors import DataError
from tau2_gym.types import ToolSpec


@cache
def load(spec: DomainSpec, name: str) -> Domain:
    """The domain, under its name with the tasks it makes, if it makes them. Loaded once per process.

    Raises:
        DataError: a file is missing or malformed, or a class has no tools.
        ConfigError: it cannot make these tasks.
    """
    files = DataFolder.at(spec.name, spec.folder)
    agent, user = _side(files, spec.tools, spec.database, "db"), None
    if spec.user_tools is not None and spec.user_database is not None:
        user = _side(files, spec.user_tools, spec.user_database, "user_db")
    given = _made(spec, name)
    if given is None:
        rows = files.tasks()
        check_all(TaskCheck(str(files.file("tasks")), agent, user), rows)
        tasks = TaskTable(name, rows)
    else:
        tasks = TaskTable(name, given.rows, TaskCheck(f"the tasks of {name}", agent, user))
    return Domain(
        name=name,
        source=spec.tools.__module__ if given is None else given.source,
        revision=files.revision if given is None else _joined(files.revision, given.revision),
        policy=files.text("policy"),
        policy_solo=files.text("policy_solo") if files.has_text("policy_solo") else None,
        sides=Sides(agent, user, spec.sync, guarded=True, answer=spec.answer, given=spec.given),
        tasks=tasks,
        splits=splits_of(spec, name),
        user_guidelines=_text(files, "user_guidelines", USER_GUIDELINES),
        agent_instruction=_text(files, "agent_instruction", AGENT_INSTRUCTION),
        agent_instruction_source="tau2-gym"
        if not files.has_text("agent_instruction")
        else spec.name,
        key=(origin_of(name), "", None),
        max_turns=spec.max_turns,
        slow=spec.slow,
    )


@cache
def _made(spec: DomainSpec, name: str) -> TaskSource | None:
    """The tasks that a domain makes; None if it has a file of them."""
    return None if spec.tasks is None else spec.tasks(tasks_of(name))


def _joined(*revisions: str) -> str:
    return hashlib.sha256("/".join(revisions).encode()).hexdigest()[:12]


def _text(files: DataFolder, stem: str, default: str) -> str:
    return files.text(stem) if files.has_text(stem) else default


def splits_of(spec: Spec, name: str) -> dict[str, list[str]]:
    """The splits of a domain, without loading all of it.

    Raises:
        DataError, ConfigError: as `load`.
    """
    given = _made(spec, name) if isinstance(spec, DomainSpec) else None
    if given is None:
        return splits(DataFolder.at(spec.name, spec.folder))
    named = {split: list(ids) for split, ids in given.splits.items()}
    return {"base": list(given.rows), **named}


@cache
def load_tasks(spec: TaskSet, source: str, data_dir: str | None) -> Domain:
    """The domain that the tasks belong to, with them in place of its own. Loaded once per process.

    Raises:
        DataError: a file is missing or malformed.
    """
    base = load_domain(spec.domain, source, data_dir)
    files = DataFolder.at(spec.name, spec.folder)
    rows = files.tasks()
    where = str(files.file("tasks"))
    check_all(TaskCheck(where, base.sides.agent, base.sides.user, strict=False), rows)
    tasks = TaskTable(spec.name, rows)
    return Domain(
        name=spec.name,
        source=base.source,
        revision=f"{files.revision[:6]}{base.revision[:6]}",
        policy=base.policy,
        policy_solo=base.policy_solo,
        sides=base.sides,
        tasks=tasks,
        splits=splits(files),
        user_guidelines=base.user_guidelines,
        agent_instruction=base.agent_instruction,
        agent_instruction_source=base.agent_instruction_source,
        key=(origin_of(spec.name), source, data_dir),
    )


def splits(files: DataFolder) -> dict[str, list[str]]:
    """The splits of the file of splits, or else drawn. `base` is every task, unless the file says
    otherwise.

    Raises:
        DataError: the file is no mapping of names to lists of ids.
    """
    ids = [str(row["id"]) for row in files.tasks()]
    named = files.splits() or split(ids)
    if not isinstance(named, dict) or not all(isinstance(part, list) for part in named.values()):
        raise DataError(f"split_tasks of {files.domain!r} must map names of splits to lists of ids")
    return {"base": ids, **named}


def _side(files: DataFolder, tools: type[Any], model: type[BaseModel], stem: str) -> Side:
    marked = {
        name: function
        for base in reversed(tools.__mro__)
        for name, function in vars(base).items()
        if hasattr(function, "tool_kind")
    }
    if not marked:
        raise DataError(f"{tools.__name__} of {files.domain!r} has no method marked by @tool")
    try:
        database = model.model_validate(files.data(stem, revision=True))
    except ValueError as error:
        raise DataError(f"{stem} of {files.domain!r} is malformed: {error}") from error
    _check_rows(database, f"{model.__name__} of {files.domain!r}")
    specs = {
        name: ToolSpec(name, function.tool_kind, openai_schema(name, function))
        for name, function in marked.items()
    }
    return Side(_toolkit(tools), specs, BaseDatabase(database))


def _check_rows(database: BaseModel, where: str) -> None:
    """See that all that a tool can change is a row, which an episode can have a copy of."""
    for name in type(database).model_fields:
        content = getattr(database, name)
        rows = content
        if isinstance(content, dict):
            rows = list(content.values())
        elif isinstance(content, BaseModel):
            rows = [content]
        if not isinstance(rows, list) or not all(isinstance(row, BaseModel) for row in rows):
            raise DataError(
                f"{where}: the field {name!r} must be a model, or a dict or a list of models"
            )


def _toolkit(tools: type[Any]) -> type[Toolkit]:
    """The class with the database of an episode in `self.db`, and no room for other state: forks
    of an episode would not have it."""

    def refuse(self: Any, name: str, value: Any) -> None:
        if name not in Toolkit.__slots__:
            raise AttributeError(f"tools keep no state: {name!r} belongs into self.db")
        object.__setattr__(self, name, value)

    members = {"__setattr__": refuse, "__qualname__": tools.__qualname__}
    return type(tools.__name__, (Toolkit, tools), members)
