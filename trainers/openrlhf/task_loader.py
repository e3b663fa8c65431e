"""Which task comes next: what OpenRLHF takes for its data loader."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from trainers.config import GRPOConfig
from trainers.rollout.curriculum import Curriculum, draw_tasks

Task = tuple[str, str]
"""Domain and task id."""

Batch = tuple[list[str], list[str], list[str], list[None]]
"""A batch of one, as OpenRLHF reads it: data source, prompt, label and image."""

MOST_DRAWS = 50
"""After that many times the tasks of a step dynamic filtering is given up."""


def batch(task: Task, *, evaluation: bool = False) -> Batch:
    """A task as a row of prompts. Its prompt is only a name: the executor writes the real one."""
    domain, task_id = task
    label: dict[str, Any] = {"domain": domain, "task_id": task_id}
    if evaluation:
        label["evaluation"] = True
    return [domain], [f"{domain}/{task_id}"], [json.dumps(label)], [None]


class TaskStream:
    """Tasks without end, until all steps have got theirs.

    Without a curriculum every task comes once before any comes again, in an order that the seed
    decides. With `curriculum.sampling` different tasks are drawn for each step by their weights.

    Its state, with the curriculum's, goes into OpenRLHF's checkpoints as that of a data loader.

    Args:
        tasks: to draw from.
        config: the recipe.
    """

    def __init__(self, tasks: Sequence[Task], config: GRPOConfig) -> None:
        self.tasks = list(tasks)
        self.curriculum = Curriculum(config.curriculum)
        self.step = 0
        self.drawn = 0
        self._config = config
        self._drawn_before = 0
        self._queue: list[Task] = []

    def __len__(self) -> int:
        return (self._config.run.steps or 0) * self._config.rollout.tasks

    def __iter__(self) -> Iterator[Batch]:
        """Resume where the stream is.

        Raises:
            RuntimeError: dynamic filtering has refused so many groups that no step will come.
        """
        while self.step < (self._config.run.steps or 0):
            if self.drawn - self._drawn_before >= MOST_DRAWS * self._config.rollout.tasks:
                raise RuntimeError(
                    f"dynamic filtering refused {self.drawn - self._drawn_before} groups in one "
                    "step: the model solves its tasks always or never; train on easier or harder "
                    "tasks, or set algorithm.dynamic_filtering to false"
                )
            yield batch(self._draw())

    def finish_step(self, episodes: Sequence[tuple[Task, bool]]) -> None:
        """Take note of a step's episodes, which ends the step.

        Args:
            episodes: the task of each, and whether it was solved; without those that were masked.
        """
        self.curriculum.age()
        for task in dict.fromkeys(task for task, _ in episodes):
            outcomes = [solved for other, solved in episodes if other == task]
            self.curriculum.observe(*task, sum(outcomes), len(outcomes))
        self.step += 1
        self._drawn_before = self.drawn
        if self._config.curriculum.sampling:
            self._queue = []

    def state_dict(self) -> dict[str, Any]:
        """All that decides what comes next."""
        return {"step": self.step, "drawn": self.drawn, "curriculum": self.curriculum.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from there."""
        self.step, self.drawn = state["step"], state["drawn"]
        self.curriculum = Curriculum(self._config.curriculum, state["curriculum"])
        self._drawn_before, self._queue = self.drawn, []

    def _draw(self) -> Task:
        if not self._queue:
            self._queue = self._weighted() if self._config.curriculum.sampling else self._shuffled()
        self.drawn += 1
        return self._queue.pop()

    def _shuffled(self) -> list[Task]:
        """What is left of the pass over the tasks that the stream is in, the next task last."""
        passes, done = divmod(self.drawn, len(self.tasks))
        order = random.Random(f"{self._config.run.seed}/{passes}").sample(
            self.tasks, len(self.tasks)
        )
        return order[done:][::-1]

    def _weighted(self) -> list[Task]:
        rng = random.Random(f"{self._config.run.seed}/{self.drawn}")
        return draw_tasks(self.tasks, len(self.tasks), rng, self.curriculum)[::-1]
