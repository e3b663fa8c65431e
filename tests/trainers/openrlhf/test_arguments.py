"""Recipes in OpenRLHF's words, put before OpenRLHF's own parsers and checks."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.errors import ConfigError
from tau2_gym.rewards import RewardConfig
from trainers.config import GRPOConfig, SFTConfig, load_config
from trainers.openrlhf.arguments import grpo_arguments, sft_arguments
from trainers.openrlhf.gpu_packages import gpu_packages_optional

RECIPES = Path(__file__).parents[3] / "trainers" / "recipes"
HARDWARE = sorted((RECIPES / "hardware").glob("*.yaml"))
GRPO = sorted(path for path in RECIPES.glob("*grpo*.yaml"))
SFT = sorted(path for path in RECIPES.glob("*sft*.yaml"))
AGENT = "trainers/openrlhf/agent_func.py"

Parse = Callable[[str, list[str]], Any]


class Parsed(Exception):
    """Thrown when OpenRLHF begins to train."""


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parse]:
    """Parses and checks arguments as OpenRLHF's command lines do, and goes no further."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: see docs/training.md")
    openrlhf = pytest.importorskip("openrlhf.utils", reason="OpenRLHF is not installed")
    ray = pytest.importorskip("ray")

    def stop(arguments: Any) -> None:
        raise Parsed(arguments)

    def parse(module: str, arguments: list[str]) -> Any:
        monkeypatch.setattr(openrlhf, "get_strategy", stop)
        monkeypatch.setattr(ray, "is_initialized", lambda: True)
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        with gpu_packages_optional(), pytest.raises(Parsed) as caught:
            runpy.run_module(module, run_name="__main__")
        return caught.value.args[0]

    return parse


def value(parsed: Any, flag: str) -> Any:
    """A flag's value; an AttributeError if OpenRLHF knows no flag of that very name."""
    for name in flag.removeprefix("--").split("."):
        parsed = getattr(parsed, name)
    return parsed


def flags(arguments: list[str]) -> list[str]:
    return [word for word in arguments if word.startswith("--")]


def test_there_are_recipes() -> None:
    assert {path.stem for path in GRPO} == {"tau2_grpo", "grpo_tcr", "grpo_tcr_code"}
    assert {path.stem for path in SFT} == {"tau2_sft", "sft_tcr_code"}
    assert {path.stem for path in HARDWARE} == {"1gpu", "8gpu", "2x8gpu", "async_8gpu"}


@pytest.mark.parametrize("recipe", GRPO, ids=lambda path: path.stem)
def test_only_parity_with_its_source_makes_a_recipe_lenient(recipe: Path) -> None:
    reward = RewardConfig.of(load_config(GRPOConfig, [recipe], {}).environment.reward)
    assert reward.lenient_actions is (recipe.stem == "tau2_grpo")


@pytest.mark.parametrize("hardware", [None, *HARDWARE], ids=lambda p: p.stem if p else "own")
@pytest.mark.parametrize("recipe", GRPO, ids=lambda path: path.stem)
def test_grpo_recipes_pass_openrlhfs_checks(
    recipe: Path, hardware: Path | None, parse: Parse
) -> None:
    files = [recipe, *([hardware] if hardware else [])]
    config = load_config(GRPOConfig, files, {})
    arguments = grpo_arguments(config, AGENT)
    parsed = parse("openrlhf.cli.train_ppo_ray", arguments)
    for flag in flags(arguments):
        value(parsed, flag)
    assert parsed.reward.remote_url == ["agent"]
    assert parsed.actor.adam.lr == config.optimizer.lr
    assert tuple(parsed.actor.eps_clip_low_high) == config.algorithm.clip
    assert parsed.rollout.n_samples_per_prompt == config.rollout.samples
    assert parsed.train.batch_size == config.rollout.tasks * config.rollout.samples
    assert parsed.algo.kl.init_coef == config.algorithm.kl
    assert parsed.vllm.num_engines == config.hardware.engines
    assert parsed.train.async_enable == config.hardware.asynchronous


@pytest.mark.parametrize("hardware", [None, *HARDWARE], ids=lambda p: p.stem if p else "own")
def test_the_sft_recipe_passes_openrlhfs_checks(hardware: Path | None, parse: Parse) -> None:
    overrides: dict[str, Any] = {"model": "m", "data": "data"}
    config = load_config(SFTConfig, SFT, overrides)
    if hardware:
        grpo = load_config(GRPOConfig, hardware, {"model": "m"})
        config = config.model_copy(update={"hardware": grpo.hardware})
    arguments = sft_arguments(config, Path("rows.jsonl"), Path("eval.jsonl"), 438)
    parsed = parse("openrlhf.cli.train_sft", arguments)
    for flag in flags(arguments):
        value(parsed, flag)
    assert parsed.data.multiturn
    assert parsed.data.input_key == "messages"
    assert parsed.adam.lr == config.optimizer.lr
    assert parsed.lr_scheduler == "cosine_with_min_lr"
    assert parsed.train.max_epochs == 2


def test_options_without_a_value_and_those_that_are_off_leave_no_flag() -> None:
    config = load_config(GRPOConfig, None, {"model": "m", "algorithm.correction": "off"})
    words = grpo_arguments(config, AGENT)
    assert "--actor.dual_clip" not in words
    assert "--algo.kl.use_loss" not in words
    assert "--algo.advantage.is_correction_mode" not in words
    assert "--train.async_enable" not in words
    assert words[words.index("--algo.advantage.is_correction_level") + 1] == "off"


def test_a_run_goes_on_where_there_is_a_checkpoint(tmp_path: Path) -> None:
    config = load_config(
        GRPOConfig, None, {"model": "m", "run.output": str(tmp_path), "run.steps": 1}
    )
    assert "--ckpt.load_enable" not in grpo_arguments(config, AGENT)
    folder = tmp_path / "checkpoints" / "_actor"
    folder.mkdir(parents=True)
    (folder / "latest").write_text("global_step10")
    assert "--ckpt.load_enable" in grpo_arguments(config, AGENT)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"hardware.engines": 4}, "take the same number"),
        ({"rollout.tasks": 3, "rollout.samples": 2}, "cannot be shared out evenly to 8 GPUs"),
        ({"algorithm.updates": 32}, "4 episodes an update cannot be shared out"),
        ({"hardware.dtype": "fp32"}, "bf16 or fp16"),
        ({"hardware.attention": "sdpa"}, "packing takes flash attention"),
    ],
)
def test_what_openrlhf_would_notice_late_is_refused(overrides: dict[str, Any], says: str) -> None:
    config = load_config(GRPOConfig, None, {"model": "m", **overrides})
    with pytest.raises(ConfigError, match=says):
        grpo_arguments(config, AGENT)


@pytest.mark.parametrize(
    ("overrides", "rows", "says"),
    [
        ({"loss": "seq-mean-token-mean"}, 32, "averages the loss of SFT over tokens"),
        ({"batch": 12}, 32, "cannot be shared out evenly"),
        ({}, 7, "make no batch of 16"),
        ({"run.steps": 3}, 32, "at most 2 steps"),
    ],
)
def test_what_openrlhfs_sft_cannot_do_is_refused(
    overrides: dict[str, Any], rows: int, says: str
) -> None:
    config = load_config(SFTConfig, None, {"model": "m", "data": "d", **overrides})
    with pytest.raises(ConfigError, match=says):
        sft_arguments(config, Path("rows.jsonl"), None, rows)


def test_sft_ends_after_a_number_of_steps_within_the_first_epoch() -> None:
    config = load_config(SFTConfig, None, {"model": "m", "data": "d", "run.steps": 2})
    words = sft_arguments(config, Path("rows.jsonl"), None, 40)
    assert words[words.index("--data.max_samples") + 1] == "32"
    assert words[words.index("--train.max_epochs") + 1] == "1"
