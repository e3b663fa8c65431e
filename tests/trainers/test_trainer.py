"""What is put into OpenRLHF's modules, and what it does there."""

from __future__ import annotations

import json
from inspect import unwrap
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tiny_model import torch

pytest.importorskip("openrlhf", reason="OpenRLHF is not installed: see docs/training.md")
pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: see docs/training.md")
pytest.importorskip("ray")

from trainers.cluster import trainer
from trainers.cluster.stream import TaskStream
from trainers.config import GRPOConfig, load_config
from trainers.experience import EpisodeSamples


def looked_up(*functions: Any) -> set[str]:
    """The names that functions look up in their modules, among others."""
    return {name for function in functions for name in unwrap(function).__code__.co_names}


def test_openrlhf_looks_up_what_is_put_into_its_modules() -> None:
    once, again = trainer.ppo_trainer, trainer.ppo_trainer_async
    synchronous = once.PPOTrainer.__ray_metadata__.modified_class
    sampler = again.GenerateSamplesActor.__ray_metadata__.modified_class
    tasks = {"prepare_datasets", "SamplesGenerator"}
    assert tasks <= looked_up(synchronous.__init__)
    assert tasks <= looked_up(sampler.__init__)
    assert "compute_eval_metrics" in looked_up(synchronous.evaluate)
    assert "compute_eval_metrics" in looked_up(sampler._run_eval)
    assert "RemoteExperienceMaker" in looked_up(once.BasePPOTrainer.__init__)
    halves = {"GenerateSamplesActor", "TrainingActor"}
    assert halves <= looked_up(again.PPOTrainerAsync.__ray_metadata__.modified_class.__init__)
    for module in (once, again):
        assert module.prepare_datasets is trainer.load_tasks
        assert module.SamplesGenerator is trainer.Samples


def sampled(monkeypatch: pytest.MonkeyPatch, *masked: bool) -> tuple[TaskStream, list[Any]]:
    """What two steps that solve all that is not masked leave behind; the last episode of each was
    refused by dynamic filtering."""
    config = load_config(GRPOConfig, None, {"model": "m", "curriculum.min_attempts": 1})
    stream = TaskStream([("retail", "7")], config)
    label = json.dumps({"domain": "retail", "task_id": "7"})
    samples = [
        SimpleNamespace(
            labels=[label],
            info={"official": torch.tensor([1.0]), "masked": torch.tensor([float(hidden)])},
        )
        for hidden in masked[:-1]
    ]
    answer = (samples, None, 1, False)

    def generate(self: Any, **options: Any) -> Any:
        held_out = {"label": json.dumps({"domain": "x", "task_id": "y", "evaluation": True})}
        self._process_response_into_experience(held_out)
        for hidden in masked:
            logs = {"masked": float(hidden)}
            response = {
                "label": label,
                "scores": 1.0,
                "extra_logs": logs,
                "error": "user fault: no",
            }
            self._process_response_into_experience(response)
        return answer

    monkeypatch.setattr(EpisodeSamples, "generate_samples", generate)
    monkeypatch.setattr(EpisodeSamples, "_process_response_into_experience", lambda *_, **__: None)
    generator = object.__new__(trainer.Samples)
    generator.prompts_dataloader = stream
    rollout = SimpleNamespace(batch_size=1, n_samples_per_prompt=len(masked))
    generator.args = SimpleNamespace(rollout=rollout)
    for _ in range(2):
        assert generator.generate_samples() == answer
    return stream, samples


def test_weights_are_those_before_the_step_and_spoilt_episodes_no_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, samples = sampled(monkeypatch, False, False, True, False)
    assert stream.step == 2
    assert stream.curriculum.state() == {"retail": {"7": (6, 6)}}, "refused groups count, too"
    # 1 in the first step, that of an easy task in the second.
    assert [float(sample.info["weight"]) for sample in samples] == pytest.approx([0.1] * 3)


def test_a_run_whose_episodes_are_all_spoilt_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="all 2 episodes of a step were spoilt; the first: user"):
        sampled(monkeypatch, True, True)
