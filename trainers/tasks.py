"""Which tasks may be trained on, and which are kept for evaluation.

Test tasks are never trained on: every way to name tasks for training goes through this module, and
so do data files that say which tasks they come from. Nor are they watched while training: stopping
a run, or choosing between two, by a curve on test tasks is selecting on those tasks. So the curve
is
drawn on development tasks (`dev_tasks`), a part of the split `train`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.domains.registry import is_known
from tau2_gym.errors import ConfigError, DataError
from tau2_gym.results.record import TaskKey
from tau2_gym.types import RewardBasis
from trainers.sections import Evaluation, Tasks

if TYPE_CHECKING:
    from trainers.config import GRPOConfig

HELD_OUT = ("test", "base", "full")
"""Splits that are, or contain, the test tasks."""

DEV, FIT = "dev", "fit"
"""The development tasks, and the split `train` without them."""

DEV_SHARE = 1 / 5
"""Of the split `train`."""


def training_tasks(
    tasks: Tasks, source: str = "inspect-evals", data_dir: str | None = None
) -> list[TaskKey]:
    """The tasks that a recipe names, in the order of the task files, those of the pool last. Those
    of a split or pool that need a judge are left out (see `judge_note`).

    Args:
        tasks: the recipe's section.
        source, data_dir: where the domains come from (see `get_domain`).

    Raises:
        ConfigError: unknown domain, split or task; a split or a task that is kept for tests; a named
            task that takes a judge; a pool where there is none.
    """
    domains = [get_domain(name, source, data_dir) for name in tasks.domains]
    if tasks.only:
        pairs = _named(domains, tasks.only)
    else:
        pairs = [pair for domain in domains for pair in _split(domain, tasks.split)]
        if tasks.pool:
            pool = [(domain.name, task) for domain in domains for task in outside_base(domain)]
            if not pool:
                names = ", ".join(tasks.domains)
                raise ConfigError(
                    f"pool: no task of {names} lies outside base; only telecom has such tasks"
                )
            pairs = list(dict.fromkeys(pairs + pool))
        pairs = _gradable(domains, pairs)
    kept = _held_out(pairs, source, data_dir)
    if kept:
        raise ConfigError(_sentence(kept))
    return pairs


def run_tasks(config: GRPOConfig) -> tuple[list[TaskKey], list[TaskKey]]:
    """The tasks that a run trains on, and those that it is evaluated on while it trains; none is in
    both. Tasks of a split that are evaluated on are not trained on; tasks that are trained on by
    name are not evaluated on as part of a split.

    Raises:
        ConfigError: see `training_tasks` and `evaluation_tasks`; a task is named for both, or none is
            left to train on.
    """
    sources = config.environment.source, config.environment.data_dir
    trained = training_tasks(config.tasks, *sources)
    held_out = evaluation_tasks(config.tasks.domains, config.evaluation, *sources)
    both = set(trained) & set(held_out)
    if both and config.tasks.only and config.evaluation.only:
        name, task = min(both)
        raise ConfigError(
            f"task {task!r} of {name} is named in tasks.only and in evaluation.only: it can be in "
            "one of them"
        )
    if config.tasks.only:
        held_out = [pair for pair in held_out if pair not in both]
    else:
        trained = [pair for pair in trained if pair not in both]
    if not trained:
        raise ConfigError("the recipe names no task to train on that is not evaluated on")
    return trained, held_out


def evaluation_cost(config: GRPOConfig, held_out: Sequence[TaskKey]) -> str:
    """What the evaluations of a run are, and how many attempts they take, in a sentence."""
    evaluation, steps = config.evaluation, config.run.steps or 0
    if not held_out:
        return "No evaluation while training."
    split = "named tasks" if evaluation.only else f"tasks of {evaluation.split}"
    domains = Counter(name for name, _ in held_out)
    where = ", ".join(f"{name} {count}" for name, count in domains.items())
    attempts = len(held_out) * evaluation.samples
    times = 1 + -(-steps // evaluation.every)
    episodes = steps * config.rollout.tasks * config.rollout.samples
    return (
        f"Evaluation on {len(held_out)} {split} ({where}), not trained on, {evaluation.samples} "
        f"attempts at each: {attempts} attempts before the first step, every {evaluation.every} steps "
        f"and after the last, {times * attempts:,} in {times} evaluations, in addition to {episodes:,} "
        "episodes to train on."
    )


def dev_tasks(domain: Domain) -> list[str]:
    """The ids of a domain's development tasks: a fifth of its split `train`, and of each family of
    tasks in it (telecom's ids begin with theirs), in the order of the split.

    Which ones depends on their ids alone: the order of their SHA-256. So they are the same in every
    run and for every seed, and a revision that adds or removes a task exchanges one other at most.
    """
    train = domain.splits.get("train", ())
    families: dict[str, list[str]] = {}
    for task in train:
        family = re.match(r"\[\w+\]", task)
        families.setdefault(family[0] if family else "", []).append(task)
    chosen: set[str] = set()
    for tasks in families.values():
        drawn = sorted(tasks, key=lambda task: _digest(domain.name, task))
        chosen.update(drawn[: round(DEV_SHARE * len(tasks))])
    return [task for task in train if task in chosen]


def _digest(domain: str, task: str) -> bytes:
    return hashlib.sha256(f"{DEV}/{domain}/{task}".encode()).digest()


def evaluation_tasks(
    domains: Sequence[str],
    evaluation: Evaluation,
    source: str = "inspect-evals",
    data_dir: str | None = None,
) -> list[TaskKey]:
    """The tasks that a recipe evaluates on, none if it evaluates nothing. Those of a split whose reward
    takes a judge are left out.

    Raises:
        ConfigError: unknown domain, split or task; a named task that takes a judge.
    """
    loaded = [get_domain(name, source, data_dir) for name in domains]
    if evaluation.only:
        return _named(loaded, evaluation.only)
    split = evaluation.split
    if split is None:
        return []
    pairs = [
        (domain.name, task)
        for domain in loaded
        for task in (dev_tasks(domain) if split == DEV else domain.task_ids(split))
    ]
    return _gradable(loaded, pairs)


def takes_judge(domain: Domain, task_id: str) -> bool:
    """Whether only a judge can decide that a task was solved. Training has no judge. Failures at
    such a task would be graded and successes would not, so the model would learn from failures only.
    """
    criteria = domain.task(task_id).criteria
    if criteria is None:
        return False
    return RewardBasis.NL_ASSERTION in criteria.basis and bool(criteria.nl_assertions)


def judge_note(
    tasks: Tasks, source: str = "inspect-evals", data_dir: str | None = None
) -> str | None:
    """What to say about tasks that are left out because there is no judge; None if none are."""
    parts = []
    for name in tasks.domains:
        domain = get_domain(name, source, data_dir)
        asked = () if tasks.only else [task for _, task in _split(domain, tasks.split)]
        if count := sum(takes_judge(domain, task) for task in asked):
            parts.append(f"{count} of {len(asked)} tasks of {name}")
    if not parts:
        return None
    return f"Left out: {' and '.join(parts)}, whose reward takes a judge; training has none."


def _gradable(domains: Sequence[Domain], pairs: Iterable[TaskKey]) -> list[TaskKey]:
    """Those that need no judge."""
    known = {domain.name: domain for domain in domains}
    return [(name, task) for name, task in pairs if not takes_judge(known[name], task)]


def refuse_test_tasks(
    pairs: Iterable[TaskKey], source: str = "inspect-evals", data_dir: str | None = None
) -> None:
    """Check that none of the tasks that data come from is a test task. Domains that are not known here
    have none.

    Raises:
        DataError: some are.
    """
    kept = _held_out(pairs, source, data_dir)
    if kept:
        raise DataError(_sentence(kept))


def outside_base(domain: Domain) -> list[str]:
    """The ids of a domain's tasks that are not in `base`, the pool: 2171 in telecom."""
    base = set(domain.splits.get("base", domain.tasks))
    return [task for task in domain.tasks if task not in base]


def pool_note(
    pairs: Iterable[TaskKey], source: str = "inspect-evals", data_dir: str | None = None
) -> str | None:
    """What to say with results of a model trained on these tasks; None if nothing."""
    used: Counter[str] = Counter()
    named = list(pairs)
    for name in dict.fromkeys(domain for domain, _ in named):
        pool = set(outside_base(get_domain(name, source, data_dir)))
        used[name] += sum(domain == name and task in pool for domain, task in named)
    parts = [f"{count} tasks of {name} outside base" for name, count in used.items() if count]
    if not parts:
        return None
    return (
        f"Trained on {' and '.join(parts)}: results on the splits base and full mean nothing for a "
        "model trained on these; test tasks stay unseen."
    )


def _split(domain: Domain, split: str) -> list[TaskKey]:
    if split == FIT:
        kept = set(dev_tasks(domain))
        return [(domain.name, task) for task in domain.task_ids("train") if task not in kept]
    ids = domain.task_ids(split)
    if split in HELD_OUT:
        raise ConfigError(
            f"split {split!r} holds test tasks, which are not trained on: use 'train'"
        )
    return [(domain.name, task) for task in ids]


def _named(domains: Sequence[Domain], ids: Sequence[str]) -> list[TaskKey]:
    if len(domains) != 1:
        names = ", ".join(domain.name for domain in domains)
        raise ConfigError(f"task ids belong to one domain, and {names} are given")
    (domain,) = domains
    pairs = [(domain.name, domain.task(task).id) for task in dict.fromkeys(ids)]
    for name, task in pairs:
        if takes_judge(domain, task):
            raise ConfigError(
                f"task {task!r} of {name} cannot be trained or evaluated on while training: its "
                "reward takes a judge, and there is none"
            )
    return pairs


def _held_out(pairs: Iterable[TaskKey], source: str, data_dir: str | None) -> list[TaskKey]:
    found = []
    for name, task in dict.fromkeys(pairs):
        if is_known(name):
            domain = get_domain(name, source, data_dir)
            if task in domain.splits.get("test", ()):
                found.append((name, task))
    return found


def _sentence(kept: Sequence[TaskKey]) -> str:
    name, task = kept[0]
    others = f" and {len(kept) - 1} others" if len(kept) > 1 else ""
    return f"task {task!r} of {name}{others} must not be trained on: kept for the test split"
