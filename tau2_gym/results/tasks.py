"""`tau2-gym tasks`: what tasks a domain has, and what one of them is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tau2_gym.domains.base import Domain, check_split, get_domain
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.render import harmless
from tau2_gym.types import Criteria, Task

app = typer.Typer(no_args_is_help=True, add_completion=False)

DomainName = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="For example airline, retail, telecom.")
]
Source = Annotated[str, typer.Option(help="Where the domain comes from: inspect-evals or tau2.")]
DataDir = Annotated[Path | None, typer.Option(help="Another revision of tasks and databases.")]

WIDE = 110


@app.callback()
def main() -> None:
    """The tasks of a domain. They hold the answers: never show them to an agent."""


@app.command("list", cls=Command)
def list_tasks(
    name: DomainName,
    split: Annotated[str, typer.Option(help="train, test, base or full.")] = "test",
    source: Source = "inspect-evals",
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each.")] = False,
) -> None:
    """List the tasks of a split, and what is graded in each."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, WIDE))
    with ending(console):
        check_split(name, split, source, data_dir)
        domain = get_domain(name, source, data_dir)
        tasks = [domain.task(task_id) for task_id in domain.task_ids(split)]
        if as_json:
            for task in tasks:
                typer.echo(json.dumps(counts(task)))
        else:
            console.print(table(domain, split, tasks))


@app.command(cls=Command)
def show(
    name: DomainName,
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="Its id.")],
    source: Source = "inspect-evals",
    data_dir: DataDir = None,
) -> None:
    """Show a task: who the user is, what is expected, and what is graded."""
    console = Console()
    with ending(console):
        task = get_domain(name, source, data_dir).task(task_id)
        for title, text in parts(task):
            console.print(title, style="bold", **PLAIN)
            console.print(f"{harmless(text)}\n", **PLAIN)


def counts(task: Task) -> dict[str, Any]:
    """What is graded in a task: how many of each, and the reward basis."""
    criteria = task.criteria or Criteria()
    actions = criteria.actions or ()
    return {
        "id": task.id,
        "agent_actions": sum(action.requestor == "assistant" for action in actions),
        "user_actions": sum(action.requestor == "user" for action in actions),
        "communicate": len(criteria.communicate or ()),
        "env_assertions": len(criteria.env_assertions or ()),
        "nl_assertions": len(criteria.nl_assertions or ()),
        "basis": [factor.value for factor in criteria.basis] if task.criteria else [],
    }


def table(domain: Domain, split: str, tasks: list[Task]) -> Table:
    """The tasks for the terminal."""
    title = Text(f"{domain.name}, {split}: {len(tasks)} tasks, revision {domain.revision}")
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    result.add_column("task", overflow="fold")
    for name in ("agent", "user", "say", "assert", "judge"):
        result.add_column(name, justify="right", no_wrap=True)
    result.add_column("graded by", no_wrap=True)
    for task in tasks:
        each = counts(task)
        numbers = (
            "agent_actions",
            "user_actions",
            "communicate",
            "env_assertions",
            "nl_assertions",
        )
        result.add_row(
            Text(harmless(task.id)),
            *(str(each[name]) if each[name] else "–" for name in numbers),
            " ".join(each["basis"]),
        )
    return result


def parts(task: Task) -> list[tuple[str, str]]:
    """What there is to say of a task, in titled parts."""
    criteria = task.criteria or Criteria()
    actions = [
        f"{action.requestor}: {action.name}({', '.join(f'{k}={json.dumps(v)}' for k, v in action.arguments.items())})"
        for action in criteria.actions or ()
    ]
    assertions = [
        f"{item.name}({', '.join(f'{k}={json.dumps(v)}' for k, v in item.arguments.items())})"
        for item in criteria.env_assertions or ()
    ]
    found = [
        ("Task", f"{task.id} ({task.domain})"),
        ("Ticket", task.ticket or ""),
        ("User", task.scenario.text),
        ("Expected actions", "\n".join(actions)),
        ("To be said", "\n".join(criteria.communicate or ())),
        ("Assertions on the world at the end", "\n".join(assertions)),
        ("Assertions that a judge decides", "\n".join(criteria.nl_assertions or ())),
        ("Graded by", " ".join(counts(task)["basis"])),
    ]
    return [(title, text) for title, text in found if text]
