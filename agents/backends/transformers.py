"""Generation by a model in this process: no server, one device, exact log-probabilities.

Requests that wait at the same time are generated together. The model runs on a thread of its own, so
the event loop goes on. For thousands of episodes use a server: nothing is cached between turns.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agents.backends.base import ContextOverflow, FinishReason, Generation
from agents.sampling import SamplingParams
from tau2_gym.errors import ConfigError, InfrastructureError

if TYPE_CHECKING:
    import torch

BYTES_PER_CHARACTER = 4


@dataclass(slots=True)
class _Job:
    """A request and what has been sampled for it."""

    prompt: list[int]
    params: SamplingParams
    limit: int
    stop_ids: frozenset[int]
    answer: asyncio.Future[Generation]
    chance: random.Random
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: FinishReason | None = None

    @property
    def finished(self) -> bool:
        """Whether no request waits for another token."""
        return self.reason is not None or self.answer.cancelled()


class TransformersBackend:
    """A causal language model of the `transformers` library.

    Args:
        model: the model, on its device.
        tokenizer: needed only for stop texts.
        batch_size: the most requests generated together.
        batch_tokens: the most tokens, padding and new ones included, that they may take together.
        window: seconds to wait for more requests before a batch begins.
        version: name of the weights, recorded with what they sample. May be changed.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        batch_size: int = 32,
        batch_tokens: int = 65536,
        window: float = 0.005,
        version: str = "",
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.window = window
        self.version = version
        self._ends = _end_ids(model)
        self._queue: deque[_Job] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    @classmethod
    def load(
        cls, path: str, *, device: str | None = None, dtype: str = "auto", **options: Any
    ) -> TransformersBackend:
        """The backend for a model from its folder or its name on the Hugging Face hub.

        Args:
            path: where the model and its tokenizer are.
            device: `cuda`, `cpu` …; by default a GPU if there is one.
            dtype: `auto`, `float32`, `bfloat16` …
            options: further arguments of the class.

        Raises:
            ConfigError: torch or transformers are missing, or the model cannot be loaded.
        """
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise ConfigError(
                "a local model takes torch and transformers: pip install 'tau2-gym[transformers]'"
            ) from error
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            tokenizer = AutoTokenizer.from_pretrained(path)
            model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError(f"no model can be loaded from {path!r}: {reason}") from error
        return cls(model.to(device), tokenizer, **options)

    async def ready(self) -> int:
        """The context length of the model."""
        return int(self.model.config.max_position_embeddings)

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        """Sample one turn; see `GenerationBackend`. Heeds the seed: what is sampled does not depend
        on what else is in the batch, but for the rounding of the arithmetic."""
        room = await self.ready() - len(ids)
        if room < 1:
            raise ContextOverflow(f"{len(ids)} tokens leave no room in the model's context")
        if params.stop and self.tokenizer is None:
            raise ConfigError("stop texts need a tokenizer in the transformers backend")
        loop = asyncio.get_running_loop()
        job = _Job(
            prompt=list(ids),
            params=params,
            limit=min(params.max_new_tokens, room),
            stop_ids=self._ends.union(stop_ids),
            answer=loop.create_future(),
            chance=random.Random(params.seed),
        )
        self._queue.append(job)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        return await job.answer

    async def close(self) -> None:
        """Give up waiting requests and let go of the thread."""
        for job in self._queue:
            job.answer.cancel()
        if self._worker is not None:
            await self._worker
        if self._thread is not None:
            self._thread.shutdown()
        self._worker = self._thread = None

    async def _work(self) -> None:
        """Generate batches until no request is waiting."""
        await asyncio.sleep(self.window)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers")
        while jobs := self._batch():
            failure: InfrastructureError | None = None
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._run, jobs)
            except Exception as error:
                failure = InfrastructureError(f"the model failed: {type(error).__name__}: {error}")
            for job in jobs:
                if job.answer.done():
                    continue
                if failure is not None:
                    job.answer.set_exception(failure)
                else:
                    versions = ((self.version, len(job.ids)),)
                    job.answer.set_result(
                        Generation(
                            tuple(job.ids), tuple(job.logprobs), job.reason or "length", versions
                        )
                    )

    def _batch(self) -> list[_Job]:
        """The next requests, as many as fit."""
        jobs: list[_Job] = []
        longest = 0
        while self._queue and len(jobs) < self.batch_size:
            job = self._queue[0]
            longest = max(longest, len(job.prompt) + job.limit)
            if jobs and longest * (len(jobs) + 1) > self.batch_tokens:
                break
            self._queue.popleft()
            if not job.finished:
                jobs.append(job)
        return jobs

    def _run(self, jobs: list[_Job]) -> None:
        """Sample token after token for all requests of a batch, padded on the left."""
        import torch

        device = self.model.device
        width = max(len(job.prompt) for job in jobs)
        ids = torch.zeros((len(jobs), width), dtype=torch.long)
        mask = torch.zeros((len(jobs), width), dtype=torch.long)
        for row, job in enumerate(jobs):
            ids[row, width - len(job.prompt) :] = torch.tensor(job.prompt)
            mask[row, width - len(job.prompt) :] = 1
        ids, mask = ids.to(device), mask.to(device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = None
        with torch.inference_mode():
            while True:
                output = self.model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                cache = output.past_key_values
                chances = [job.chance.random() for job in jobs]
                tokens, logprobs = draw(output.logits[:, -1], [job.params for job in jobs], chances)
                for job, token, logprob in zip(
                    jobs, tokens.tolist(), logprobs.tolist(), strict=True
                ):
                    if not job.finished:
                        self._append(job, token, logprob)
                if all(job.finished for job in jobs):
                    return
                ids = tokens[:, None]
                mask = torch.cat([mask, mask.new_ones((len(jobs), 1))], dim=-1)
                positions = positions[:, -1:] + 1

    def _append(self, job: _Job, token: int, logprob: float) -> None:
        job.ids.append(token)
        job.logprobs.append(logprob)
        if token in job.stop_ids or self._stopped(job):
            job.reason = "stop"
        elif len(job.ids) == job.limit:
            job.reason = "length"

    def _stopped(self, job: _Job) -> bool:
        """Whether the last token completes a stop text."""
        if not job.params.stop:
            return False
        reach = BYTES_PER_CHARACTER * max(map(len, job.params.stop))
        text = self.tokenizer.decode(job.ids[-reach:], skip_special_tokens=False)
        return any(stop in text for stop in job.params.stop)


def draw(
    logits: torch.Tensor, params: Sequence[SamplingParams], chances: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token for each row.

    Args:
        logits: (rows, vocabulary).
        params: how to draw each row.
        chances: a number in [0, 1) for each row; the same number draws the same token.

    Returns:
        The tokens, and their log-probabilities under softmax(logits / temperature), or under
        softmax(logits) for greedy rows; both of shape (rows,).
    """
    import torch

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=logits.device)[:, None]

    vocabulary = logits.shape[-1]
    logprobs = (logits.float() / column([p.temperature or 1.0 for p in params])).log_softmax(-1)
    probs = logprobs.exp()
    order = None
    if any(p.top_k != -1 or p.top_p < 1 or p.min_p > 0 for p in params):
        probs, order = probs.sort(dim=-1, descending=True)
        ranks = torch.arange(vocabulary, device=logits.device)[None]
        kept = ranks < column([p.top_k if p.top_k != -1 else vocabulary for p in params])
        probs = probs * kept
        before = probs.cumsum(-1) - probs
        kept = before < column([p.top_p for p in params]) * probs.sum(-1, keepdim=True)
        kept &= probs >= column([p.min_p for p in params]) * probs[:, :1]
        probs = probs * kept
    # The first token whose cumulative probability lies beyond the chance: one with a probability.
    reach = probs.cumsum(-1)
    total = reach[:, -1:]
    target = (column(list(chances)) * total).minimum(total.nextafter(torch.zeros_like(total)))
    index = torch.searchsorted(reach, target, right=True)[:, 0]
    tokens = index if order is None else order.gather(-1, index[:, None])[:, 0]
    greedy = torch.tensor([p.greedy for p in params], device=logits.device)
    tokens = torch.where(greedy, logits.argmax(-1), tokens)
    return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]


def _end_ids(model: Any) -> frozenset[int]:
    """The tokens at which the model's own configuration stops."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list) else [ends])
