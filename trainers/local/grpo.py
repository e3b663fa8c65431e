"""GRPO in this process: OpenRLHF's samples, experience maker, actor and loss, and a local engine."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from agents.tokenizer import load_tokenizer
from tau2_gym.results.record import SUCCESS, TaskKey
from trainers.config import GRPOConfig
from trainers.credit import EPSILON
from trainers.local.checkpoints import latest_checkpoint, save_checkpoint, save_model
from trainers.local.engine import local_engine
from trainers.local.experience import LocalMaker, local_samples
from trainers.local.learner import Learner, load_actor
from trainers.local.update import PolicyUpdate
from trainers.log import RunLog
from trainers.metrics import evaluation_metrics, training_metrics
from trainers.openrlhf.gpu_packages import EngineSampling
from trainers.rollout.curriculum import task_of
from trainers.rollout.executor import EpisodeExecutor, refuse_all_faulted
from trainers.rollout.task_sampler import TaskSampler
from trainers.tasks import run_tasks

Group = Sequence[dict[str, Any]]
"""The played episodes of one task, as the executor answers."""

REFILLS = 4
"""With dynamic filtering, how many times a step's tasks may be drawn in all."""


def train(config: GRPOConfig, console: Console | None = None) -> Path:
    """Train a model; resume from the newest checkpoint if there is one.

    Returns:
        The folder of the trained model, `output/model`.

    Raises:
        ConfigError: model, tokenizer or tasks cannot be used.
    """
    return LocalTrainer(config, console or Console()).train()


class LocalTrainer:
    """The state of a run.

    Args:
        config: its settings.
        console: where progress goes.

    Raises:
        ConfigError: as `train`.
    """

    def __init__(self, config: GRPOConfig, console: Console) -> None:
        torch.manual_seed(config.run.seed)
        run = config.run
        self.config, self.console = config, console
        tasks, self.held_out = run_tasks(config)
        saved = latest_checkpoint(run)
        source = config.model if saved is None else str(saved[0])
        temperature = config.rollout.temperature
        self.tokenizer = load_tokenizer(source)
        self.actor = load_actor(source, config.hardware, temperature)
        reference = None
        if config.algorithm.kl:
            reference = load_actor(config.model, config.hardware, temperature).eval()
            reference.requires_grad_(False)
        assert run.steps is not None
        updates = run.steps * config.algorithm.epochs * config.algorithm.updates
        self.learner = Learner(self.actor, config.optimizer, updates)
        state = None if saved is None else saved[1]
        self.sampler = TaskSampler(tasks, config, state)
        if state is not None:
            self.learner.load_state(state["learner"])
            console.print(f"Resuming after step {self.step} of {run.steps}.")
        self.executor = EpisodeExecutor(config, threaded=False)
        self.engine = local_engine(
            self.actor.model, config.rollout.context, config.rollout.concurrency
        )
        self.samples = local_samples(config, self.tokenizer)
        self.maker = LocalMaker(config, self.tokenizer, self.actor, reference)
        self.update = PolicyUpdate(config, self.learner)

    @property
    def step(self) -> int:
        """Training steps taken."""
        return self.sampler.step

    def train(self) -> Path:
        """Take all steps that are left."""
        config, run = self.config, self.config.run
        assert run.steps is not None
        with RunLog(run, config.model_dump(mode="json"), self.step) as log:
            if self.step == 0 and self.held_out:
                log.write(0, self.evaluate())
            while self.step < run.steps:
                values = self.train_step()
                last = self.step == run.steps
                if self.held_out and (last or self.step % config.evaluation.every == 0):
                    values |= self.evaluate()
                log.write(self.step, values)
                self.console.print(_line(self.step, run.steps, values), highlight=False)
                if last or run.saves_after(self.step):
                    self._save()
        folder = run.output / "model"
        save_model(self.actor, self.tokenizer, folder)
        return folder

    def train_step(self) -> dict[str, float]:
        """Sample a step's episodes, learn from them, and return what to log."""
        begun = time.perf_counter()
        groups, others = self._sample()
        sampled = time.perf_counter()
        samples = self._to_samples([response for group in groups for response in group])
        experiences = self.maker.make_experience_batch(samples)
        values = training_metrics(experiences) | _group_metrics(experiences)
        order = random.Random(f"{self.config.run.seed}/{self.step}/order")
        values |= self.update.learn(experiences, order)
        values["timing/generation"] = sampled - begun
        values["timing/step_total"] = time.perf_counter() - begun
        played = [response for group in [*groups, *others] for response in group]
        self.sampler.finish_step(
            [
                (task_of(response["label"]), response["scores"] >= SUCCESS)
                for response in played
                if not response["extra_logs"]["masked"]
            ]
        )
        return {f"train/{name}": value for name, value in values.items()}

    def evaluate(self) -> dict[str, float]:
        """Pass@1 and pass@k on the held-out tasks."""
        settings = self.config.evaluation
        episodes = asyncio.run(
            self._play(
                [(task, trial) for task in self.held_out for trial in range(settings.samples)],
                settings.temperature,
            )
        )
        values = evaluation_metrics(None, self._to_samples(episodes), settings.samples)
        return {f"eval/{name}": value for name, value in values.items()}

    def _to_samples(self, episodes: Sequence[dict[str, Any]]) -> list[Any]:
        """Played episodes as OpenRLHF's samples, each with the weight that its task has now."""
        context = self.config.rollout.context
        samples = []
        for response in episodes:
            sample = self.samples._process_response_into_experience(response, max_len=context)
            weight = self.sampler.curriculum.weight(*task_of(response["label"]))
            sample.info["weight"] = torch.tensor([weight])
            samples.append(sample)
        return samples

    def _sample(self) -> tuple[list[Group], list[Group]]:
        """The groups of a step, and those that were refused: with dynamic filtering those whose
        episodes all earned the same are replaced, as long as there is patience.

        Raises:
            RuntimeError: all episodes faulted: the run would go on forever and do nothing.
        """
        config = self.config
        wanted, size = config.rollout.tasks, config.rollout.samples
        patience = REFILLS if config.algorithm.dynamic_filtering else 1
        useful: list[Group] = []
        spare: list[Group] = []
        for _ in range(patience):
            numbered = []
            for _ in range(wanted - len(useful)):
                # A trial's number is never used twice, whatever task it is of.
                first = self.sampler.drawn * size
                task = self.sampler.draw()
                numbered += [(task, first + sample) for sample in range(size)]
            episodes = asyncio.run(self._play(numbered, config.rollout.temperature))
            for start in range(0, len(episodes), size):
                group = episodes[start : start + size]
                (useful if _differs(group) else spare).append(group)
            refuse_all_faulted([response for group in [*useful, *spare] for response in group])
            if len(useful) == wanted:
                break
        # Groups without a difference teach nothing, but keep the number of episodes per step.
        missing = wanted - len(useful)
        return [*useful, *spare[:missing]], spare[missing:]

    async def _play(
        self, numbered: Sequence[tuple[TaskKey, int]], temperature: float
    ) -> list[dict[str, Any]]:
        rollout = self.config.rollout
        asked = EngineSampling(temperature=temperature, logprobs=1)
        gate = asyncio.Semaphore(rollout.concurrency)
        self.engine.reset()

        async def play(task: TaskKey, trial: int) -> dict[str, Any]:
            label = json.dumps({"domain": task[0], "task_id": task[1], "trial": trial})
            async with gate:
                return await self.executor.execute(
                    "/".join(task), label, asked, rollout.context, self.tokenizer, self.engine
                )

        return await asyncio.gather(*(play(task, trial) for task, trial in numbered))

    def _save(self) -> None:
        state = {**self.sampler.state(), "learner": self.learner.state()}
        save_checkpoint(self.config.run, self.step, self.actor, self.tokenizer, state)


def _differs(group: Group) -> bool:
    """Whether the episodes of a group teach anything: they have not all earned the same."""
    rewards = [r["reward"] for r in group if not r["extra_logs"]["masked"]]
    return bool(rewards) and max(rewards) - min(rewards) > EPSILON


def _group_metrics(experiences: Sequence[Any]) -> dict[str, float]:
    spread = torch.cat([batch.info["group_reward_std"] for batch in experiences])
    return {
        "entropy": float(torch.cat([b.info["entropy"] for b in experiences]).mean()),
        "equal_groups": float((spread <= EPSILON).float().mean()),
    }


def _line(step: int, steps: int, values: dict[str, float]) -> str:
    shown = (
        ("reward", "train/reward"),
        ("pass@1", "train/pass@1"),
        ("entropy", "train/entropy"),
        ("held-out pass@1", "eval/pass@1"),
    )
    parts = [f"{name} {values[key]:.3f}" for name, key in shown if key in values]
    seconds = values["train/timing/step_total"]
    return f"step {step}/{steps}: {', '.join(parts)} ({seconds:.0f} s)"
