"""Conversations as roles and contents only, which is all that OpenRLHF's SFT takes.

OpenRLHF 0.11.2 shows no tools to the chat template, and finds what to train on by rendering the
conversation up to each turn of the assistant. So everything that a template makes of tools is put into
contents beforehand: the schemas into the system message, calls into the assistant's text, results into
turns of the user. How these look is the template's business: stand-in conversations are rendered and
taken apart, and at the end the flat conversation must render to the very text of the original.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau2_gym.errors import ConfigError, DataError

Flat = list[dict[str, str]]
"""Messages with `role` (system, user or assistant) and `content`."""

MARK = "⟦mark⟧"
QUESTION = {"role": "user", "content": "?"}
REPLY = {"role": "assistant", "content": "⟦reply⟧"}


class UnfitError(DataError):
    """A conversation that cannot be trained on. The text says why."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation as tokens.

    Attributes:
        ids: the tokens that OpenRLHF's `SFTDataset` makes of it.
        mask: 1 on the tokens that are trained: all that the assistant says, with the end of each turn
            and, but after the last one, the line break that the template puts behind it.
    """

    ids: tuple[int, ...]
    mask: tuple[int, ...]


class FlatTemplate:
    """What a tokenizer's chat template makes of conversations, told by role and content.

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.

    Attributes:
        digest: 12 hexadecimal digits of the template's SHA-256; rows made for different templates
            differ.

    Raises:
        ConfigError: there is no chat template, or one whose turns cannot be told apart or do not end
            with the tokenizer's end token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        template = getattr(tokenizer, "chat_template", None)
        if not template:
            raise ConfigError(f"the tokenizer of {self.name} has no chat template")
        self.digest = hashlib.sha256(str(template).encode()).hexdigest()[:12]
        marked = {"role": "assistant", "content": MARK}
        self._system_frame = self.render([{"role": "system", "content": MARK}, QUESTION])
        self._reply_frame = self.render([QUESTION, marked, QUESTION])
        self._result_frame = self.render([QUESTION, REPLY, {"role": "user", "content": MARK}])
        self._end = self.render([QUESTION, marked]).partition(MARK)[2]
        if not self._reply_frame.partition(MARK)[2].startswith(self._end):
            raise ConfigError(f"the chat template of {self.name} ends the last turn unlike others")
        stop = tokenizer.eos_token
        if not stop or not self._end.rstrip("\n").endswith(stop):
            raise ConfigError(
                f"the turns of {self.name} end with {self._end!r} and its texts with {stop!r}, so a "
                "model would not learn where to stop: use the tokenizer of an instruct model"
            )

    def system(self, content: str, tools: Sequence[Mapping[str, Any]] | None) -> str:
        """The content of a system message that shows the tools as the template shows them.

        Raises:
            ConfigError: the template shows them elsewhere.
        """
        if not tools:
            return content
        shown = self.render([{"role": "system", "content": content}, QUESTION], tools)
        text = _inside(shown, self._system_frame)
        if text is None:
            raise ConfigError(
                f"the chat template of {self.name} does not show tools in the system message"
            )
        return text

    def flatten(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> Flat:
        """The conversation by role and content.

        Args:
            messages: in OpenAI chat form, a system message first if there is one, the arguments of tool
                calls as objects.
            tools: what the system message is to show; without one, the template's own.

        Returns:
            A conversation that the template renders to the same text without tools.

        Raises:
            ConfigError: the template shows tools elsewhere than in the system message.
            UnfitError: no conversation has that form.
        """
        flat: Flat = []
        if tools and messages[0]["role"] != "system":
            shown = _inside(self.render([QUESTION], tools), self._system_frame)
            flat += [] if shown is None else [{"role": "system", "content": shown}]
        results: list[Mapping[str, Any]] = []
        for message, following in zip(messages, [*messages[1:], None], strict=True):
            role, content = message["role"], message.get("content") or ""
            if role == "tool":
                results.append(message)
                if following is not None and following["role"] == "tool":
                    continue
                role, content = "user", self._results(results)
                results = []
            elif role == "system":
                content = self.system(content, tools)
            elif message.get("tool_calls"):
                content = self._calls(message)
            flat.append({"role": role, "content": content})
        if self.render(flat) != self.render(messages, tools):
            raise UnfitError(
                "the chat template renders it otherwise without its tool calls and results"
            )
        return flat

    def encode(self, messages: Sequence[Mapping[str, str]]) -> Encoded:
        """The tokens of a flat conversation, and which of them OpenRLHF trains.

        Raises:
            UnfitError: OpenRLHF would train on something else than what the assistant says, because
                the template shows an earlier turn otherwise once the conversation has continued, or
                because a token would belong to the context and the turn both; or the last message,
                but not the first, must be the assistant's and is not.
        """
        if not messages or messages[0]["role"] == "assistant":
            raise UnfitError("it does not begin with a system message or the user")
        if messages[-1]["role"] != "assistant":
            raise UnfitError("it does not end with the assistant")
        text, ids, mask = "", list[int](), list[int]()
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self.render(messages[:index], generate=True)
            turn = message["content"] + self._end
            if not before.startswith(text) or self.render(messages[: index + 1]) != before + turn:
                raise UnfitError(
                    "the chat template rewrites earlier turns as the conversation continues, which "
                    "OpenRLHF takes for something to learn; those of instruct models do not"
                )
            context = self._ids(before[len(text) :])
            text = before + turn
            last = index == len(messages) - 1
            sampled = self._ids(turn.rstrip("\n") if last else turn)
            ids += context + sampled
            mask += [0] * len(context) + [1] * len(sampled)
        if self._ids(text.rstrip("\n")) != ids:
            raise UnfitError("a token spans the border between the context and a turn")
        return Encoded(tuple(ids), tuple(mask))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        generate: bool = False,
    ) -> str:
        """The text of a conversation, with the beginning of the assistant's next turn if asked for.

        Raises:
            UnfitError: the template refuses it.
        """
        from jinja2 import TemplateError

        try:
            text: str = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] if tools else None,
                add_generation_prompt=generate,
                tokenize=False,
            )
        except (TemplateError, TypeError) as error:
            raise UnfitError(f"the chat template cannot render it: {error}") from error
        return text

    def _calls(self, message: Mapping[str, Any]) -> str:
        text = _inside(self.render([QUESTION, message, QUESTION]), self._reply_frame)
        if text is None:
            raise UnfitError("the chat template does not show tool calls as the assistant's text")
        return text

    def _results(self, results: Sequence[Mapping[str, Any]]) -> str:
        text = _inside(self.render([QUESTION, REPLY, *results]), self._result_frame)
        if text is None:
            raise UnfitError(
                "the chat template does not show results of tools as turns of the user"
            )
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def _inside(text: str, frame: str) -> str | None:
    """What is in place of the frame's mark; None if the text has another frame."""
    before, _, after = frame.partition(MARK)
    fits = text.startswith(before) and text.endswith(after)
    if not fits or len(text) < len(before) + len(after):
        return None
    return text[len(before) : len(text) - len(after)]
