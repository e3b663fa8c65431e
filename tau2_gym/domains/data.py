"""Finding and reading the files of a domain, packaged or of another task revision."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

from tau2_gym.errors import DataError

SUFFIXES = (".json", ".toml", ".json.gz")
TEXT_SUFFIXES = (".md", ".txt")


class DataFolder:
    """The folder with one domain's files.

    Args:
        domain: the domain's name.
        packaged: the `domains` folder that came with the source.
        data_dir: another root; else the environment variable `TAU2_DATA_DIR`; else `packaged`.
            tau2-bench's layout (`tau2/domains/<domain>`) and shorter ones are recognised.

    Attributes:
        path: where it is.
        packaged: whether the files are those that came with the source.

    Raises:
        DataError: the folder has no tasks for this domain.
    """

    def __init__(self, domain: str, packaged: Path, data_dir: str | Path | None = None) -> None:
        self.domain = domain
        root = data_dir or os.environ.get("TAU2_DATA_DIR")
        self.packaged = root is None
        if root is None:
            self.path = packaged / domain
        else:
            candidates = [
                Path(root) / middle / domain for middle in ("tau2/domains", "domains", "")
            ]
            found = [path for path in candidates if self._find(path, "tasks", SUFFIXES)]
            if not found:
                places = ", ".join(str(path) for path in candidates)
                raise DataError(f"no tasks.json for domain {domain!r} in {places}")
            self.path = found[0]
        self._counted: dict[str, Any] = {}

    @classmethod
    def at(cls, domain: str, path: Path) -> DataFolder:
        """A folder of its own, which no other root stands in for."""
        folder = cls.__new__(cls)
        folder.domain, folder.path, folder.packaged, folder._counted = domain, path, True, {}
        return folder

    @staticmethod
    def _find(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
        for suffix in suffixes:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return path
        return None

    def has(self, stem: str) -> bool:
        """Whether there is a structured file of that name."""
        return self._find(self.path, stem, SUFFIXES) is not None

    def file(self, stem: str) -> Path:
        """Where a structured file of that name is, or would be."""
        return self._find(self.path, stem, SUFFIXES) or self.path / f"{stem}.json"

    def has_text(self, stem: str) -> bool:
        """Whether there is a Markdown or text file of that name."""
        return self._find(self.path, stem, TEXT_SUFFIXES) is not None

    def data(self, stem: str, *, revision: bool = False) -> Any:
        """The content of a JSON or TOML file, gzipped or not.

        With `revision=True` the file counts towards `revision`.

        Raises:
            DataError: the file is missing or cannot be parsed.
        """
        path = self._find(self.path, stem, SUFFIXES)
        if path is None:
            raise DataError(f"domain {self.domain!r} has no {stem}.json in {self.path}")
        raw = path.read_bytes()
        try:
            if path.suffix == ".gz":
                raw = gzip.decompress(raw)
            content = tomllib.loads(raw.decode()) if path.suffix == ".toml" else json.loads(raw)
        except (ValueError, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        if revision:
            self._counted[stem] = content
        return content

    def text(self, stem: str) -> str:
        """The content of a Markdown or text file.

        Raises:
            DataError: the file is missing.
        """
        path = self._find(self.path, stem, TEXT_SUFFIXES)
        if path is None:
            raise DataError(f"domain {self.domain!r} has no {stem}.md in {self.path}")
        return path.read_text(encoding="utf-8")

    @property
    def revision(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the files read with `revision=True`: of their
        contents as JSON with sorted keys. Their source, format, white space, order of keys and the
        order of reading them make no difference."""
        contents = json.dumps(self._counted, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(contents.encode("utf-8", "surrogatepass")).hexdigest()[:12]

    def tasks(self) -> list[dict[str, Any]]:
        """The domain's task file, as a list of JSON objects."""
        content = self.data("tasks")
        rows = content["tasks"] if isinstance(content, dict) and "tasks" in content else content
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and "id" in row for row in rows
        ):
            raise DataError(f"the tasks of {self.domain!r} in {self.path} are not a list of tasks")
        self._counted["tasks"] = rows
        return rows

    def splits(self) -> dict[str, list[str]]:
        """The task ids of every split the data name, possibly none."""
        if not self.has("split_tasks"):
            return {}
        content: dict[str, list[str]] = self.data("split_tasks")
        return content
