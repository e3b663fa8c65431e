"""Between conversations and tokens: the model's own chat template decides, and what the model sampled
is never tokenised again.

The same text can be written with other tokens than the model sampled, so a conversation that is
rendered again for each turn drifts from what was sampled. Here the tokens of a conversation only
ever grow: prompt, sampled tokens, bridge to the next turn, sampled tokens, and so on.

The bridge needs no knowledge of the template. A stand-in conversation, whose assistant says a marker,
is rendered with the new messages after it; the text after the marker is the bridge. It begins with
the token that ends a turn, and a tokenizer never merges text across such a control token, so the
bridge can be tokenised on its own.

Why not the `renderers` library: it knows about thirty templates by heart and any other one not at
all, a template changed by a fine-tune included, and it brings the OpenAI client with it. Its
renderer of Qwen3 is what the tests hold this codec to, beside the template itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from agents.tokenizer import load_tokenizer
from tau2_gym.errors import ConfigError

Chat = Sequence[Mapping[str, Any]]
"""Messages in OpenAI chat form."""

REPLY, THOUGHT = "⟦reply⟧", "⟦thought {}⟧"
QUESTION = {"role": "user", "content": "?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {}},
    },
}
RESULT = {"role": "tool", "tool_call_id": "call_0", "content": "⟦result⟧"}
REASONING = re.compile(r"<think>(.*?)</think>", re.DOTALL)


class ChatCodec:
    """Renders conversations as tokens, and reads sampled tokens as text.

    Reasoning is what stands between `<think>` and `</think>`.

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.
        thinking: given to the template as `enable_thinking`; by default the template's own choice.
        tools: show the model what tools there are. Without, it must know them by heart.

    Attributes:
        end: the token that ends a turn.
        vocabulary: how many tokens the tokenizer knows.

    Raises:
        ConfigError: the tokenizer has no chat template, or one that shows no tools (if it is to) or
            no tool results, or whose turns do not all end with one control token.
    """

    def __init__(self, tokenizer: Any, *, thinking: bool | None = None, tools: bool = True) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = len(tokenizer)
        self._shows_tools = tools
        self._options = {} if thinking is None else {"enable_thinking": thinking}
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError(f"the tokenizer of {name} has no chat template")
        if tools and "probe_tool" not in self._render([QUESTION], [TOOL]):
            raise ConfigError(f"the chat template of {name} does not show the tools to the model")
        if RESULT["content"] not in self._after_reply([RESULT]):
            raise ConfigError(f"the chat template of {name} does not show the results of tools")
        added = tokenizer.added_tokens_decoder
        self._control = {token for token in added if added[token].special}
        ends = {self._encode(self._after_reply([new]))[0] for new in (QUESTION, RESULT)}
        self.end = ends.pop()
        if ends or self.end not in self._control:
            raise ConfigError(
                f"the chat template of {name} does not end all turns with one control token"
            )
        self._end_text: str = tokenizer.convert_ids_to_tokens(self.end)
        # The first turn, policy and tools, is the same in all episodes of a domain, and long.
        self._encode_head = lru_cache(maxsize=16)(self._encode)
        start = self._render([QUESTION], None)[len(self._render([QUESTION], None, False)) :]
        opened = start.rfind("<think>")
        self._opening = start[opened:] if opened > start.rfind("</think>") else ""

    @classmethod
    def load(cls, path: str, *, thinking: bool | None = None, tools: bool = True) -> ChatCodec:
        """The codec of a model, from its folder or its name on the Hugging Face hub.

        Raises:
            ConfigError: no tokenizer can be loaded from there, or it does not do (see the class).
        """
        return cls(load_tokenizer(path), thinking=thinking, tools=tools)

    def start(self, messages: Chat, tools: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        """The first prompt of a conversation, ending where the model is to write.

        Raises:
            ConfigError: the template cannot render these messages.
        """
        shown = tools if self._shows_tools else None
        text = self._render([_plain(message) for message in messages], shown)
        head, end, rest = text.partition(self._end_text)
        if not end:
            return tuple(self._encode(text))
        return (*self._encode_head(head + end), *self._encode(end + rest)[1:])

    def parse(self, ids: Sequence[int]) -> str:
        """The text of one sampled turn, without the control token at its end.

        Otherwise verbatim: tool calls and reasoning are left for the environment to read. Where the
        prompt has opened the reasoning already, the text begins with that opening.
        """
        if ids and ids[-1] in self._control:
            ids = ids[:-1]
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return self._opening + text

    def bridge(self, ids: Sequence[int], messages: Chat) -> tuple[int, ...]:
        """The next prompt: the conversation so far, the end of the turn if it was not sampled, the
        new messages and the start of the next turn.

        Args:
            ids: the last prompt and what was sampled after it. They are the beginning of the result.
            messages: what has arrived since, all of it: user messages, tool results.

        Raises:
            ConfigError: the template cannot render these messages.
        """
        new = self._encode(self._after_reply(messages))
        return (*ids, *(new[1:] if ids[-1] == self.end else new))

    def keeps_reasoning(self, messages: Chat, since: int = 0) -> bool:
        """Whether the template still shows all reasoning of the assistant's turns.

        Qwen3's drops it from turns before the last question of the user. The tokens of a
        conversation cannot be continued then: a new prompt must be rendered.

        Args:
            messages: the conversation, what the assistant wrote verbatim.
            since: turns before this message do not matter.
        """
        probed, thoughts = list(messages), []
        for index, message in enumerate(messages):
            text = message.get("content") or ""
            if index >= since and message["role"] == "assistant" and has_reasoning(text):
                thoughts.append(THOUGHT.format(index))
                content = f"<think>\n{thoughts[-1]}\n</think>\n\n{REPLY}"
                probed[index] = {"role": "assistant", "content": content}
        if not thoughts:
            return True
        shown = self._render([_plain(message) for message in probed], None)
        return all(thought in shown for thought in thoughts)

    def _after_reply(self, messages: Chat) -> str:
        reply = {"role": "assistant", "content": REPLY}
        text = self._render([QUESTION, reply, *messages], None)
        _, found, after = text.partition(REPLY)
        if not found:
            raise ConfigError("the chat template does not show what the assistant has said")
        return after

    def _render(
        self, messages: Chat, tools: Sequence[Mapping[str, Any]] | None, generate: bool = True
    ) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self.tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) if tools else None,
                add_generation_prompt=generate,
                tokenize=False,
                **self._options,
            )
        except TemplateError as error:
            raise ConfigError(
                f"the chat template cannot render this conversation: {error}"
            ) from error
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def has_reasoning(text: str) -> bool:
    """Whether a turn holds reasoning that is more than white space."""
    return any(body.strip() for body in REASONING.findall(text))


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message in the form that templates agree on: text as content, arguments as objects."""
    plain = {**message, "content": message.get("content") or ""}
    if message.get("tool_calls"):
        plain["tool_calls"] = [
            {
                **call,
                "function": {
                    **call["function"],
                    "arguments": json.loads(call["function"]["arguments"]),
                },
            }
            for call in message["tool_calls"]
        ]
    return plain
