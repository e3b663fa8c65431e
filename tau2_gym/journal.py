"""A file of JSON lines that is written line by line, and survives the death of its writer."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tau2_gym.errors import DataError


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old one or the whole new one."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


class Journal:
    """Rows in a file, oldest first. Safe to share between threads of one process.

    Args:
        path: the file, which need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """The rows with their line numbers. A last line without an end, cut off when its writer was
        killed, is none.

        Raises:
            DataError: a line is no JSON.
        """
        content = self.path.read_bytes() if self.path.is_file() else b""
        for number, line in enumerate(content[: _whole(content)].splitlines(), start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{self.path}, line {number}, is no JSON: {error}") from error
            yield number, row

    def append(self, row: Any) -> None:
        """Write a row, in place of a last line that was cut off."""
        data = _line(row)
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                if file.tell():
                    file.seek(-1, 2)
                    if file.read(1) != b"\n":
                        file.seek(0)
                        file.truncate(_whole(file.read()))
                file.write(data)

    def rewrite(self, rows: Iterable[Any]) -> None:
        """Put these rows in place of all that is there, whole or not at all."""
        with self._lock:
            replace_file(self.path, b"".join(map(_line, rows)))


def _line(row: Any) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _whole(content: bytes) -> int:
    """The length of the content up to the end of its last whole line."""
    return content.rfind(b"\n") + 1
