"""A model behind an API as the agent, which calls tools through the provider's own function calling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents.base import Action, AgentView, Reply, first_prompt_too_long
from agents.prompts import PromptBuilder, make_prompt
from tau2_gym.completion import (
    ChatModel,
    Completion,
    ContextOverflow,
    ExactTokens,
    call_seed,
    run_sync,
)

ReplyMemory = tuple[ExactTokens | None, ...]
"""The tokens of each turn so far, None for a turn whose tokens the server did not return."""


@dataclass(frozen=True)
class LiteLLMAgent:
    """An agent played by a model of any provider.

    The conversation goes to the provider as it stands in the view, with the tools as functions. What
    comes back is the action, whatever it is: a call that cannot be read is the agent's own mistake,
    and the environment tells it so.

    Attributes:
        model: the model. With `extra_body=EXACT_TOKENS` a server that can (SGLang, vLLM) returns
            its exact tokens, which are kept in `Reply.memory`.
        prompt: makes the system prompt.
    """

    model: ChatModel
    prompt: PromptBuilder = field(default_factory=lambda: make_prompt("official"))

    def act(self, view: AgentView, seed: int) -> Action:
        """The next action, waited for. See `aact`.

        Raises:
            ContextOverflow: the conversation no longer fits the model.
        """
        return action_of(run_sync(self._complete(view, seed)))

    async def aact(self, view: AgentView, memory: ReplyMemory | None, seed: int) -> Reply:
        """The next action.

        Raises:
            ConfigError: the model's context is too small even for the first turn; and as
                `ChatModel.complete`.
            InfrastructureError, DataError: as `ChatModel.complete`.
        """
        memory = memory or ()
        try:
            completion = await self._complete(view, seed)
        except ContextOverflow as error:
            if view.turn == 0:
                raise first_prompt_too_long(view.domain, error) from error
            return Reply(None, memory, stop="context_overflow")
        return Reply(action_of(completion), (*memory, completion.exact), completion.usage)

    async def _complete(self, view: AgentView, seed: int) -> Completion:
        system = {"role": "system", "content": self.prompt(view)}
        return await self.model.complete(
            [system, *view.messages], tools=view.tools, seed=call_seed(seed, view.turn)
        )


def action_of(completion: Completion) -> Action:
    """The action that a completion stands for.

    Without calls it is the text, which may hold calls that the server left in it. A refusal is said
    to the user.
    """
    if not completion.tool_calls:
        return completion.said or completion.refusal
    message: dict[str, Any] = {
        "role": "assistant",
        "content": completion.said or None,
        "tool_calls": [call.to_chat() for call in completion.tool_calls],
    }
    return message
