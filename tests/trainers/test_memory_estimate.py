"""What a run takes is known before it starts, and recipes fit the hardware they name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tau2_gym.errors import ConfigError
from trainers import grpo, sft
from trainers.config import GRPOConfig, SFTConfig, load_config
from trainers.memory_estimate import (
    GIB,
    LOGITS,
    Shape,
    check_cluster,
    check_local,
    checkpoint_cost,
    cluster_memory,
    local_memory,
    shape_of,
)
from trainers.openrlhf.arguments import grpo_arguments

pytest.importorskip("transformers", reason="transformers is not installed")

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "trainers" / "recipes"
HARDWARE = [None, *sorted((RECIPES / "hardware").glob("*.yaml"))]
QWEN3_4B = {
    "model_type": "qwen3",
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}
SHAPE = Shape(4_022_468_096, 151_936, 2560, 9728, 36, 2 * 36 * 8 * 128)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A folder with the sizes of Qwen3-4B, and no weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(QWEN3_4B))
    (folder / "tokenizer_config.json").write_text("{}")
    return str(folder)


def config(*recipes: Path | None, **settings: Any) -> GRPOConfig:
    files = [recipe for recipe in recipes if recipe is not None]
    return load_config(GRPOConfig, files, {"model": "m", **settings})


def run(*arguments: str) -> Result:
    return CliRunner().invoke(grpo.app, ["--dry-run", "--backend", "openrlhf", *arguments])


def test_sizes_are_read_without_weights(model: str, tmp_path: Path) -> None:
    assert shape_of(model, offline=True) == SHAPE
    assert shape_of(str(tmp_path / "none"), offline=True) is None
    assert shape_of("Qwen/a-model-that-is-not-here", offline=True) is None


def test_the_parts_are_those_of_mixed_precision_and_zero() -> None:
    parts = cluster_memory(config(**{"algorithm.kl": 0.01, "rollout.context": 32768}), SHAPE)
    assert parts["logits"] == pytest.approx(74.2 * GIB, rel=1e-3)
    count = SHAPE.parameters
    assert (parts["gradients"], parts["optimiser"]) == (2 * count / 8, 12 * count / 8)
    assert parts["reference model"] == 2 * count / 8
    one = cluster_memory(config(**{"hardware.gpus": 1, "hardware.zero_stage": 2}), SHAPE)
    assert sum(one[name] for name in ("weights", "gradients", "optimiser")) == 16 * count
    half = {"hardware.gpus": 2, "hardware.engines": 2, "hardware.zero_stage": 1}
    assert cluster_memory(config(**half), SHAPE)["optimiser"] == 12 * count / 2
    assert cluster_memory(config(**half), SHAPE)["gradients"] == 2 * count
    assert cluster_memory(config(**{"hardware.offload": True}), SHAPE)["optimiser"] == 0


def test_a_pass_has_as_many_tokens_as_the_longest_episode() -> None:
    def logits(**settings: Any) -> float:
        return cluster_memory(config(**settings), SHAPE)["logits"] / (4 * LOGITS * 151_936)

    assert logits(**{"rollout.context": 20000, "hardware.micro_tokens": 1000}) == 20000
    assert logits(**{"rollout.context": 1000, "hardware.micro_tokens": 20000}) == 20000
    padded = {"rollout.context": 1000, "hardware.micro_tokens": None, "hardware.micro_batch": 3}
    assert logits(**padded) == 3000


def test_the_defaults_fit_80_gb_with_a_model_of_4b() -> None:
    assert check_cluster(config(), SHAPE).startswith("Memory: 55.2 GiB on each of 8 GPUs of 79 GiB")
    assert check_cluster(config(**{"algorithm.kl": 0.01}), SHAPE)
    check_cluster(SFTConfig(model="m", data=Path("d")), SHAPE)


@pytest.mark.parametrize("hardware", HARDWARE, ids=lambda path: path.stem if path else "own")
@pytest.mark.parametrize("recipe", ["tau2_grpo", "grpo_tcr", "grpo_tcr_code"])
def test_recipes_fit_the_hardware_they_name(recipe: str, hardware: Path | None) -> None:
    check_cluster(config(RECIPES / f"{recipe}.yaml", hardware), SHAPE)


@pytest.mark.parametrize("name", ["tau2_sft", "sft_tcr_code"])
def test_the_sft_recipes_fit(name: str) -> None:
    recipe = load_config(SFTConfig, RECIPES / f"{name}.yaml", {"model": "m", "data": "d"})
    check_cluster(recipe, SHAPE)


@pytest.mark.parametrize("setting", ["rollout.context", "hardware.micro_tokens"])
def test_what_does_not_fit_is_refused_with_the_numbers_and_a_way_out(setting: str) -> None:
    large = {setting: 32768}
    with pytest.raises(ConfigError) as caught:
        check_cluster(config(**large), SHAPE)
    said = str(caught.value)
    assert (
        "GiB on each of 8 GPUs of 79 GiB (logits 74.2 GiB: 4 float32 copies of 32,768 tokens"
        in said
    )
    assert "optimiser 5.6 GiB" in said
    fits = int(said.partition("micro_tokens to ")[2].partition(", or")[0].replace(",", ""))
    both = {"rollout.context": fits, "hardware.micro_tokens": fits}
    check_cluster(config(**both), SHAPE)
    with pytest.raises(ConfigError):
        check_cluster(config(**{name: int(1.02 * fits) for name in both}), SHAPE)


def test_an_engine_that_leaves_no_room_for_the_models_is_refused() -> None:
    greedy = {"hardware.engine_memory": 0.97}
    with pytest.raises(
        ConfigError, match=r"sampling takes .* lower hardware.engine_memory to 0\.\d\d"
    ):
        check_cluster(config(**greedy), SHAPE)
    apart = {**greedy, "hardware.colocate": False}
    check_cluster(config(**apart), SHAPE)


def test_smaller_gpus_hold_less() -> None:
    with pytest.raises(ConfigError, match="GPUs of 39 GiB"):
        check_cluster(config(**{"hardware.gpu_memory": 39}), SHAPE)


def test_one_process_holds_everything() -> None:
    small = {"rollout.context": 1024, "rollout.concurrency": 4, "hardware.micro_batch": 2}
    parts = local_memory(config(**small), SHAPE)
    count = SHAPE.parameters
    assert sum(parts[name] for name in ("weights", "gradients", "optimiser")) == 20 * count
    assert parts["keys and values"] == 2 * 4 * 1025 * SHAPE.kept
    assert parts["logits"] == 4 * LOGITS * 2 * 1024 * 151_936
    exact = local_memory(config(**small, **{"hardware.dtype": "fp32"}), SHAPE)
    assert sum(exact[name] for name in ("weights", "gradients", "optimiser")) == 16 * count
    with pytest.raises(
        ConfigError, match=r"and 20\.0 GiB are free: lower rollout.context, rollout"
    ):
        check_local(config(**small), SHAPE, 20 * GIB)
    assert "that are free" in check_local(config(**small), SHAPE, 200 * GIB)


def test_checkpoints_are_sparse_on_a_cluster_and_their_disk_is_said() -> None:
    words = grpo_arguments(config(), "agent.py")
    assert words[words.index("--ckpt.save_steps") + 1] == "20"
    often = grpo_arguments(config(**{"run.save_every": 3}), "agent.py")
    assert often[often.index("--ckpt.save_steps") + 1] == "3"
    assert [config().run.saves_after(step) for step in (1, 2, 3)] == [True] * 3
    assert checkpoint_cost(config(), 20, SHAPE) == (
        "Checkpoints: every 20 steps, 56.3 GB each, the newest 2 kept: 112.6 GB of disk."
    )


def test_commands_say_it_and_refuse(model: str, tmp_path: Path) -> None:
    fits = run("--model", model)
    assert fits.exit_code == 0, fits.output
    assert "Memory: 55.2 GiB on each of 8 GPUs of 79 GiB (logits 37.1 GiB" in fits.stderr
    assert "every 20 steps, 56.3 GB each" in fits.stderr
    assert "Memory" not in fits.stdout
    large = run("--model", model, "--set", "rollout.context=32768")
    assert large.exit_code == 2
    assert "logits 74.2 GiB" in large.output
    unknown = run("--model", "runs/none")
    assert unknown.exit_code == 0
    assert "Memory: not known without the sizes of runs/none" in unknown.stderr
    rows = tmp_path / "rows.jsonl"
    talk = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello."}]
    rows.write_text((json.dumps({"messages": talk}) + "\n") * 16)
    options = ["--dry-run", "--backend", "openrlhf", "--model", model, "--data", str(rows)]
    assert "Memory: " in CliRunner().invoke(sft.app, options).stderr
    long = CliRunner().invoke(sft.app, [*options, "--set", "context=65536"])
    assert long.exit_code == 2
    assert "lower context to" in long.output


MEASURE = """
import re, sys, torch
from pathlib import Path
from transformers import Qwen3Config, Qwen3ForCausalLM
from trainers.openrlhf.gpu_packages import gpu_packages_optional
with gpu_packages_optional():
    from openrlhf.models import Actor, PolicyLoss, aggregate_loss
VOCABULARY, TOKENS = 80_000, 512
sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, head_dim=16)
heads = dict(num_attention_heads=1, num_key_value_heads=1, tie_word_embeddings=True)
model = Qwen3ForCausalLM(Qwen3Config(vocab_size=VOCABULARY, **sizes, **heads)).bfloat16()
actor, policy = Actor(model, temperature=0.7), PolicyLoss(0.2, 0.28)
actor.packing_samples = False

def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def step(tokens, bonus):
    ids, mask = torch.randint(0, VOCABULARY, (1, tokens)), torch.ones(1, tokens - 1)
    found, output = actor(
        ids, mask, attention_mask=torch.ones_like(ids), return_output=True, return_entropy=bonus
    )
    totals = dict(batch_num_tokens=mask.sum(), global_batch_size=torch.tensor(1.0))
    loss, *_ = policy(found, found.detach(), torch.ones_like(found), action_mask=mask, **totals)
    if bonus:
        loss = loss - 0.001 * aggregate_loss(output.entropy, mask, True, **totals)
    loss.backward()

for bonus in (False, True):
    step(64, bonus)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step(TOKENS, bonus)
    print("copies", (memory("VmHWM") - before) / (4 * TOKENS * VOCABULARY))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_loss_holds_as_many_copies_of_the_logits_as_are_counted() -> None:
    """OpenRLHF's model, entropy and loss, with a vocabulary that outweighs all else."""
    pytest.importorskip("openrlhf", reason="OpenRLHF is not installed: see docs/training.md")
    output = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines = [line.split() for line in output.splitlines() if line.startswith("copies")]
    found = [float(number) for _, number in lines]
    assert found == pytest.approx([LOGITS, LOGITS], abs=0.3)
