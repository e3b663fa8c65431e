"""Runs that are still going on: what has been added to their files since one looked last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tau2_gym.errors import DataError
from tau2_gym.journal import from_json, read_json
from tau2_gym.results.record import SCHEMA, Key, check_schema, defaults, unreadable
from tau2_gym.results.run import Row, Run, check_name, key_of

HEAD = 512
"""By so many bytes at its beginning a file is recognised."""


class Followed:
    """The results in a file that may grow, be replaced, or not be there yet.

    Args:
        path: JSON lines, as `--output` of a run names them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config: dict[str, Any] = {}
        self.rows: dict[Key, Row] = {}
        self._read = 0
        self._lines = 0
        self._head = b""

    @property
    def run(self) -> Run:
        """What there is, which may be nothing."""
        return Run(self.path, list(self.rows.values()), self.config)

    def look(self) -> bool:
        """Read what has been added, whole lines only. Returns whether anything is different.

        Raises:
            DataError: the file cannot be read, or holds something else than results.
        """
        try:
            with self.path.open("rb") as file:
                head = file.read(HEAD)
                before = self._read
                if file.seek(0, 2) < self._read or not head.startswith(self._head):
                    self._forget()
                file.seek(self._read)
                added = file.read()
        except FileNotFoundError:
            known = bool(self.rows)
            self._forget()
            return known
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from error
        lines = added[: added.rfind(b"\n") + 1]
        if lines:
            self._take(lines)
            self._head = head[: self._read]
        return bool(lines) or self._read < before

    def _take(self, lines: bytes) -> None:
        setup = self.path.with_suffix(".config.json")
        config = read_json(setup) if setup.exists() else {}
        check_schema(self.path, config.get("schema", SCHEMA))
        found: dict[Key, Row] = {}
        for number, line in enumerate(lines.split(b"\n")[:-1], start=self._lines + 1):
            try:
                row = from_json(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.path}, line {number}, is not JSON: {error}") from error
            wrong = unreadable(row)
            if wrong is not None:
                raise DataError(f"{self.path}, line {number} is not a result of a run: {wrong}")
            found[key_of(row)] = {**defaults(), **row}
        self.config = config
        self.rows |= found
        self._read += len(lines)
        self._lines += lines.count(b"\n")

    def _forget(self) -> None:
        self.rows, self._read, self._lines, self._head = {}, 0, 0, b""


def follow(paths: Sequence[Path]) -> list[Followed]:
    """Runs to follow.

    Raises:
        DataError: one is a folder, or a file that a run writes beside its results.
    """
    for path in paths:
        check_name(path)
    return [Followed(path) for path in paths]
