"""Calls to any provider through LiteLLM, which is imported at the first call."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tau2_gym.completion.blocking import SHARED
from tau2_gym.completion.bodies import Unreadable, read_json
from tau2_gym.completion.faults import (
    CallFailed,
    ContentFiltered,
    ContextOverflow,
    Kind,
    explanation,
    failure,
    wished_pause,
)
from tau2_gym.completion.http import looks_up
from tau2_gym.completion.redaction import basic_auth, endpoint, redact, shown_url, struck
from tau2_gym.completion.wire import Completion, NotACompletion, Request, read_completion
from tau2_gym.errors import ConfigError

MALICIOUS = ("1.82.7", "1.82.8")
"""Releases of LiteLLM that were published by an attacker and send credentials away."""

PREFIX = re.compile(r"\A(?:(?:litellm\.)?\w+(?:Error|Exception)(?::| -)\s*)+")
"""What LiteLLM puts before the provider's own words."""


@cache
def load_litellm() -> Any:
    """The module, set to fetch nothing and report nothing.

    Raises:
        ConfigError: it is not installed, or in a version that must not be used.
    """
    try:
        installed = version("litellm")
    except PackageNotFoundError as error:
        raise ConfigError(
            "this model is called through LiteLLM, which is not installed: pip install "
            "'tau2-gym[litellm]', or call an OpenAI-compatible server without it (--base-url for an "
            "agent, llm:MODEL@URL for a user, base_url in Python)"
        ) from error
    if installed in MALICIOUS:
        raise ConfigError(
            f"LiteLLM {installed} is malicious: uninstall it, and replace every key it could read"
        )
    # Without this the import fetches a table of prices.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm: Any = import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").addFilter(_without_secrets)
    _limit_bodies()
    return litellm


def _without_secrets(record: logging.LogRecord) -> bool:
    """Mask secrets in what LiteLLM logs, including what servers say."""
    record.msg, record.args = struck(record.getMessage()), None
    return True


def _limit_bodies() -> None:
    """Apply the limits (`completion.httpx_limits`) to all connections that LiteLLM makes. The
    method replaced makes the transport of each of its httpx clients, for any provider, in 1.80 to
    1.105.
    """
    import httpx

    from tau2_gym.completion.httpx_limits import bounded

    handler: Any = import_module("litellm.llms.custom_httpx.http_handler").AsyncHTTPHandler
    make = handler._create_async_transport

    def made(*arguments: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return bounded(make(*arguments, **options) or httpx.AsyncHTTPTransport())

    handler._create_async_transport = staticmethod(made)


class LiteLLMTransport:
    """Passes requests to LiteLLM.

    LiteLLM keeps clients and workers that belong to the event loop they were made on. So all calls
    run on one loop, that of `run_sync`, wherever they come from.

    Args:
        base_url: in place of the provider's own address.
        api_key: in place of the one in the provider's environment variable.
        timeout: for one call, in seconds.

    Raises:
        ConfigError: LiteLLM is not installed, or in a version that must not be used.
    """

    def __init__(self, base_url: str | None, api_key: str | None, timeout: float) -> None:
        self.place = "LiteLLM" if base_url is None else f"{shown_url(base_url)} (through LiteLLM)"
        self._base_url, self._headers = base_url, dict[str, str]()
        if base_url is not None:
            # LiteLLM's client would send a key of its own next to the credentials of an address.
            self._base_url, self._headers = basic_auth(base_url)
        self._key = api_key
        self._timeout = timeout
        self._checked: set[str] = set()
        self.looks_up: Callable[[], Awaitable[bool]] | None = None
        if base_url is not None:
            self.looks_up = lambda: looks_up(endpoint(base_url, "/models"), api_key)
        load_litellm()  # Takes seconds, which must not count towards the time-out of a call.

    async def send(self, request: Request) -> Completion:
        """One attempt.

        Raises:
            CallFailed: it failed.
            ConfigError: no key, or no such provider.
            ContextOverflow, ContentFiltered: see there.
        """
        if SHARED.is_current:
            return await self._call(request)
        return await asyncio.wrap_future(SHARED.submit(self._call(request)))

    async def _call(self, request: Request) -> Completion:
        from tau2_gym.completion.httpx_limits import limits

        litellm = load_litellm()
        if request["model"] not in self._checked:
            self._check(litellm, request["model"])
            self._checked.add(request["model"])
        # A copy, since LiteLLM may rewrite messages in place.
        arguments = copy.deepcopy(request)
        if "seed" not in (litellm.get_supported_openai_params(model=request["model"]) or ()):
            arguments.pop("seed", None)
        try:
            with limits():
                response = await litellm.acompletion(
                    **arguments,
                    api_base=self._base_url,
                    api_key=self._key,
                    timeout=self._timeout,
                    max_retries=0,
                    extra_headers=self._headers or None,
                )
        except Exception as error:
            # Not chained: LiteLLM's own text can repeat the key.
            raise self._failure(litellm, error, request["model"]) from None
        cost = response._hidden_params.get("response_cost") or 0.0
        try:
            return read_completion(response.model_dump(warnings=False), float(cost))
        except (NotACompletion, RecursionError) as error:
            reason = f"{self.place} answered with something that is not a chat completion: {error}"
            raise CallFailed(redact(reason), Kind.GARBLED) from None

    def _check(self, litellm: Any, model: str) -> None:
        """Check that LiteLLM knows the provider and has a key. It would report a missing key as a
        server failure."""
        try:
            provider = litellm.get_llm_provider(model, api_base=self._base_url)[1]
        except litellm.BadRequestError as error:
            raise ConfigError(
                f"LiteLLM does not know whose model {model!r} is: write PROVIDER/MODEL, "
                "for example openai/gpt-4.1, or openai/MODEL and a base URL for a server of yours"
            ) from error
        if self._key is not None:
            return
        missing = litellm.validate_environment(model)["missing_keys"]
        if self._base_url is not None:
            # Your own server seldom needs a key, but the client insists on one.
            self._key = "EMPTY" if missing and provider == "openai" else None
        elif missing:
            raise ConfigError(
                f"no key for {model!r}: set {' and '.join(missing)} in the environment "
                "(in Python, ChatModel also takes api_key)"
            )

    def _failure(self, litellm: Any, error: Exception, model: str) -> Exception:
        import aiohttp
        import httpx

        causes = list(_causes(error))
        said = _own_words(causes) or PREFIX.sub("", getattr(error, "message", "") or str(error))
        text = redact(said)
        for cause in causes:
            if isinstance(cause, Unreadable):
                return CallFailed(f"{self.place} answered with {cause}", Kind.GARBLED)
        if isinstance(error, litellm.ContextWindowExceededError):
            return ContextOverflow(f"the conversation does not fit {model!r}: {text}")
        if isinstance(error, litellm.ContentPolicyViolationError):
            return ContentFiltered(f"the content filter of {model!r} refused: {text}")
        if isinstance(error, litellm.Timeout):
            return CallFailed(f"{self.place} did not answer within {self._timeout:g} s", Kind.LATE)
        if any(isinstance(c, httpx.ConnectError | aiohttp.ClientConnectorError) for c in causes):
            return CallFailed(f"cannot connect to {self.place}: {text}", Kind.UNREACHABLE)
        if any(isinstance(cause, ValueError | RecursionError) for cause in causes[1:]):
            reason = f"{self.place} answered with something that is not a chat completion: {text}"
            return CallFailed(reason, Kind.GARBLED)
        status = getattr(error, "status_code", None)
        if isinstance(error, litellm.UnsupportedParamsError) or not isinstance(status, int):
            return CallFailed(f"{self.place} rejected the request: {text}", Kind.REJECTED)
        return failure(status, text, self.place, model, _retry_after(causes))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _own_words(causes: list[BaseException]) -> str:
    """What the provider said, which LiteLLM sometimes leaves out; empty if it said nothing."""
    for cause in causes:
        response: Any = getattr(cause, "response", None)
        if getattr(response, "is_closed", False) and response.content:
            try:
                return explanation(read_json(response.content))
            except Unreadable:
                return str(response.content.decode(errors="replace"))
    return ""


def _retry_after(causes: list[BaseException]) -> float:
    """How long the provider asks to be left alone, in seconds; 0 if it does not say."""
    for cause in causes:
        headers = getattr(getattr(cause, "response", None), "headers", None) or {}
        if "retry-after" in headers:
            return wished_pause(headers["retry-after"])
    return 0.0
