"""A small server that speaks SGLang's `/generate`: real sampling and real log-probabilities of a
backend in this process, and failures on demand.

    python -m tests.generate_server --port 30000      the tiny model, until interrupted
"""

from __future__ import annotations

import argparse
import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from agents.backends.base import GenerationBackend
from agents.sampling import SamplingParams

web = pytest.importorskip("aiohttp.web")

FIELDS = (
    *("max_new_tokens", "stop", "stop_token_ids", "stop_regex", "temperature", "top_p", "top_k"),
    *(
        "min_p",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "min_new_tokens",
        "n",
    ),
    *("json_schema", "regex", "ebnf", "structural_tag", "ignore_eos", "skip_special_tokens"),
    *("spaces_between_special_tokens", "no_stop_trim", "stream_interval", "logit_bias"),
    *("sampling_seed", "custom_params", "beam_width", "watermark", "choice"),
)
"""What SGLang 0.5.23 takes as sampling parameters."""

CHUNK = 64
"""How many tokens are sampled between looks for an abort."""


@dataclass(frozen=True)
class Faults:
    """How often a request fails: a connection dropped, an HTTP 500, an abort half-way."""

    drop: float = 0.0
    error: float = 0.0
    abort: float = 0.0
    seed: int = 0


class GenerateServer:
    """What the server knows.

    Args:
        backend: where tokens come from.
        tokenizer: makes their text.
        name: of the model.
        context: its context length in tokens.
        faults: see `Faults`.
        latency: seconds that each request takes at least.
        key: the API key that is asked for.

    Attributes:
        requests: the bodies of all requests to `/generate`.
        aborted: the request ids that were to be aborted.
        failed: how many requests were made to fail, by kind.
        status: HTTP status of `/health`.
        version: name of the weights.
        paths: what can be read from it.
    """

    def __init__(
        self,
        backend: GenerationBackend,
        tokenizer: Any,
        *,
        name: str = "tiny/qwen3",
        context: int = 32768,
        faults: Faults | None = None,
        latency: float = 0.0,
        key: str | None = None,
    ) -> None:
        self.backend = backend
        self.tokenizer = tokenizer
        self.name = name
        self.context = context
        self.faults = faults or Faults()
        self.latency = latency
        self.key = key
        self.requests: list[dict[str, Any]] = []
        self.aborted: list[str] = []
        self.failed: Counter[str] = Counter()
        self.status = 200
        self.version = "default"
        self.paths: dict[str, Any] = {
            "/health": self.health,
            "/model_info": self.model_info,
            "/v1/models": self.models,
        }
        self._running: set[str] = set()
        self._chance = random.Random(self.faults.seed)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[str]:
        """Serve, and give the address. Port 0 is any free one."""
        app = web.Application(client_max_size=2**26, middlewares=[self._guard])
        app.router.add_post("/generate", self.generate)
        app.router.add_post("/abort_request", self.abort_request)
        for path, handler in self.paths.items():
            app.router.add_get(path, handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """`running`, on a thread of its own, for clients that block or are other processes."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        running = self.running()
        try:
            yield asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(60)
            stopping = running.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(stopping, loop).result(60)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: Any, handler: Any) -> Any:
            if (
                self.key is not None
                and request.headers.get("Authorization") != f"Bearer {self.key}"
            ):
                return web.json_response({"error": "Unauthorized"}, status=401)
            return await handler(request)

        return guard

    async def health(self, request: Any) -> Any:
        return web.Response(status=self.status)

    async def model_info(self, request: Any) -> Any:
        return web.json_response(
            {
                "model_path": self.name,
                "served_model_name": self.name,
                "tokenizer_path": self.name,
                "is_generation": True,
                "weight_version": self.version,
                "model_type": "qwen3",
            }
        )

    async def models(self, request: Any) -> Any:
        card = {"id": self.name, "object": "model", "max_model_len": self.context}
        return web.json_response({"object": "list", "data": [card]})

    async def abort_request(self, request: Any) -> Any:
        rid = (await request.json())["rid"]
        self.aborted.append(rid)
        self._running.discard(rid)
        return web.Response(status=200)

    async def generate(self, request: Any) -> Any:
        body = await request.json()
        self.requests.append(body)
        rid, ids, wanted = body["rid"], body["input_ids"], body["sampling_params"]
        for name in wanted:
            if name not in FIELDS:
                known = ", ".join(f"`{field}`" for field in FIELDS)
                return _refused(f"unknown field `{name}`, expected one of {known}")
        if len(ids) >= self.context:
            text = (
                f"The input ({len(ids)} tokens) is longer than the model's context length "
                f"({self.context} tokens)."
            )
            return _refused({"message": text})
        if rid in self._running:
            return _refused({"message": f"Duplicate request ID detected: {rid}"})
        self._running.add(rid)
        try:
            await asyncio.sleep(self.latency)
            fault = self._chance.random() - self.faults.drop
            if fault < 0:
                self.failed["drop"] += 1
                request.transport.abort()
                return web.Response()
            if fault < self.faults.error:
                self.failed["error"] += 1
                return web.json_response({"error": {"message": "out of order"}}, status=500)
            aborts = fault < self.faults.error + self.faults.abort
            self.failed["abort"] += aborts
            return web.json_response(await self._answer(rid, ids, wanted, aborts))
        finally:
            self._running.discard(rid)

    async def _answer(
        self, rid: str, ids: list[int], wanted: dict[str, Any], aborts: bool
    ) -> dict[str, Any]:
        begun = time.time()
        params = SamplingParams(
            temperature=wanted.get("temperature", 1.0),
            top_p=wanted.get("top_p", 1.0),
            top_k=wanted.get("top_k", -1),
            min_p=wanted.get("min_p", 0.0),
            max_new_tokens=wanted.get("max_new_tokens", 128),
            stop=tuple(wanted.get("stop") or ()),
            seed=wanted.get("sampling_seed") or 0,
        )
        ends = wanted.get("stop_token_ids") or []
        limit = params.max_new_tokens
        if aborts:
            limit = self._chance.randrange(min(limit, 16))
        sampled: list[int] = []
        logprobs: list[float] = []
        reason = "length"
        while len(sampled) < limit and reason == "length" and rid in self._running:
            part = await self.backend.generate(
                [*ids, *sampled],
                replace(
                    params,
                    max_new_tokens=min(limit - len(sampled), CHUNK),
                    seed=params.seed + len(sampled),
                ),
                rid,
                ends,
            )
            sampled += part.ids
            logprobs += part.logprobs
            reason = part.finish_reason
        if reason != "stop" and (aborts or rid not in self._running):
            reason = "abort"
        return {
            "text": self.tokenizer.decode(sampled, skip_special_tokens=False),
            "output_ids": sampled,
            "meta_info": {
                "id": rid,
                "finish_reason": self._reason(reason, sampled, params),
                "prompt_tokens": len(ids),
                "weight_version": self.version,
                "num_retractions": 0,
                "input_token_logprobs": [],
                "output_token_logprobs": [
                    [logprob, token, None] for logprob, token in zip(logprobs, sampled, strict=True)
                ],
                "output_token_logprobs_length": len(sampled),
                "reasoning_tokens": 0,
                "completion_tokens": len(sampled),
                "cached_tokens": 0,
                "weight_versions": [{"version": self.version, "start": 0, "end": len(sampled)}],
                "cached_tokens_details": None,
                "dp_rank": None,
                "e2e_latency": time.time() - begun,
                "response_sent_to_client_ts": time.time(),
            },
        }

    def _reason(self, reason: str, sampled: list[int], params: SamplingParams) -> dict[str, Any]:
        if reason == "abort":
            return {"type": reason, "message": "Aborted", "status_code": None, "err_type": None}
        if reason == "length":
            return {"type": reason, "length": len(sampled)}
        text = self.tokenizer.decode(sampled, skip_special_tokens=False)
        matched = next((stop for stop in params.stop if stop in text), sampled[-1])
        return {"type": reason, "matched": matched}


def _refused(error: object) -> Any:
    return web.json_response({"error": error}, status=400)


async def main() -> None:
    from agents.backends.transformers import TransformersBackend
    from tests.tiny_model import tiny_model, tiny_tokenizer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=30000)
    parser.add_argument("--latency", type=float, default=0.0)
    chosen = parser.parse_args()
    backend = TransformersBackend(tiny_model(), tiny_tokenizer())
    server = GenerateServer(backend, tiny_tokenizer(), latency=chosen.latency)
    async with server.running(chosen.port) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
