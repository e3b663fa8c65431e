"""Recording calls of models, and replaying them offline.

A cassette is a file of JSON lines, one for each call: a hash of the request, by which it is found
again, a short description of the request for people, and what came of it. An episode whose calls
are replayed is the same bit by bit, model failures, tokens and costs included. Requests hold neither
keys nor addresses (`tau2_gym.completion.wire.Request`), and from the text of a failure addresses are
struck out, so cassettes hold none.

What is asked and answered in a call is its `Form`: a chat here, a turn in tokens in
`agents.backends.recorded`. One cassette may hold both. Requests that are alike are answered in the
order in which they were recorded. One process at a time may write to a cassette.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar

from tau2_gym.completion.faults import CallTimeout, ContentFiltered, ContextOverflow
from tau2_gym.completion.wire import Completion, Request, digest, request_key
from tau2_gym.errors import ConfigError, DataError, InfrastructureError, one_of
from tau2_gym.journal import Journal

T = TypeVar("T")

FAILURES: dict[str, type[RuntimeError]] = {
    "context_overflow": ContextOverflow,
    "content_filtered": ContentFiltered,
    "timeout": CallTimeout,
    "infrastructure": InfrastructureError,
}
"""Failures that are recorded, too, the more specific ones first."""

PASSING = ("timeout", "infrastructure")
"""Transient failures: in mode `auto` these calls are made again."""

ADDRESS = re.compile(r"https?://\S*\w|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")


class Mode(StrEnum):
    """What a cassette does with a call."""

    RECORD = "record"
    """Make it and record it, in a new file."""
    REPLAY = "replay"
    """Answer it from the file; a missing call is an error."""
    AUTO = "auto"
    """Answer it from the file if it is there; otherwise make it and record it."""


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """A kind of call.

    Attributes:
        describe: a summary of a request: what a reader of a cassette wants to know, and what is
            needed to say how two requests differ.
        name: a described request's answer in words, for the error that it is missing.
        write: an answer as plain data.
        read: the answer back from them, after a round trip through JSON; raises what it likes if
            they are of another form.
    """

    describe: Callable[[Request], dict[str, Any]]
    name: Callable[[Mapping[str, Any]], str]
    write: Callable[[T], Any]
    read: Callable[[Any], T]


class Cassette:
    """Recorded calls. Safe to share between models, tasks and threads.

    Args:
        path: the file.
        mode: `record`, `replay` or `auto`.

    Raises:
        ConfigError: unknown mode; nothing there to replay; a file there that would be overwritten.
        DataError: the file is not a cassette.
    """

    def __init__(self, path: str | Path, mode: str = Mode.AUTO) -> None:
        if mode not in list(Mode):
            raise one_of("cassette mode", mode, list(Mode))
        self.path = Path(path)
        self.mode = Mode(mode)
        self._journal = Journal(path)
        self._lock = threading.Lock()
        self._calls: dict[str, list[dict[str, Any]]] = {}
        self._played: dict[str, int] = {}
        there = self.path.is_file() and self.path.stat().st_size > 0
        if self.mode is Mode.RECORD and there:
            raise ConfigError(f"cassette {self.path} exists already; delete it or use mode 'auto'")
        if self.mode is Mode.REPLAY and not there:
            raise ConfigError(f"there is no cassette to replay at {self.path}")
        if there:
            self._load()

    def __len__(self) -> int:
        """How many calls it can answer."""
        return sum(map(len, self._calls.values()))

    def rewind(self) -> None:
        """Play from the start again, so that equal requests get their first answer."""
        with self._lock:
            self._played.clear()

    async def play(
        self, request: Request, ask: Callable[[Request], Awaitable[Completion]]
    ) -> Completion:
        """`call`, of a chat."""
        return await self.call(CHAT, request, ask)

    async def call(
        self, form: Form[T], request: Request, ask: Callable[[Request], Awaitable[T]] | None
    ) -> T:
        """The recorded outcome of a request; or, depending on the mode, its outcome now.

        Args:
            form: of the call.
            request: decides the answer; plain data, nothing secret.
            ask: makes the call; None if it cannot be made.

        Raises:
            DataError: no such call is left, and none can be made, in mode `replay` or without
                `ask`; or what is there has another form.
            RuntimeError: those in `FAILURES`, and whatever else `ask` raises.
        """
        key = request_key(request)
        recorded = self._next(key)
        if recorded is not None:
            return self._outcome(form, request, recorded)
        if ask is None or self.mode is Mode.REPLAY:
            raise DataError(self._missing(key, form, form.describe(request)))
        row: dict[str, Any] = {"key": key, "request": form.describe(request)}
        try:
            answer = await ask(request)
        except tuple(FAILURES.values()) as error:
            kind = next(kind for kind, failure in FAILURES.items() if isinstance(error, failure))
            row |= {"failure": kind, "text": ADDRESS.sub("***", str(error))}
            if isinstance(error, ContextOverflow) and error.answered:
                row["answered"] = True
            self._write(row)
            # As in a replay.
            raise _failure(row) from error
        self._write(row | {"answer": form.write(answer)})
        return answer

    def _next(self, key: str) -> dict[str, Any] | None:
        with self._lock:
            number = self._played.get(key, 0)
            recorded = self._calls.get(key, [])
            if self.mode is Mode.RECORD or number >= len(recorded):
                return None
            self._played[key] = number + 1
            return recorded[number]

    def _write(self, row: dict[str, Any]) -> None:
        key = row["key"]
        with self._lock:
            self._journal.append(row)
            if self.mode is Mode.AUTO and row.get("failure") not in PASSING:
                self._calls.setdefault(key, []).append(row)
                self._played[key] = len(self._calls[key])

    def _load(self) -> None:
        for number, row in self._journal:
            try:
                if self.mode is Mode.AUTO and row.get("failure") in PASSING:
                    continue
                if "failure" not in row:
                    row["answer"]
                elif row["failure"] not in FAILURES:
                    raise KeyError(row["failure"])
                row["request"].keys()
                self._calls.setdefault(row["key"], []).append(row)
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{self.path}, line {number}, is not a recorded call: {error!r}"
                ) from error

    def _outcome(self, form: Form[T], request: Request, row: dict[str, Any]) -> T:
        if "failure" in row:
            raise _failure(row)
        try:
            return form.read(row["answer"])
        except Exception as error:
            what = form.name(form.describe(request))
            raise DataError(f"cassette {self.path} holds no usable {what}: {error!r}") from error

    def _missing(self, key: str, form: Form[T], wanted: dict[str, Any]) -> str:
        what = f"cassette {self.path} holds no {form.name(wanted)}"
        if key in self._calls:
            return f"{what}: all {len(self._calls[key])} recorded answers have been played"
        described = [
            rows[0]["request"]
            for rows in self._calls.values()
            if rows[0]["request"].keys() == wanted.keys()
        ]
        if not described:
            return what
        nearest = min(described, key=lambda other: len(_differences(wanted, other)))
        return f"{what}; the nearest call differs in {', '.join(_differences(wanted, nearest))}"


def _failure(row: Mapping[str, Any]) -> RuntimeError:
    """The failure recorded in a row."""
    failure = FAILURES[row["failure"]](row["text"])
    if isinstance(failure, ContextOverflow):
        failure.answered = row.get("answered") is True
    return failure


def describe(request: Request) -> dict[str, Any]:
    """A chat in short."""
    messages = request["messages"]
    parts = {"model", "messages", "tools", "seed"}
    return {
        "model": request["model"],
        "seed": request.get("seed"),
        "parameters": {name: request[name] for name in request.keys() - parts},
        "tools": digest(request.get("tools", []))[:12],
        "system": digest(messages[:1])[:12],
        "history": digest(messages[1:-1])[:12],
        "messages": len(messages),
        "last": messages[-1],
    }


def _named(wanted: Mapping[str, Any]) -> str:
    return (
        f"answer to message {wanted['messages'] + 1} of {wanted['model']!r} after "
        f"{_shortened(wanted['last'])} (seed {wanted['seed']})"
    )


CHAT = Form(describe, _named, Completion.to_dict, Completion.from_dict)
"""A chat of messages with tools, and the model's next message."""


def _differences(wanted: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in wanted if wanted[name] != other.get(name)]


def _shortened(message: dict[str, Any], length: int = 120) -> str:
    text = json.dumps(message, ensure_ascii=False)
    return text if len(text) <= length else text[: length - 1] + "…"
