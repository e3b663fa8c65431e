"""The turn-taking rules of tau2-bench as a state machine: no I/O, no threads, cheap to fork.

A driver asks `turn` whose turn it is, and passes that party's message to `act`. The
environment's own moves (running tool calls) follow at once. The rules are those of tau2-bench
1.0.1's `orchestrator/orchestrator.py`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from tau2_gym.actions import as_assistant
from tau2_gym.domains.base import Domain
from tau2_gym.errors import ConfigError
from tau2_gym.frozen import frozen
from tau2_gym.rules import DEFAULT, Rules
from tau2_gym.types import INVALID_CALL, Message, Requestor, Role, Task, Termination, ToolCall
from tau2_gym.users.base import STOP, STOP_TOKENS, UserView

GREETING = "Hi! How can I help you today?"
"""What the agent counts as having said before the user's first message."""


class Episode:
    """One conversation about one task.

    A step is one delivered message, of the agent, the user or the environment.

    Args:
        domain: the domain.
        task: one of its tasks.
        rules: its limits and modes.

    Raises:
        ConfigError: the rules are those of solo mode, which the domain does not have.

    Attributes:
        world: what the tools act on.
        messages: everything said and done, oldest first.
        chat: what the agent may see of it, in OpenAI chat form.
        turn: whose turn it is; None when the episode has ended.
        steps, turns, num_errors: counted towards the limits; a turn is a message of the agent's.
        malformed: unreadable actions.
        ownership_violations: the agent's calls to tools that only the user has.
        termination: how the episode ended, or None.
    """

    def __init__(self, domain: Domain, task: Task, rules: Rules = DEFAULT) -> None:
        if rules.solo and (domain.policy_solo is None or domain.answered):
            raise ConfigError(f"{domain.name} has no solo mode; telecom and mock have one")
        if rules.solo and task.ticket is None:
            raise ConfigError(f"task {task.id!r} has no ticket, so it cannot be played solo")
        if domain.answered and task.ticket is None:
            raise ConfigError(f"task {task.id!r} of {domain.name} has no ticket to begin with")
        self.domain = domain
        self.task = task
        self.rules = rules
        self.world = domain.start(task)
        self.messages: list[Message] = []
        self.chat: list[dict[str, Any]] = []
        self.turn: Role | None = None
        self.steps = 0
        self.turns = 0
        self.num_errors = 0
        self.malformed = 0
        self.ownership_violations = 0
        self.termination: Termination | None = None
        self._dialogue = b""
        self._begin()

    def _begin(self) -> None:
        history = self.task.start.messages
        if self.rules.solo:
            self.turn = Role.AGENT
        elif self.domain.answered:
            for message in (*history, Message("user", self.task.ticket)):
                self._append(message)
            self.turn = Role.AGENT
        elif not history:
            self._append(Message("assistant", GREETING))
            self.turn = Role.USER
        else:
            for message in history:
                self._append(message)
            last = history[-1]
            if last.role == "tool":
                self.turn = Role.AGENT if last.requestor == "assistant" else Role.USER
            elif last.is_tool_call:
                raise ConfigError(
                    f"the message history of task {self.task.id!r} ends in a call without a result"
                )
            else:
                sender = Role.AGENT if last.role == "assistant" else Role.USER
                self.turn = Role.USER if sender is Role.AGENT else Role.AGENT
                self.termination = self._verdict(last, sender)
                if self.termination is not None:
                    self.turn = None

    def fork(self) -> Episode:
        """An independent copy that continues from here."""
        twin = object.__new__(Episode)
        twin.__dict__.update(self.__dict__)
        twin.world = self.world.fork()
        twin.messages = list(self.messages)
        twin.chat = list(self.chat)
        return twin

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return self.termination is not None

    def act(self, message: Message) -> list[Message]:
        """Deliver the next message and run the tool calls in it.

        Args:
            message: from the party whose turn it is.

        Returns:
            What was added to `messages`: the message itself, with at most `max_calls` calls and one
            more, and the results of its calls, or what the agent is told where its text holds no answer.

        Raises:
            RuntimeError: the episode has ended, or it is not this party's turn.
            InfrastructureError: what a tool works with failed; the episode cannot be continued.
            ValueError: the message is empty and communication is not validated.
        """
        sender = Role.AGENT if message.role == "assistant" else Role.USER
        if self.turn is None or sender is not self.turn or message.role == "tool":
            raise RuntimeError(f"{message.role} may not act: it is the turn of {self.turn}")
        if not (message.has_text or message.is_tool_call or self.rules.validate_communication):
            raise ValueError(f"the {sender}'s message is empty")
        message = self._capped(message)
        # In solo mode the first message is part of the start, not a step.
        opening = self.rules.solo and not self.messages
        added = [self._append(message)]
        self.termination = self._verdict(message, sender)
        self.steps += not opening
        self.turns += sender is Role.AGENT
        if self.domain.answered and not message.is_tool_call:
            if self.termination is None:
                added += self._answered(message.content or "")
            self._check_limits()
        elif not message.is_tool_call:
            self.turn = Role.USER if sender is Role.AGENT else Role.AGENT
            if not opening:
                self._check_limits()
        elif self.termination is None:
            added += [self._append(self._run(call, sender)) for call in message.tool_calls]
            self.steps += 1
            self._check_limits()
        if self.termination is None and self.turn is Role.AGENT and self._out_of_turns():
            self.termination = Termination.MAX_TURNS
        if self.termination is not None:
            self.turn = None
        return added

    def _answered(self, text: str) -> list[Message]:
        """End the episode if a text of the agent's is an answer, else tell it what is expected."""
        reply = self.world.answer(text)
        if reply is None:
            self.termination = Termination.AGENT_STOP
            return []
        self.steps += 1
        return [self._append(Message("user", reply))]

    def _out_of_turns(self) -> bool:
        most = self.domain.max_turns if self.rules.max_turns is None else self.rules.max_turns
        return most is not None and self.turns >= most

    def user_view(self) -> UserView:
        """What the user sees now."""
        allowed = self.task.user_tools
        return UserView(
            domain=self.domain.name,
            task_id=self.task.id,
            scenario=self.task.scenario,
            tools=tuple(
                tool
                for name, tool in self.domain.user_tools.items()
                if allowed is None or name in allowed
            ),
            messages=tuple(
                message
                for message in self.messages
                if message.role == "user"
                or (message.role == "assistant" and not message.is_tool_call)
                or (message.role == "tool" and message.requestor == "user")
            ),
        )

    @property
    def state_key(self) -> str:
        """A hash of both databases and everything said and done. Episodes of one task with equal
        keys are in the same state (for step-level grouping as in GiGPO, arXiv:2505.10978)."""
        return hashlib.sha256(self._dialogue + self.world.digest).hexdigest()

    def _append(self, message: Message) -> Message:
        self.messages.append(message)
        calls = [[call.name, call.arguments] for call in message.tool_calls]
        said = json.dumps([message.role, message.requestor, message.error, calls], sort_keys=True)
        # The content separately: it may be long, and does not need escaping to be hashed.
        content = "" if message.content is None else f"\n{message.content}"
        digest = hashlib.sha256(self._dialogue + said.encode())
        digest.update(content.encode("utf-8", "surrogatepass"))
        self._dialogue = digest.digest()
        chat = chat_message(message)
        if chat is not None:
            self.chat.append(frozen(chat))
        return message

    def _capped(self, message: Message) -> Message:
        """The message with the calls that are run, and one that stands for the rest."""
        calls, most = message.tool_calls, self.rules.max_calls
        if len(calls) <= most:
            return message
        reason = (
            f"{len(calls) - most} of the {len(calls)} tool calls were not run: "
            f"a message may make at most {most}"
        )
        rest = replace(calls[most], name=INVALID_CALL, arguments={"reason": reason})
        return replace(message, tool_calls=(*calls[:most], rest))

    def _verdict(self, message: Message, sender: Role) -> Termination | None:
        """How the message itself ends the episode, if it does."""
        text = message.content or ""
        verdict = None
        if sender is Role.USER:
            if not message.is_tool_call and any(token in text for token in STOP_TOKENS):
                verdict = Termination.USER_STOP
        elif not message.is_tool_call:
            if (self.rules.solo or self.rules.agent_stop) and STOP in text:
                verdict = Termination.AGENT_STOP
            elif self.rules.solo:
                verdict = Termination.AGENT_ERROR
        if self.rules.validate_communication and message.has_text == message.is_tool_call:
            verdict = Termination.AGENT_ERROR if sender is Role.AGENT else Termination.USER_ERROR
        return verdict

    def _run(self, call: ToolCall, sender: Role) -> Message:
        side: Requestor = "assistant" if sender is Role.AGENT else "user"
        owner: Requestor = side
        if sender is Role.AGENT and self.world.tool(call.name, "user") is not None:
            if self.rules.solo:
                owner = "user"
            elif self.world.tool(call.name, "assistant") is None:
                self.ownership_violations += 1
        if call.name == INVALID_CALL:
            self.malformed += sender is Role.AGENT
            content, error = f"Error: {call.arguments.get('reason', 'unreadable action')}", True
        else:
            content, error = self.world.call(call.name, call.arguments, owner)
        self.num_errors += error
        return Message("tool", content, call_id=call.id, requestor=side, error=error)

    def _check_limits(self) -> None:
        if self.steps >= self.rules.max_steps:
            self.termination = Termination.MAX_STEPS
        if self.num_errors >= self.rules.max_errors:
            self.termination = Termination.TOO_MANY_ERRORS


def chat_message(message: Message) -> dict[str, Any] | None:
    """The message in OpenAI chat form, or None if the agent does not see it: the user's tool calls
    and their results."""
    if message.role == "tool":
        if message.requestor == "user":
            return None
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
    if message.role == "user":
        return None if message.is_tool_call else {"role": "user", "content": message.content}
    return as_assistant(message)
