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

from trainers.config import GRPOConfig, load_config
from trainers.openrlhf import trainer
from trainers.openrlhf.experience import EpisodeSamples
from trainers.openrlhf.task_loader import TaskStream


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


def experience(_: Any, response: dict[str, Any], **__: Any) -> Any:
    masked = response.get("extra_logs", {}).get("masked", 0.0)
    scores = torch.tensor([response.get("scores", 0.0)])
    return SimpleNamespace(info={"masked": torch.tensor([masked])}, scores=scores)


def sampled(monkeypatch: pytest.MonkeyPatch, *masked: bool) -> tuple[TaskStream, list[Any]]:
    """What two steps that solve all that is not masked leave behind; the last episode of each was
    refused by dynamic filtering."""
    settings = {"model": "m", "curriculum.min_attempts": 1, "curriculum.half_life": None}
    config = load_config(GRPOConfig, None, settings)
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
    monkeypatch.setattr(EpisodeSamples, "_process_response_into_experience", experience)
    generator = object.__new__(trainer.Samples)
    generator.prompts_dataloader = stream
    rollout = SimpleNamespace(batch_size=1, n_samples_per_prompt=len(masked))
    generator.args = SimpleNamespace(rollout=rollout)
    for _ in range(2):
        assert generator.generate_samples() == answer
    return stream, samples


def test_weights_are_those_before_the_step_and_faulted_episodes_no_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, samples = sampled(monkeypatch, False, False, True, False)
    assert stream.step == 2
    assert stream.curriculum.state() == {"retail": {"7": (6, 6)}}, "refused groups count, too"
    # 1 in the first step, that of an easy task in the second.
    assert [float(sample.info["weight"]) for sample in samples] == pytest.approx([0.1] * 3)


def test_a_run_whose_episodes_are_all_faulted_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="all 2 episodes of a step faulted; the first: user"):
        sampled(monkeypatch, True, True)


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        ("1101", True),
        ("1111", False),
        ("0000", False),
        ("11?1", False),  # solved each time that it was played
        ("?1??", False),
        ("0?00", False),
        ("1?0?", True),
        ("????", False),
    ],
)
def test_masked_episodes_neither_pass_nor_fail_openrlhfs_filter(
    outcomes: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenRLHF's own sampling and filter; only Ray's workers are not there."""
    from openrlhf.trainer.ppo_utils import samples_generator

    def played(domain: str, task: str, outcomes: str) -> list[dict[str, Any]]:
        label = json.dumps({"domain": domain, "task_id": task})
        return [
            {
                "prompt": f"{domain}/{task}",
                "label": label,
                "observation_tokens": [1, 2],
                "action_ranges": [(1, 2)],
                "rollout_log_probs": [0.0, 0.0],
                "turn_rewards": [0.0],
                "reward": 0.0,
                "scores": 1.0 if outcome == "1" else 0.0,
                "error": "user fault: no" if outcome == "?" else None,
                "extra_logs": {"official": 0.0, "masked": float(outcome == "?")},
            }
            for outcome in outcomes
        ]

    here = SimpleNamespace(get=lambda ref: ref, wait=lambda refs, **_: (refs[:1], refs[1:]))
    monkeypatch.setattr(samples_generator, "ray", here)
    settings = {"model": "m", "rollout.tasks": 1, "rollout.samples": 4, "run.steps": 1}
    stream = TaskStream([("retail", "7"), ("retail", "8")], load_config(GRPOConfig, None, settings))
    args = SimpleNamespace(
        vllm=SimpleNamespace(enable_sleep=False),
        rollout=SimpleNamespace(batch_size=1, n_samples_per_prompt=4),
        algo=SimpleNamespace(dynamic_filtering_enable=True, dynamic_filtering_range=(0.0, 1.0)),
    )
    generator = trainer.Samples(SimpleNamespace(args=args), stream, None, None, [])
    queue = [outcomes, "0011", "0011"]

    def dispatch(prompts: list[str], *_: Any, **__: Any) -> list[Any]:
        return [played(*prompt.split("/"), queue.pop(0)) for prompt in prompts]

    monkeypatch.setattr(generator, "_dispatch_prompts_to_vllm", dispatch)
    monkeypatch.setattr(
        trainer, "refuse_all_faulted", lambda played: None
    )  # it ends a run of "????"
    samples, _, consumed, _ = generator.generate_samples(max_len=10)
    assert len(samples) == 4
    assert consumed == (1 if kept else 2)
