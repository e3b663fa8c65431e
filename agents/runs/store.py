"""Results on disk: a line for every attempt as it finishes, so that nothing is lost on a kill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.journal import Journal, from_json, read_json, to_json, write_json, writing
from tau2_gym.results.record import SCHEMA, Key, check_schema, problem
from tau2_gym.results.run import key_of


class Store:
    """The results of one run: `OUTPUT` with a line per attempt, and its set-up next to it.

    Args:
        path: the JSON-lines file.
        setup: what must be the same for results to be combined.
        revisions: the revision of each domain; results on another are refused.
        fresh: discard what is there.

    Attributes:
        setup: as it is written: plain JSON data.
        records: the results by attempt.

    Raises:
        ConfigError: the file holds results of another set-up.
        DataError: the file holds something other than results, or a file cannot be read or written.
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
        # Through JSON, since it is compared with what was read back.
        self.setup: dict[str, Any] = from_json(to_json(dict(setup)))
        self.setup_path = path.with_suffix(".config.json")
        self.summary_path = path.with_suffix(".summary.json")
        self.records: dict[Key, dict[str, Any]] = {}
        self._journal = Journal(path)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if fresh:
                for old in (path, self.setup_path, self.summary_path):
                    old.unlink(missing_ok=True)
        if path.exists():
            self._check_setup()
            self._load(revisions)
        write_json(self.setup_path, {"schema": SCHEMA, **self.setup})

    def _check_setup(self) -> None:
        if not self.setup_path.exists():
            raise ConfigError(
                f"{self.path} exists without {self.setup_path.name}: choose another --output, "
                "or --fresh to start over"
            )
        before = read_json(self.setup_path)
        check_schema(self.path, before.pop("schema", SCHEMA))
        changed = sorted(
            name
            for name in before.keys() | self.setup.keys()
            if before.get(name) != self.setup.get(name)
        )
        if changed:
            was = ", ".join(f"{name}={before.get(name)!r}" for name in changed)
            raise ConfigError(
                f"{self.path} holds results with {was}: choose another --output, or --fresh to "
                "start over"
            )

    def _load(self, revisions: Mapping[str, str]) -> None:
        """Read what is there. Attempts that ended in a fault are left out: they are played
        again."""
        for number, row in self._journal:
            wrong = problem(row)
            if wrong is not None:
                raise DataError(f"{self.path}, line {number} is not a result: {wrong}")
            found, revision = row["revision"], revisions.get(row["domain"], row["revision"])
            if found != revision:
                raise ConfigError(
                    f"{self.path} holds results on revision {found} of {row['domain']}, "
                    f"not {revision}: choose another --output, or --fresh to start over"
                )
            if row["fault"] is None:
                self.records[key_of(row)] = row

    def add(self, record: dict[str, Any]) -> None:
        """Append a result and hand it to the operating system."""
        self._journal.append(record)
        self.records[key_of(record)] = record

    def finish(self, order: Iterable[Key]) -> None:
        """Put the lines in this order (others after them), each attempt once. The same run gives
        the same bytes, however many workers it had and however often it was interrupted."""
        first = [key for key in order if key in self.records]
        rest = sorted(self.records.keys() - set(first))
        self._journal.rewrite(self.records[key] for key in [*first, *rest])
