"""Tasks as rows of prompts: what OpenRLHF takes for its data loader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tau2_gym.results.record import TaskKey
from trainers.rollout.task_sampler import TaskSampler

Batch = tuple[list[str], list[str], list[str], list[None]]
"""A batch of one, as OpenRLHF reads it: data source, prompt, label and image."""

MOST_DRAWS = 50
"""After that many times the tasks of a step dynamic filtering is given up."""


def batch(task: TaskKey, *, evaluation: bool = False) -> Batch:
    """A task as a row of prompts. Its prompt is only a name: the executor writes the real one."""
    domain, task_id = task
    label: dict[str, Any] = {"domain": domain, "task_id": task_id}
    if evaluation:
        label["evaluation"] = True
    return [domain], [f"{domain}/{task_id}"], [json.dumps(label)], [None]


class TaskStream(TaskSampler):
    """The sampler of tasks as OpenRLHF's data loader, which ends when all steps have got their tasks.

    Its state, with the curriculum's, goes into OpenRLHF's checkpoints as that of a data loader.
    """

    def __len__(self) -> int:
        return (self.config.run.steps or 0) * self.config.rollout.tasks

    def __iter__(self) -> Iterator[Batch]:
        """Resume where the stream is.

        Raises:
            RuntimeError: dynamic filtering has refused so many groups that no step will come.
        """
        while self.step < (self.config.run.steps or 0):
            if self.drawn - self._drawn_before >= MOST_DRAWS * self.config.rollout.tasks:
                raise RuntimeError(
                    f"dynamic filtering refused {self.drawn - self._drawn_before} groups in one "
                    "step: the model solves its tasks always or never; train on easier or harder "
                    "tasks, or set algorithm.dynamic_filtering to false"
                )
            yield batch(self.draw())

    def finish_step(self, episodes: Sequence[tuple[TaskKey, bool]]) -> None:
        """As its base."""
        super().finish_step(episodes)
        self._drawn_before = self.drawn

    def state_dict(self) -> dict[str, Any]:
        """As OpenRLHF names `state`."""
        return self.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As OpenRLHF names `restore`."""
        self.restore(state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """As in the base class; what was drawn in an unfinished step no longer counts."""
        super().restore(state)
        self._drawn_before = self.drawn
