"""tau2-bench's files of results: finding them, and reading simulation by simulation what grading takes.

A file is one JSON object with `info`, `tasks` and `simulations`. In the layout of folders, which
tau2-bench 1.0 has besides, each simulation is a file of its own in `simulations/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from tau2_gym.errors import DataError
from tau2_gym.results.exchange.stream import members
from tau2_gym.types import Message, Requestor, ToolCall

Model = TypeVar("Model", bound=BaseModel)

SIMULATIONS = "simulations"
SUFFIXES = (".json", ".json.gz")
LISTS = ("tasks", SIMULATIONS)

SAME_TOOLS = {"telecom-workflow": "telecom"}
"""Domains of tau2-bench that are another one with another policy, which grading does not look at."""


class Call(BaseModel):
    """A tool call."""

    id: str | None = None
    name: str
    arguments: dict[str, Any] | None = None
    requestor: Requestor | None = None


class Said(BaseModel):
    """A message, or several results at once."""

    role: Literal["system", "assistant", "user", "tool"]
    content: str | None = None
    tool_calls: list[Call] | None = None
    id: str | None = None
    requestor: Requestor | None = None
    error: bool | None = None
    tool_messages: list[Said] | None = None


class DBCheck(BaseModel):
    """What was found of the databases."""

    db_match: bool


class ActionCheck(BaseModel):
    """What was found of an expected action."""

    action: dict[str, Any] | None = None
    action_match: bool


class AssertionCheck(BaseModel):
    """What was found of an assertion."""

    env_assertion: dict[str, Any] | None = None
    met: bool


class CommunicateCheck(BaseModel):
    """What was found of a text that the agent must say."""

    info: str | None = None
    met: bool


class JudgedCheck(BaseModel):
    """What a judge said."""

    nl_assertion: str | None = None
    met: bool


class RewardInfo(BaseModel):
    """The recorded grade."""

    reward: float
    db_check: DBCheck | None = None
    env_assertions: list[AssertionCheck] | None = None
    action_checks: list[ActionCheck] | None = None
    communicate_checks: list[CommunicateCheck] | None = None
    nl_assertions: list[JudgedCheck] | None = None
    reward_basis: list[str] | None = None


class Simulation(BaseModel):
    """A recorded conversation and its grade."""

    id: str | int | None = None
    task_id: str | int
    trial: int | None = None
    termination_reason: str
    reward_info: RewardInfo | None = None
    said: list[Said] | None = Field(default=None, alias="messages")
    ticks: list[Any] | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        trial = "" if self.trial is None else f", trial {self.trial}"
        return f"task {self.task_id}{trial}"

    def conversation(self) -> list[Message]:
        """The messages, as they were said.

        Raises:
            DataError: calls and results do not belong together, so tau2-bench cannot replay them either.
        """
        flat = chain.from_iterable(
            [message] if message.tool_messages is None else message.tool_messages
            for message in self.said or ()
        )
        messages = [_message(message) for message in flat if message.role != "system"]
        _check_results(messages)
        return messages


def _message(said: Said) -> Message:
    if said.role == "tool":
        return Message(
            "tool",
            said.content,
            call_id=said.id or "",
            requestor=said.requestor or "assistant",
            error=bool(said.error),
        )
    assert said.role != "system"
    calls = (
        ToolCall(call.name, call.arguments or {}, call.id or "", call.requestor or said.role)
        for call in said.tool_calls or ()
    )
    return Message(said.role, said.content, tuple(calls))


def _check_results(messages: Sequence[Message]) -> None:
    open_calls: list[ToolCall] = []
    for number, message in enumerate(messages):
        if message.role == "tool":
            if not open_calls:
                raise DataError(f"message {number} is the result of no call")
            if open_calls.pop(0).id != message.call_id:
                raise DataError(
                    f"message {number} is the result of another call than the one before it"
                )
        elif open_calls:
            raise DataError(
                f"the call of {open_calls[0].name} before message {number} has no result"
            )
        else:
            open_calls = list(message.tool_calls)
    if open_calls:
        raise DataError(f"the call of {open_calls[0].name} at its end has no result")


class Party(BaseModel):
    """Who played a side."""

    implementation: str | None = None


class Environment(BaseModel):
    """Where it was played."""

    domain_name: str


class Info(BaseModel):
    """How it was played."""

    environment_info: Environment
    agent_info: Party = Field(default_factory=Party)
    user_info: Party = Field(default_factory=Party)


class Indexed(BaseModel):
    """An entry of the index that the layout of folders has."""

    id: str


@dataclass(frozen=True)
class ResultsFile:
    """A file of results, without its simulations.

    Attributes:
        path: the JSON file.
        folder: where the simulations are, if not in the file.
        domain: as the file names it.
        solo: whether the agent had the user's tools, and no user.
        tasks: the tasks in the file, as they are there.
        index: the ids of the simulations that a folder should have; None where nothing says.
    """

    path: Path
    folder: Path | None
    domain: str
    solo: bool
    tasks: Sequence[Mapping[str, Any]] = field(repr=False)
    index: frozenset[str] | None = field(repr=False)

    def simulations(self) -> Iterator[Simulation]:
        """The simulations, one by one.

        Raises:
            DataError: one has not the form of a simulation, or a file is missing or cannot be read.
        """
        if self.folder is None:
            rows = (row for name, row in members(self.path, LISTS) if name == SIMULATIONS)
            next(rows, None)  # that there is such a list
            for number, row in enumerate(rows):
                yield checked(Simulation, row, f"{self.path}, simulation {number}")
            return
        files = {file.stem: file for file in sorted(self.folder.glob("*.json"))}
        if self.index is not None and self.index != files.keys():
            missing, extra = sorted(self.index - files.keys()), sorted(files.keys() - self.index)
            what = f"{missing[0]}.json is missing" if missing else f"{extra[0]}.json is not in it"
            raise DataError(f"{self.folder} is not what the index in {self.path} says: {what}")
        for file in files.values():
            yield checked(Simulation, dict(members(file, ())), str(file))


def checked(model: type[Model], row: Any, where: str) -> Model:
    """A row as a model.

    Raises:
        DataError: it has another form.
    """
    try:
        return model.model_validate(row)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = "".join(f"{part}: " for part in (".".join(map(str, wrong["loc"])),) if part)
        raise DataError(
            f"{where} does not have the form of tau2-bench's results: {place}{wrong['msg']}"
        ) from None
    except RecursionError:
        raise DataError(f"{where} is nested too deeply to be read") from None


def open_results(path: Path) -> ResultsFile | None:
    """The file at a path, with all but its simulations; None if it is a JSON object, but not of results.

    Raises:
        DataError: it cannot be read, or has another form.
    """
    found: dict[str, Any] = {}
    tasks: list[Any] = []
    inside = False
    for name, value in members(path, LISTS):
        if name in LISTS and name not in found:
            if not isinstance(value, list):
                raise DataError(f"{path}: `{name}` is not a list")
            found[name] = value
        elif name == "tasks":
            tasks.append(value)
        elif name == SIMULATIONS:
            inside = True
            if {"info", "tasks"} <= found.keys():  # as a rule, all else has come before
                break
        else:
            found[name] = value
    if not found.keys() & {SIMULATIONS, "tasks"}:
        return None
    beside = path.parent / SIMULATIONS
    folder = beside if beside.is_dir() and not inside else None
    if folder is None and SIMULATIONS not in found:
        raise DataError(f"{path} has no simulations")
    info = checked(Info, found.get("info") or {}, f"{path}, info")
    index = found.get("simulation_index")
    for number, task in enumerate(tasks):
        if not isinstance(task, dict) or not isinstance(task.get("id"), str | int):
            raise DataError(f"{path}, task {number} has no id")
    return ResultsFile(
        path,
        folder,
        info.environment_info.domain_name,
        info.agent_info.implementation == "llm_agent_solo"
        and info.user_info.implementation == "dummy_user",
        tasks,
        None
        if index is None or folder is None
        else frozenset(checked(Indexed, row, f"{path}, simulation_index").id for row in index),
    )


def find_results(path: Path) -> tuple[list[ResultsFile], list[Path]]:
    """The results at a path: of a file, or of all files in a folder. Second, files in the folder that
    are JSON but hold no results.

    Raises:
        DataError: there is nothing there, or a file that cannot be read or has another form.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if not path.is_dir():
        opened = open_results(path)
        if opened is None:
            raise DataError(f"{path} holds no results: it has neither `tasks` nor `simulations`")
        return [opened], []
    results, others = [], []
    for file in sorted(path.rglob("*.json*")):
        if not file.name.endswith(SUFFIXES) or _one_simulation(file) or not file.is_file():
            continue
        opened = open_results(file)
        if opened is None:
            others.append(file)
        else:
            results.append(opened)
    if not results:
        raise DataError(f"{path} holds no results of tau2-bench")
    return results, others


def _one_simulation(file: Path) -> bool:
    folder = file.parent
    return folder.name == SIMULATIONS and (folder.parent / "results.json").exists()
