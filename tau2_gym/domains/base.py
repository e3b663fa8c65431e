"""What a domain is, and the registry of places domains come from."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from tau2_gym.domains import resolve
from tau2_gym.domains.registry import DomainSpec, spec_of
from tau2_gym.domains.world import Difference, Sides, World
from tau2_gym.errors import ConfigError, DataError, one_of
from tau2_gym.frozen import frozen
from tau2_gym.types import Task, ToolKind, ToolSpec

SOURCES = {
    "inspect-evals": "tau2_gym.domains.inspect_evals",
    "tau2": "tau2_gym.domains.tau2_bench",
}
"""Modules with functions `load(domain, data_dir) -> Domain` and `folder(domain, data_dir) ->
DataFolder`, which finds its files without loading it."""

OUTSIDE = "tau2_gym.domains.loading"
"""The module that loads domains from outside. It is found by name, as the sources are, since all of
them build on this one."""


class Domain:
    """A domain: policy, tools, tasks and the read-only database that its worlds share.

    Attributes:
        name: airline, retail, telecom or mock, or that of a domain from outside.
        source: where it came from, with the version.
        revision: hash of the task file and the databases; results on different revisions are not
            comparable.
        policy, policy_solo: the agent's policy; the second for solo mode, None where there is none.
        agent_tools, user_tools: the tools of both sides, by name.
        tasks: all tasks by id.
        splits: task ids of each split, in file order. `full` is always there.
        agent_instruction: tau2-bench's instruction to agents, or ours in its place.
        agent_instruction_source: which of the two it is.
        user_guidelines: tau2-bench's guidelines for user models.
        max_turns: the most actions of the agent, where no rule says; None if nothing limits them.
        slow: its tools, or the grading of answers, may take long.
    """

    def __init__(
        self,
        *,
        name: str,
        source: str,
        revision: str,
        policy: str,
        policy_solo: str | None,
        sides: Sides,
        tasks: Mapping[str, Task],
        splits: Mapping[str, list[str]],
        user_guidelines: str,
        agent_instruction: str,
        agent_instruction_source: str,
        key: tuple[str, str, str | None],
        max_turns: int | None = None,
        slow: bool = False,
    ) -> None:
        self.name = name
        self.source = source
        self.revision = revision
        self.policy = policy
        self.policy_solo = policy_solo
        self.sides = sides
        self.tasks = tasks
        self.agent_tools = _shared(sides.agent.tools)
        self.user_tools = {} if sides.user is None else _shared(sides.user.tools)
        self.splits = {name: _ordered(tasks, name, ids) for name, ids in splits.items()}
        self.splits["full"] = tuple(tasks)
        self.user_guidelines = user_guidelines
        self.agent_instruction = agent_instruction
        self.agent_instruction_source = agent_instruction_source
        self.max_turns = max_turns
        self.slow = slow
        self._key = key
        for side, half in (("agent", sides.agent), ("user", sides.user)):
            if half is not None and half.database.home is None:
                half.database.home = (self, side)
        self._starts: dict[str, World] = {}
        self._expected: dict[str, Difference] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # A domain is shared by all that use it in a process, and found again in another one. So are
        # its databases and the classes of its tools: see `BaseDatabase` and `Sides`.
        return (_found_again, (*self._key, self.revision))

    @property
    def answered(self) -> bool:
        """Whether an answer of the agent's ends an episode; there is no user then."""
        return self.sides.answer is not None

    def task_ids(self, split: str) -> tuple[str, ...]:
        """The ids of the tasks of a split, in file order.

        Raises:
            ConfigError: the domain has no such split, or it is empty.
        """
        if split not in self.splits:
            raise one_of(f"split of {self.name}", split, self.splits)
        if not self.splits[split]:
            filled = ", ".join(name for name, ids in self.splits.items() if ids)
            raise ConfigError(f"split {split!r} of {self.name} has no tasks; these have: {filled}")
        return self.splits[split]

    def task(self, task_id: str) -> Task:
        """The task of that id.

        Raises:
            ConfigError: the domain has no such task.
        """
        if not isinstance(task_id, str) or task_id not in self.tasks:
            raise ConfigError(
                f"unknown task {task_id!r} of {self.name}; it has {len(self.tasks)} tasks, "
                f"the first is {next(iter(self.tasks))!r}"
            )
        return self.tasks[task_id]

    def chosen(self, split: str, task_ids: Sequence[str] | None) -> tuple[str, ...]:
        """The ids of the tasks of a split, or those named instead.

        Raises:
            ConfigError: the domain has no such split or task, or none is named.
        """
        if task_ids is None:
            return self.task_ids(split)
        if isinstance(task_ids, str) or not task_ids:
            raise ConfigError(f"task_ids must be a list with at least one id, not {task_ids!r}")
        return tuple(self.task(task_id).id for task_id in task_ids)

    def start(self, task: Task) -> World:
        """A fresh world in the task's initial state. Computed once per task, then forked.

        Raises:
            DataError: the task's initialisation does not fit the data.
        """
        world = self._starts.get(task.id)
        if world is None:
            world = self._starts[task.id] = self._initialise(task, World(self.sides))
        return world.fork()

    def expected(self, task: Task) -> Difference:
        """The end state the task expects: its initial state after the expected actions. Errors of
        these actions are ignored, and the two sides are not synchronised after them (tau2-bench
        1.0.1, `evaluator/evaluator_env.py`). Computed once per task."""
        difference = self._expected.get(task.id)
        if difference is None:
            world = self._initialise(task, World(self.sides, salt="expected"))
            for action in (task.criteria and task.criteria.actions) or ():
                world.use(action.name, action.arguments, action.requestor)
            difference = self._expected[task.id] = world.difference()
        return difference

    def with_tasks(self, tasks: Mapping[str, Task]) -> Domain:
        """The same domain with other tasks in place of its own, for this process alone; it has no splits
        but `full`."""
        twin = object.__new__(Domain)
        twin.__dict__.update(self.__dict__)
        twin.tasks, twin.splits = tasks, {"full": tuple(tasks)}
        twin._starts, twin._expected = {}, {}
        return twin

    def forget(self) -> None:
        """Drop the initial and expected states computed so far, to free memory or to time them."""
        self._starts.clear()
        self._expected.clear()

    def _initialise(self, task: Task, world: World) -> World:
        """Bring a fresh world into the task's initial state (tau2-bench 1.0.1,
        `environment/environment.py`, `Environment.set_state`)."""
        start = task.start
        if start.agent_data is not None:
            world.merge("assistant", start.agent_data)
        if start.user_data is not None:
            world.merge("user", start.user_data)
        world.initialise(start.functions)
        for message in start.messages:
            for call in message.tool_calls:
                spec = world.tool(call.name, call.requestor)
                if spec is not None and spec.kind is ToolKind.WRITE:
                    content, error = world.call(call.name, call.arguments, call.requestor)
                    if error:
                        raise DataError(f"message history of task {task.id!r}: {content}")
        return world


def _shared(tools: Mapping[str, ToolSpec]) -> dict[str, ToolSpec]:
    """The tools with frozen schemas: all episodes of the process share these objects."""
    return {name: replace(tool, schema=frozen(tool.schema)) for name, tool in tools.items()}


def _ordered(tasks: Mapping[str, Task], split: str, ids: list[str]) -> tuple[str, ...]:
    wanted = set(ids)
    missing = wanted - set(tasks)
    if missing:
        raise DataError(f"split {split!r} names unknown tasks: {', '.join(sorted(missing)[:3])} …")
    return tuple(task_id for task_id in tasks if task_id in wanted)


def get_domain(
    name: str, source: str = "inspect-evals", data_dir: str | os.PathLike[str] | None = None
) -> Domain:
    """The domain of that name. Loaded once per process; worlds share it.

    Args:
        name: airline, retail, telecom or mock; or a domain from outside (see `domains.resolve`),
            which has files of its own, whatever the source and the folder.
        source: `inspect-evals` (published on PyPI) or `tau2` (tau2-bench's own package).
        data_dir: where to find another revision of tasks and databases; by default the environment
            variable `TAU2_DATA_DIR`, else the data that came with the source.

    Raises:
        ConfigError: unknown name or source, or the source is not installed.
        DataError: the data are malformed.
    """
    return _loaded(*_key(name, source, data_dir))


def check_split(
    name: str,
    split: str,
    source: str = "inspect-evals",
    data_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Check that a domain has a split, without loading the domain, which takes seconds.

    Raises:
        ConfigError, DataError: it has none of that name; or as `get_domain`.
    """
    name, source, root = _key(name, source, data_dir)
    spec = spec_of(name)
    if spec is None:
        known = importlib.import_module(SOURCES[source]).folder(name, root).splits()
    else:
        known = importlib.import_module(OUTSIDE).splits_of(spec, name)
    splits = {*known, "full"}
    if split not in splits:
        raise one_of(f"split of {name}", split, splits)


def check_ready(name: str) -> None:
    """Check that this machine has what a domain's tools need.

    Raises:
        ConfigError: it has not; or as `resolve`.
    """
    spec = spec_of(resolve(name))
    if isinstance(spec, DomainSpec) and spec.ready is not None:
        spec.ready()


def _key(
    name: str, source: str, data_dir: str | os.PathLike[str] | None
) -> tuple[str, str, str | None]:
    name = resolve(name)
    if source not in SOURCES:
        raise one_of("source", source, SOURCES)
    if isinstance(spec_of(name), DomainSpec):
        return name, "", None
    root = data_dir or os.environ.get("TAU2_DATA_DIR")
    return name, source, None if root is None else os.path.abspath(root)


def _found_again(name: str, source: str, data_dir: str | None, revision: str) -> Domain:
    """The domain of something that was pickled.

    Raises:
        ConfigError: here it is of another revision, in which what was pickled means nothing.
    """
    domain = _loaded(resolve(name), source, data_dir)
    if domain.revision != revision:
        raise ConfigError(
            f"this was pickled on revision {revision} of {name}, and {domain.revision} is here"
        )
    return domain


def _loaded(name: str, source: str, data_dir: str | None) -> Domain:
    spec = spec_of(name)
    if spec is None:
        return load_domain(name, source, data_dir)
    loading = importlib.import_module(OUTSIDE)
    domain: Domain = (
        loading.load(spec, name)
        if isinstance(spec, DomainSpec)
        else loading.load_tasks(spec, source, data_dir)
    )
    return domain


@cache
def load_domain(name: str, source: str, data_dir: str | None) -> Domain:
    """`get_domain` with its arguments already checked; one object for each combination."""
    domain: Domain = importlib.import_module(SOURCES[source]).load(name, data_dir)
    return domain
