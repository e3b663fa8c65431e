"""An agent that is a language model, exact to the token.

What the model was given and what it sampled is kept as tokens from turn to turn in the memory that
goes with each reply. At the end of an episode it becomes a `Trajectory`, in which every
log-probability belongs to the very context it was sampled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from agents.backends.base import ContextOverflow, Generation, GenerationBackend
from agents.base import AgentView, Reply, Usage, first_prompt_too_long
from agents.codec import ChatCodec
from agents.prompts import PromptBuilder, make_prompt
from agents.sampling import SamplingParams
from agents.trajectory import Segment, Span, Trajectory
from tau2_gym.completion import call_seed
from tau2_gym.errors import DataError, InfrastructureError
from tau2_gym.rewards import Ledger

Messages = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A sampled turn: where its tokens begin in the tokens of its segment, and what was sampled."""

    start: int
    generation: Generation


@dataclass(frozen=True, slots=True)
class Draft:
    """A segment that still grows.

    Attributes:
        ids: prompts and sampled turns, one after the other.
        turns: the sampled turns in it.
        since: how many messages its first prompt holds.
    """

    ids: tuple[int, ...]
    turns: tuple[Written, ...] = ()
    since: int = 0


@dataclass(frozen=True, slots=True)
class TokenMemory:
    """What a `TokenAgent` remembers of an episode. Never changed, so that forks can share it.

    Attributes:
        episode: a name for the servers' logs and caches.
        messages: the conversation as the model knows it, what it wrote verbatim.
        seen: how many messages of the view are in it.
        drafts: the segments so far; the last one grows.
    """

    episode: str
    messages: Messages
    seen: int
    drafts: tuple[Draft, ...]


@dataclass(frozen=True)
class TokenAgent:
    """A model behind a `GenerationBackend`.

    An unreadable action is handed to the environment as it is, and so is one that was cut off at
    `max_new_tokens`: the environment says what is wrong with it, and the model sees that.

    Attributes:
        codec: the model's chat template.
        backend: where it is sampled.
        sampling: how it is sampled.
        prompt: makes the system prompt.
        one_segment: keep all reasoning in the context even where the template drops it from earlier
            turns, so that an episode is one sequence of tokens.
    """

    codec: ChatCodec
    backend: GenerationBackend
    sampling: SamplingParams = field(default_factory=SamplingParams)
    prompt: PromptBuilder = field(default_factory=lambda: make_prompt("official"))
    one_segment: bool = False

    async def aact(self, view: AgentView, memory: TokenMemory | None, seed: int) -> Reply:
        """The next action. Stops with `context_overflow` when the conversation has outgrown the
        model's context; nothing is ever cut out of a prompt.

        Raises:
            ConfigError: the context is too small even for the first prompt; or as the backend.
            InfrastructureError: as the backend.
        """
        known = self._start(view) if memory is None else self._go_on(view, memory)
        draft = known.drafts[-1]
        try:
            generation = await self._sample(
                draft.ids,
                f"{known.episode}/{view.turn}",
                call_seed(call_seed(self.sampling.seed, seed), view.turn),
            )
        except ContextOverflow as error:
            if memory is None:
                raise first_prompt_too_long(view.domain, error) from error
            return Reply(None, memory, stop="context_overflow")
        if max(generation.ids) >= self.codec.vocabulary:
            raise InfrastructureError(
                f"the model server gave token {max(generation.ids)}; the tokenizer ends before "
                f"{self.codec.vocabulary}"
            )
        action = self.codec.parse(generation.ids)
        turn = Written(len(draft.ids), generation)
        grown = replace(draft, ids=draft.ids + generation.ids, turns=(*draft.turns, turn))
        reply = {"role": "assistant", "content": action}
        return Reply(
            action,
            replace(known, messages=(*known.messages, reply), drafts=(*known.drafts[:-1], grown)),
            Usage(len(draft.ids), len(generation.ids), calls=1),
        )

    def trajectory(self, memory: TokenMemory, ledgers: Sequence[Ledger], **meta: Any) -> Trajectory:
        """The tokens of an episode that has ended.

        Args:
            memory: that of the last reply.
            ledgers: what each turn earned, in order.
            meta: facts about the episode, kept as they are.

        Raises:
            DataError: there are not as many ledgers as turns.
        """
        turns = sum(len(draft.turns) for draft in memory.drafts)
        if turns != len(ledgers):
            raise DataError(f"{turns} turns have {len(ledgers)} ledgers")
        rest = enumerate(ledgers)
        return Trajectory(tuple(_segment(draft, rest) for draft in memory.drafts), meta)

    def _start(self, view: AgentView) -> TokenMemory:
        messages = ({"role": "system", "content": self.prompt(view)}, *view.messages)
        ids = self.codec.start(messages, view.tools)
        draft = Draft(ids, since=len(messages))
        return TokenMemory(uuid4().hex, messages, len(view.messages), (draft,))

    def _go_on(self, view: AgentView, memory: TokenMemory) -> TokenMemory:
        """The memory with what has arrived since the agent's last turn."""
        # The first of the new messages is the agent's own, which the model knows better.
        new = tuple(view.messages[memory.seen + 1 :])
        messages = (*memory.messages, *new)
        *done, last = memory.drafts
        if self.one_segment or self.codec.keeps_reasoning(messages, last.since):
            ids = self.codec.bridge(last.ids, new)
            if ids[: len(last.ids)] != last.ids:
                raise RuntimeError("the tokens of a conversation may only be added to")
            drafts = (*done, replace(last, ids=ids))
        else:
            ids = self.codec.start(messages, view.tools)
            drafts = (*memory.drafts, Draft(ids, since=len(messages)))
        return replace(memory, messages=messages, seen=len(view.messages), drafts=drafts)

    async def _sample(self, ids: tuple[int, ...], rid: str, seed: int) -> Generation:
        context = await self.backend.ready()
        if len(ids) >= context:
            raise ContextOverflow(f"{len(ids)} tokens, its context holds {context}")
        sampling = replace(
            self.sampling,
            max_new_tokens=min(self.sampling.max_new_tokens, context - len(ids)),
            seed=seed,
        )
        return await self.backend.generate(ids, sampling, rid, (self.codec.end,))

    async def close(self) -> None:
        """Close the backend."""
        await self.backend.close()


def _segment(draft: Draft, ledgers: Iterator[tuple[int, Ledger]]) -> Segment:
    """A grown draft, with the number and the ledger of each turn taken from `ledgers`."""
    mask, logprobs = [0] * len(draft.ids), [0.0] * len(draft.ids)
    spans = []
    for written in draft.turns:
        turn, ledger = next(ledgers)
        sampled = written.generation
        start, end = written.start, written.start + len(sampled.ids)
        mask[start:end] = [1] * len(sampled.ids)
        logprobs[start:end] = sampled.logprobs
        spans.append(Span(turn, start, end, sampled.finish_reason, sampled.versions, dict(ledger)))
    return Segment(draft.ids, tuple(mask), tuple(logprobs), tuple(spans))
