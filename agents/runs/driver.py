"""Playing the attempts of a run: which they are, side by side or in processes, each kept as it ends."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import cache
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from agents.attempts import Attempt, attempt_seed
from agents.rollout import Player, rollout
from agents.runs.setup import Setup, make_player
from agents.runs.store import Store
from tau2_gym.completion.servers import waiting
from tau2_gym.domains import resolve
from tau2_gym.domains.registry import origins
from tau2_gym.errors import ConfigError
from tau2_gym.exits import PLAIN
from tau2_gym.results.record import SUCCESS, Record, TaskKey


class WaitingColumn(ProgressColumn):
    """The servers that a run waits for, and how long it has: nothing most of the time."""

    def render(self, task: Any) -> Text:
        """What the run is waiting for now."""
        return Text("; ".join(waiting()), style="yellow")


def play_missing(
    setup: Setup,
    player: Player,
    attempts: Sequence[Attempt],
    store: Store,
    *,
    workers: int,
    console: Console,
) -> None:
    """Play the attempts that are not in the store yet, showing progress, and put its lines in order."""
    todo = [attempt for attempt in attempts if attempt.key not in store.records]
    if len(todo) < len(attempts):
        console.print(f"{len(attempts) - len(todo)} attempts are already in {store.path}.")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("solved {task.fields[solved]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        WaitingColumn(),
    )
    solved = sum(
        (store.records[attempt.key]["official_reward"] or 0.0) >= SUCCESS
        for attempt in attempts
        if attempt.key in store.records
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(
            "playing", total=len(attempts), completed=len(attempts) - len(todo), solved=solved
        )
        try:
            for record in results(setup, player, todo, workers):
                store.add(record.to_dict())
                solved += (record.official_reward or 0.0) >= SUCCESS
                progress.update(bar, advance=1, solved=solved)
        except KeyboardInterrupt:
            kept = sum(attempt.key in store.records for attempt in attempts)
            console.print(f"{kept} of {len(attempts)} attempts are in {store.path}.", **PLAIN)
            raise
    store.finish([attempt.key for attempt in attempts])


_player = cache(make_player)


def run_attempt(setup: Setup, attempt: Attempt) -> Record:
    """Play one attempt. Runs in a worker process, where agent and user are made once."""
    return asyncio.run(_player(setup).play(attempt))


def chosen_tasks(
    setup: Setup, domains: Sequence[str], split: str, task_ids: Sequence[str] = ()
) -> list[TaskKey]:
    """The tasks of a split, or those named instead.

    Raises:
        ConfigError: unknown domain, split or task.
    """
    pairs = list[TaskKey]()
    for name in domains:
        domain = setup.domain(name)
        ids = (
            [id_ for id_ in task_ids if id_ in domain.tasks] if task_ids else domain.task_ids(split)
        )
        pairs += [(name, task_id) for task_id in ids]
    unknown = [task_id for task_id in task_ids if task_id not in {found for _, found in pairs}]
    if unknown:
        raise ConfigError(f"unknown task {unknown[0]!r} in {', '.join(domains)}")
    return pairs


def attempts_at(setup: Setup, pairs: Iterable[TaskKey], num_samples: int) -> list[Attempt]:
    """The attempts of a run: all samples of the first task, then of the second, and so on, so that
    those who share a prompt are played together."""
    return [
        Attempt(domain, task_id, trial, attempt_seed(setup.seed, domain, task_id, trial))
        for domain, task_id in pairs
        for trial in range(num_samples)
    ]


def results(
    setup: Setup, player: Player, attempts: Sequence[Attempt], workers: int
) -> Iterator[Record]:
    """Play attempts and give the records as they finish: side by side in this process, by `player`,
    if a model is involved; otherwise in several processes."""
    if player.waits:
        return _side_by_side(player, attempts)
    if workers <= 1 or len(attempts) <= 1:
        return (run_attempt(setup, attempt) for attempt in attempts)
    return _in_processes(setup, attempts, workers)


def _side_by_side(player: Player, attempts: Sequence[Attempt]) -> Iterator[Record]:
    with asyncio.Runner() as runner:
        records = rollout(player.play, attempts, player.limits.episodes)
        try:
            while (record := runner.run(_next(records))) is not None:
                yield record
        finally:
            runner.run(records.aclose())
            runner.run(player.close())


async def _next(records: AsyncIterator[Record]) -> Record | None:
    return await anext(records, None)


def _begin(domains: Sequence[str]) -> None:
    """Have a worker know the parent's domains from outside, and end when the parent ends, even if that
    was killed. Only the parent handles an interrupt, and tells the workers."""
    for name in domains:
        resolve(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _in_processes(setup: Setup, attempts: Sequence[Attempt], workers: int) -> Iterator[Record]:
    with ProcessPoolExecutor(
        min(workers, len(attempts)), initializer=_begin, initargs=(origins(),)
    ) as pool:
        pending: set[Future[Record]] = set()
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
