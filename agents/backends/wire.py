"""What an SGLang server's `/generate` answers, read.

As measured with SGLang 0.5.23: the ids beside the log-probabilities are the sampled tokens, the stop
token among them; the log-probabilities are those of the tempered distribution; an error has the
shape `{"error": "…"}` or `{"error": {"message": "…"}}`. From its source: a server started with
`--allow-auto-truncate` cuts prompts without a word.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agents.trajectory import Versions
from tau2_gym.errors import ConfigError, InfrastructureError

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


def read_answer(body: str, url: str, prompt: int) -> Part:
    """What a successful answer says.

    Raises:
        InfrastructureError: it is not what SGLang answers.
        ConfigError: the server has cut the prompt.
    """
    answer = read_json(body)
    try:
        meta = answer["meta_info"]
        pairs = meta["output_token_logprobs"] or []
        logprobs, ids = [float(pair[0]) for pair in pairs], [int(pair[1]) for pair in pairs]
        reason = meta["finish_reason"]["type"]
        spans = meta.get("weight_versions")
        versions = (
            tuple((str(span["version"]), span["end"] - span["start"]) for span in spans)
            if spans
            else ((str(meta.get("weight_version") or ""), len(ids)),)
        )
        read, cached = meta["prompt_tokens"], meta.get("cached_tokens") or 0
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InfrastructureError(f"{url} did not answer as SGLang does: {error!r}") from error
    if read != prompt:
        raise ConfigError(
            f"{url} has read {read} of {prompt} prompt tokens: start it without "
            "--allow-auto-truncate"
        )
    if answer.get("output_ids", ids) != ids:
        raise InfrastructureError(f"{url} gave other log-probabilities than tokens")
    return Part(ids, logprobs, reason, joined((), versions), cached)


def joined(first: Versions, second: Versions) -> Versions:
    """Two runs of weight versions as one; without the empty ones."""
    runs: list[tuple[str, int]] = []
    for version, count in (*first, *second):
        if runs and runs[-1][0] == version:
            runs[-1] = (version, runs[-1][1] + count)
        elif count:
            runs.append((version, count))
    return tuple(runs)


def read_json(body: str) -> Any:
    """The JSON of a body; None if it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def is_overflow(message: str) -> bool:
    """Whether an error means that the context is too small."""
    return any(text in message for text in OVERFLOWS)


def read_error(body: str) -> str:
    """The text of an error in any of the shapes that servers and routers use."""
    data = read_json(body)
    if isinstance(data, dict):
        error = data.get("error", data.get("message", data.get("detail")))
        if isinstance(error, dict):
            error = error.get("message")
        if error:
            return str(error)
    return body.strip()[:200] or "no reason given"
