"""Generation by SGLang servers (0.5 and later) over `/generate`, with token ids in and out.

What the servers do, measured with SGLang 0.5.23, and what follows from it here:

- An aborted request, when weights are updated for example, answers HTTP 200 with what it had
  sampled. That is kept, and the rest is asked for.
- Ids are read beside their log-probabilities, which belong to the tempered distribution. The stop
  token is among them.
- A request id that is still in use is refused, so every attempt gets its own.
- With `--allow-auto-truncate` a server cuts prompts silently. That is noticed and refused.
- Errors have the shape `{"error": "…"}` or `{"error": {"message": "…"}}`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agents.backends.base import ContextOverflow, FinishReason, Generation
from agents.sampling import SamplingParams
from agents.trajectory import Versions
from tau2_gym.errors import ConfigError, InfrastructureError

if TYPE_CHECKING:
    import aiohttp

OVERFLOWS = (
    "longer than the model's context length",
    "exceeds the model's maximum context length",
    "exceeds the maximum allowed length",
)
TRANSIENT = (408, 429)
"""Statuses below 500 that ask to try again."""

REMEMBERED = 100_000
"""How many episodes' servers are remembered."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What one request has sampled."""

    ids: list[int]
    logprobs: list[float]
    reason: str
    versions: Versions
    cached: int


class SGLangBackend:
    """One or several SGLang servers that serve the same model, or a router before them.

    Args:
        urls: where they are, like `http://127.0.0.1:30000`. Each episode keeps to one of them, in
            turn, and moves to the next if that one fails.
        model: the model they must serve, by the name or path that they were started with; None
            takes any.
        context_length: tokens; by default what the servers say.
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
        self.timeout = timeout
        self.attempts = attempts
        self.backoff = backoff
        self._context = context_length
        self._checked = False
        self._checking = asyncio.Lock()
        self._key = api_key
        self._session: aiohttp.ClientSession | None = None
        self._aborts: set[asyncio.Task[None]] = set()
        self._homes: dict[str, int] = {}
        self._next = itertools.count()

    async def ready(self) -> int:
        """Ask every server whether it is up, what it serves and how long its context is.

        Raises:
            ConfigError: one cannot be reached, is not ready, or serves another model.
        """
        async with self._checking:
            if not self._checked:
                found = [await self._check(url) for url in self.urls]
                self._context = self._context or min(found)
                self._checked = True
        assert self._context is not None
        return self._context

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
            versions = _joined(versions, part.versions)
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

    async def _check(self, url: str) -> int:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=30)
        answers: dict[str, Any] = {}
        for path in ("/health", "/model_info", "/v1/models"):
            try:
                async with self._open().get(url + path, timeout=limit) as response:
                    body = await response.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise ConfigError(
                    f"no SGLang server answers at {url} ({_cause(error)}): start one with "
                    "`python -m sglang.launch_server`, or correct the address"
                ) from error
            if response.status == 503:
                raise ConfigError(f"the server at {url} is not ready yet (HTTP 503 from {path})")
            if response.status in (401, 403):
                raise ConfigError(
                    f"the server at {url} wants another API key (HTTP {response.status})"
                )
            if response.status != 200:
                raise ConfigError(
                    f"{url} is no SGLang server of version 0.5 or later "
                    f"(HTTP {response.status} from {path})"
                )
            answers[path] = _json(body)
        info, models = answers["/model_info"], answers["/v1/models"]
        try:
            names = {info["model_path"], info.get("tokenizer_path"), models["data"][0]["id"]}
            context = int(models["data"][0]["max_model_len"])
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(f"{url} does not say what it serves, as SGLang does") from error
        if self.model is not None and not any(_same(self.model, name) for name in names if name):
            raise ConfigError(f"the server at {url} serves {info['model_path']}, not {self.model}")
        return context

    async def _request(
        self, ids: list[int], params: SamplingParams, rid: str, stop_ids: Sequence[int]
    ) -> _Part:
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
    ) -> _Part:
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
        except TimeoutError as error:
            self._abort(url, attempt)
            self._leave(episode)
            raise InfrastructureError(f"{url} did not answer in {self.timeout} s") from error
        except aiohttp.ClientError as error:
            self._leave(episode)
            raise InfrastructureError(f"the connection to {url} failed: {_cause(error)}") from error
        if response.status == 200:
            return _read(body, url, len(ids))
        message = _message(body)
        if response.status >= 500 or response.status in TRANSIENT:
            self._leave(episode)
            raise InfrastructureError(f"{url} failed (HTTP {response.status}): {message}")
        if any(text in message for text in OVERFLOWS):
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
        self._homes[episode] += 1

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


def _read(body: str, url: str, prompt: int) -> _Part:
    """What a successful answer says.

    Raises:
        InfrastructureError: it is not what SGLang answers.
        ConfigError: the server has cut the prompt.
    """
    answer = _json(body)
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
    return _Part(ids, logprobs, reason, _joined((), versions), cached)


def _joined(first: Versions, second: Versions) -> Versions:
    """Two runs of weight versions as one; without the empty ones."""
    runs: list[tuple[str, int]] = []
    for version, count in (*first, *second):
        if runs and runs[-1][0] == version:
            runs[-1] = (version, runs[-1][1] + count)
        elif count:
            runs.append((version, count))
    return tuple(runs)


def _json(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _message(body: str) -> str:
    """The text of an error in any of the shapes that servers and routers use."""
    data = _json(body)
    if isinstance(data, dict):
        error = data.get("error", data.get("message", data.get("detail")))
        if isinstance(error, dict):
            error = error.get("message")
        if error:
            return str(error)
    return body.strip()[:200] or "no reason given"


def _cause(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _same(wanted: str, served: str) -> bool:
    """Whether two names mean one model: equal, or paths that end in the same folder."""
    return wanted == served or PurePath(wanted).name == PurePath(served).name
