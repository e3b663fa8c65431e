"""A learner takes the steps that its settings say, and the same ones when it resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from agents.tokenizer import load_tokenizer
from tau2_gym.errors import ConfigError
from tests.trainers.local import small
from tests.trainers.local.small import torch
from trainers.local.checkpoints import latest_checkpoint, save_checkpoint
from trainers.local.learner import Learner, load_actor
from trainers.sections import Optimizer, Run


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return small.start(tmp_path_factory.mktemp("start"))


def actor(path: str, temperature: float = 1.0) -> Any:
    return load_actor(path, small.CPU, temperature)


def run(folder: Path, keep: int = 3) -> Run:
    return Run(output=folder, keep=keep)


# Loading


def cut(file: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return damage


def without(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def of_another_kind(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "abacus"}))


@pytest.mark.parametrize(
    "damage",
    [
        without("config.json"),
        without("model.safetensors"),
        cut("config.json"),
        cut("model.safetensors"),
        of_another_kind,
    ],
)
def test_a_model_that_cannot_be_loaded_takes_one_sentence(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    path = small.start(tmp_path / "model")
    damage(Path(path))
    with pytest.raises(ConfigError, match="no model can be loaded from") as refused:
        actor(path)
    assert path in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("damage", [cut("tokenizer.json"), cut("tokenizer_config.json")])
def test_a_tokenizer_that_cannot_be_loaded_takes_one_sentence(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    path = small.start(tmp_path / "model")
    damage(Path(path))
    with pytest.raises(ConfigError, match="no tokenizer can be loaded from") as refused:
        load_tokenizer(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("load", [actor, load_tokenizer])
def test_a_folder_that_is_not_there_takes_one_sentence(
    load: Callable[[str], Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="can be loaded from") as refused:
        load(str(tmp_path / "missing"))
    assert "\n" not in str(refused.value)


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path: Path) -> None:
    plain = load_tokenizer(small.start(tmp_path / "model"))
    assert (plain.pad_token, plain.eos_token) == ("<|endoftext|>", "<|im_end|>")
    plain.pad_token = None
    plain.save_pretrained(tmp_path / "other")
    assert load_tokenizer(str(tmp_path / "other")).pad_token == "<|im_end|>"


def test_probabilities_are_those_that_episodes_are_sampled_from(start: str) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    mask = torch.ones((1, 3), dtype=torch.long)
    for heat in (1.0, 0.5):
        model = actor(start, heat)
        with torch.no_grad():
            found = model(ids, mask, attention_mask=torch.ones_like(ids))
            logits = model.model(input_ids=ids).logits[0, :-1]
        expected = (logits / heat).log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        assert found[0].tolist() == pytest.approx(expected.tolist(), abs=1e-5)


# Learning


def step(learner: Learner, seed: int) -> float:
    """Lower the sum of some logits."""
    torch.manual_seed(seed)
    ids = torch.randint(0, 100, (2, 8))
    learner.actor.model(input_ids=ids).logits[..., :50].sum().backward()
    return learner.step()


def test_a_learner_goes_on_where_it_was(start: str, tmp_path: Path) -> None:
    optimizer = Optimizer(lr=1e-2, schedule="cosine", warmup=0.3)
    model = actor(start)
    learner = Learner(model, optimizer, 6)
    for number in range(3):
        step(learner, number)
    settings = run(tmp_path)
    save_checkpoint(settings, 3, model, small.tokenizer(), learner.state())
    chance = torch.get_rng_state()
    found = latest_checkpoint(settings)
    assert found is not None
    other = Learner(actor(str(found[0])), optimizer, 6)
    other.load_state(found[1])
    assert torch.equal(torch.get_rng_state(), chance)
    for number in range(3, 6):
        assert other.lr == learner.lr
        assert step(other, number) == step(learner, number)
    assert other.updates == learner.updates == 6
    for one, two in zip(model.parameters(), other.actor.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"warmup": 0.0}, [1.0] * 4),
        ({"warmup": 0.5}, [0.0, 0.5, 1.0, 1.0]),
        (
            {"schedule": "cosine", "warmup": 0.0},
            [(1 + math.cos(math.pi * n / 4)) / 2 for n in range(4)],
        ),
        (
            {"schedule": "cosine", "warmup": 0.0, "min_lr": 0.5},
            [(3 + math.cos(math.pi * n / 4)) / 4 for n in range(4)],
        ),
    ],
)
def test_schedules(start: str, options: dict[str, Any], expected: list[float]) -> None:
    learner = Learner(actor(start), Optimizer(lr=0.01, **options), 4)
    found = []
    for number in range(4):
        found.append(learner.lr / 0.01)
        step(learner, number)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("limit", [1e9, 0.5])
def test_gradients_are_clipped_and_their_norm_is_told(start: str, limit: float) -> None:
    learner = Learner(actor(start), Optimizer(lr=1e-3, max_norm=limit), 4)
    weights = list(learner.actor.parameters())
    kept: list[float] = []

    def look(*_: Any) -> None:
        kept.append(float(torch.cat([weight.grad.flatten() for weight in weights]).norm()))

    learner._adam.register_step_pre_hook(look)
    norm = step(learner, 0)
    assert norm > 0.5
    assert kept == [pytest.approx(min(norm, limit), rel=1e-4)]
    assert all(weight.grad is None for weight in weights)


# Weights in bf16


def learner(path: str, dtype: str, lr: float = 1e-5) -> Learner:
    hardware = small.CPU.model_copy(update={"dtype": dtype})
    settings = Optimizer(lr=lr, warmup=0.0, weight_decay=0.0, max_norm=1e9)
    return Learner(load_actor(path, hardware), settings, 400)


def push(made: Learner, steps: int) -> None:
    """Steps with the same gradients everywhere."""
    for _ in range(steps):
        for weight in made.actor.parameters():
            weight.grad = torch.full_like(weight, 0.5)
        made.step()


def test_steps_too_small_for_bf16_add_up(start: str) -> None:
    moved = {}
    for dtype in ("fp32", "bf16"):
        made = learner(start, dtype)
        before = [weight.detach().float().clone() for weight in made.actor.parameters()]
        push(made, 100)
        after = [weight.detach().float() for weight in made.actor.parameters()]
        moved[dtype] = sum(float((b - a).sum()) for a, b in zip(after, before, strict=True))
        assert all(weight.grad is None for weight in made.actor.parameters())
    assert moved["bf16"] == pytest.approx(moved["fp32"], rel=0.05)


def test_a_learner_in_bf16_goes_on_where_it_was(start: str) -> None:
    made, again = learner(start, "bf16"), learner(start, "bf16")
    push(made, 3)
    saved = deepcopy(made.state())
    again.actor.load_state_dict(made.actor.state_dict())
    again.load_state(saved)
    for each in (made, again):
        push(each, 3)
    for one, other in zip(made.actor.parameters(), again.actor.parameters(), strict=True):
        assert torch.equal(one, other)
    assert all(
        torch.equal(one, other)
        for one, other in zip(made.state()["masters"], again.state()["masters"], strict=True)
    )


def test_float16_would_need_loss_scaling(start: str) -> None:
    with pytest.raises(ConfigError, match="trains in bf16 or fp32: set"):
        learner(start, "fp16")
