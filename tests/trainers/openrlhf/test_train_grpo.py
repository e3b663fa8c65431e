"""`openrlhf.cli.train_ppo_ray` itself, with our trainer, executor and advantages, on a CPU: two steps,
and two more from a checkpoint. See `tests.trainers.openrlhf_cpu` for what stands in for what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.domains.base import get_domain
from tests.tiny_model import torch
from tests.trainers.cpu import CPU, PATIENCE, changed, run_on_cpu, tiny
from trainers.config import GRPOConfig
from trainers.credit import group_advantages
from trainers.openrlhf.arguments import grpo_arguments
from trainers.openrlhf.experience import turns_of
from trainers.sections import (
    Algorithm,
    Curriculum,
    Environment,
    Evaluation,
    Optimizer,
    Rollout,
    Run,
    Tasks,
)

GROUPS, SIZE, STEPS = 2, 4, 4
AGENT = Path(__file__).parents[3] / "trainers" / "openrlhf" / "agent_func.py"

__all__ = ["tiny"]

pytestmark = PATIENCE


def recipe(model: str, output: Path, steps: int) -> GRPOConfig:
    return GRPOConfig(
        model=model,
        tasks=Tasks(domains=("telecom",)),
        environment=Environment(
            # Amounts that turns of the tiny model do earn.
            reward={"preset": "progress", "malformed": 0.25, "tool_error": 0.125},
            prompt="bare",
            max_turns=3,
        ),
        rollout=Rollout(tasks=GROUPS, samples=SIZE, max_new_tokens=24, context=2048),
        algorithm=Algorithm(credit="turn"),
        curriculum=Curriculum(half_life=None),
        optimizer=Optimizer(lr=2e-3, warmup=0.0),
        hardware=CPU,
        evaluation=Evaluation(
            only=tuple(get_domain("telecom").task_ids("test")[:1]), every=STEPS, samples=2
        ),
        run=Run(output=output, steps=steps, save_every=2, tensorboard=False),
    )


@dataclass(frozen=True)
class Trained:
    output: Path
    experience: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.output / "log.jsonl").open()]

    def steps(self) -> Iterator[list[dict[str, Any]]]:
        """The experiences of each step, in the order in which they were sampled."""
        files = sorted(self.experience.iterdir())
        batches = GROUPS * SIZE // CPU.micro_batch
        assert len(files) == STEPS * batches
        for start in range(0, len(files), batches):
            yield [torch.load(file, weights_only=False) for file in files[start : start + batches]]


@pytest.fixture(scope="module")
def trained(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("grpo")
    output, experience = folder / "run", folder / "experience"
    experience.mkdir()
    settings = folder / "config.json"
    for steps in (2, STEPS):
        config = recipe(tiny, output, steps)
        settings.write_text(config.model_dump_json())
        arguments = grpo_arguments(config, str(AGENT))
        run_on_cpu(
            "grpo",
            [*arguments, "--vllm.sync_backend", "gloo"],
            TAU2_GYM_TRAINING=str(settings),
            TAU2_GYM_TEST_EXPERIENCE=str(experience),
        )
    return Trained(output, experience)


def test_every_step_is_logged_once(trained: Trained) -> None:
    steps = [line for line in trained.log if "train/reward" in line]
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    for line in steps:
        assert {
            "train/pass@1",
            "train/official",
            "train/partial",
            "train/telecom/reward",
            "train/turns",
            "train/response_tokens",
            "train/ownership",
            "train/masked",
            "train/fault_user",
            "train/ledger/progress",
            "train/ledger/malformed",
            "train/entropy_loss",
            "train/ppo_clip_ratio",
            "train/ppo_kl",
            "train/actor_lr",
        } <= line.keys()
        assert line["train/masked"] == 0
        assert line["train/actor_lr"] == 2e-3


def test_evaluations_report_the_benchmarks_metrics(trained: Trained) -> None:
    lines = [line for line in trained.log if "eval/tasks" in line]
    # Before the first step, after every fourth one, and after the last one of the first run.
    assert [line["step"] for line in lines] == [0, 2, STEPS]
    for line in lines:
        assert line["eval/tasks"] == line["eval/telecom/tasks"] == 1
        assert {"eval/pass@1", "eval/pass@2", "eval/pass^2", "eval/partial"} <= line.keys()


def test_trainer_and_engine_agree_on_probabilities_that_have_changed(
    trained: Trained, tiny: str
) -> None:
    from transformers import AutoModelForCausalLM

    assert changed(tiny, str(trained.output / "model"))
    *_, last = trained.steps()
    start = AutoModelForCausalLM.from_pretrained(tiny).eval()
    drift = 0.0
    for kept in last:
        mask = kept["action_mask"].bool()
        apart = (kept["action_log_probs"] - kept["rollout_log_probs"]).abs()[mask]
        assert float(apart.mean()) < MEAN
        assert float(apart.max()) < LARGEST
        with torch.no_grad():
            logits = start(kept["sequences"]).logits[:, :-1].float()
        before = logits.log_softmax(-1).gather(-1, kept["sequences"][:, 1:, None])[..., 0]
        drift = max(drift, float((before - kept["rollout_log_probs"]).abs()[mask].max()))
    assert drift > 2 * LARGEST


MEAN, LARGEST = 1e-3, 2**-4
"""Between the log-probabilities of engine and trainer. Both compute in bf16, whose numbers lie 1/32 apart
from 4 on, so that a logit that rounds the other way makes that difference."""


def test_the_advantages_trained_on_are_those_of_turns(trained: Trained) -> None:
    varied = 0
    for step in trained.steps():
        rows = [(kept, row) for kept in step for row in range(len(kept["sequences"]))]
        for start in range(0, len(rows), SIZE):
            varied += check_group(rows[start : start + SIZE])
    assert varied


def check_group(group: list[tuple[dict[str, Any], int]]) -> int:
    """Compare a group's advantages with `trainers.credit`.

    Returns:
        How many of its episodes have turns with different ones.
    """
    assert len({kept["labels"][row] for kept, row in group}) == 1
    spans = [turns_of(kept["action_mask"][row]) for kept, row in group]
    rewards = []
    for (kept, row), turns in zip(group, spans, strict=True):
        to_come = [float(kept["returns"][row, begin]) for begin, _ in turns]
        rewards.append([a - b for a, b in zip(to_come, [*to_come[1:], 0.0], strict=True)])
    masked = [bool(kept["info"]["masked"][row]) for kept, row in group]
    expected = group_advantages(rewards, masked, credit="turn")
    varied = 0
    for (kept, row), turns, worth in zip(group, spans, expected, strict=True):
        for (begin, end), advantage in zip(turns, worth, strict=True):
            found = kept["advantages"][row, begin:end]
            assert found == pytest.approx(torch.full((end - begin,), advantage), abs=1e-4)
        varied += len({round(advantage, 3) for advantage in worth}) > 1
    return varied


def test_the_curriculum_survives_in_the_checkpoint(trained: Trained) -> None:
    file = trained.output / "checkpoints" / "_actor" / f"global_step{STEPS}"
    states = torch.load(file / "mp_rank_00_model_states.pt", weights_only=False)
    stream = states["data_loader_state_dict"]
    assert stream["step"] == STEPS
    attempts = [tried for _, tried in stream["curriculum"]["telecom"].values()]
    assert attempts == [SIZE] * GROUPS * STEPS  # no task comes twice before all have come
