"""Tables of rows: files, and data sets of the hub, loaded by Hugging Face's `datasets`."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tau2_gym.code.columns import Read, Reader
from tau2_gym.errors import ConfigError, first_line, one_of

FORMATS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}

PIECE = 2**16
"""Bytes of a file that are read at a time to see whether there is anything in it."""


@dataclass
class Table:
    """The rows of a split, and which of them are problems.

    Attributes:
        rows: by number.
        read: reads one.
        digests: of the problem in each row that was read so far; None if there is none.
    """

    rows: Sequence[Any]
    read: Reader
    digests: dict[int, str | None] = field(default_factory=dict)

    def problem(self, number: int) -> Read | None:
        """The problem in a row; None if there is none."""
        found = self.read(self.rows[number])
        self.digests[number] = None if found is None else found.digest
        return found

    def digest(self, number: int) -> str | None:
        """The digest of the problem in a row; None if there is none. No row is read twice for it."""
        if number not in self.digests:
            self.problem(number)
        return self.digests[number]

    def left_out(self) -> list[int]:
        """The rows that were read and hold no problem, counted from 1."""
        return sorted(number + 1 for number, digest in self.digests.items() if digest is None)


def from_files(name: str, path: str) -> dict[str, Sequence[Any]]:
    """The rows of a file, or of the files of a folder that begin with the names of splits, by split.

    Args:
        name: of the data set, for errors.
        path: the file or the folder.

    Raises:
        ConfigError: there is no such file, it is empty, or it cannot be read.
    """
    place = Path(path)
    if os.path.isdir(path):
        files = {
            split: sorted(file for file in place.glob(f"{split}*") if file.suffix in FORMATS)
            for split in ("train", "test")
        }
        files = {split: found for split, found in files.items() if found}
    else:
        files = {"train": [place]}
    if not files or not all(os.path.isfile(file) for found in files.values() for file in found):
        raise ConfigError(
            f"{name}: {path} is neither a file nor a folder with files that begin with train or test"
        )
    return {split: _from_files(found) for split, found in files.items()}


def _from_files(files: Sequence[Path]) -> Sequence[Any]:
    suffixes = {file.suffix for file in files}
    suffix = suffixes.pop() if len(suffixes) == 1 else ""
    if suffix not in FORMATS:
        raise one_of("format of files of problems", suffix, FORMATS)
    for file in files:
        try:
            with open(file, "rb") as opened:
                pieces = iter(partial(opened.read, PIECE), b"")
                full = any(piece if suffix == ".parquet" else piece.strip() for piece in pieces)
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
        if not full:
            raise ConfigError(f"{file} is empty")
    names = list(map(str, files))
    return load(", ".join(names), FORMATS[suffix], data_files=names, split="train")


def from_hub(
    name: str, revision: str, splits: Sequence[str], files: Mapping[str, str]
) -> dict[str, Sequence[Any]]:
    """The rows of a data set of the hub, by split.

    Args:
        name: of its repository.
        revision: of its repository.
        splits: those that are wanted.
        files: where its Parquet files are, by split, if it cannot be loaded by name.

    Raises:
        ConfigError: it cannot be loaded.
    """
    what = f"{name}@{revision}"
    tables = dict[str, Sequence[Any]]()
    for split in splits:
        if split in files:
            place = f"hf://datasets/{what}/{files[split]}"
            tables[split] = load(what, "parquet", data_files=place, split="train")
        else:
            tables[split] = load(what, name, split=split, revision=revision)
    return tables


def load(what: str, kind: str, **options: Any) -> Sequence[Any]:
    """Rows, loaded by `datasets`, which says nothing meanwhile.

    Args:
        what: is loaded, for errors.
        kind: a format of files, or the name of a repository.
        options: of `datasets.load_dataset`.

    Raises:
        ConfigError: `datasets` is not installed, or cannot load them.
    """
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            "problems of others are loaded by datasets: pip install 'tau2-gym[data]'"
        ) from error
    try:
        with _quiet():
            table: Sequence[Any] = datasets.load_dataset(kind, **options)
    except (
        Exception
    ) as error:  # datasets raises its own, Arrow's and the hub's: they share no class.
        if "corresponds to no data" in str(error):
            raise ConfigError(f"{what} has no rows") from error
        raise ConfigError(f"{what} cannot be loaded: {_cause(error)}") from error
    return table


def _cause(error: BaseException) -> str:
    """What was wrong in the first place, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (first_line(error) if isinstance(error, Exception) else "") or type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars, and no log of errors that are raised as well."""
    import datasets.utils
    import huggingface_hub.utils

    with contextlib.ExitStack() as stack:
        for logger in map(logging.getLogger, ("datasets", "huggingface_hub")):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        for package in (datasets.utils, huggingface_hub.utils):
            if not package.are_progress_bars_disabled():
                stack.callback(package.enable_progress_bars)
                package.disable_progress_bars()
        yield
