"""A language model as the user, with the instructions that tau2-bench gives its user models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tau2_gym.actions import as_assistant, parse_action
from tau2_gym.completion import (
    CallTimeout,
    ChatModel,
    Completion,
    ContentFiltered,
    ContextOverflow,
    call_seed,
    run_sync,
)
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, UserFault
from tau2_gym.types import INVALID_CALL, Message, ToolSpec
from tau2_gym.users.base import UserView

BROKEN = re.compile("[\ud800-\udfff]")
"""A lone surrogate, which no file can hold."""


@dataclass(frozen=True)
class LLMUser:
    """A user played by a model behind an API.

    It reads tau2-bench's guidelines and the scenario as its system message, and the conversation
    with the roles swapped: the agent is its user. Its own tools are offered as functions. An answer
    that no user could give is discarded, and the model is asked again with another seed: an empty
    one, one that both speaks and calls tools, a call that cannot be read or of a tool it does not
    have, raw tool markup or unfinished thoughts, a refusal. If no attempt is usable, if the model is
    late every time or the conversation outgrows it, that is the user's fault, never the agent's. A
    failing server is neither's fault: `InfrastructureError`.

    What its calls take is counted by `tau2_gym.completion.metered`.

    Attributes:
        model: the model.
        attempts: how many answers to ask for before the user is at fault.
        guidelines: what the system message says before the scenario, instead of tau2-bench's own.
        source: where the domain, and with it tau2-bench's guidelines, comes from.

    Raises:
        ConfigError: not at least one attempt.
    """

    model: ChatModel
    attempts: int = 3
    guidelines: str | None = None
    source: str = "inspect-evals"

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigError(f"a user needs at least 1 attempt, not {self.attempts}")

    def respond(self, view: UserView, seed: int) -> Message:
        """The user's next message, waited for. See `arespond`."""
        return run_sync(self.arespond(view, seed))

    async def arespond(self, view: UserView, seed: int) -> Message:
        """The user's next message.

        Raises:
            UserFault: no attempt gave a usable message.
            ConfigError, InfrastructureError, DataError: as `ChatModel.complete`.
        """
        messages = [
            {"role": "system", "content": self.system_prompt(view)},
            *(turned_round(message) for message in view.messages),
        ]
        tools = [tool.schema for tool in view.tools]
        turn = len(view.messages)
        problem = ""
        for attempt in range(self.attempts):
            try:
                completion = await self.model.complete(
                    messages, tools=tools, seed=call_seed(seed, turn, attempt)
                )
                return read_message(completion, view.tools, turn)
            except (ContextOverflow, CallTimeout) as error:
                raise UserFault(f"user model: {error}") from error
            except (UnusableAnswer, ContentFiltered) as error:
                problem = str(error)
        raise UserFault(f"user model: no usable answer in {self.attempts} attempts; {problem}")

    def system_prompt(self, view: UserView) -> str:
        """Guidelines and scenario, laid out as tau2-bench does (1.0.1, `user/user_simulator.py`)."""
        guidelines = self.guidelines
        if guidelines is None:
            guidelines = get_domain(view.domain, self.source).user_guidelines
        # tau2-bench puts a persona here, if one is configured.
        guidelines = guidelines.replace("<PERSONA_GUIDELINES>", "")
        return f"{guidelines}\n\n<scenario>\n{view.scenario.text}\n</scenario>"


class UnusableAnswer(ValueError):
    """The model's answer is not one that a user could give."""


def turned_round(message: Message) -> dict[str, Any]:
    """A message as the user model sees it: the agent is the user, and the user the assistant."""
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
    if message.role == "assistant":
        return {"role": "user", "content": message.content}
    return as_assistant(message)


def read_message(completion: Completion, tools: Sequence[ToolSpec], turn: int) -> Message:
    """The user's message that a completion stands for.

    Args:
        completion: the model's answer.
        tools: those the user has.
        turn: number of the user's turn, for ids of calls that come without one.

    Raises:
        UnusableAnswer: it stands for none.
    """
    if completion.refusal:
        raise UnusableAnswer(f"the model refused: {completion.refusal[:200]}")
    text = completion.said
    for mark in ("<think>", "<tool_call>", "</tool_call>"):
        if mark in text:
            raise UnusableAnswer(f"the text holds {mark}")
    if text and completion.tool_calls:
        raise UnusableAnswer("the answer both speaks and calls a tool")
    if not (text or completion.tool_calls):
        raise UnusableAnswer("the answer is empty")
    if BROKEN.search(text):
        raise UnusableAnswer("the text holds a broken character")
    calls = [call.to_chat() for call in completion.tool_calls]
    # Read like an agent's message: one place decides what makes a call readable.
    message = parse_action({"content": text or None, "tool_calls": calls}, (), turn)
    names = {tool.name for tool in tools}
    for call in message.tool_calls:
        if call.name == INVALID_CALL:
            raise UnusableAnswer(call.arguments["reason"])
        if call.name not in names:
            raise UnusableAnswer(f"the user has no tool {call.name!r}")
    return Message(
        "user",
        message.content,
        # Providers hide state in ids (Gemini's thoughts, for example), so keep them.
        tuple(replace(call, requestor="user") for call in message.tool_calls),
    )
