"""Putting an export where it belongs: completely or not at all, and over nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tau2_gym.errors import ConfigError
from tau2_gym.journal import writing


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """A file to write to. It is at `path` once all is written, and nothing is if that fails.

    Args:
        path: where it is to be.
        force: whether it may replace a file.

    Raises:
        ConfigError: there is something that it may not replace.
        DataError: it cannot be written.
    """
    _check_free(path, force)
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a file: name another output")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = tempfile.NamedTemporaryFile(  # noqa: SIM115  it outlives this block
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        )
    try:
        with writing(path):
            with part:
                yield part
            _as_readable_as_others(Path(part.name))
            os.replace(part.name, path)
    except BaseException:
        Path(part.name).unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A folder to write files into. It is at `path` once all is written, and nothing is if that fails.

    Args:
        path: where it is to be.
        force: whether it may replace a folder, of files of the same names.

    Raises:
        ConfigError: there is something that it may not replace.
        DataError: it cannot be written.
    """
    if not (path.is_dir() and not any(path.iterdir())):
        _check_free(path, force)
    if path.exists() and (path.is_symlink() or not path.is_dir()):
        raise ConfigError(f"{path} is not a folder: name another output")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        with writing(path):
            yield part
            part.chmod(0o777 & ~_umask())
            if path.exists():
                _check_replaceable(path, part)
                shutil.rmtree(path)
            os.replace(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _check_free(path: Path, force: bool) -> None:
    if not force and (path.exists() or path.is_symlink()):
        raise ConfigError(f"{path} exists: name another output, or --force to replace it")


def _check_replaceable(old: Path, new: Path) -> None:
    """Whatever the old folder holds must be in the new one, too: no folder of somebody else's is lost."""
    names = {file.relative_to(new) for file in new.rglob("*")}
    for file in sorted(old.rglob("*")):
        if file.relative_to(old) not in names:
            raise ConfigError(f"{old} holds {file.relative_to(old)}, too: name another output")


def _as_readable_as_others(path: Path) -> None:
    path.chmod(0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
