"""Putting exports where they belong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import pytest

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.results.exchange.placing import new_file, new_folder


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with new_file(path) as file:
        file.write(b"all")
        assert not path.exists()
    assert path.read_bytes() == b"all"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    with new_file(tmp_path / "file"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode
    (tmp_path / "folder").mkdir()
    with new_folder(tmp_path / "new"):
        pass
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "folder").stat().st_mode


@pytest.mark.parametrize("place", [new_file, new_folder])
def test_nothing_is_left_of_what_failed(place: type, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), place(tmp_path / "it"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with (
        pytest.raises(ConfigError, match="exists: name another output, or --force"),
        new_file(path),
    ):
        pass
    with pytest.raises(RuntimeError), new_file(path, force=True) as file:
        _half(file)
    assert path.read_text() == "old"
    with new_file(path, force=True) as file:
        file.write(b"new")
    assert path.read_text() == "new"


def _half(file: IO[bytes]) -> None:
    file.write(b"half")
    raise RuntimeError


def test_a_link_to_nowhere_is_not_replaced_either(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match="exists"), new_file(path):
        pass


def test_a_folder_of_the_same_files_is_replaced_when_told(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for text in ("one", "two"):
        with new_folder(path, force=True) as part:
            (part / "a").write_text(text)
    assert (path / "a").read_text() == "two"
    with pytest.raises(ConfigError, match="exists"), new_folder(path):
        pass


def test_a_folder_that_holds_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with (
        pytest.raises(ConfigError, match="holds mine, too: name another output"),
        new_folder(tmp_path, force=True) as part,
    ):
        (part / "a").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with new_folder(path) as part:
        (part / "a").write_text("")
    assert (path / "a").exists()


@pytest.mark.parametrize("place", [new_file, new_folder])
def test_what_is_neither_file_nor_folder_stays(place: type, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="is not a f"), place(pipe, force=True):
        pass
    assert pipe.is_fifo()
    wrong = tmp_path / "file" if place is new_folder else tmp_path / "folder"
    if place is new_folder:
        wrong.write_text("")
    else:
        wrong.mkdir()
    with pytest.raises(ConfigError, match="is not a f"), place(wrong, force=True):
        pass


@pytest.mark.parametrize("place", [new_file, new_folder])
def test_where_nothing_can_be_written(place: type, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"), place(tmp_path / "file" / "below"):
        pass
