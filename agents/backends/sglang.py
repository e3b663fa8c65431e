"""Generation by SGLang servers (0.5 and later) over `/generate`, with token ids in and out.

What the servers do, measured with SGLang 0.5.23, and what follows from it here:

- An aborted request, when weights are updated for example, answers HTTP 200 with what it had
  sampled. That is kept, and the rest is asked for.
- A request id that is still in use is refused, so every attempt gets its own.
- What it answers and how it refuses: see `agents.backends.wire`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agents.backends.base import ContextOverflow, FinishReason, Generation
from agents.backends.wire import Part, is_overflow, joined, read_answer, read_error, read_json
from agents.sampling import SamplingParams
from agents.trajectory import Versions
from tau2_gym.errors import ConfigError, InfrastructureError

if TYPE_CHECKING:
    import aiohttp

TRANSIENT = (408, 429)
"""Statuses below 500 that ask to try again."""

REMEMBERED = 100_000
"""How many episodes' servers are remembered."""

POLL = 0.5
"""Seconds between looks whether a server has started."""


class NotReady(ConfigError):
    """A server has not started in time."""


class SGLangBackend:
    """One or several SGLang servers that serve the same model, or a router before them.

    Args:
        urls: where they are, like `http://127.0.0.1:30000`. Each episode keeps to one of them, in
            turn, and moves to the next if that one fails.
        model: the model they must serve, by the name or path that they were started with; None
            takes any.
        context_length: tokens; by default what the servers say.
        startup: seconds to wait for a server that is starting, as it says by answering HTTP 503.
        timeout: seconds for one request.
        attempts: how often a request is made before it is given up.
        backoff: seconds before the second attempt, at most; doubles with each further one, up to a
            minute.
        api_key: sent as a bearer token.

    Raises:
        ConfigError: an address is not one, or aiohttp or tenacity are missing.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        model: str | None = None,
        context_length: int | None = None,
        startup: float = 60.0,
        timeout: float = 600.0,
        attempts: int = 8,
        backoff: float = 0.5,
        api_key: str | None = None,
    ) -> None:
        try:
            import aiohttp  # noqa: F401
            import tenacity  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "the sglang backend takes aiohttp and tenacity: pip install 'tau2-gym[sglang]'"
            ) from error
        self.urls = [url.strip().rstrip("/").removesuffix("/generate") for url in urls]
        for url in self.urls:
            if not url.startswith(("http://", "https://")):
                raise ConfigError(
                    f"a server's address begins with http:// or https://, not {url!r}"
                )
        if not self.urls:
            raise ConfigError("the sglang backend needs the address of a server")
        self.model = model
        self.startup = startup
        self.timeout = timeout
        self.attempts = attempts
        self.backoff = backoff
        self.context_length = context_length
        self._ready: int | None = None
        self._checking = asyncio.Lock()
        self._key = api_key
        self._session: aiohttp.ClientSession | None = None
        self._aborts: set[asyncio.Task[None]] = set()
        self._homes: dict[str, int] = {}
        self._next = itertools.count()

    async def ready(self) -> int:
        """Ask every server whether it is up, what it serves and how long its context is. Waits for
        servers that are starting.

        Raises:
            ConfigError: one cannot be reached, is not ready in time, or serves another model.
        """
        if self._ready is None:
            async with self._checking:
                if self._ready is None:
                    found = [await self._started(url) for url in self.urls]
                    self._ready = self.context_length or min(found)
        return self._ready

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        """Sample one turn; see `GenerationBackend`. Goes on where the server aborted."""
        sampled: list[int] = []
        logprobs: list[float] = []
        versions: Versions = ()
        cached = None
        fruitless = 0
        while True:
            rest = replace(params, max_new_tokens=params.max_new_tokens - len(sampled))
            part = await self._request([*ids, *sampled], rest, rid, stop_ids)
            sampled += part.ids
            logprobs += part.logprobs
            versions = joined(versions, part.versions)
            cached = part.cached if cached is None else cached
            reason: FinishReason = "stop" if part.reason == "stop" else "length"
            if part.reason != "abort" or len(sampled) >= params.max_new_tokens:
                return Generation(tuple(sampled), tuple(logprobs), reason, versions, cached)
            fruitless = 0 if part.ids else fruitless + 1
            if fruitless == self.attempts:
                raise InfrastructureError(f"request {rid} was aborted {fruitless} times in a row")
            # A server that is paused for new weights aborts at once.
            await asyncio.sleep(min(self.backoff * fruitless, 60.0))

    async def close(self) -> None:
        """Close all connections, after the aborts under way."""
        await asyncio.gather(*self._aborts)
        if self._session is not None:
            await self._session.close()
        self._session = None
        self._checking = asyncio.Lock()  # The old one may belong to an event loop that has ended.

    async def _started(self, url: str) -> int:
        """Make sure of one server when it has started. Where nothing listens nothing is waited for:
        that is rather a wrong address."""
        deadline = time.monotonic() + self.startup
        while True:
            try:
                return await self._check(url)
            except NotReady:
                if time.monotonic() + POLL > deadline:
                    raise
            await asyncio.sleep(POLL)

    async def _check(self, url: str) -> int:
        """Make sure of one server, and give its context length."""
        await self._get(url, "/health")
        info = await self._get(url, "/model_info", "/get_model_info")
        models = await self._get(url, "/v1/models")
        try:
            served = [info["model_path"], info.get("served_model_name"), info.get("tokenizer_path")]
            context = int(models["data"][0]["max_model_len"])
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(f"{url} does not say what it serves, as SGLang does") from error
        if self.model is not None and not any(_same(self.model, name) for name in served if name):
            raise ConfigError(f"the server at {url} serves {served[0]}, not {self.model}")
        return context

    async def _get(self, url: str, *paths: str) -> Any:
        """What a server answers at the first of these paths that it knows."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=30)
        status, path = 404, ""
        for path in paths:
            try:
                async with self._open().get(url + path, timeout=limit) as response:
                    status, body = response.status, await response.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise ConfigError(
                    f"no SGLang server answers at {url} ({_cause(error)}): start one with "
                    "`python -m sglang.launch_server`, or correct the address"
                ) from error
            if status == 200:
                return read_json(body)
            if status != 404:
                break
        if status == 503:
            raise NotReady(
                f"the server at {url} is not ready after {self.startup:g} s (HTTP 503 from {path})"
            )
        if status in (401, 403):
            raise ConfigError(f"the server at {url} wants another API key (HTTP {status})")
        raise ConfigError(
            f"{url} is no SGLang server of version 0.5 or later (HTTP {status} from {path})"
        )

    async def _request(
        self, ids: list[int], params: SamplingParams, rid: str, stop_ids: Sequence[int]
    ) -> Part:
        """One request, made again while servers and connections fail."""
        from tenacity import (
            AsyncRetrying,
            retry_if_exception_type,
            stop_after_attempt,
            wait_random_exponential,
        )

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(InfrastructureError),
            stop=stop_after_attempt(self.attempts),
            wait=wait_random_exponential(multiplier=self.backoff, max=60),
            reraise=True,
        )
        return await retrying(self._post, ids, params, rid, stop_ids)

    async def _post(
        self, ids: list[int], params: SamplingParams, rid: str, stop_ids: Sequence[int]
    ) -> Part:
        import aiohttp

        episode = rid.rpartition("/")[0]
        url = self._home(episode)
        attempt = f"{rid}/{uuid4().hex[:8]}"
        request = {
            "rid": attempt,
            "input_ids": ids,
            "sampling_params": {**params.to_sglang(), "stop_token_ids": list(stop_ids)},
            "return_logprob": True,
        }
        headers = {"X-SMG-Routing-Key": episode}
        try:
            async with self._open().post(
                f"{url}/generate", json=request, headers=headers
            ) as response:
                body = await response.text()
        except asyncio.CancelledError:
            self._abort(url, attempt)
            raise
        except aiohttp.ClientError as error:
            self._leave(episode)
            raise InfrastructureError(f"the connection to {url} failed: {_cause(error)}") from error
        except TimeoutError as error:
            self._abort(url, attempt)
            self._leave(episode)
            raise InfrastructureError(f"{url} did not answer in {self.timeout} s") from error
        if response.status == 200:
            return read_answer(body, url, len(ids))
        message = read_error(body)
        if response.status >= 500 or response.status in TRANSIENT:
            self._leave(episode)
            raise InfrastructureError(f"{url} failed (HTTP {response.status}): {message}")
        if is_overflow(message):
            raise ContextOverflow(message)
        raise ConfigError(f"{url} refused the request (HTTP {response.status}): {message}")

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=self.timeout, sock_connect=10),
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            )
        return self._session

    def _home(self, episode: str) -> str:
        if episode not in self._homes:
            if len(self._homes) == REMEMBERED:
                del self._homes[next(iter(self._homes))]
            self._homes[episode] = next(self._next)
        return self.urls[self._homes[episode] % len(self.urls)]

    def _leave(self, episode: str) -> None:
        """Let an episode move on to the next server."""
        self._homes[episode] = self._homes.get(episode, 0) + 1

    def _abort(self, url: str, attempt: str) -> None:
        task = asyncio.get_running_loop().create_task(self._tell(url, attempt))
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)

    async def _tell(self, url: str, attempt: str) -> None:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=10)
        try:
            address = f"{url}/abort_request"
            async with self._open().post(address, json={"rid": attempt}, timeout=limit):
                pass
        except (aiohttp.ClientError, TimeoutError):
            # The closed connection aborts the request, too; this only makes it quicker.
            return


def _cause(error: BaseException) -> str:
    """Why a connection failed, without the address, which is said anyway."""
    reason = getattr(getattr(error, "os_error", None), "strerror", None)
    return reason or str(error) or type(error).__name__


def _same(wanted: str, served: str) -> bool:
    """Whether two names mean one model: equal, or paths that end in the same folder."""
    return wanted == served or PurePath(wanted).name == PurePath(served).name
