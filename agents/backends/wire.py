"""What an SGLang server's `/generate` answers, read.

As measured with SGLang 0.5.23: the ids beside the log-probabilities are the sampled tokens, the stop
token among them; the log-probabilities are those of the tempered distribution; an error has the
shape `{"error": "…"}` or `{"error": {"message": "…"}}`. From its source: a server started with
`--allow-auto-truncate` cuts prompts without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.trajectory import Versions
from tau2_gym.completion.bodies import Unreadable, read_json
from tau2_gym.completion.faults import CallFailed, Kind, explanation
from tau2_gym.completion.redaction import redact, struck
from tau2_gym.completion.wire import is_count, is_logprob, is_token

OVERFLOWS = (
    "longer than the model's context length",
    "exceeds the model's maximum context length",
    "exceeds the maximum allowed length",
)
"""What a server says when a prompt does not fit, or will not with the turn asked for."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one request has sampled.

    Attributes:
        ids, logprobs: the tokens and their log-probabilities.
        reason: `stop`, `length` or `abort`.
        versions: which weights sampled them.
        cached: how many tokens of the prompt were in the server's cache.
    """

    ids: list[int]
    logprobs: list[float]
    reason: str
    versions: Versions
    cached: int


def read_answer(body: bytes, place: str, prompt: int) -> Part:
    """What a successful answer says.

    Args:
        body: of the response.
        place: the server, for people.
        prompt: how many tokens the prompt has.

    Raises:
        CallFailed: it is not what SGLang answers, or the server has cut the prompt.
    """
    try:
        part, output, read = _read(read_json(body))
    except Unreadable as error:
        reason = f"{place} did not answer as SGLang does: {error}"
        raise CallFailed(reason, Kind.GARBLED) from None
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{place} did not answer as SGLang does: {redact(repr(error))}"
        raise CallFailed(reason, Kind.GARBLED) from None
    if read != prompt:
        raise CallFailed(
            f"{place} has read {read} of {prompt} prompt tokens: start it without "
            "--allow-auto-truncate",
            Kind.REJECTED,
        )
    if output is not None and output != part.ids:
        raise CallFailed(f"{place} gave other log-probabilities than tokens", Kind.GARBLED)
    return part


def _read(answer: Any) -> tuple[Part, object, int]:
    """A part, the tokens as they are given beside it, and how long the prompt was read to be."""
    meta = answer["meta_info"]
    pairs = meta["output_token_logprobs"] or []
    logprobs, ids = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if not all(map(is_token, ids)):
        raise Unreadable("a token id that is none")
    if not all(map(is_logprob, logprobs)):
        raise Unreadable("a log-probability that is none")
    reason = meta["finish_reason"]["type"]
    if not isinstance(reason, str):
        raise Unreadable("a reason to end that is not text")
    spans = meta.get("weight_versions") or [
        {"version": meta.get("weight_version") or "", "start": 0, "end": len(ids)}
    ]
    versions = []
    for span in spans:
        name, start, end = span["version"], span["start"], span["end"]
        if not (isinstance(name, str | int) and is_count(start) and is_count(end) and start <= end):
            raise Unreadable("a weight version that is none")
        versions.append((struck(str(name))[:100], end - start))
    read, cached = meta["prompt_tokens"], meta.get("cached_tokens") or 0
    if not (is_count(read) and is_count(cached)):
        raise Unreadable("a number of tokens that is none")
    part = Part(
        ids, [float(number) for number in logprobs], reason, joined((), tuple(versions)), cached
    )
    return part, answer.get("output_ids"), read


def joined(first: Versions, second: Versions) -> Versions:
    """Two runs of weight versions as one; without the empty ones."""
    runs: list[tuple[str, int]] = []
    for version, count in (*first, *second):
        if runs and runs[-1][0] == version:
            runs[-1] = (version, runs[-1][1] + count)
        elif count:
            runs.append((version, count))
    return tuple(runs)


def is_overflow(message: str) -> bool:
    """Whether an error means that the context is too small."""
    return any(text in message for text in OVERFLOWS)


def read_error(body: bytes) -> str:
    """The text of an error in any of the shapes that servers and routers use, without secrets."""
    try:
        said = explanation(read_json(body))
    except Unreadable:
        said = body[:2000].decode(errors="replace")
    return redact(said) or "no reason given"
