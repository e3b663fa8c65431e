"""What goes to a chat completion service and what comes back, apart from any transport."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tau2_gym.completion.metering import Usage
from tau2_gym.completion.redaction import struck

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
    """What came back is not a chat completion. The text says what is wrong with it."""


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
    """The completion in the body of a response, of which the first choice counts. Secrets that the
    server was given and says again are struck out of its words.

    Args:
        body: the response's JSON.
        cost: of the call, in US dollars.

    Raises:
        NotACompletion: it is something else, or part of it is.
    """
    try:
        return _completion(body, cost)
    except RecursionError:
        raise NotACompletion("it is nested too deeply") from None


def _completion(body: Any, cost: float) -> Completion:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise NotACompletion("it has no choices")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise NotACompletion("its choice has no message")
    calls = message.get("tool_calls")
    if not isinstance(calls, list | None):
        raise NotACompletion("its tool calls are not a list")
    usage = _mapping(body, "usage")
    return Completion(
        content=_text(message, "content"),
        tool_calls=tuple(_call(call) for call in calls or ()),
        finish_reason=_text(choice, "finish_reason") or "stop",
        refusal=_text(message, "refusal")
        or _text(_mapping(message, "provider_specific_fields"), "refusal")
        or "",
        usage=Usage(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"), cost, 1),
        exact=_exact(body, choice),
    )


def _mapping(part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = part.get(name)
    if not isinstance(found, Mapping | None):
        raise NotACompletion(f"its {name} is not an object")
    return found or {}


def _text(part: Mapping[str, Any], name: str) -> str | None:
    found = part.get(name)
    if not isinstance(found, str | None):
        raise NotACompletion(f"its {name} is not text")
    return found and struck(found)


def _count(part: Mapping[str, Any], name: str) -> int:
    found = part.get(name)
    if found is None:
        return 0
    if not is_count(found):
        raise NotACompletion(f"its {name} is not a number of tokens")
    return int(found)


def _call(call: Any) -> RawCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise NotACompletion("a tool call names no function")
    arguments = function.get("arguments")
    # Some servers send an object where OpenAI sends its text.
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return RawCall(_text(call, "id") or "", _text(function, "name") or "", struck(text))


def _exact(body: Mapping[str, Any], choice: Mapping[str, Any]) -> ExactTokens | None:
    """Token ids as SGLang and vLLM return them, directly or through LiteLLM."""
    fields = {**choice, **_mapping(choice, "provider_specific_fields")}
    prompt = fields.get("prompt_token_ids") or body.get("prompt_token_ids")
    output = fields.get("response_token_ids") or fields.get("token_ids")
    if prompt is None or output is None:
        return None
    for ids in (prompt, output):
        if not isinstance(ids, list) or not all(map(is_token, ids)):
            raise NotACompletion("its token ids are none")
    logprobs = _logprobs(fields)
    if logprobs is not None and len(logprobs) != len(output):
        raise NotACompletion(f"it has {len(output)} tokens and {len(logprobs)} log-probabilities")
    return ExactTokens(tuple(prompt), tuple(output), logprobs)


def _logprobs(fields: Mapping[str, Any]) -> tuple[float, ...] | None:
    triples = _mapping(fields, "meta_info").get("output_token_logprobs")
    content = _mapping(fields, "logprobs").get("content")
    try:
        if triples:
            found = [triple[0] for triple in triples]
        elif content:
            found = [item["logprob"] for item in content]
        else:
            return None
    except (KeyError, IndexError, TypeError):
        raise NotACompletion("its log-probabilities have no form that is known") from None
    if not all(map(is_logprob, found)):
        raise NotACompletion("its log-probabilities are none")
    return tuple(map(float, found))


LARGEST_ID = 2**31 - 1
"""Token ids are 32-bit numbers wherever they are used."""
MOST_NEGATIVE = -1e9
ROUNDING = 0.01
"""How far a log-probability may lie above 0: what bfloat16 makes of a sum."""


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_token(value: object) -> bool:
    """Whether a value can be a token id."""
    return is_count(value) and value <= LARGEST_ID  # type: ignore[operator]


def is_logprob(value: object) -> bool:
    """Whether a value can be a log-probability: finite, and not above 0 beyond rounding."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and MOST_NEGATIVE < value <= ROUNDING  # type: ignore[operator]
