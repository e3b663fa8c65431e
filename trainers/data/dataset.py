"""Files of rows: written completely or not at all, and validated when read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau2_gym.domains import DOMAINS
from tau2_gym.errors import DataError, first_line
from tau2_gym.journal import replace_file, write_json
from tau2_gym.results.record import TaskKey
from trainers.data.conversations import conversation, tools, without_none
from trainers.tasks import refuse_test_tasks

ATTEMPTS, DATA, CARD = "attempts.jsonl", "data.jsonl", "card.json"
"""What a folder holds: attempts as they were played, rows made of them, and what the rows are."""

PARQUET = ".parquet"

SAMPLE = re.compile(
    rf"\[(?P<domain>{'|'.join(DOMAINS)})\](?P<task>.*?)(\[sample_\d+\])?", re.DOTALL
)
"""How the data of Tau2-RL-Pipeline name a sample: `[retail]5[sample_3]`."""


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]], card: Mapping[str, Any]) -> None:
    """Write `data.jsonl`, which Hugging Face's `datasets` reads, and `card.json` next to it."""
    folder.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    replace_file(folder / DATA, data)
    write_json(folder / CARD, {**card, "sha256": hashlib.sha256(data).hexdigest()})


def read_rows(
    path: str | Path, source: str = "inspect-evals", data_dir: str | None = None
) -> list[dict[str, Any]]:
    """Rows to train on, including rows from elsewhere.

    A conversation is in `messages`, or in `prompt` as in the data of Tau2-RL-Pipeline, which a text in
    `response` ends; `tools` are what its system message is to show. Messages after the assistant's last one,
    from which nothing is learned, are left out. Where a row comes from is looked for in it and in its
    `metadata`, as `domain`, `task_id` or `tau2_task_id`, and `split` or `task_split`; a row that does not say
    cannot be told to come from a test task.

    Args:
        path: a file of JSON lines or of Parquet, or a folder with `data.jsonl` or one such file.
        source, data_dir: where the domains come from, to know test tasks by.

    Returns:
        The rows with all their columns, and `messages` (see `trainers.data.conversations`).

    Raises:
        DataError: there are no rows, one of them is not a conversation, or one comes from a test task; names
            file and line.
    """
    file = _file(Path(path))
    rows, pairs = list[dict[str, Any]](), list[TaskKey]()
    for where, row in _read(file):
        if not isinstance(row, dict):
            raise DataError(f"{where}, is not a row: a mapping with 'messages' is needed")
        shown = tools(row, where)
        rest = {name: value for name, value in row.items() if name != "tools"}
        messages = {"messages": conversation(row, where)}
        rows.append(rest | messages | ({"tools": shown} if shown else {}))
        told = {**row, **(row["metadata"] if isinstance(row.get("metadata"), dict) else {})}
        if "test" in (told.get("split"), told.get("task_split")):
            raise DataError(f"{where}, comes from a test task, which must not be trained on")
        pairs.append(_origin(told))
    if not rows:
        raise DataError(f"{file} holds no rows")
    refuse_test_tasks(pairs, source, data_dir)
    return rows


def _read(file: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a file, each with its place for people."""
    if file.suffix == PARQUET:
        from pyarrow import ArrowException, parquet

        try:
            table = parquet.read_table(file)
        except (ArrowException, OSError) as error:
            raise DataError(f"{file} is not Parquet: {first_line(error)}") from error
        for number, row in enumerate(table.to_pylist(), start=1):
            yield f"{file}, row {number}", without_none(row)
        return
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        where = f"{file}, line {number}"
        try:
            yield where, json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}, is not JSON: {error}") from error


def _origin(told: Mapping[str, Any]) -> TaskKey:
    task = str(told.get("tau2_task_id", told.get("task_id")))
    sample = SAMPLE.fullmatch(task)
    if sample is not None:
        return sample["domain"], sample["task"]
    return str(told.get("domain")), task


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"there are no data at {path}")
    if (path / DATA).is_file():
        return path / DATA
    found = sorted(
        file
        for pattern in ("*.jsonl", f"*{PARQUET}")
        for file in path.glob(pattern)
        if file.name != ATTEMPTS
    )
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found)
        raise DataError(f"{path} holds several files of rows: name one of {names}")
    if (path / ATTEMPTS).is_file():
        raise DataError(
            f"{path} holds attempts and no rows yet: make some with "
            f"python -m trainers.rft --from {path}"
        )
    raise DataError(f"{path} holds no {DATA}")
