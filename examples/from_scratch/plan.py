"""What the example does: sizes, budgets, and which tasks are for what."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tau2_gym.domains.base import get_domain
from trainers.tasks import outside_base

FAMILIES = ("mms_issue", "mobile_data_issue", "service_issue")
"""Kinds of telecom tasks, by what the customer complains about."""


@dataclass(frozen=True)
class Arm:
    """A way to pay and to credit in GRPO.

    Attributes:
        name: for tables.
        reward: the environment's preset.
        credit: `trajectory` or `turn`.
    """

    name: str
    reward: str
    credit: str


ARMS = (
    Arm("sparse", "sparse", "trajectory"),
    Arm("shaped", "shaped", "trajectory"),
    Arm("progress", "progress", "turn"),
)


@dataclass(frozen=True)
class Plan:
    """Budgets.

    Attributes:
        vocabulary, width, layers, context: of the model.
        demonstrations: tasks whose solution by `workflow` is shown.
        sft_steps, sft_lr, sft_batch: of fine-tuning on them.
        rft_samples: attempts at each training task whose successes are learned from.
        rft_steps, rft_lr: of fine-tuning on those.
        practice: tasks of each family outside `base` that GRPO and rejection sampling use, beside
            the 74 of the split `train`.
        grpo_steps, grpo_tasks, grpo_samples, grpo_lr: of GRPO.
        turns: the most turns of an episode; `workflow` takes up to 21.
        dev: tasks of each family outside `base` that are kept for choosing settings by.
        evaluations: attempts at each test task.
    """

    vocabulary: int = 3000
    width: int = 128
    layers: int = 4
    context: int = 768
    demonstrations: int = 150
    sft_steps: int = 450
    sft_lr: float = 3e-3
    sft_batch: int = 8
    rft_samples: int = 4
    rft_steps: int = 200
    rft_lr: float = 1e-3
    practice: tuple[int, int, int] = (60, 40, 10)
    grpo_steps: int = 36
    grpo_tasks: int = 12
    grpo_samples: int = 8
    grpo_lr: float = 2.5e-4
    turns: int = 24
    dev: tuple[int, int, int] = (12, 10, 8)
    evaluations: int = 8

    @property
    def quick(self) -> Plan:
        """Budgets of a minute or two, to see that everything works; nothing is learned."""
        return replace(
            self,
            vocabulary=1200,
            width=64,
            layers=1,
            demonstrations=6,
            sft_steps=6,
            rft_samples=1,
            rft_steps=2,
            practice=(1, 1, 1),
            grpo_steps=2,
            grpo_tasks=2,
            grpo_samples=2,
            dev=(1, 1, 1),
            evaluations=1,
        )


@dataclass(frozen=True)
class TaskSets:
    """Ids of telecom tasks. Test tasks are in none but `test`, dev tasks in none but `dev`."""

    demonstrations: tuple[str, ...]
    practice: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]


def task_sets(plan: Plan, seed: int) -> TaskSets:
    """The tasks of a run. Those for dev are the same for every seed."""
    domain = get_domain("telecom")
    pool = outside_base(domain)
    train, dev, demonstrations = domain.task_ids("train"), list[str](), list[str]()
    practice = list(train)
    share = plan.demonstrations // len(FAMILIES)
    short = 0
    for family, kept, used in zip(FAMILIES[::-1], plan.dev[::-1], plan.practice[::-1], strict=True):
        others = [task for task in pool if family in task.partition("]")[0]]
        random.Random(f"dev/{family}").shuffle(others)
        dev += others[:kept]
        others = others[kept:]
        random.Random(f"{seed}/{family}").shuffle(others)
        practice += others[:used]
        known = [task for task in train if family in task.partition("]")[0]] + others
        # There are few service tasks: the other families make up for them.
        wanted = share + short
        demonstrations += known[:wanted]
        short = max(wanted - len(known), 0)
    return TaskSets(
        tuple(demonstrations), tuple(practice), tuple(dev), tuple(domain.task_ids("test"))
    )
