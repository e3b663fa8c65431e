"""The results of a run, as they are read by everything that looks at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau2_gym.errors import DataError
from tau2_gym.journal import Journal, read_json
from tau2_gym.results.record import SCHEMA, Key, TaskKey, check_schema, defaults, unreadable

Row = dict[str, Any]
"""A `Record` as plain data."""

BESIDE = (".config.json", ".summary.json")
"""How the files end that a run writes beside its results, and that are easily taken for them."""


@dataclass(frozen=True)
class Run:
    """What a run has left behind.

    Attributes:
        path: its results, JSON lines.
        rows: each attempt once, the last result of it, in the order of the file.
        config: how it was played, as in `OUTPUT.config.json`; empty where there is no such file.
    """

    path: Path
    rows: Sequence[Row]
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """What to call it."""
        return self.path.name.removesuffix(".jsonl")

    @property
    def k(self) -> int:
        """The most attempts at a task."""
        counts: dict[TaskKey, int] = {}
        for row in self.rows:
            counts[task_of(row)] = counts.get(task_of(row), 0) + 1
        return max(counts.values())

    @property
    def seed(self) -> int:
        """What everything random in it comes from."""
        seed = self.config.get("seed", 0)
        return seed if isinstance(seed, int) else 0

    @property
    def domains(self) -> list[str]:
        """What was played, in its order."""
        return list(dict.fromkeys(row["domain"] for row in self.rows))


def task_of(row: Row) -> TaskKey:
    """Which task an attempt was at."""
    return (row["domain"], row["task_id"])


def key_of(row: Row) -> Key:
    """Which attempt it was."""
    return (row["domain"], row["task_id"], row["trial"])


def check_name(path: Path) -> None:
    """Check that a path may be that of results.

    Raises:
        DataError: it is a folder, or a file that a run writes beside its results.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder: name the JSON-lines file of a run")
    for ending in BESIDE:
        if path.name.endswith(ending):
            results = path.with_name(path.name.removesuffix(ending) + ".jsonl")
            raise DataError(f"{path} does not hold the attempts of a run: name {results}")


def ungraded(rows: Iterable[Row]) -> set[TaskKey]:
    """The tasks with an attempt that was played to its end and not graded: only a judge can grade them."""
    return {task_of(row) for row in rows if row["fault"] is None and row["official_reward"] is None}


def read_run(path: str | Path) -> Run:
    """The results in a file; of a run that is still going on, those that there are. A last line that was cut
    off when its writer was killed is left out.

    Args:
        path: JSON lines, as `--output` names them.

    Raises:
        DataError: there is no such file, it holds something else, or nothing.
    """
    path = Path(path)
    check_name(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    setup = path.with_suffix(".config.json")
    config = read_json(setup) if setup.exists() else {}
    check_schema(path, config.get("schema", SCHEMA))
    rows = {key_of(row): row for row in _rows(path)}
    if not rows:
        raise DataError(f"{path} holds no results")
    return Run(path, list(rows.values()), config)


def _rows(path: Path) -> Iterator[Row]:
    for number, row in Journal(path):
        wrong = unreadable(row)
        if wrong is not None:
            raise DataError(f"{path}, line {number} is not a result of a run: {wrong}")
        lacking = {name: deepcopy(value) for name, value in defaults().items() if name not in row}
        yield {**lacking, **row} if lacking else row
