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
import random
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agents.backends.base import ContextOverflow, FinishReason, Generation
from agents.backends.wire import Part, is_overflow, joined, read_answer, read_error
from agents.sampling import SamplingParams
from agents.trajectory import Versions
from tau2_gym.completion.bodies import Unreadable, check_headers, limited, read_json
from tau2_gym.completion.clocks import stopped_clocks
from tau2_gym.completion.faults import CallFailed, Kind, wished_pause
from tau2_gym.completion.http import bearer
from tau2_gym.completion.redaction import checked_url, endpoint, redact, shown_url
from tau2_gym.completion.servers import LOOK, OUTAGE, POLL, STARTUP, Server, Waiting
from tau2_gym.errors import ConfigError, InfrastructureError

if TYPE_CHECKING:
    import aiohttp

TRANSIENT = (408, 429)
"""Statuses below 500 that ask to try again."""

REMEMBERED = 100_000
"""How many episodes' servers are remembered."""

LONGEST_PAUSE = 60.0
"""Seconds between two attempts at most."""

_jitter = random.Random()


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
        startup: seconds to wait for servers that are starting: that refuse connections, or answer
            HTTP 503.
        outage: seconds to wait, later on, while none of the servers is up.
        timeout: seconds for one request.
        attempts: how often a request is made of servers that are up before it is given up.
        backoff: seconds before the second attempt, at most; doubles with each further one, up to a
            minute.
        api_key: sent as a bearer token.
        send_seed: whether requests hold the seed of their turn.

    Raises:
        ConfigError: an address is not one, or aiohttp is missing.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        model: str | None = None,
        context_length: int | None = None,
        startup: float = STARTUP,
        outage: float = OUTAGE,
        timeout: float = 600.0,
        attempts: int = 8,
        backoff: float = 0.5,
        api_key: str | None = None,
        send_seed: bool = True,
    ) -> None:
        try:
            import aiohttp  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "the sglang backend takes aiohttp: pip install 'tau2-gym[sglang]'"
            ) from error
        self.urls = [
            checked_url(url.strip().rstrip("/").removesuffix("/generate"), api_key) for url in urls
        ]
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
        self._send_seed = send_seed
        self._headers = {"Accept-Encoding": "identity", **bearer(api_key)}
        self._server = Server(", ".join(map(shown_url, self.urls)), self._looks_up, startup, outage)
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
        with stopped_clocks():  # Of all that wait while one asks.
            async with self._checking:
                if self._ready is None:
                    if self.model is not None and (window := sliding_window(self.model)):
                        warnings.warn(windowed(self.model, window), stacklevel=2)
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
        """Make sure of one server when it has started."""
        with Waiting(shown_url(url), self.startup) as wait:
            while True:
                try:
                    return await self._check(url)
                except NotReady:
                    if wait.seconds + POLL > self.startup:
                        raise
                await asyncio.sleep(POLL)

    async def _looks_up(self) -> bool:
        """Whether one of the servers is up."""
        return any(await asyncio.gather(*map(self._is_up, self.urls)))

    async def _is_up(self, url: str) -> bool:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=LOOK)
        address = endpoint(url, "/health")
        try:
            async with self._open().get(address, timeout=limit, allow_redirects=False) as response:
                return response.status < 500
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _check(self, url: str) -> int:
        """Make sure of one server, and give its context length."""
        await self._get(url, "/health")
        info = await self._get(url, "/model_info", "/get_model_info")
        models = await self._get(url, "/v1/models")
        try:
            served = [info["model_path"], info.get("served_model_name"), info.get("tokenizer_path")]
            context = int(models["data"][0]["max_model_len"])
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError):
            raise ConfigError(
                f"{shown_url(url)} does not say what it serves, as SGLang does"
            ) from None
        if self.model is not None and not any(_same(self.model, name) for name in served if name):
            name = redact(str(served[0]))
            raise ConfigError(f"the server at {shown_url(url)} serves {name}, not {self.model}")
        return context

    async def _get(self, url: str, *paths: str) -> Any:
        """What a server answers at the first of these paths that it knows; None if it is not JSON."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=30)
        status, path, place = 404, "", shown_url(url)
        for path in paths:
            try:
                async with self._open().get(
                    endpoint(url, path), timeout=limit, allow_redirects=False
                ) as response:
                    status, body = response.status, await _read(response)
            except Unreadable as error:
                raise ConfigError(f"{place} answered with {error} to {path}") from None
            except (aiohttp.ClientError, TimeoutError) as error:
                # A name that stands for no host is a wrong address. All else may be a server that
                # has not opened its port yet.
                kind = (
                    ConfigError if isinstance(error, aiohttp.ClientConnectorDNSError) else NotReady
                )
                raise kind(
                    f"no SGLang server answers at {place} ({_cause(error)}): start one with "
                    "`python -m sglang.launch_server`, or correct the address"
                ) from None
            if status == 200:
                try:
                    return read_json(body)
                except Unreadable:
                    return None
            if status != 404:
                break
        if status == 503:
            raise NotReady(
                f"the server at {place} is not ready after {self.startup:g} s "
                f"(HTTP 503 from {path})"
            )
        if status in (401, 403):
            raise ConfigError(f"the server at {place} wants another API key (HTTP {status})")
        raise ConfigError(
            f"{place} is not an SGLang server of version 0.5 or later (HTTP {status} from {path})"
        )

    async def _request(
        self, ids: list[int], params: SamplingParams, rid: str, stop_ids: Sequence[int]
    ) -> Part:
        """One request, made again while servers and connections fail."""
        try:
            return await self._server.keep_trying(
                lambda number: self._post(ids, params, rid, stop_ids), self.attempts, self._pause
            )
        except CallFailed as error:
            wrong = error.kind is Kind.REJECTED and not self._server.answered
            raise (ConfigError if wrong else InfrastructureError)(str(error)) from None
        except ContextOverflow as error:
            error.answered = self._server.answered
            raise

    def _pause(self, failures: int) -> float:
        """Seconds until the next attempt."""
        longest = min(LONGEST_PAUSE, self.backoff * 2.0 ** min(failures - 1, 30))
        return longest * _jitter.random()

    async def _post(
        self, ids: list[int], params: SamplingParams, rid: str, stop_ids: Sequence[int]
    ) -> Part:
        import aiohttp

        episode = rid.rpartition("/")[0]
        url = self._home(episode)
        place = shown_url(url)
        attempt = f"{rid}/{uuid4().hex[:8]}"
        sampling = {**params.to_sglang(), "stop_token_ids": list(stop_ids)}
        if not self._send_seed:
            del sampling["sampling_seed"]
        request = {
            "rid": attempt,
            "input_ids": ids,
            "sampling_params": sampling,
            "return_logprob": True,
        }
        headers = {"X-SMG-Routing-Key": episode}
        # None of these errors is chained: their own texts can repeat a key.
        try:
            async with self._open().post(
                endpoint(url, "/generate"), json=request, headers=headers, allow_redirects=False
            ) as response:
                body = await _read(response)
        except asyncio.CancelledError:
            self._abort(url, attempt)
            raise
        except Unreadable as error:
            self._leave(episode)
            raise CallFailed(f"{place} answered with {error}", Kind.GARBLED) from None
        except aiohttp.ClientConnectorError as error:
            self._leave(episode)
            reason = f"the connection to {place} failed: {_cause(error)}"
            raise CallFailed(reason, Kind.UNREACHABLE) from None
        except aiohttp.ClientError as error:
            self._leave(episode)
            reason = f"the connection to {place} failed: {_cause(error)}"
            raise CallFailed(reason, Kind.LOST) from None
        except TimeoutError:
            self._abort(url, attempt)
            self._leave(episode)
            raise CallFailed(f"{place} did not answer in {self.timeout} s", Kind.LATE) from None
        if response.status == 200:
            return read_answer(body, place, len(ids))
        message = read_error(body)
        if response.status >= 500 or response.status in TRANSIENT:
            self._leave(episode)
            wish = min(wished_pause(response.headers.get("Retry-After")), self.timeout)
            kind = Kind.DOWN if response.status in (502, 503) else Kind.BUSY
            raise CallFailed(f"{place} failed (HTTP {response.status}): {message}", kind, wish)
        if is_overflow(message):
            raise ContextOverflow(message)
        reason = f"{place} refused the request (HTTP {response.status}): {message}"
        raise CallFailed(reason, Kind.REJECTED)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=self.timeout, sock_connect=10),
                headers=self._headers,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
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
            async with self._open().post(
                endpoint(url, "/abort_request"),
                json={"rid": attempt},
                timeout=limit,
                allow_redirects=False,
            ):
                pass
        except (aiohttp.ClientError, TimeoutError):
            # The closed connection aborts the request, too; this only makes it quicker.
            return


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body of a response.

    Raises:
        Unreadable: it is compressed, or too large.
    """
    check_headers(response.headers)
    return b"".join([chunk async for chunk in limited(response.content.iter_any())])


def _cause(error: BaseException) -> str:
    """Why a connection failed, without the address, which is said anyway."""
    reason = getattr(getattr(error, "os_error", None), "strerror", None)
    return redact(reason or str(error) or type(error).__name__)


def sliding_window(model: str) -> int | None:
    """Over how many tokens some layers of a model attend; None if all attend to everything, or if
    the model's configuration is not at hand.

    Args:
        model: a folder, or a name on the Hugging Face hub, which is not asked: where it cannot be
            reached that takes a minute, in which nothing else is done.
    """
    try:
        from huggingface_hub import try_to_load_from_cache
        from transformers import AutoConfig

        folder = Path(model)
        if not folder.is_dir():
            kept = try_to_load_from_cache(model, "config.json")
            if not isinstance(kept, str):
                return None
            folder = Path(kept).parent
        config = AutoConfig.from_pretrained(folder)
    except (ImportError, OSError, ValueError, KeyError):
        return None
    text = config.get_text_config()
    window = getattr(text, "sliding_window", None)
    used = getattr(text, "use_sliding_window", True)
    layers = getattr(text, "layer_types", None) or ["sliding_attention"]
    return window if window and used and "sliding_attention" in layers else None


def windowed(model: str, window: int) -> str:
    """What is known of SGLang and such a model."""
    return (
        f"{model} has layers that attend to the last {window} tokens only. With such models the "
        "log-probabilities of SGLang 0.5.23 were 11 to 15 nats off: compare some with one pass of "
        "the model before training on them"
    )


def _same(wanted: str, served: object) -> bool:
    """Whether two names mean one model: equal, or paths that end in the same folder."""
    return isinstance(served, str) and (
        wanted == served or PurePath(wanted).name == PurePath(served).name
    )
