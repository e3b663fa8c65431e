"""What a run plays, and playing it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import Any

from agents import make_agent
from agents.attempts import Attempt, attempt_seed
from agents.rollout import Player
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.rewards import RewardConfig
from tau2_gym.session import Rules
from tau2_gym.users import make_user


@dataclass(frozen=True)
class Setup:
    """What decides the outcome of an attempt, apart from its task and trial."""

    agent: str
    user: str
    seed: int
    reward: str
    max_steps: int
    max_errors: int
    source: str
    data_dir: str | None


def make_player(setup: Setup) -> Player:
    """The agent and the user of a run, ready to play.

    Raises:
        ConfigError: an agent, user, reward or source of an unknown name.
    """
    return Player(
        agent=make_agent(setup.agent),
        user=make_user(setup.user),
        rules=Rules(max_steps=setup.max_steps, max_errors=setup.max_errors),
        reward=RewardConfig.of(setup.reward),
        source=setup.source,
        data_dir=setup.data_dir,
    )


_player = cache(make_player)


def run_attempt(setup: Setup, attempt: Attempt) -> dict[str, Any]:
    """Play one attempt. Runs in a worker process, where agent and user are made once."""
    return asyncio.run(_player(setup).play(attempt)).to_dict()


def plan(
    setup: Setup, domains: Sequence[str], split: str, task_ids: Sequence[str], num_samples: int
) -> list[Attempt]:
    """The attempts of a run: all tasks of the first trial, then of the second, and so on.

    Raises:
        ConfigError: unknown domain, split or task, or no attempt at all.
    """
    if num_samples < 1:
        raise ConfigError(f"--num-samples must be at least 1, not {num_samples}")
    chosen: list[tuple[str, str]] = []
    known: set[str] = set()
    for name in domains:
        domain = get_domain(name, setup.source, setup.data_dir)
        if task_ids:
            known.update(task_id for task_id in task_ids if task_id in domain.tasks)
            chosen += [(name, task_id) for task_id in task_ids if task_id in domain.tasks]
        else:
            chosen += [(name, task_id) for task_id in domain.task_ids(split)]
    unknown = [task_id for task_id in task_ids if task_id not in known]
    if unknown:
        raise ConfigError(f"unknown task {unknown[0]!r} in {', '.join(domains)}")
    return [
        Attempt(domain, task_id, trial, attempt_seed(setup.seed, domain, task_id, trial))
        for trial in range(num_samples)
        for domain, task_id in chosen
    ]


def results(setup: Setup, attempts: Sequence[Attempt], workers: int) -> Iterator[dict[str, Any]]:
    """Play attempts, several at a time in processes, and give the records as they finish."""
    if workers <= 1 or len(attempts) <= 1:
        for attempt in attempts:
            yield run_attempt(setup, attempt)
        return
    with ProcessPoolExecutor(min(workers, len(attempts))) as pool:
        pending: set[Future[dict[str, Any]]] = set()
        queue = iter(attempts)
        try:
            while True:
                # Only a few attempts beyond those being played are handed out, so that a kill
                # or an error loses no more than what is in flight.
                for attempt in itertools.islice(queue, 2 * workers - len(pending)):
                    pending.add(pool.submit(run_attempt, setup, attempt))
                if not pending:
                    return
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            for future in pending:
                future.cancel()
