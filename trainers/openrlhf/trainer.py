"""OpenRLHF's trainers, sampling and learning from our episodes.

OpenRLHF's trainer classes look up in their own modules how tasks are loaded, sampled, made into
experience and evaluated. Importing this module puts ours there, in this process. The classes below
are importable subclasses, so that every Ray worker that gets one imports this module, too. The
rest, from placement to loss and checkpoints, is OpenRLHF's.
"""

from __future__ import annotations

import json
from typing import Any

from tau2_gym.results.record import SUCCESS
from trainers.log import RunLog
from trainers.metrics import episodes, evaluation_metrics, training_metrics
from trainers.openrlhf.experience import EpisodeSamples, ExperienceMaker, score_masked
from trainers.openrlhf.gpu_packages import gpu_packages_optional
from trainers.openrlhf.task_loader import TaskStream, batch
from trainers.rollout.curriculum import task_of
from trainers.rollout.executor import refuse_all_faulted, settings_of_environment
from trainers.tasks import run_tasks

with gpu_packages_optional():
    import torch
    from openrlhf.trainer import ppo_trainer, ppo_trainer_async


def load_tasks(strategy: Any, tokenizer: Any) -> tuple[TaskStream, list[Any] | None, int]:
    """The stream of tasks, what to evaluate on if anything, and how many optimiser steps there
    will be, for the learning rate's schedule."""
    config = settings_of_environment()
    trained, kept = run_tasks(config)
    stream = TaskStream(trained, config)
    held_out = [batch(task, evaluation=True) for task in kept]
    steps = (config.run.steps or 0) * config.algorithm.updates * config.algorithm.epochs
    return stream, held_out or None, steps


class Samples(EpisodeSamples):
    """Samples episodes, and tells the stream of tasks how they went."""

    def generate_samples(self, **options: Any) -> Any:
        """A step's episodes. Each gets the weight that its task had as `info["weight"]`.

        Raises:
            RuntimeError: all of them faulted: the run would go on forever and do nothing.
        """
        self._played: list[dict[str, Any]] = []
        self._group: list[Any] = []
        answer = super().generate_samples(**options)
        if samples := answer[0]:
            stream: TaskStream = self.prompts_dataloader
            for sample, episode in zip(samples, episodes(samples), strict=True):
                weight = stream.curriculum.weight(episode.domain, episode.task_id)
                sample.info["weight"] = torch.tensor([weight])
            # With dynamic filtering also those of groups that were refused.
            valid = [r for r in self._played if not r["extra_logs"]["masked"]]
            stream.finish_step([(task_of(r["label"]), r["scores"] >= SUCCESS) for r in valid])
        return answer

    def _process_response_into_experience(self, response: dict[str, Any], **options: Any) -> Any:
        experience = super()._process_response_into_experience(response, **options)
        if json.loads(response["label"]).get("evaluation"):
            return experience
        rollout = self.args.rollout
        self._played.append(response)
        if len(self._played) >= rollout.batch_size * rollout.n_samples_per_prompt:
            refuse_all_faulted(self._played)
        # OpenRLHF comes here with the episodes of a group one after the other, then filters groups.
        self._group.append(experience)
        if len(self._group) == rollout.n_samples_per_prompt:
            score_masked(self._group)
            self._group = []
        return experience


for module in (ppo_trainer, ppo_trainer_async):
    module.prepare_datasets = load_tasks
    module.SamplesGenerator = Samples
    module.compute_eval_metrics = evaluation_metrics
ppo_trainer.RemoteExperienceMaker = ExperienceMaker


class Tracker:
    """Our log, in the place of OpenRLHF's for TensorBoard."""

    def __init__(self, log: RunLog) -> None:
        self.log = log

    def log_train(self, step: int, values: dict[str, Any]) -> None:
        """Write down a training step."""
        self._write(step, values, "train/")

    def log_eval(self, step: int, values: dict[str, Any]) -> None:
        """Write down an evaluation."""
        self._write(step, values, "eval/")

    def close(self) -> None:
        """End the log."""
        self.log.__exit__(None, None, None)

    def _write(self, step: int, values: dict[str, Any], prefix: str) -> None:
        numbers = {
            f"{prefix}{name}": float(value)
            for name, value in values.items()
            if isinstance(value, int | float)
        }
        self.log.write(step, numbers)


class Logs:
    """What both trainers log besides OpenRLHF's own numbers."""

    tensorboard_logger: Any

    def init_checkpoint_states(self) -> dict[str, Any]:
        """Where the run resumes. Opens the log there."""
        states: dict[str, Any] = super().init_checkpoint_states()  # type: ignore[misc]
        if self.tensorboard_logger is None:
            config = settings_of_environment()
            log = RunLog(config.run, config.model_dump(mode="json"), states["global_step"])
            self.tensorboard_logger = Tracker(log)
        return states

    def _compute_rollout_stats(self, experiences: list[Any]) -> dict[str, float]:
        found: dict[str, float] = super()._compute_rollout_stats(experiences)  # type: ignore[misc]
        return found | training_metrics(experiences)


class Trainer(Logs, ppo_trainer.PPOTrainer.__ray_metadata__.modified_class):  # type: ignore[misc]
    """The trainer that samples, then trains."""

    def fit(self, global_step: int = 0) -> None:
        """Train to the last step. A new run begins with an evaluation."""
        if not self.init_checkpoint_states()["global_step"] and self.eval_dataloader:
            self._evaluate(0)
        super().fit(global_step)

    def save_logs_and_checkpoints(self, global_step: int, *arguments: Any) -> None:
        """After the last step there is an evaluation, too."""
        super().save_logs_and_checkpoints(global_step, *arguments)
        last = global_step == settings_of_environment().run.steps
        if last and self.eval_dataloader and global_step % self.args.eval.steps:
            self._evaluate(global_step)

    def _evaluate(self, global_step: int) -> None:
        options = self.generate_kwargs | {
            "temperature": self.args.eval.temperature,
            "n_samples_per_prompt": self.args.eval.n_samples_per_prompt,
        }
        self.evaluate(global_step, **options)


class AsyncSampler(ppo_trainer_async.GenerateSamplesActor.__ray_metadata__.modified_class):  # type: ignore[misc]
    """Samples while the other half trains."""

    def _should_eval(self, global_step: int) -> bool:
        begins = global_step == 0 and self._last_eval_step < 0 and not self.args.ckpt.load_enable
        if begins and self.eval_dataloader:
            return True
        due: bool = super()._should_eval(global_step)
        return due


class AsyncLearner(Logs, ppo_trainer_async.TrainingActor.__ray_metadata__.modified_class):  # type: ignore[misc]
    """Trains while the other half samples."""


class AsyncTrainer(ppo_trainer_async.PPOTrainerAsync.__ray_metadata__.modified_class):  # type: ignore[misc]
    """The trainer whose two halves run at the same time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        import ray

        ppo_trainer_async.GenerateSamplesActor = ray.remote(AsyncSampler)
        ppo_trainer_async.TrainingActor = ray.remote(AsyncLearner)
        super().__init__(*arguments, **options)
