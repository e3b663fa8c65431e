"""The engine in this process: what one conversation at a time would give, for many at once."""

from __future__ import annotations

import asyncio
import random
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agents.backends.slots as slots_module
from agents.backends.conversations import SHARED, Conversations
from agents.backends.slots import bytes_per_token
from agents.backends.transformers import TransformersBackend
from agents.sampling import SamplingParams
from tau2_gym.errors import ConfigError, InfrastructureError
from tests.tiny_model import (
    plain_model,
    rescored,
    tiny_model,
    tiny_tokenizer,
    torch,
    transformers,
)

CONTEXT = 160
VOCABULARY = len(tiny_tokenizer())


@cache
def endless_model() -> Any:
    """The plain model, without a token that ends turns."""
    model = deepcopy(plain_model())
    model.generation_config.eos_token_id = None
    return model


def engine(slots: int = 4, context: int = CONTEXT) -> TransformersBackend:
    return TransformersBackend(
        endless_model(), context=context, batch_size=slots, batch_tokens=slots * context
    )


def tokens(seed: int, count: int) -> list[int]:
    return random.Random(seed).choices(range(VOCABULARY), k=count)


Turn = tuple[list[int], list[int], list[float], str]
"""Prompt, sampled tokens, their log-probabilities, and how it ended."""


async def turn(
    made: TransformersBackend, prompt: list[int], stop: tuple[int, ...] = (), **options: Any
) -> Turn:
    params = SamplingParams(**{"max_new_tokens": 8, **options})
    found = await made.generate(prompt, params, "e/0", stop)
    return prompt, list(found.ids), list(found.logprobs), found.finish_reason


async def conversation(
    made: TransformersBackend, number: int, turns: int, **options: Any
) -> list[Turn]:
    """Prompts of different lengths, each with the conversation so far."""
    prompt, found = tokens(number, 3 + 9 * (number % 4)), list[Turn]()
    for count in range(turns):
        seed = 100 * number + count
        found.append(await turn(made, prompt, seed=seed, **options))
        prompt = [*prompt, *found[-1][1], *tokens(seed, 1 + number % 5)]
    return found


def conversations(
    made: TransformersBackend, count: int, turns: int, **options: Any
) -> list[list[Turn]]:
    async def talk() -> list[list[Turn]]:
        numbers = range(count)
        return await asyncio.gather(
            *(conversation(made, number, turns, **options) for number in numbers)
        )

    return asyncio.run(talk())


def ask(made: TransformersBackend, *prompts: list[int], **options: Any) -> list[Turn]:
    async def together() -> list[Turn]:
        return await asyncio.gather(*(turn(made, prompt, **options) for prompt in prompts))

    return asyncio.run(together())


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many rows and columns each pass has, from now on."""
    passes: list[tuple[int, int]] = []
    plain = Conversations._logits

    def watch(self: Conversations, ids: Any, at: Any, seen: Any) -> Any:
        passes.append(tuple(ids.shape))
        return plain(self, ids, at, seen)

    monkeypatch.setattr(Conversations, "_logits", watch)
    return passes


# What is sampled


@pytest.mark.parametrize(("count", "slots"), [(1, 4), (4, 4), (9, 2)])
def test_greedy_tokens_are_those_of_a_plain_loop(count: int, slots: int) -> None:
    for found in conversations(engine(slots), count, 2, temperature=0.0):
        for prompt, sampled, *_ in found:
            ids = list(prompt)
            with torch.no_grad():
                for _ in sampled:
                    logits = plain_model()(input_ids=torch.tensor([ids])).logits
                    ids.append(int(logits[0, -1].argmax()))
            assert ids == prompt + sampled


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 0.7}, {"top_k": 5}, {}])
@pytest.mark.parametrize(("count", "slots"), [(1, 1), (3, 8), (8, 8), (9, 2)])
def test_logprobs_are_those_of_one_pass(count: int, slots: int, options: dict[str, Any]) -> None:
    for found in conversations(engine(slots), count, 3, **options):
        for prompt, sampled, logprobs, _ in found:
            heat = options.get("temperature", 1.0)
            scores = rescored(plain_model(), prompt + sampled, heat)[len(prompt) - 1 :]
            assert logprobs == pytest.approx(scores, abs=1e-4)


def test_company_changes_nothing() -> None:
    together = conversations(engine(3), 7, 3)
    for number, found in enumerate(together):
        alone = asyncio.run(conversation(engine(1), number, 3))
        assert [sampled for _, sampled, *_ in found] == [sampled for _, sampled, *_ in alone]
    assert len({tuple(sampled) for found in together for _, sampled, *_ in found}) == 21


def test_the_same_requests_are_answered_alike() -> None:
    made = engine(3)
    first = conversations(made, 7, 3)
    assert conversations(engine(3), 7, 3) == first
    made.reset()
    assert conversations(made, 7, 3) == first, "after the weights have changed, too"
    (_, one, *_), (_, other, *_) = (ask(made, [5, 6], seed=seed)[0] for seed in (1, 2))
    assert one != other


requests = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 12), st.sampled_from([0.0, 0.8, 1.0])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25)
@given(requests, st.integers(1, 5), st.integers(0, 3))
def test_whatever_is_asked_together(
    asked: list[tuple[int, int, float]], slots: int, wait: int
) -> None:
    """Requests of all lengths that come and go at different times, to one engine after another loop
    has used it."""
    made = engine(slots)
    ask(made, tokens(0, 9))

    async def late(number: int, length: int, most: int, heat: float) -> Turn:
        for _ in range(wait * number):
            await asyncio.sleep(0)
        prompt = tokens(number, length)
        return await turn(made, prompt, max_new_tokens=most, temperature=heat, seed=number)

    async def together() -> list[Turn]:
        return await asyncio.gather(*(late(n, *request) for n, request in enumerate(asked)))

    found = asyncio.run(together())
    for (prompt, sampled, logprobs, reason), (_, most, heat) in zip(found, asked, strict=True):
        assert (len(sampled), reason) == (most, "length")
        scores = rescored(plain_model(), prompt + sampled, heat)[len(prompt) - 1 :]
        assert logprobs == pytest.approx(scores, abs=1e-4)


# What is computed


def test_a_conversation_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = watched(monkeypatch)
    turns = asyncio.run(conversation(engine(), 3, 3))
    last, sampled, *_ = turns[-1]
    # All but the last sampled token, which nobody has asked on from.
    assert sum(columns for _, columns in passes) == len(last) + len(sampled) - 1
    assert [rows for rows, _ in passes] == [1] * len(passes)


def test_a_conversation_of_one_token_is_kept_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()
    ((_, sampled, *_),) = ask(made, [5], max_new_tokens=1)
    passes = watched(monkeypatch)
    ask(made, [5, *sampled, 7], max_new_tokens=1)
    assert passes == [(1, 2)]


def test_a_request_goes_on_from_the_most_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made, long = engine(), tokens(0, 60)
    ((_, sampled, *_),) = ask(made, long)
    ask(made, long[:20], max_new_tokens=1)  # kept in a slot of its own, which holds nothing else
    passes = watched(monkeypatch)
    ask(made, [*long, *sampled, 7], max_new_tokens=1)
    assert passes == [(1, 2)]


def test_prompts_of_similar_lengths_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = watched(monkeypatch)
    same(ask(engine(), tokens(0, 20), tokens(1, 40), tokens(2, 38), max_new_tokens=1))
    assert passes == [(3, 40)]
    passes.clear()
    same(ask(engine(), tokens(0, 20), tokens(1, 70), tokens(2, 72), max_new_tokens=1))
    assert passes == [(1, 20), (2, 72)]


def test_more_conversations_than_slots_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = watched(monkeypatch)
    found = conversations(engine(2), 6, 2)
    assert max(rows for rows, _ in passes) == 2
    assert all(len(turns) == 2 for turns in found)


def test_nothing_is_kept_over_a_change_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = watched(monkeypatch)
    made = engine(2)
    prompt = tokens(1, 20)
    ((_, sampled, *_),) = ask(made, prompt)
    made.reset()
    passes.clear()
    ask(made, [*prompt, *sampled, 7])
    assert passes[0][1] == len(prompt) + len(sampled) + 1


# Ends


def test_ends() -> None:
    ((_, free, _, reason),) = ask(engine(), [5, 6], temperature=0.0, max_new_tokens=12)
    assert (len(free), reason) == (12, "length")
    stop = free[3]
    ((_, stopped, _, reason),) = ask(
        engine(), [5, 6], temperature=0.0, max_new_tokens=12, stop=(stop, VOCABULARY - 1)
    )
    assert (stopped, reason) == (free[: free.index(stop) + 1], "stop")
    full = tokens(0, CONTEXT - 3)
    ((_, few, _, reason),) = ask(engine(), full, max_new_tokens=9)
    assert (len(few), reason) == (3, "length")


def test_the_last_places_of_a_context_are_as_good_as_the_first() -> None:
    prompts = [tokens(seed, CONTEXT - 1 - seed) for seed in range(4)]
    for prompt, sampled, logprobs, _ in ask(engine(2), *prompts):
        scores = rescored(plain_model(), prompt + sampled, 1.0)[len(prompt) - 1 :]
        assert logprobs == pytest.approx(scores, abs=1e-4)


# Faults


@pytest.mark.parametrize("others", [0, 1, 5])
def test_a_failing_model_is_nobodys_fault_and_may_recover(others: int) -> None:
    made = engine(2)
    expected = ask(made, [5, 6])

    async def fail() -> list[Any]:
        calls = [turn(made, prompt) for prompt in (*[[7, 8]] * others, [10**6])]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)

    *_, failed = found = asyncio.run(fail())
    assert isinstance(failed, InfrastructureError)
    assert str(failed).startswith("the model failed: IndexError")
    assert all(isinstance(one, InfrastructureError | tuple) for one in found)
    assert ask(made, [5, 6]) == expected


def test_requests_given_up_leave_room_for_others() -> None:
    made = engine(1)
    expected = ask(made, [5, 6])

    async def give_up() -> None:
        calls = [asyncio.create_task(turn(made, [7, 8], max_new_tokens=100)) for _ in "ab"]
        for _ in range(30):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        assert await asyncio.wait_for(turn(made, [5, 6]), 10) == expected[0]

    asyncio.run(give_up())


def test_a_loop_that_ends_too_early_leaves_room_for_the_next() -> None:
    made = engine(1)
    expected = ask(made, [5, 6])

    async def leave() -> None:
        calls = [asyncio.create_task(turn(made, [7, 8], max_new_tokens=100)) for _ in "ab"]
        for _ in range(30):
            await asyncio.sleep(0)
        assert not any(call.done() for call in calls)

    async def ask_again() -> Turn:
        return await asyncio.wait_for(turn(made, [5, 6]), 10)

    asyncio.run(leave())
    assert asyncio.run(ask_again()) == expected[0]


# What is shared


def same(found: list[Turn]) -> None:
    """Log-probabilities are those of one pass."""
    for prompt, sampled, logprobs, _ in found:
        scores = rescored(plain_model(), prompt + sampled, 1.0)[len(prompt) - 1 :]
        assert logprobs == pytest.approx(scores, abs=1e-4)


def test_prompts_that_begin_alike_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = watched(monkeypatch)
    policy = tokens(0, 2 * SHARED)
    # A group of one task, another task of the same domain, and another domain.
    prompts = [[*policy, 1, 2, 3]] * 3 + [[*policy, 4, 5], tokens(1, 2 * SHARED)]
    same(ask(engine(6, 1024), *prompts, max_new_tokens=2))
    assert sum(rows * columns for rows, columns in passes) < 5 * SHARED


def test_a_fork_copies_what_was_said_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = watched(monkeypatch)
    made, prompt = engine(4, 1024), tokens(0, 2 * SHARED)
    (first,) = ask(made, prompt)
    trunk = prompt + first[1]
    passes.clear()
    same(ask(made, [*trunk, 7], [*trunk, 8], [*trunk, 9], max_new_tokens=2))
    assert sum(rows * columns for rows, columns in passes) < SHARED
    passes.clear()
    same(ask(made, [*prompt[:-9], 5, 6], max_new_tokens=1))
    assert passes == [(1, 2)], "a prompt that was changed near its end"


def test_conversations_that_are_kept_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three conversations and two slots: in turn, each would drive out the next one's."""
    passes = watched(monkeypatch)
    read = 0
    for found in conversations(engine(2), 3, 6):
        same(found)
        prompt, sampled, *_ = found[-1]
        read += len(prompt) + len(sampled)
    # Two are read once; the third waits until one of them is over.
    assert sum(rows * columns for rows, columns in passes if columns > 1) < 1.2 * read


# Memory


def test_slots_begin_as_long_as_they_can_all_be() -> None:
    made = TransformersBackend(endless_model(), context=CONTEXT, batch_size=4, batch_tokens=400)
    ask(made, [5, 6])
    slots = made._runner._slots  # type: ignore[union-attr]
    assert (slots.count, slots.length) == (4, 100)
    ask(made, tokens(0, 95))
    slots = made._runner._slots  # type: ignore[union-attr]
    assert (slots.count, slots.length) == (3, 125), "longer by a quarter, and so fewer"


@pytest.mark.parametrize("budget", [60, 160, 400])
def test_slots_grow_and_become_fewer_as_conversations_grow(budget: int) -> None:
    made = TransformersBackend(endless_model(), context=CONTEXT, batch_size=8, batch_tokens=budget)
    for found in conversations(made, 8, 4):
        same(found)
    slots = made._runner._slots  # type: ignore[union-attr]
    assert slots.count == max(1, budget // slots.length) < 8
    held = slots._layers[0][0]
    assert held.shape[0] * (held.shape[2] - 1) <= max(budget, CONTEXT)


def test_the_default_takes_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    size = bytes_per_token(plain_model())
    assert size == 2 * 2 * 16 * 4  # layers, keys and values, head size, bytes
    monkeypatch.setattr(slots_module, "free_memory", lambda device: 2 * 100 * size)
    made = TransformersBackend(endless_model())
    for found in conversations(made, 4, 2, max_new_tokens=3):
        same(found)
    slots = made._runner._slots  # type: ignore[union-attr]
    assert slots.count * slots.length <= 100


def test_memory_for_no_conversation_is_said_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = bytes_per_token(plain_model())
    monkeypatch.setattr(slots_module, "free_memory", lambda device: 2 * 100 * size)
    made = TransformersBackend(endless_model())
    says = r"one conversation of 128 tokens take 0\.00 GiB, and 0\.00 GiB .*: 100 tokens"
    with pytest.raises(ConfigError, match=says):
        ask(made, tokens(0, 120))
    same(ask(made, tokens(0, 90)))
    with pytest.raises(InfrastructureError, match=says):  # later it is no reason to end a run
        ask(made, tokens(0, 120))


@pytest.mark.parametrize(("limit", "most"), [("PASS_TOKENS", 50), ("PASS_SCORES", 50 * 120)])
def test_long_prompts_are_read_in_pieces(
    limit: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest has 120 tokens, each of which sees at most as many."""
    monkeypatch.setattr(f"agents.backends.conversations.{limit}", most)
    passes = watched(monkeypatch)
    same(ask(engine(4), *(tokens(seed, 60 + 20 * seed) for seed in range(4))))
    assert max(rows * columns for rows, columns in passes) <= 50


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_attention_without_its_scores_is_the_same(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half precision and many scores take another path."""
    model = deepcopy(endless_model()).to(kind)
    monkeypatch.setattr(slots_module, "DIRECT", 0)
    made = TransformersBackend(model, context=CONTEXT, batch_size=4, batch_tokens=4 * CONTEXT)
    for found in conversations(made, 4, 2):
        for prompt, sampled, logprobs, _ in found:
            scores = rescored(model, prompt + sampled, 1.0)[len(prompt) - 1 :]
            near = 1e-4 if kind == torch.float32 else 0.3
            assert logprobs == pytest.approx(scores, abs=near)


def test_many_scores_are_never_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than `DIRECT` of them: of two heads, 60 tokens that see 60 places, and not of 5."""
    spared: list[int] = []

    def spare(query: Any, key: Any, *more: Any, **options: Any) -> Any:
        spared.append(key.shape[2])
        return torch.nn.functional.scaled_dot_product_attention(query, key, *more, **options)

    monkeypatch.setattr(slots_module, "DIRECT", 2 * 60 * 59)
    monkeypatch.setattr(slots_module, "scaled_dot_product_attention", spare)
    same(ask(engine(), tokens(0, 60), max_new_tokens=1))
    assert set(spared) == {60}
    spared.clear()
    same(ask(engine(), tokens(0, 5), max_new_tokens=1))
    assert not spared


def test_what_is_not_a_number_poisons_nobody_else() -> None:
    made = engine(1)
    expected = ask(made, [5, 6])
    with torch.inference_mode():
        made._runner._slots._layers[0][0][:] = float("nan")  # type: ignore[union-attr]
    with pytest.raises(InfrastructureError, match="no log-probability"):
        ask(made, [5, 6, *expected[0][1], 7])
    assert ask(made, [5, 6]) == expected


# Which models


def test_models_that_forget_read_their_prompts_again() -> None:
    assert bytes_per_token(tiny_model()) is None
    windowed = transformers.MistralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=8,
    )
    assert bytes_per_token(transformers.MistralForCausalLM(windowed)) is None
    windowed.sliding_window = None
    assert bytes_per_token(transformers.MistralForCausalLM(windowed)) == 2 * 16 * 4
