"""Generation by a model in this process: no server, one device, exact log-probabilities.

Requests that wait at the same time are generated together, a token for each at a time. Models with
full attention in all layers keep their conversations from turn to turn (`conversations.py`), others
read them again (`recomputed.py`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from agents.backends.base import ContextOverflow, Generation
from agents.backends.jobs import Job, Runner
from agents.sampling import SamplingParams
from tau2_gym.completion.clocks import stopped_clocks
from tau2_gym.errors import ConfigError, InfrastructureError, first_line

if TYPE_CHECKING:
    import torch

BYTES_PER_CHARACTER = 4

ROUNDS = 4
"""Rounds of the event loop before each pass of the model: who has just been answered may ask again."""

SHARES = {"cuda": 0.75, "cpu": 0.5}
"""Of the memory that is free, how much keys and values may take; the rest is for passes."""


class TransformersBackend:
    """A causal language model of the `transformers` library.

    The model runs on a thread of its own, so that servers of users and judges are talked to
    meanwhile. Which requests it runs over together is decided between two passes, `ROUNDS` rounds of
    the event loop after the answers to the last one. An environment and a scripted user take fewer
    rounds than that and wait for nothing, so the same requests meet in the same passes in every run,
    and on a CPU give the same bits. Where users are models, requests come as fast as their servers are, and
    meet differently from run to run: the tokens are the same up to the rounding of the arithmetic.

    Args:
        model: the model, on its device. Its weights may change between requests; see `reset`.
        tokenizer: needed only for stop texts.
        context: the most tokens of a conversation; by default what the model was made for.
        batch_size: the most requests generated together, and the most conversations kept.
        batch_tokens: the most tokens, new ones included, that they may take together; a single
            request is always tried. By default as many as fit into the memory that is free.
        version: name of the weights, recorded with what they sample. May be changed.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        context: int | None = None,
        batch_size: int = 128,
        batch_tokens: int | None = None,
        version: str = "",
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.context = context or int(model.config.max_position_embeddings)
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.version = version
        self._ends = _end_ids(model)
        self._waiting: list[Job] = []
        self._runner: Runner | None = None
        self._worker: asyncio.Task[None] | None = None
        self._stale = False
        self._thread: ThreadPoolExecutor | None = None
        self._answered = False

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
            raise ConfigError(
                f"no model can be loaded from {path!r}: {first_line(error)}"
            ) from error
        return cls(model.to(device), tokenizer, **options)

    async def ready(self) -> int:
        """The context length of the model."""
        return self.context

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        """Sample one turn; see `GenerationBackend`. Honours the seed: what is sampled does not depend
        on what else is under way, but for the rounding of the arithmetic. Waiting for other requests
        counts in no time-out."""
        room = self.context - len(ids)
        if room < 1:
            raise ContextOverflow(f"{len(ids)} tokens leave no room in the model's context")
        if params.stop and self.tokenizer is None:
            raise ConfigError("stop texts need a tokenizer in the transformers backend")
        loop = asyncio.get_running_loop()
        job = Job(
            prompt=list(ids),
            params=params,
            limit=min(params.max_new_tokens, room),
            stop_ids=self._ends.union(stop_ids),
            chance=random.Random(params.seed),
            admitted=loop.create_future(),
            answer=loop.create_future(),
        )
        self._waiting.append(job)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        try:
            with stopped_clocks():
                await job.admitted
            await job.answer
        finally:
            job.answer.cancel()  # Does nothing to one that is done.
        if job.failure is not None:
            raise job.failure
        versions = ((self.version, len(job.ids)),)
        return Generation(tuple(job.ids), tuple(job.logprobs), job.reason or "length", versions)

    def reset(self) -> None:
        """Forget all conversations, since the weights have changed."""
        self._stale = True

    async def close(self) -> None:
        """Give up waiting requests, and let go of the thread and of what is kept."""
        for job in self._waiting:
            job.answer.cancel()
            job.admit()
        if self._worker is not None and not self._worker.done():
            await self._worker
        if self._thread is not None:
            self._thread.shutdown()
        self._worker = self._thread = self._runner = None

    async def _work(self) -> None:
        """Generate until no request is waiting."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers")
        loop = asyncio.get_running_loop()
        running: list[Job] = []
        try:
            while True:
                for _ in range(ROUNDS):
                    await asyncio.sleep(0)
                waiting = self._waiting = [job for job in self._waiting if not job.finished]
                if not running and not waiting:
                    return
                try:
                    await loop.run_in_executor(self._thread, self._turn, list(waiting), running)
                except Exception as error:
                    self._runner = None
                    running = running or waiting
                    for job in running:
                        why = f"the model failed: {type(error).__name__}: {error}"
                        job.fail(InfrastructureError(why))
                running = self._answer(running)
        except BaseException:  # The loop ends, and with it all who wait.
            self._waiting, self._runner = [], None
            raise

    def _answer(self, running: Sequence[Job]) -> list[Job]:
        """Answer those who are through, and give those who are not."""
        for job in running:
            if job.finished and self._runner is not None:
                self._runner.release(job)
        for job in [*running, *self._waiting]:
            if job.finished and not job.answer.done():
                job.admit()
                self._answered |= job.failure is None
                job.answer.set_result(None)
        joined = set(running)
        self._waiting = [job for job in self._waiting if job not in joined and not job.finished]
        return [job for job in running if not job.finished]

    # On the model's thread

    def _turn(self, waiting: Sequence[Job], running: list[Job]) -> None:
        """Let requests join, or those under way go on by a token."""
        if self._runner is None:
            self._runner = self._make_runner()
        if self._stale:
            self._stale = False
            self._runner.forget()
        for job in waiting:
            if said := self._runner.refusal(job):
                # As with servers: before the first answer it ends the run, later the attempt.
                job.fail(InfrastructureError(said) if self._answered else ConfigError(said))
        joining = self._runner.admit([job for job in waiting if not job.finished], running)
        running += joining
        if joining:
            self._start(joining)
        elif running:
            self._sample(running, self._runner.advance(running))

    def _make_runner(self) -> Runner:
        from agents.backends.conversations import Conversations
        from agents.backends.recomputed import Recomputed
        from agents.backends.slots import bytes_per_token, free_memory

        size, device, tokens = bytes_per_token(self.model), self.model.device, self.batch_tokens
        if size is None:
            return Recomputed(self.model, self.batch_size, tokens)
        if tokens is not None:
            return Conversations(self.model, self.context, self.batch_size, tokens)
        tokens = int(SHARES.get(device.type, 0.5) * free_memory(device) / size)
        return Conversations(self.model, self.context, self.batch_size, tokens, size)

    def _start(self, jobs: Sequence[Job]) -> None:
        """Read prompts, and sample the first tokens."""
        assert self._runner is not None
        for job in jobs:
            job.answer.get_loop().call_soon_threadsafe(job.admit)
        for some, logits in self._runner.start(jobs):
            self._sample(some, logits)

    def _sample(self, jobs: Sequence[Job], logits: torch.Tensor) -> None:
        from agents.backends.drawing import draw

        chances = [job.chance.random() for job in jobs]
        tokens, logprobs = draw(logits, [job.params for job in jobs], chances)
        for job, token, logprob in zip(jobs, tokens.tolist(), logprobs.tolist(), strict=True):
            self._append(job, token, logprob)

    def _append(self, job: Job, token: int, logprob: float) -> None:
        job.ids.append(token)
        job.logprobs.append(logprob)
        if token in job.stop_ids or self._stopped(job):
            job.reason = "stop"
        elif len(job.ids) == job.limit:
            job.reason = "length"

    def _stopped(self, job: Job) -> bool:
        """Whether the last token completes a stop text."""
        if not job.params.stop:
            return False
        reach = BYTES_PER_CHARACTER * max(map(len, job.params.stop))
        text = self.tokenizer.decode(job.ids[-reach:], skip_special_tokens=False)
        return any(stop in text for stop in job.params.stop)


def _end_ids(model: Any) -> frozenset[int]:
    """The tokens at which the model's own configuration stops."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list) else [ends])
