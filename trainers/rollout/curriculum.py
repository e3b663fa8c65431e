"""How often each task was solved, and what that makes it worth.

The idea is that of Tau2-RL-Pipeline: a task that is nearly always solved, or hardly ever, teaches
little.
Its statistics mix up tasks of different domains that share an id, change weights while a group is
under way, count faulted attempts, never forget what a model of long ago could not do, and are lost at
the end of the process. These do none of that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tau2_gym.results.record import TaskKey
from trainers.sections import Curriculum


def task_of(label: str) -> TaskKey:
    """The task that an episode's label names."""
    asked = json.loads(label)
    return asked["domain"], asked["task_id"]


class SuccessRates:
    """How often each task was solved, and the weight that it has for that.

    Args:
        settings: thresholds and weights.
        state: what an earlier `state` returned, to resume from there.
    """

    def __init__(self, settings: Curriculum, state: Mapping[str, Any] | None = None) -> None:
        self.settings = settings
        self._counts: dict[TaskKey, tuple[float, float]] = {}
        for domain, tasks in (state or {}).items():
            for task, (successes, attempts) in tasks.items():
                self._counts[domain, task] = (successes, attempts)

    def observe(self, domain: str, task_id: str, successes: int, attempts: int) -> None:
        """Add a group's valid attempts, all at once, so that a group has one weight."""
        solved, tried = self._counts.get((domain, task_id), (0, 0))
        self._counts[domain, task_id] = (solved + successes, tried + attempts)

    def age(self) -> None:
        """Let what was observed so far count less: a training step has passed since."""
        if self.settings.half_life is not None:
            kept = 0.5 ** (1 / self.settings.half_life)
            for task, (solved, tried) in self._counts.items():
                self._counts[task] = (kept * solved, kept * tried)

    def weight(self, domain: str, task_id: str) -> float:
        """What the task is worth now: 1 unless at least `min_attempts` attempts at it still count."""
        settings = self.settings
        solved, tried = self._counts.get((domain, task_id), (0, 0))
        if tried < settings.min_attempts:
            return 1.0
        if solved > settings.easy * tried:
            return settings.easy_weight
        if solved < settings.hard * tried:
            return settings.hard_weight
        return 1.0

    def state(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Plain data: domain → task → (successes, attempts), as far as they still count."""
        state: dict[str, dict[str, tuple[float, float]]] = {}
        for (domain, task), counts in self._counts.items():
            state.setdefault(domain, {})[task] = counts
        return state
