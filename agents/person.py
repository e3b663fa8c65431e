"""A person at a terminal, as the agent or as the user."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agents.base import Action, AgentView
from tau2_gym.actions import is_malformed
from tau2_gym.envs.user_side import read_action
from tau2_gym.render import harmless, to_text
from tau2_gym.session import Outcome, Session
from tau2_gym.types import Message
from tau2_gym.users.base import STOP, UserView

HELP = {
    "agent": {":tools": "your tools, and what they take", ":policy": "the policy"},
    "user": {
        ":tools": "your tools, and what they take",
        ":task": "who you are and what you want",
        "bye": "ends the conversation",
    },
}
CALL = 'A tool is called like this: NAME(argument="value").'


class Leaves(BaseException):
    """The person has closed the terminal: no fault of an agent or a user."""


@dataclass
class Screen:
    """What a person sees: the conversation on the left, and what it earns on the right.

    Attributes:
        console: where it is shown.
        ask: reads a line, given the prompt; raises EOFError at the end of the input.
        side: who the person is: `agent` or `user`. What that side does not see is not shown.
    """

    console: Console
    ask: Callable[[str], str]
    side: str
    shown: int = 0
    earned: dict[str, float] = field(default_factory=dict)

    def watch(self, session: Session, outcome: Outcome) -> None:
        """Show what has happened since the last time, and what it earned. The user has seen what happened."""
        new = session.episode.messages[self.shown :]
        self.shown = len(session.episode.messages)
        for name, amount in outcome.info["reward_terms"].items():
            self.earned[name] = self.earned.get(name, 0.0) + amount
        row = Table.grid(padding=(0, 2), expand=True)
        row.add_column(ratio=1)
        row.add_column(width=LEDGER)
        width = max(20, self.console.width - LEDGER - 4)
        left = (
            [] if self.side == "user" else [message for message in new if not _users_own(message)]
        )
        row.add_row(self.text(left, width), self._ledger(session, outcome))
        self.console.print(row)

    def text(self, messages: Sequence[Message], width: int) -> Text:
        """Messages, in colour where there is any."""
        return Text.from_ansi(
            to_text(messages, colour=self.console.is_terminal, width=width).rstrip("\n")
        )

    def _ledger(self, session: Session, outcome: Outcome) -> RenderableType:
        """What the last turn earned and what all have, and how far the task is done."""
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column()
        table.add_column(justify="right")
        table.add_column(justify="right")
        terms = outcome.info["reward_terms"]
        for name, total in self.earned.items():
            if total or terms.get(name):
                table.add_row(name, f"{terms.get(name, 0.0):+.3f}", f"{total:.3f}")
        table.add_row(
            "all", f"{outcome.reward:+.3f}", f"{sum(self.earned.values()):.3f}", style="bold"
        )
        score = outcome.info["partial_score"]
        bar = "█" * round(score * BAR)
        parts: list[RenderableType] = [table, Text(f"Φ {bar:░<{BAR}} {score:.2f}")]
        official = outcome.info["official_reward"]
        if session.episode.done:
            said = "not graded" if official is None else f"official {official:g}"
            parts.append(Text(f"{session.episode.termination}: {said}", style="bold"))
        return Panel(Group(*parts), title=f"turn {outcome.info['num_turns']}", title_align="left")

    def line(self, prompt: str, commands: Mapping[str, Callable[[], None]]) -> str:
        """What the person types next, other than a command.

        Raises:
            Leaves: the input has ended.
        """
        known = {":help": self._help, **commands}
        while True:
            try:
                typed = self.ask(prompt).strip()
            except EOFError:
                raise Leaves from None
            if typed in known:
                known[typed]()
            elif typed.startswith(":"):
                self.say(f"There is no {typed}. There are {', '.join(known)}; Ctrl-D leaves.")
            elif typed:
                return typed

    def say(self, text: str) -> None:
        """Show a text."""
        self.console.print(Padding(Text(harmless(text)), (0, 2)))

    def commands(self) -> dict[str, str]:
        """What can be typed beside text and calls, and what it does."""
        return {**HELP[self.side], ":help": "this list", "Ctrl-D": "leaves; nothing is written"}

    def _help(self) -> None:
        for name, what in self.commands().items():
            self.say(f"{name:8} {what}")
        self.say(CALL)

    def tools(self, schemas: Iterable[Mapping[str, Any]]) -> None:
        """Show tools."""
        for schema in schemas:
            tool = schema["function"]
            takes = ", ".join(
                f"{name}: {_kind(what)}" for name, what in tool["parameters"]["properties"].items()
            )
            self.say(f"{tool['name']}({takes})\n    {tool['description'].strip().splitlines()[0]}")


def _users_own(message: Message) -> bool:
    """Whether it is a call of the user's or its result, which the agent does not see."""
    return (message.role == "user" and message.is_tool_call) or message.requestor == "user"


LEDGER = 34
"""Columns of the panel on the right."""

BAR = 20


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    return str(schema.get("type", "…"))


@dataclass(frozen=True)
class PersonAgent:
    """A person who plays the agent."""

    screen: Screen

    def act(self, view: AgentView, seed: int) -> Action:
        """What they type: text, or a tool call in any notation."""
        commands = {
            ":tools": lambda: self.screen.tools(view.tools),
            ":policy": lambda: self.screen.say(view.policy),
        }
        return self.screen.line("agent> ", commands)


@dataclass(frozen=True)
class PersonUser:
    """A person who plays the user."""

    screen: Screen

    def respond(self, view: UserView, seed: int) -> Message:
        """What they type: text, `bye`, or calls of the user's tools."""
        since = max((i for i, each in enumerate(view.messages) if each.role == "user"), default=-1)
        console = self.screen.console
        if new := view.messages[since + 1 :]:
            console.print(self.screen.text(new, console.width))
        commands = {
            ":tools": lambda: self.screen.tools(tool.schema for tool in view.tools),
            ":task": lambda: self.screen.say(view.scenario.text),
        }
        if since < 0:
            commands[":task"]()
        while True:
            typed = self.screen.line("user> ", commands)
            if typed == BYE:
                return Message("user", STOP)
            message = read_action(typed, view)
            if not is_malformed(message):
                return message
            self.screen.say(f"That cannot be read as a call. {CALL}")


BYE = "bye"
"""What the person types to end the conversation."""
