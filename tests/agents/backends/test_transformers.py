"""The local backend: exact log-probabilities, whatever else is in the batch."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from agents.backends.base import ContextOverflow, Generation, GenerationBackend
from agents.backends.drawing import draw
from agents.backends.transformers import TransformersBackend
from agents.sampling import SamplingParams
from tau2_gym.errors import ConfigError, InfrastructureError
from tests.tiny_model import (
    checkpoint,
    plain_model,
    rescored,
    tiny_model,
    tiny_tokenizer,
    torch,
)

PROMPTS = ["What is your user id?", "I want to cancel. " * 9, "Roaming " * 30, "Hi"]


def ids(text: str) -> list[int]:
    found: list[int] = tiny_tokenizer().encode(text)
    return found


def backend(**options: Any) -> TransformersBackend:
    return TransformersBackend(plain_model(), tiny_tokenizer(), **options)


def generated(
    made: TransformersBackend, requests: list[tuple[list[int], SamplingParams]]
) -> list[Generation]:
    """What a backend answers to requests that are made at the same time."""

    async def ask() -> list[Generation]:
        calls = [made.generate(prompt, params, "e/0") for prompt, params in requests]
        found = await asyncio.gather(*calls)
        await made.close()
        return list(found)

    return asyncio.run(ask())


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0, 1.7])
@pytest.mark.parametrize("cut", [{}, {"top_k": 5, "top_p": 0.9, "min_p": 0.01}])
def test_logprobs_are_those_of_one_pass(temperature: float, cut: dict[str, Any]) -> None:
    params = SamplingParams(temperature=temperature, max_new_tokens=20, **cut)
    requests = [(ids(text), params) for text in PROMPTS]
    for (prompt, _), made in zip(requests, generated(backend(), requests), strict=True):
        scores = rescored(plain_model(), [*prompt, *made.ids], temperature)[len(prompt) - 1 :]
        assert made.logprobs == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_forgets_is_as_exact(temperature: float) -> None:
    """It attends to the last tokens only, and reads each prompt again."""
    params = SamplingParams(temperature=temperature, max_new_tokens=20)
    requests = [(ids(text), params) for text in PROMPTS]
    found = generated(TransformersBackend(tiny_model(), tiny_tokenizer()), requests)
    for (prompt, _), made in zip(requests, found, strict=True):
        scores = rescored(tiny_model(), [*prompt, *made.ids], temperature)[len(prompt) - 1 :]
        assert made.logprobs == pytest.approx(scores, abs=1e-4)


def test_the_batch_changes_nothing() -> None:
    requests = [
        (ids(text), SamplingParams(seed=seed, temperature=heat, max_new_tokens=count))
        for text, seed, heat, count in zip(
            PROMPTS, range(4), (1.0, 0.0, 0.7, 1.2), (9, 14, 3, 8), strict=True
        )
    ]
    together = generated(backend(), requests)
    alone = [generated(backend(), [request])[0] for request in requests]
    assert [made.ids for made in together] == [made.ids for made in alone]
    assert [len(made.ids) for made in together] == [9, 14, 3, 8]
    assert {made.finish_reason for made in together} == {"length"}
    for made, other in zip(together, alone, strict=True):
        assert made.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_seeds_decide() -> None:
    prompt = ids(PROMPTS[0])
    seeds = [1, 1, 2]
    first, again, other = generated(
        backend(), [(prompt, SamplingParams(seed=seed, max_new_tokens=12)) for seed in seeds]
    )
    assert first.ids == again.ids != other.ids


def test_greedy_is_what_transformers_itself_generates() -> None:
    prompt = ids(PROMPTS[0])
    made = generated(backend(), [(prompt, SamplingParams(temperature=0, max_new_tokens=16))])[0]
    expected = plain_model().generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=16, pad_token_id=0
    )
    assert list(made.ids) == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize("model", [plain_model, tiny_model])
def test_batches_are_as_large_as_allowed(model: Callable[[], Any]) -> None:
    sizes: list[tuple[int, int]] = []

    class Watched(TransformersBackend):
        def _start(self, jobs: Any) -> None:
            sizes.append((len(jobs), threading.get_ident()))
            super()._start(jobs)

    short = [(ids("Hi"), SamplingParams(max_new_tokens=4))] * 7
    generated(Watched(model(), batch_size=3), short)
    assert [size for size, _ in sizes] == [3, 3, 1]
    assert threading.get_ident() not in {thread for _, thread in sizes}
    sizes.clear()
    generated(Watched(model(), batch_tokens=2 * (len(ids("Hi")) + 4)), short)
    assert [size for size, _ in sizes] == [2, 2, 2, 1]
    sizes.clear()
    generated(Watched(model(), batch_tokens=1), short[:2])
    assert [size for size, _ in sizes] == [1, 1]


def test_stops() -> None:
    made = TransformersBackend(tiny_model(), tiny_tokenizer())
    prompt = ids("<|im_end|>\n<|im_start|>assistant\n<tool_call>\n")
    plain, stopped, ended = generated(
        made,
        [
            (prompt, SamplingParams(temperature=0, max_new_tokens=60)),
            (prompt, SamplingParams(temperature=0, max_new_tokens=60, stop=("arguments",))),
            (
                prompt,
                SamplingParams(temperature=0, max_new_tokens=60, stop=("nowhere to be seen",)),
            ),
        ],
    )
    assert plain.finish_reason == stopped.finish_reason == "stop"
    assert plain == ended
    assert plain.ids[-1] == tiny_tokenizer().eos_token_id
    text = tiny_tokenizer().decode(list(stopped.ids))
    assert "arguments" in text
    assert "arguments" not in tiny_tokenizer().decode(list(stopped.ids[:-1]))
    assert stopped.ids == plain.ids[: len(stopped.ids)]


@pytest.mark.parametrize("several", [False, True])
def test_a_model_ends_at_the_tokens_of_its_configuration_if_it_has_any(several: bool) -> None:
    params = SamplingParams(temperature=0, max_new_tokens=16)
    model = deepcopy(plain_model())
    model.generation_config.eos_token_id = None
    (free,) = generated(TransformersBackend(model, tiny_tokenizer()), [(ids("Hi"), params)])
    assert (len(free.ids), free.finish_reason) == (16, "length")
    end = free.ids[3]
    model.generation_config.eos_token_id = [end, free.ids[9]] if several else end
    (ended,) = generated(TransformersBackend(model, tiny_tokenizer()), [(ids("Hi"), params)])
    assert (ended.ids, ended.finish_reason) == (free.ids[: free.ids.index(end) + 1], "stop")


def test_given_stop_tokens() -> None:
    async def ask() -> Generation:
        made = backend()
        params = SamplingParams(temperature=0, max_new_tokens=16)
        free = await made.generate(ids("Hi"), params, "e/0")
        return await made.generate(ids("Hi"), params, "e/0", [free.ids[3]])

    made = asyncio.run(ask())
    assert made.finish_reason == "stop"
    assert len(made.ids) <= 4


def test_context() -> None:
    full = [5] * 2048
    (nearly,) = generated(backend(), [(full[:-3], SamplingParams(max_new_tokens=9, temperature=0))])
    assert (len(nearly.ids), nearly.finish_reason) == (3, "length")
    with pytest.raises(ContextOverflow, match="2048 tokens leave no room"):
        generated(backend(), [(full, SamplingParams())])


def test_versions() -> None:
    made = backend(version="step 3")
    (found,) = generated(made, [(ids("Hi"), SamplingParams(max_new_tokens=4))])
    assert found.versions == (("step 3", 4),)


def test_stop_texts_need_a_tokenizer() -> None:
    with pytest.raises(ConfigError, match="stop texts need a tokenizer"):
        generated(TransformersBackend(plain_model()), [(ids("Hi"), SamplingParams(stop=("x",)))])


def test_a_failing_model_is_nobodys_fault() -> None:
    with pytest.raises(InfrastructureError, match="the model failed: IndexError"):
        generated(backend(), [([999_999], SamplingParams())])


def test_cancelled_requests_do_no_more_work() -> None:
    rows: list[int] = []

    class Watched(TransformersBackend):
        def _append(self, job: Any, token: int, logprob: float) -> None:
            rows.append(job.prompt[0])
            super()._append(job, token, logprob)

    async def ask() -> None:
        made = Watched(plain_model(), batch_size=1)
        long = SamplingParams(max_new_tokens=2000, temperature=0)
        first = asyncio.create_task(made.generate([5], long, "e/0"))
        second = asyncio.create_task(made.generate([6], long, "e/1"))
        await asyncio.sleep(0.1)
        first.cancel()
        second.cancel()
        await asyncio.wait([first, second])
        await made.close()

    asyncio.run(ask())
    assert len(rows) < 1000
    assert 6 not in rows


def test_one_backend_serves_one_loop_after_another() -> None:
    made = backend()
    request = [(ids("Hi"), SamplingParams(max_new_tokens=2, temperature=0))]
    assert generated(made, request) == generated(made, request)


def test_loading(tmp_path: Any) -> None:
    loaded = TransformersBackend.load(checkpoint(tmp_path), device="cpu", dtype="float32")
    assert isinstance(loaded, GenerationBackend)
    request = [(ids("Hi"), SamplingParams(max_new_tokens=8, temperature=0, stop=("!",)))]
    (found,) = generated(loaded, request)
    (made,) = generated(TransformersBackend(tiny_model(), tiny_tokenizer()), request)
    assert found.ids == made.ids
    # The weights lie elsewhere in memory, which changes the order of additions.
    assert found.logprobs == pytest.approx(made.logprobs, abs=1e-5)
    with pytest.raises(ConfigError, match="no model can be loaded from") as refused:
        TransformersBackend.load(str(tmp_path / "missing"))
    assert "\n" not in str(refused.value)


# Drawing

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0])


def drawn(params: SamplingParams, *chances: float) -> list[int]:
    rows = LOGITS.expand(len(chances), -1)
    tokens: list[int] = draw(rows, [params] * len(chances), chances)[0].tolist()
    return tokens


def kept(params: SamplingParams) -> set[int]:
    return set(drawn(params, *(step / 1000 for step in range(1000))))


@pytest.mark.parametrize(
    ("cut", "tokens"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 9}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.56}, {0}),
        ({"top_p": 0.6}, {0, 1}),
        ({"top_p": 0.75, "top_k": 2}, {0, 1}),
        ({"top_p": 0.7, "top_k": 2}, {0}),
        ({"min_p": 0.3}, {0, 1}),
        ({"min_p": 0.2}, {0, 1, 2}),
        ({"temperature": 0}, {0}),
    ],
)
def test_what_is_cut(cut: dict[str, Any], tokens: set[int]) -> None:
    assert kept(SamplingParams(**cut)) == tokens


def test_frequencies_are_probabilities() -> None:
    for heat in (0.5, 1.0, 2.0):
        expected = (LOGITS / heat).softmax(-1).tolist()
        found = drawn(SamplingParams(temperature=heat), *((n + 0.5) / 2000 for n in range(2000)))
        for token, probability in enumerate(expected):
            assert found.count(token) / 2000 == pytest.approx(probability, abs=1e-3)


def test_edges_of_chance() -> None:
    for cut in ({}, {"top_k": 3}, {"top_p": 0.9}):
        params = SamplingParams(**cut)  # type: ignore[arg-type]
        assert drawn(params, 0.0, 1 - 2**-53) == [0, max(kept(params))]


def test_rows_are_drawn_by_their_own_parameters() -> None:
    rows = [
        SamplingParams(temperature=0),
        SamplingParams(),
        SamplingParams(temperature=0.5, top_k=1),
    ]
    tokens, logprobs = draw(LOGITS.expand(3, -1), rows, [0.999] * 3)
    assert tokens.tolist() == [0, 4, 0]
    expected = [
        LOGITS.log_softmax(-1)[0],
        LOGITS.log_softmax(-1)[4],
        (LOGITS * 2).log_softmax(-1)[0],
    ]
    assert logprobs.tolist() == pytest.approx([float(value) for value in expected])


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        # e to the power of these adds up to 13.1: by id, .08 .64 .67 .87 1 of it.
        ({}, {0.05: 0, 0.3: 1, 0.65: 2, 0.7: 3, 0.9: 4}),
        ({"top_p": 1.0, "min_p": 0.0}, {0.05: 0, 0.3: 1, 0.65: 2, 0.7: 3, 0.9: 4}),
        # Of the first three of a ranking, .63 .86 1.
        ({"top_k": 3}, {0.05: 1, 0.6: 1, 0.7: 3, 0.9: 4}),
    ],
)
def test_a_chance_draws_the_same_token_for_ever(
    cut: dict[str, Any], expected: dict[float, int]
) -> None:
    rows = torch.tensor([[0.0, 2.0, -1.0, 1.0, 0.5]]).expand(len(expected), -1)
    tokens, _ = draw(rows, [SamplingParams(**cut)] * len(expected), list(expected))
    assert tokens.tolist() == list(expected.values())


@pytest.mark.parametrize("cut", [{}, {"top_k": 3}])
def test_what_is_impossible_is_never_drawn(cut: dict[str, Any]) -> None:
    row = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    for chance, token in [(0.0, 1), (0.5, 3), (1 - 2**-53, 3)]:
        tokens, logprobs = draw(row, [SamplingParams(**cut)], [chance])
        assert tokens.tolist() == [token]
        assert logprobs.tolist() == pytest.approx([-math.log(2)])


@pytest.mark.parametrize("cut", [{}, {"top_k": 2}, {"temperature": 0.0}])
def test_a_row_that_is_not_numbers_leaves_the_others_alone(cut: dict[str, Any]) -> None:
    params = SamplingParams(**cut)
    alone = draw(LOGITS[None], [params], [0.7])
    tokens, logprobs = draw(
        torch.stack([LOGITS * torch.nan, LOGITS, LOGITS - torch.inf]), [params] * 3, [0.7] * 3
    )
    assert (tokens[1:2].tolist(), logprobs[1:2].tolist()) == tuple(x.tolist() for x in alone)
    assert not logprobs[[0, 2]].isfinite().any()


def test_company_with_a_cut_changes_nothing() -> None:
    """A row without a cut draws the same token beside one that has one."""
    cut, free = SamplingParams(top_k=2), SamplingParams()
    rows = torch.tensor([[0.0, 2.0, -1.0, 1.0, 0.5]]).expand(2, -1)
    for chance in (0.05, 0.3, 0.6, 0.9):
        alone = draw(rows[:1], [free], [chance])
        tokens, logprobs = draw(rows, [free, cut], [chance, chance])
        assert (tokens[:1].tolist(), logprobs[:1].tolist()) == tuple(x.tolist() for x in alone)
