"""A sandbox behind the HTTP API of SandboxFusion: one of its servers, or `tau2_gym.sandbox.server`."""

from __future__ import annotations

import asyncio
import inspect
from importlib.util import find_spec
from typing import Any

from pydantic import ValidationError

from tau2_gym.completion.blocking import run_sync
from tau2_gym.completion.bodies import Unreadable, read_json
from tau2_gym.completion.faults import CallFailed, Kind, explanation, wished_pause
from tau2_gym.completion.http import looks_up, post
from tau2_gym.completion.model import pause
from tau2_gym.completion.redaction import READ, checked_url, endpoint, redact, shown_url
from tau2_gym.completion.servers import OUTAGE, STARTUP, Server
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.api import KILLED, Response, what_is_wrong
from tau2_gym.sandbox.base import Limits, Result, refused
from tau2_gym.sandbox.jail import interpreter

PROGRAM = f"""\
import os, random, types
random.seed(0)
_it = types.ModuleType("interpreter")
_it.__file__ = "<interpreter>"
exec(compile({inspect.getsource(interpreter)!a}, _it.__file__, "exec"), _it.__dict__)
_it.streams()
"""
"""What code is sent with: it is run by the same interpreter as in a local sandbox, so that it prints
the same, and draws the same numbers. A server by itself would show the random name of a file in every
traceback."""

SAID = 300
"""Characters that are shown of what a server says of itself."""

SPARE = 2**20
"""Bytes of a response beside what the program has written."""


class FusionSandbox:
    """Runs each call at a server that has `POST /run_code` as SandboxFusion has it.

    Calls wait for a server that cannot be reached, or that is overloaded (status 502 or 503). Of the
    limits the server is told the time and the memory; output is cut here, and limits on files and
    processes are the server's own.

    Args:
        url: of the server, without `/run_code`.
        limits: what a call may take.
        key: sent as a bearer token, if there is one.
        retries: further attempts if the connection is lost, the answer is late or unreadable, or the
            server says that it has failed.
        patience: seconds that an answer may take beyond the call's own time, mostly in a queue.
        startup, outage: seconds to wait for a server that has never answered, and for one that has.

    Raises:
        ConfigError: the address is not one, a number is not allowed, or httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        limits: Limits | None = None,
        *,
        key: str | None = None,
        retries: int = 5,
        patience: float = 60.0,
        startup: float = STARTUP,
        outage: float = OUTAGE,
    ) -> None:
        if find_spec("httpx") is None:
            raise ConfigError(
                "a sandbox server is reached with httpx: pip install 'tau2-gym[sandbox]'"
            )
        if retries < 0 or not all(0 <= value < 1e9 for value in (patience, startup, outage)):
            raise ConfigError(
                "retries, patience, startup and outage of a sandbox must not be negative"
            )
        self.limits = limits or Limits()
        self._given = {"url": url, "key": key, "retries": retries, "patience": patience}
        self._given |= {"startup": startup, "outage": outage}
        base = checked_url(url, key)
        self._url, self._key = endpoint(base, "/run_code"), key
        self._retries, self._patience = retries, patience
        self.place = shown_url(self._url)
        ping = endpoint(base, "/v1/ping")
        self._server = Server(self.place, lambda: looks_up(ping, key), startup, outage)

    def run(
        self, code: str, *, stdin: str = "", limits: Limits | None = None, echo: bool = False
    ) -> Result:
        """See `Sandbox.run`. What cannot be encoded in `stdin` is replaced by question marks."""
        if (result := refused(code, stdin)) is not None:
            return result
        return run_sync(self._run(code, stdin, limits or self.limits, echo))

    async def _run(self, code: str, stdin: str, limits: Limits, echo: bool) -> Result:
        run = f"os._exit(_it.run({code!a}, _it.fresh_main(), echo={bool(echo)}))\n"
        body = {
            "code": PROGRAM + run,
            "language": "python",
            "stdin": stdin.encode("utf-8", "replace").decode(),
            "compile_timeout": limits.seconds,
            "run_timeout": limits.seconds,
            "memory_limit_MB": limits.memory_mb,
            "files": {},
            "fetch_files": [],
        }
        try:
            return await self._server.keep_trying(
                lambda _: self._attempt(body, limits), self._retries + 1, pause
            )
        except CallFailed as error:
            raise InfrastructureError(f"the sandbox failed: {error}") from None

    async def _attempt(self, body: dict[str, Any], limits: Limits) -> Result:
        seconds = limits.seconds + self._patience
        most = SPARE + int(12 * 1024 * limits.output_kb)  # Two streams, six bytes for some.
        try:
            async with asyncio.timeout(seconds):
                response, said = await post(self._url, body, self._key, max(most, 16 * SPARE))
        except TimeoutError:
            sentence = f"{self.place} did not answer within {seconds:g} s"
            raise CallFailed(sentence, Kind.LATE) from None
        if response.status_code == 413 and len(body["code"]) > len(body["stdin"]):
            return Result("", "the code is too long for the sandbox\n", status=1)
        if response.status_code != 200:
            wish = wished_pause(response.headers.get("retry-after"))
            raise _failure(response.status_code, said, self.place, min(wish, seconds))
        return _read(said, self.place, limits)

    def __getstate__(self) -> dict[str, Any]:
        return {**self._given, "limits": self.limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _failure(status: int, said: bytes, place: str, wish: float) -> CallFailed:
    """What a response means that has not status 200."""
    try:
        body = read_json(said)
    except Unreadable:
        body = said.decode(errors="replace")
    sentence = f"{place} answered with status {status}: {redact(explanation(body))}"
    if status in (502, 503):
        return CallFailed(sentence, Kind.DOWN, wish)
    if status in (408, 429) or status >= 500:
        return CallFailed(sentence, Kind.BUSY, wish)
    return CallFailed(sentence, Kind.REJECTED)


def _read(said: bytes, place: str, limits: Limits) -> Result:
    """The result in a response.

    Raises:
        CallFailed: the server says that it has failed, or something else than a result.
    """
    try:
        response = Response.model_validate(read_json(said), strict=True)
    except Unreadable as error:
        raise _garbled(place, str(error)) from None
    except ValidationError as error:
        raise _garbled(place, what_is_wrong(error)) from None
    ran = response.run_result
    if response.status == "SandboxError" or (ran is not None and ran.status == "Error"):
        what = redact(response.message or (ran and ran.stderr) or "no reason given", READ)
        what = what if len(what) < SAID else f"…{what[-SAID:]}"  # It begins with all of the code.
        raise CallFailed(f"{place} says that it has failed: {what}", Kind.BUSY)
    if ran is None:
        raise _garbled(place, "there is no run_result")
    killed, status = None, ran.return_code
    if ran.status == "TimeLimitExceeded":
        killed = "time"
    elif response.message in (f"{KILLED}memory", f"{KILLED}output"):
        killed = response.message.removeprefix(KILLED)
    elif status is None:
        raise _garbled(place, "a program has finished without a return_code")
    most = int(limits.output_kb * 1024)
    (stdout, long), (stderr, longer) = _cut(ran.stdout, most), _cut(ran.stderr, most)
    if killed is None and (long or longer):
        killed = "output"
    return Result(stdout, stderr, None if killed else status, killed, ran.execution_time or 0.0)


def _cut(text: str | None, most: int) -> tuple[str, bool]:
    """A text of so many bytes at most, and whether it was longer."""
    written = (text or "").encode("utf-8", "replace")
    return written[:most].decode("utf-8", "replace"), len(written) > most


def _garbled(place: str, why: str) -> CallFailed:
    sentence = f"{place} answered with something that is not a result: {redact(why)}"
    return CallFailed(sentence, Kind.GARBLED)
