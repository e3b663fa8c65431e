"""Results on disk: a line for every attempt as it finishes, so that nothing is lost on a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from agents.attempts import Key
from tau2_gym.errors import ConfigError, DataError


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


class Store:
    """The results of one run: `OUTPUT` with a line an attempt, and its set-up beside it.

    Args:
        path: the JSON-lines file.
        setup: what must be the same for results to be put together.
        revisions: the revision of each domain; of others none may be there.
        fresh: throw away what is there.

    Raises:
        ConfigError: the file holds results of another set-up.
        DataError: the file holds something else than results.
    """

    def __init__(
        self,
        path: Path,
        setup: Mapping[str, Any],
        revisions: Mapping[str, str],
        *,
        fresh: bool = False,
    ) -> None:
        self.path = path
        self._revisions = revisions
        self.setup_path = path.with_suffix(".config.json")
        self.summary_path = path.with_suffix(".summary.json")
        self.records: dict[Key, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            for old in (path, self.setup_path, self.summary_path):
                old.unlink(missing_ok=True)
        if path.exists():
            self._check_setup(setup)
            self._load()
        write_json(self.setup_path, dict(setup))
        self._file: TextIO = path.open("a", encoding="utf-8")

    def _check_setup(self, setup: Mapping[str, Any]) -> None:
        if not self.setup_path.exists():
            raise ConfigError(
                f"{self.path} exists without {self.setup_path.name}: choose another --output, "
                "or --fresh to start anew"
            )
        before = json.loads(self.setup_path.read_text(encoding="utf-8"))
        # Through JSON, so that tuples and lists compare equal.
        now = json.loads(json.dumps(dict(setup)))
        changed = sorted(
            name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
        )
        if changed:
            was = ", ".join(f"{name}={before.get(name)!r}" for name in changed)
            raise ConfigError(
                f"{self.path} holds results with {was}: choose another --output, or --fresh to "
                "start anew"
            )

    def _load(self) -> None:
        """Read what is there. A line cut short by a kill is dropped, and so are attempts that
        ended in a fault: they are made again."""
        raw = self.path.read_bytes()
        complete = raw[: raw.rfind(b"\n") + 1]
        for number, line in enumerate(complete.splitlines(), start=1):
            try:
                row = json.loads(line)
                key = (row["domain"], row["task_id"], row["trial"])
                row["fault"], row["revision"]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{self.path}, line {number} is no result: {error!r}") from error
            revision = self._revisions.get(row["domain"], row["revision"])
            if row["revision"] != revision:
                raise ConfigError(
                    f"{self.path} holds results on revision {row['revision']} of {row['domain']}, "
                    f"not {revision}: choose another --output, or --fresh to start anew"
                )
            if row["fault"] is None:
                self.records[key] = row
        if len(complete) < len(raw):
            os.truncate(self.path, len(complete))

    def add(self, record: dict[str, Any]) -> None:
        """Append a result and hand it to the operating system."""
        self.records[(record["domain"], record["task_id"], record["trial"])] = record
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def finish(self, order: Iterable[Key]) -> None:
        """Put the lines in this order (others after them), each attempt once. The same run gives
        the same bytes, however many workers it had and however often it was interrupted."""
        self.close()
        first = [key for key in order if key in self.records]
        rest = sorted(self.records.keys() - set(first))
        temporary = self.path.with_name(self.path.name + ".part")
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(self.records[key]) + "\n" for key in [*first, *rest])
        os.replace(temporary, self.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
