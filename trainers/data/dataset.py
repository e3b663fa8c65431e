"""Files of rows: written completely or not at all, and validated when read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.attempts import TaskKey
from tau2_gym.domains import DOMAINS
from tau2_gym.errors import DataError
from tau2_gym.journal import replace_file, write_json
from trainers.tasks import refuse_test_tasks

ATTEMPTS, DATA, CARD = "attempts.jsonl", "data.jsonl", "card.json"
"""What a folder holds: attempts as they were played, rows made of them, and what the rows are."""

SAMPLE = re.compile(
    rf"\[(?P<domain>{'|'.join(DOMAINS)})\](?P<task>.*?)(\[sample_\d+\])?", re.DOTALL
)
"""How the data of Tau2-RL-Pipeline name a sample: `[retail]5[sample_3]`."""

ROLES = ("system", "user", "assistant")


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]], card: Mapping[str, Any]) -> None:
    """Write `data.jsonl`, which Hugging Face's `datasets` reads, and `card.json` next to it."""
    folder.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    replace_file(folder / DATA, data)
    write_json(folder / CARD, {**card, "sha256": hashlib.sha256(data).hexdigest()})


def read_rows(
    path: str | Path, source: str = "inspect-evals", data_dir: str | None = None
) -> list[dict[str, Any]]:
    """Rows to train on, including rows from elsewhere. A conversation is in `messages`, or in
    `prompt` as in the data
        of Tau2-RL-Pipeline, which a text in `response` ends. Messages after the assistant's last
        one, from which nothing is learned, are left out. Where a row comes from is looked for in it and in
        its `metadata`, as `domain`, `task_id` or `tau2_task_id`, and `split` or `task_split`; a row that
        does not say cannot be told to come from a test task.

        Args:
            path: a file of JSON lines, or a folder with `data.jsonl` or one such file.
            source, data_dir: where the domains come from, to know test tasks by.

        Returns:
            The rows with all their columns, and `messages` of role and content.

        Raises:
            DataError: there are no rows, one of them is not a conversation by role and content, or one comes
                from a test task; names file and line.
    """
    file = _file(Path(path))
    rows, pairs = list[dict[str, Any]](), list[TaskKey]()
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        where = f"{file}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}, is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}, is not a row: a mapping with 'messages' is needed")
        rows.append({**row, "messages": _conversation(row, where)})
        told = {**row, **(row["metadata"] if isinstance(row.get("metadata"), dict) else {})}
        if "test" in (told.get("split"), told.get("task_split")):
            raise DataError(f"{where}, comes from a test task, which must not be trained on")
        pairs.append(_origin(told))
    if not rows:
        raise DataError(f"{file} holds no rows")
    refuse_test_tasks(pairs, source, data_dir)
    return rows


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
    found = sorted(file for file in path.glob("*.jsonl") if file.name != ATTEMPTS)
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


def _conversation(row: Mapping[str, Any], where: str) -> list[dict[str, str]]:
    given = row.get("messages") or row.get("prompt")
    if not isinstance(given, list) or not given:
        raise DataError(f"{where}, holds no 'messages'")
    messages = [_message(message, where) for message in given]
    response = row.get("response")
    if "messages" not in row and isinstance(response, str) and response.strip():
        messages.append({"role": "assistant", "content": response})
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if not messages:
        raise DataError(f"{where}, holds nothing that the assistant says")
    return messages


def _message(message: Any, where: str) -> dict[str, str]:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ROLES:
        raise DataError(
            f"{where}, holds a message of role {role!r}: rows are of roles {', '.join(ROLES)}, with "
            "calls and results of tools as text"
        )
    if not isinstance(message.get("content"), str) or message.get("tool_calls"):
        raise DataError(f"{where}, holds a message that is not all text in 'content'")
    return {"role": role, "content": message["content"]}
