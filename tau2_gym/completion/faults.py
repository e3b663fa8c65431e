"""Why a call to a model failed, and who has to know."""

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from tau2_gym.errors import InfrastructureError


class ContextOverflow(RuntimeError):
    """The conversation no longer fits the model. Asking again does not help.

    Attributes:
        answered: whether the server that says so has answered before, and so is set up correctly.
    """

    answered = False


class ContentFiltered(InfrastructureError):
    """The provider's content filter blocked the question or the answer."""


class CallTimeout(InfrastructureError):
    """The model did not answer in time, after all retries."""


class Kind(Enum):
    """How a call failed."""

    BUSY = "busy"
    """The service is overloaded, or broke on this call: worth another try."""
    LOST = "lost"
    """The connection was lost: worth another try."""
    LATE = "late"
    """No answer in time: worth another try."""
    GARBLED = "garbled"
    """An unreadable answer: worth another try if others were readable."""
    UNREACHABLE = "unreachable"
    """No connection: the server is down, or starting."""
    DOWN = "down"
    """The server, or a proxy before it, says that it is not available."""
    REJECTED = "rejected"
    """The service refuses this request, and would refuse it again."""


class CallFailed(Exception):
    """One call failed. `retry_after`: seconds that the service asks to be left alone."""

    def __init__(self, sentence: str, kind: Kind, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.retry_after = retry_after


OVERFLOW = re.compile(
    r"context[_ ](length|window|limit|size)|maximum (input|model|prompt|sequence) length"
    r"|too many (input )?tokens|(prompt|input|messages) is too long|maximum number of tokens"
    r"|input tokens exceed|too large for model",
    re.IGNORECASE,
)
FILTERED = re.compile(
    r"content[_ ](filter|policy|management)|responsible_?ai|safety system", re.IGNORECASE
)
NO_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)


def failure(status: int, text: str, place: str, model: str, retry_after: float = 0.0) -> Exception:
    """What an HTTP error response means.

    Args:
        status: the HTTP status.
        text: the service's explanation, free of secrets.
        place: the service, for people.
        model: the model asked for.
        retry_after: the service's wish, in seconds.
    """
    said = f": {text}" if text else ""
    if status == 429 and "insufficient_quota" in text:
        return CallFailed(f"the account at {place} has no credit left{said}", Kind.REJECTED)
    if status in (502, 503):
        return CallFailed(f"{place} answered with status {status}{said}", Kind.DOWN, retry_after)
    if status in (408, 429) or status >= 500:
        return CallFailed(f"{place} answered with status {status}{said}", Kind.BUSY, retry_after)
    if status in (400, 413, 422) and OVERFLOW.search(text):
        return ContextOverflow(f"the conversation does not fit {model!r}{said}")
    if status in (400, 403) and FILTERED.search(text):
        return ContentFiltered(f"the content filter of {place} refused{said}")
    if status in (401, 403):
        return CallFailed(
            f"{place} does not accept the API key (status {status}){said}", Kind.REJECTED
        )
    if status == 404 and NO_MODEL.search(text):
        return CallFailed(f"{place} does not have the model {model!r}{said}", Kind.REJECTED)
    if status == 404:
        return CallFailed(
            f"there are no chat completions at {place} (status 404); the base URL of an "
            f"OpenAI-compatible server usually ends in /v1",
            Kind.REJECTED,
        )
    return CallFailed(f"{place} rejected the request (status {status}){said}", Kind.REJECTED)


def explanation(body: Any) -> str:
    """The service's own words in an error response, whose forms differ: `{"error": {"message":
    …}}`, `{"error": "…"}`, `{"message": …}`, `{"detail": …}`, or plain text."""
    try:
        return _explanation(body)
    except RecursionError:
        return "an error that is nested too deeply"


def _explanation(body: Any) -> str:
    if isinstance(body, dict):
        error = body.get("error", body.get("message", body.get("detail", body)))
        if isinstance(error, dict):
            code = error.get("code") or error.get("type") or ""
            message = error.get("message", error)
            return f"{message} [{code}]" if isinstance(code, str) and code else str(message)
        return str(error)
    return str(body)


LONGEST_WISH = 60.0
"""The most seconds to leave a service alone, whatever it asks for."""


def wished_pause(header: str | None) -> float:
    """How long a service is to be left alone, in seconds: what its `Retry-After` says, a number or
    a date, but no longer than `LONGEST_WISH`; 0 if it says nothing meaningful."""
    try:
        seconds = float(header or 0)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header or "").timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WISH)
