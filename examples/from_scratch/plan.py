"""What the example does: sizes, budgets, and which tasks are for what."""

from __future__ import annotations

import random
from collections.abc import Iterable
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
        credit: an estimator of `trainers.credit`.
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
        practice: tasks of each family outside `base` that GRPO after SFT uses, besides the 74 of the
            split `train`.
        pool: the same for rejection sampling and GRPO after it.
        rft_samples: attempts at a task of each family, whose successes are learned from. There are
            few service tasks, so they are tried more often.
        rft_steps, rft_lr: of fine-tuning on those.
        grpo_steps, grpo_tasks, grpo_samples, grpo_lr: of GRPO after SFT.
        final_tasks: tasks of each family that GRPO after rejection fine-tuning uses, at most.
        final_steps, final_lr: of it.
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
    practice: tuple[int, int, int] = (60, 40, 10)
    pool: tuple[int, int, int] = (1000, 200, 10)
    rft_samples: tuple[int, int, int] = (1, 2, 16)
    rft_steps: int = 350
    rft_lr: float = 1e-3
    grpo_steps: int = 36
    grpo_tasks: int = 12
    grpo_samples: int = 8
    grpo_lr: float = 2.5e-4
    final_tasks: int = 48
    final_steps: int = 96
    final_lr: float = 3e-4
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
            practice=(1, 1, 1),
            pool=(1, 1, 1),
            rft_samples=(1, 1, 1),
            rft_steps=2,
            grpo_steps=2,
            final_steps=2,
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
    pool: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]


def task_sets(plan: Plan, seed: int) -> TaskSets:
    """The tasks of a run. Those for dev are the same for every seed."""
    domain = get_domain("telecom")
    outside = outside_base(domain)
    train, dev, demonstrations = domain.task_ids("train"), list[str](), list[str]()
    practice, wide = list(train), list(train)
    share = plan.demonstrations // len(FAMILIES)
    short = 0
    sizes = reversed(list(zip(FAMILIES, plan.dev, plan.practice, plan.pool, strict=True)))
    for family, kept, used, more in sizes:
        others = of_family(outside, family)
        random.Random(f"dev/{family}").shuffle(others)
        dev += others[:kept]
        others = others[kept:]
        random.Random(f"{seed}/{family}").shuffle(others)
        practice += others[:used]
        wide += others[:more]
        known = [*of_family(train, family), *others]
        # There are few service tasks: the other families make up for them.
        wanted = share + short
        demonstrations += known[:wanted]
        short = max(wanted - len(known), 0)
    return TaskSets(
        demonstrations=tuple(demonstrations),
        practice=tuple(practice),
        pool=tuple(wide),
        dev=tuple(dev),
        test=domain.task_ids("test"),
    )


def of_family(tasks: Iterable[str], family: str) -> list[str]:
    """Those of the tasks that belong to a family."""
    return [task for task in tasks if task.startswith(f"[{family}]")]
