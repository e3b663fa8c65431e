"""Which tasks come next, on a cluster and in one process alike.

Without a curriculum the tasks come in passes: each once, in an order of chance, before any comes again.
Drawing the tasks of every step on their own would leave out a good part of them for long (of 74 tasks, five
steps of 16 would meet 52 on average, and a pass meets all), while others come several times; what is learned
from a task then hangs on chance, and random reshuffling is known to converge faster (Mishchenko, Khaled,
Richtárik, 2020, arXiv:2006.05988). With `curriculum.sampling` some tasks are to come more often, so each step
draws by the weights that the tasks have then.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tau2_gym.errors import ConfigError
from tau2_gym.results.record import TaskKey
from trainers.config import GRPOConfig
from trainers.rollout.curriculum import SuccessRates


class TaskSampler:
    """Endless tasks, in steps. The same task comes twice in a step only when all others have come
    in
    it. What comes next depends on the seed, on how many tasks were drawn, and on the curriculum.

    Args:
        tasks: to draw from.
        config: the recipe.
        state: what an earlier `state` returned, to resume from there.

    Attributes:
        curriculum: how often each task was solved.
        step: steps that have ended.
        drawn: tasks that were drawn.
    """

    def __init__(
        self, tasks: Sequence[TaskKey], config: GRPOConfig, state: Mapping[str, Any] | None = None
    ) -> None:
        self.tasks = list(tasks)
        self.config = config
        self.restore(state or {"step": 0, "drawn": 0, "queue": (), "curriculum": {}})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises:
            ConfigError: the state is an earlier version's.
        """
        if not {"step", "drawn", "queue", "curriculum"} <= state.keys():
            raise ConfigError(
                "the checkpoint is of an earlier version, which drew tasks in another order: give "
                "another output"
            )
        self.step: int = state["step"]
        self.drawn: int = state["drawn"]
        self.curriculum = SuccessRates(self.config.curriculum, state["curriculum"])
        self._queue: list[TaskKey] = [(domain, task) for domain, task in state["queue"]]
        self._in_step: Counter[TaskKey] = Counter()

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as plain data."""
        return {
            "step": self.step,
            "drawn": self.drawn,
            "queue": list(self._queue),
            "curriculum": self.curriculum.state(),
        }

    def draw(self) -> TaskKey:
        """The next task."""
        if not self._queue:
            rng = random.Random(f"{self.config.run.seed}/{self.drawn}")
            weights = self.curriculum if self.config.curriculum.sampling else None
            order = draw_tasks(self.tasks, len(self.tasks), rng, weights)
            # Where a pass ends within a step, the next one begins with tasks that the step does not have.
            self._queue = sorted(order, key=lambda task: self._in_step[task])
        task = self._queue.pop(0)
        self.drawn += 1
        self._in_step[task] += 1
        return task

    def finish_step(self, episodes: Sequence[tuple[TaskKey, bool]]) -> None:
        """Record a step's episodes, which ends the step.

        Args:
            episodes: the task of each, and whether it was solved; without those that were masked.
        """
        self.curriculum.age()
        for task in dict.fromkeys(task for task, _ in episodes):
            outcomes = [solved for other, solved in episodes if other == task]
            self.curriculum.observe(*task, sum(outcomes), len(outcomes))
        self.step += 1
        self._in_step.clear()
        if self.config.curriculum.sampling:
            self._queue = []


def draw_tasks(
    tasks: Sequence[TaskKey], count: int, rng: random.Random, curriculum: SuccessRates | None = None
) -> list[TaskKey]:
    """Different tasks for one step, drawn by their weights.

    Args:
        tasks: to draw from.
        count: how many; if there are fewer, all are drawn before any is drawn again.
        rng: decides.
        curriculum: whose weights; None weighs all alike.
    """
    drawn: list[TaskKey] = []
    while len(drawn) < count:
        # Efraimidis, Spirakis: Weighted random sampling with a reservoir (2006): keys u^(1/w), here
        # their logarithms, since small weights make keys too small for a float.
        keys = {
            task: math.log(rng.random() or math.ulp(0.0))
            / (1.0 if curriculum is None else curriculum.weight(*task))
            for task in tasks
        }
        drawn += sorted(keys, key=lambda task: -keys[task])[: count - len(drawn)]
    return drawn
