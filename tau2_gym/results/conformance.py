"""Replay recordings of tau2-bench through our episode and grader: `tau2-gym conformance`.

Two kinds of recording, both JSON lines, gzipped or not:

- *grading*: a finished trajectory (`domain, task_id, termination_reason, messages`) and what
  tau2-bench's evaluator said of it (`reward, db_match, env_assertions, action_checks,
  communicate_checks`; null where it computed nothing).
- *episodes*: a game played by scripts (`agent_script, user_script, max_steps, max_errors,
  validate_communication`) and how it went (`messages, roles, termination_reason, step_count,
  num_errors, agent_used, user_used, reward`); `solo` and `agent_stop` where they are true.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.episode import Episode
from tau2_gym.errors import DataError, Tau2GymError
from tau2_gym.exits import FAILED, Command, ending
from tau2_gym.grading import Grader, official_reward
from tau2_gym.results.replay import graded, same_content
from tau2_gym.rules import Rules
from tau2_gym.types import Message, Role, Task, Termination, ToolCall

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

Differences = list[str]

AGENT_DEFAULT = {"content": "Anything else?"}
USER_DEFAULT = {"content": "Ok. ###STOP###"}


def read(path: Path) -> Iterator[Any]:
    """The rows of a JSON-lines file, gzipped or not.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as JSON lines: {type(error).__name__}: {error}"
        ) from error


def check_grading(row: dict[str, Any], domain: Domain) -> Differences:
    """What our grader says differently of a recorded trajectory."""
    task = domain.task(row["task_id"])
    termination = Termination(row["termination_reason"])
    found = graded(domain, task, list(map(Message.from_dict, row["messages"])), termination)
    differences = list(found.changed)
    findings = {
        "reward": found.reward,
        "db_match": found.checks.db,
        "env_assertions": list(found.checks.env_assertions),
        "action_checks": list(found.checks.actions),
        "communicate_checks": list(found.checks.communicate),
    }
    for name, value in findings.items():
        if row[name] is not None and row[name] != value:
            differences.append(f"{name}: {value} instead of {row[name]}")
    return differences


def _scripted(entry: dict[str, Any], role: str, turn: int) -> Message:
    letter = "a" if role == "assistant" else "u"
    return Message(
        role=role,  # type: ignore[arg-type]
        content=entry.get("content"),
        tool_calls=tuple(
            ToolCall(call["name"], call["arguments"], f"{letter}{turn}_{index}", role)  # type: ignore[arg-type]
            for index, call in enumerate(entry.get("tool_calls") or ())
        ),
    )


def play(row: dict[str, Any], domain: Domain, task: Task) -> tuple[Episode, dict[str, int]]:
    """Play a recorded game's scripts. Returns the episode and the turns each side took."""
    rules = Rules(
        max_steps=row["max_steps"],
        max_errors=row["max_errors"],
        validate_communication=row["validate_communication"],
        solo=row.get("solo", False),
        agent_stop=row.get("agent_stop", False),
    )
    episode = Episode(domain, task, rules)
    used = {"assistant": 0, "user": 0}
    while episode.turn is not None:
        role = "assistant" if episode.turn is Role.AGENT else "user"
        script = row["agent_script"] if role == "assistant" else row["user_script"]
        default = AGENT_DEFAULT if role == "assistant" else USER_DEFAULT
        entry = script[used[role]] if used[role] < len(script) else default
        used[role] += 1
        episode.act(_scripted(entry, role, used[role]))
    return episode, used


def check_episode(row: dict[str, Any], domain: Domain) -> Differences:
    """What goes differently when we play a recorded game."""
    task = domain.task(row["task_id"])
    episode, used = play(row, domain, task)
    assert episode.termination is not None
    grader = Grader(domain, task)
    grader.update(episode.messages, episode.world)
    found = {
        "termination_reason": episode.termination.value,
        "step_count": episode.steps,
        "num_errors": episode.num_errors,
        "agent_used": used["assistant"],
        "user_used": used["user"],
        "roles": [
            f"tool:{message.requestor}" if message.role == "tool" else message.role
            for message in episode.messages
        ],
        "reward": official_reward(task, grader.checks(episode.world), episode.termination),
    }
    differences = [
        f"{name}: {value} instead of {row[name]}"
        for name, value in found.items()
        if row[name] != value
    ]
    for index, (ours, theirs) in enumerate(zip(episode.messages, row["messages"], strict=False)):
        recorded = Message.from_dict(theirs)
        if not same_content(ours.content, recorded.content):
            differences.append(f"message {index}: {ours.content!r} instead of {recorded.content!r}")
        elif (ours.role, ours.tool_calls, ours.error, ours.call_id) != (
            recorded.role,
            recorded.tool_calls,
            recorded.error,
            recorded.call_id,
        ):
            differences.append(f"message {index}: {ours} instead of {recorded}")
    return differences


def compare(
    path: Path,
    check: Callable[[dict[str, Any], Domain], Differences],
    source: str = "inspect-evals",
    data_dir: Path | None = None,
) -> tuple[int, list[tuple[str, Differences]]]:
    """Check every row of a file. Returns how many agree, and the differences of the others.

    Raises:
        ConfigError: the source is unknown, or has no such domain or task.
        DataError: the file holds something else than recordings of this kind, or nothing.
    """
    agree = 0
    differ: list[tuple[str, Differences]] = []
    for number, row in enumerate(read(path), start=1):
        try:
            differences = check(row, get_domain(row["domain"], source, data_dir))
        except Tau2GymError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path}, row {number} is not a recording of this kind: {error!r}"
            ) from error
        if differences:
            differ.append((f"row {number}: {row['domain']} {row['task_id']}", differences))
        else:
            agree += 1
    if not agree and not differ:
        raise DataError(f"{path} holds no recordings")
    return agree, differ


def _report(
    path: Path,
    check: Callable[[dict[str, Any], Domain], Differences],
    source: str,
    data_dir: Path | None,
    show: int,
) -> None:
    console = Console(highlight=False)
    with ending(console):
        agree, differ = compare(path, check, source, data_dir)
    for title, differences in differ[:show]:
        console.print(title, style="bold", markup=False)
        for line in differences[:5]:
            console.print(f"  {line}", markup=False)
    console.print(f"{agree} agree, {len(differ)} differ")
    raise typer.Exit(FAILED if differ else 0)


File = Annotated[
    Path,
    typer.Argument(help="Recordings, JSON lines, gzipped or not.", exists=True, dir_okay=False),
]
Source = Annotated[str, typer.Option(help="Where the domains come from: inspect-evals or tau2.")]
DataDir = Annotated[Path | None, typer.Option(help="Another revision of tasks and databases.")]
Show = Annotated[int, typer.Option(help="How many differing rows to print.", min=0)]


@app.command(cls=Command)
def grading(
    file: File, source: Source = "inspect-evals", data_dir: DataDir = None, show: Show = 10
) -> None:
    """Grade recorded trajectories and compare with tau2-bench's grades."""
    _report(file, check_grading, source, data_dir, show)


@app.command(cls=Command)
def episodes(
    file: File, source: Source = "inspect-evals", data_dir: DataDir = None, show: Show = 10
) -> None:
    """Play recorded games and compare with how tau2-bench played them."""
    _report(file, check_episode, source, data_dir, show)
