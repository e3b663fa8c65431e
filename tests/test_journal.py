"""Files of JSON lines survive kills, full disks and other people's rows."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tau2_gym.errors import DataError
from tau2_gym.journal import Journal, read_json, replace_file, write_json

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def rows(path: Path) -> list[object]:
    return [row for _, row in Journal(path)]


def test_rows_come_back_with_their_line_numbers(path: Path) -> None:
    journal = Journal(path)
    assert list(journal) == []
    for row in ({"a": 1}, [2], "three\u2028lines\x85"):
        journal.append(row)
    assert list(journal) == [(1, {"a": 1}), (2, [2]), (3, "three\u2028lines\x85")]


def test_separators_that_only_python_knows_do_not_end_a_line(path: Path) -> None:
    path.write_text(json.dumps({"a": "x\x0by\u2028z\x85"}, ensure_ascii=False) + "\n", "utf-8")
    assert rows(path) == [{"a": "x\x0by\u2028z\x85"}]


def test_a_journal_that_is_opened_again_goes_on_in_the_next_line(path: Path) -> None:
    for row in (1, 2, 3):
        Journal(path).append(row)
    assert path.read_bytes() == b"1\n2\n3\n"


def test_a_line_cut_off_is_replaced(path: Path) -> None:
    journal = Journal(path)
    journal.append(1)
    path.write_bytes(path.read_bytes() + b'{"cut": ')
    assert rows(path) == [1]
    journal.append(2)
    assert rows(path) == [1, 2]


@pytest.mark.parametrize("line", ["{", "NaN", '{"a": [Infinity]}', "[" * 10**5])
def test_a_line_of_something_else_is_named(path: Path, line: str) -> None:
    path.write_text(f"1\n{line}\n2\n")
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2, is not JSON: "):
        rows(path)


def test_numbers_that_json_lacks_become_null(path: Path) -> None:
    Journal(path).append({"a": float("nan"), "b": [float("inf"), (0.5, -float("inf"))]})
    assert path.read_text() == '{"a": null, "b": [null, [0.5, null]]}\n'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is not JSON: "),
        (b"[" * 10**5, "is not JSON: "),
        (b"\xff", "is not JSON: "),
        (b"[1]", "holds no JSON object"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_json_object_is_named(
    path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"rows\.jsonl {says}"):
        read_json(path)


def test_a_folder_in_the_place_of_a_file_is_one_sentence(path: Path) -> None:
    path.mkdir()
    for work in (
        lambda: rows(path),
        lambda: Journal(path).append(1),
        lambda: replace_file(path, b""),
    ):
        with pytest.raises(DataError, match=r"cannot be (read|written): Is a directory"):
            work()
    assert os.listdir(path.parent) == [path.name]


def test_a_file_in_the_place_of_a_folder_is_one_sentence(path: Path) -> None:
    path.write_text("")
    with pytest.raises(DataError, match="cannot be written: "):
        Journal(path / "x.jsonl").append(1)


def test_why_a_file_cannot_be_written_is_told_and_not_what_came_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, content: bytes) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(DataError, match="cannot be written: Permission denied"):
        replace_file(path, b"")


def test_folders_are_made_for_rows_and_not_for_whole_files(path: Path) -> None:
    deep = path.parent / "a" / "b" / "rows.jsonl"
    with pytest.raises(DataError, match=r"rows\.jsonl cannot be written: No such file"):
        replace_file(deep, b"")
    Journal(deep).append(1)
    Journal(deep).append(2)
    assert rows(deep) == [1, 2]


FULL = """
import resource, sys
from pathlib import Path
from tau2_gym.errors import DataError
from tau2_gym.journal import Journal
journal = Journal(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    for number in range(100):
        journal.append([number, "x" * 90])
except DataError as error:
    print(error)
try:
    journal.rewrite([[number, "x" * 90] for number in range(100)])
except DataError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of file sizes")
def test_a_disk_that_gets_full_loses_nothing(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{path} cannot be written: File too large\n" * 2
    kept = rows(path)
    assert kept == [[number, "x" * 90] for number in range(len(kept))]
    assert 8 <= len(kept) <= 10
    assert os.listdir(path.parent) == [path.name]
    Journal(path).append("after")
    assert rows(path) == [*kept, "after"]


def test_a_file_of_one_object_is_laid_out_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"é": [1]})
    assert (tmp_path / "x.json").read_bytes() == b'{\n  "\\u00e9": [\n    1\n  ]\n}\n'
    with pytest.raises(DataError, match=r"y\.json cannot be read: No such file"):
        read_json(tmp_path / "y.json")


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    try:
        for name, minor in (("null", 3), ("full", 7)):
            os.mknod(tmp_path / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")
    write_json(tmp_path / "null", {"a": 1})
    with pytest.raises(DataError, match="full cannot be written: No space left on device"):
        write_json(tmp_path / "full", {"a": 1})
    assert all(path.is_char_device() for path in tmp_path.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "null"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link, target = tmp_path / "link.json", tmp_path / "real" / "file.json"
    link.symlink_to(target)
    for number in range(2):
        write_json(link, {"a": number})
        assert link.is_symlink()
        assert read_json(target) == {"a": number}
    assert [path.name for path in target.parent.iterdir()] == ["file.json"]
