"""Playing the attempts of a run, and what is shown meanwhile."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from agents.attempts import Attempt, attempt_seed
from agents.base import AgentView
from agents.runs.driver import attempts_at, chosen_tasks, play_missing, results
from agents.runs.setup import Setup, make_player
from agents.runs.store import Store
from tau2_gym.errors import ConfigError

SETUP = Setup("oracle", "scripted", 0, "progress", 100, 10, "inspect-evals", None)


class Witness:
    """Says nothing of use, and notes the processes that it is played in."""

    seen: ClassVar[set[int]] = set()

    def act(self, view: AgentView, seed: int) -> str:
        self.seen.add(os.getpid())
        return "Is there anything else?"


def played(path: Path, attempts: list[Attempt], workers: int = 1) -> tuple[list[Attempt], str]:
    """The attempts that a file holds in the end, and all that a terminal was sent."""
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=150)
    store = Store(path, {}, {})
    play_missing(SETUP, make_player(SETUP), attempts, store, workers=workers, console=console)
    kept = [
        Attempt(row["domain"], row["task_id"], row["trial"], row["seed"])
        for row in Store(path, {}, {}).records.values()
    ]
    return kept, terminal.getvalue()


@pytest.fixture
def attempts() -> list[Attempt]:
    return attempts_at(SETUP, chosen_tasks(SETUP, ["mock"], "base")[:2], 2)


def test_attempts_are_all_samples_of_a_task_after_the_other(attempts: list[Attempt]) -> None:
    first, second = chosen_tasks(SETUP, ["mock"], "base")[:2]
    places = [(*first, 0), (*first, 1), (*second, 0), (*second, 1)]
    assert [(one.domain, one.task_id, one.trial) for one in attempts] == places
    assert [one.seed for one in attempts] == [attempt_seed(0, *place) for place in places]


@pytest.mark.parametrize("workers", [1, 2])
def test_all_are_played_and_kept_in_order(
    tmp_path: Path, attempts: list[Attempt], workers: int
) -> None:
    kept, _ = played(tmp_path / "rows.jsonl", attempts, workers)
    assert kept == attempts


def test_only_several_workers_and_attempts_need_processes(attempts: list[Attempt]) -> None:
    setup = replace(SETUP, agent=f"{__name__}:Witness")
    player = make_player(setup)
    for here, count, workers in [(True, 4, 1), (True, 1, 4), (False, 4, 2)]:
        Witness.seen.clear()
        assert len(list(results(setup, player, attempts[:count], workers))) == count
        assert Witness.seen == ({os.getpid()} if here else set())


def test_a_terminal_shows_how_far_a_run_is(tmp_path: Path, attempts: list[Attempt]) -> None:
    _, shown = played(tmp_path / "rows.jsonl", attempts)
    plain = re.sub(r"\x1b\[[\d;?]*\w", "", shown)
    assert re.search(r"playing .* 0/4 +solved 0 .* left ", plain)
    assert re.search(r"playing .* 4/4 +solved 4 ", plain)
    assert "already in" not in plain


def test_a_run_that_continues_counts_what_is_there(tmp_path: Path, attempts: list[Attempt]) -> None:
    path = tmp_path / "rows.jsonl"
    played(path, attempts[:3])
    kept, shown = played(path, attempts)
    plain = re.sub(r"\x1b\[[\d;?]*\w", "", shown)
    assert kept == attempts
    assert f"3 attempts are already in {path}." in " ".join(plain.split())
    assert re.search(r"playing .* 3/4 +solved 3 ", plain)
    assert "0/4" not in plain
    assert re.search(r"playing .* 4/4 +solved 4 ", plain)


def test_tasks_by_name_come_from_any_of_the_domains() -> None:
    ids = ["create_task_1", "0"]
    found = chosen_tasks(SETUP, ["airline", "mock"], "test", ids)
    assert found == [("airline", "0"), ("mock", "create_task_1")]
    with pytest.raises(ConfigError, match="unknown task 'nowhere' in airline, mock"):
        chosen_tasks(SETUP, ["airline", "mock"], "test", [*ids, "nowhere"])
