"""What goes to a chat completion service and what comes back, apart from any transport."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tau2_gym.completion.metering import Usage

Request = dict[str, Any]
"""The body of a request in OpenAI's form, with what only some servers know under `extra_body`.
It decides the answer and holds nothing secret: neither keys nor addresses."""

EXACT_TOKENS: Mapping[str, Any] = {
    "logprobs": True,
    "return_token_ids": True,
    "return_prompt_token_ids": True,
    "return_meta_info": True,
}
"""The `extra_body` that asks SGLang and vLLM for token ids and log-probabilities."""


class NotACompletion(ValueError):
    """What came back is no chat completion. The text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RawCall:
    """A tool call as the model made it: `arguments` is text that should be a JSON object."""

    id: str
    name: str
    arguments: str

    def to_chat(self) -> dict[str, Any]:
        """The call as part of an OpenAI assistant message."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ExactTokens:
    """What the model read and wrote, in its own tokens.

    Attributes:
        prompt_ids, output_ids: token ids.
        logprobs: of the output tokens, natural logarithm; None where the server returned none.
    """

    prompt_ids: tuple[int, ...]
    output_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer.

    Attributes:
        content: the text; None or empty if the model only calls tools.
        tool_calls: the calls, in order.
        finish_reason: `stop`, `length`, `tool_calls`, `content_filter` or a server's own word.
        refusal: why the model refuses to answer; empty if it does not.
        usage: what the call took.
        exact: the tokens, where the server returned them.
    """

    content: str | None
    tool_calls: tuple[RawCall, ...] = ()
    finish_reason: str = "stop"
    refusal: str = ""
    usage: Usage = field(default_factory=Usage)
    exact: ExactTokens | None = None

    @property
    def said(self) -> str:
        """The text without white space around it and without the reasoning that some servers leave
        before it, opened by `<think>` or by the prompt. Reasoning that does not end is left."""
        return (self.content or "").rpartition("</think>")[2].strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, from which `from_dict` makes an equal completion."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Completion:
        """The completion that `to_dict` wrote, after a round trip through JSON.

        Raises:
            KeyError, TypeError: the data are of another form.
        """
        exact = data["exact"]
        return cls(
            content=data["content"],
            tool_calls=tuple(RawCall(**call) for call in data["tool_calls"]),
            finish_reason=data["finish_reason"],
            refusal=data["refusal"],
            usage=Usage(**data["usage"]),
            exact=None
            if exact is None
            else ExactTokens(
                tuple(exact["prompt_ids"]),
                tuple(exact["output_ids"]),
                None if exact["logprobs"] is None else tuple(exact["logprobs"]),
            ),
        )


def request_key(request: Request) -> str:
    """A hash of a request: equal requests, whatever the order of their keys, have equal ones."""
    return digest(request)


def digest(value: Any) -> str:
    """The SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_completion(body: Any, cost: float = 0.0) -> Completion:
    """The completion in the body of a response, of which the first choice counts.

    Args:
        body: the response's JSON.
        cost: of the call, in US dollars.

    Raises:
        NotACompletion: it is something else.
    """
    choices = body.get("choices") if isinstance(body, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise NotACompletion("it has no choices")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise NotACompletion("its choice has no message")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise NotACompletion("its content is not text")
    own = message.get("provider_specific_fields") or {}
    usage = body.get("usage") or {}
    return Completion(
        content=content,
        tool_calls=tuple(_call(call) for call in message.get("tool_calls") or ()),
        finish_reason=choice.get("finish_reason") or "stop",
        refusal=message.get("refusal") or own.get("refusal") or "",
        usage=Usage(
            usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0, cost, calls=1
        ),
        exact=_exact(body, choice),
    )


def _call(call: Any) -> RawCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise NotACompletion("a tool call names no function")
    arguments = function.get("arguments")
    # Some servers send an object where OpenAI sends its text.
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return RawCall(str(call.get("id") or ""), str(function.get("name") or ""), text)


def _exact(body: Mapping[str, Any], choice: Mapping[str, Any]) -> ExactTokens | None:
    """Token ids as SGLang and vLLM return them, directly or through LiteLLM."""
    fields = {**choice, **(choice.get("provider_specific_fields") or {})}
    prompt = fields.get("prompt_token_ids") or body.get("prompt_token_ids")
    output = fields.get("response_token_ids") or fields.get("token_ids")
    if prompt is None or output is None:
        return None
    logprobs = _logprobs(fields)
    if logprobs is not None and len(logprobs) != len(output):
        raise NotACompletion(f"it has {len(output)} tokens and {len(logprobs)} log-probabilities")
    return ExactTokens(tuple(prompt), tuple(output), logprobs)


def _logprobs(fields: Mapping[str, Any]) -> tuple[float, ...] | None:
    triples = (fields.get("meta_info") or {}).get("output_token_logprobs")
    if triples:
        return tuple(float(triple[0]) for triple in triples)
    content = (fields.get("logprobs") or {}).get("content")
    return tuple(float(item["logprob"]) for item in content) if content else None
