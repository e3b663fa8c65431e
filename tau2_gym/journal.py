"""JSON files that survive the death of their writer: of one object, or of lines written one by
one."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tau2_gym.errors import ConfigError, DataError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file and the reason of a failed write: the error of a full disk names no file.

    Raises:
        DataError: it failed.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error


def check_apart(path: Path, option: str, results: Sequence[Path]) -> None:
    """Check that writing a file overwrites no results, nor what says how they were played.

    Args:
        path: where is to be written.
        option: what named it.
        results: files that must stay.

    Raises:
        ConfigError: it is one of them.
    """
    for each in results:
        for kept in (each, each.with_suffix(".config.json"), each.with_suffix(".summary.json")):
            if path.resolve() == kept.resolve() or (
                path.exists() and kept.exists() and path.samefile(kept)
            ):
                raise ConfigError(f"{option} {path} would overwrite {kept}: name another file")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old one or the whole new one. Where there is something else, a device
    or a pipe, it is written to and stays what it is.

    Raises:
        DataError: it cannot be written.
    """
    with writing(path):
        real = path.resolve()
        if real.exists() and not real.is_file():
            real.write_bytes(content)
            return
        temporary = real.with_name(real.name + ".part")
        try:
            temporary.write_bytes(content)
            os.replace(temporary, real)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def to_json(data: Any, **options: Any) -> str:
    """The data as JSON. Numbers that JSON does not have (nan, infinities) become null, so that any
    parser can read the file."""
    try:
        return json.dumps(data, allow_nan=False, **options)
    except ValueError:
        return json.dumps(_finite(data), allow_nan=False, **options)


def from_json(text: str | bytes) -> Any:
    """The data of a JSON text.

    Raises:
        ValueError: it is not JSON. Numbers that JSON does not have are not JSON.
    """
    return json.loads(text, parse_constant=_refuse)


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that the file is either the old one or the whole new one.

    Raises:
        DataError: it cannot be written.
    """
    replace_file(path, to_json(data, indent=2).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        data = from_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise DataError(f"{path} holds no JSON object")
    return data


class Journal:
    """Rows in a file, oldest first. Safe to share between threads of one process.

    Args:
        path: the file, which need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """The rows with their line numbers. A last line that was cut off when its writer was killed
        is left out.

        Raises:
            DataError: the file cannot be read, or a line in it is not JSON.
        """
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from error
        for number, line in enumerate(content[: _whole(content)].split(b"\n")[:-1], start=1):
            try:
                row = from_json(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.path}, line {number}, is not JSON: {error}") from error
            yield number, row

    def append(self, row: Any) -> None:
        """Write a row, replacing a last line that was cut off.

        Raises:
            DataError: the file cannot be written. What it held is still there.
        """
        data = _line(row)
        with self._lock, writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                if file.tell():
                    file.seek(-1, 2)
                    if file.read(1) != b"\n":
                        file.seek(0)
                        file.truncate(_whole(file.read()))
                file.write(data)

    def rewrite(self, rows: Iterable[Any]) -> None:
        """Replace all rows with these, completely or not at all.

        Raises:
            DataError: the file cannot be written. What it held is still there.
        """
        with self._lock:
            replace_file(self.path, b"".join(map(_line, rows)))


def _line(row: Any) -> bytes:
    return to_json(row).encode() + b"\n"


def _whole(content: bytes) -> int:
    """The length of the content up to the end of its last whole line."""
    return content.rfind(b"\n") + 1


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(item) for item in data]
    return data


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"JSON has no number {name}")
