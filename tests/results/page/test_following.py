"""A run's file while it is being written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tau2_gym.errors import DataError
from tau2_gym.results.page.following import Followed, follow
from tau2_gym.results.run import read_run
from tests.results.runs import record, write


def line(task: str) -> str:
    return json.dumps(record(task).to_dict()) + "\n"


def tasks(followed: Followed) -> list[str]:
    return [row["task_id"] for row in followed.run.rows]


def test_a_file_that_comes_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    followed = Followed(path)
    assert followed.look() is False
    path.write_text("")
    assert followed.look() is False
    assert tasks(followed) == []
    with path.open("a") as file:
        for number in range(3):
            file.write(line(str(number)))
            file.flush()
            assert followed.look() is True
            assert followed.look() is False
    assert tasks(followed) == ["0", "1", "2"]
    assert followed.run == read_run(path)


def test_a_line_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    whole = line("1").encode()
    followed = Followed(path)
    for end in (10, len(whole) - 1):
        path.write_bytes(line("0").encode() + whole[:end])
        followed.look()
        assert tasks(followed) == ["0"]
    path.write_bytes(line("0").encode() + whole)
    assert followed.look() is True
    assert tasks(followed) == ["0", "1"]


def test_a_faulted_attempt_that_is_played_again_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [record(fault="user", official=None, termination=None)])
    followed = Followed(path)
    followed.look()
    with path.open("a") as file:
        file.write(line("1"))
    followed.look()
    assert [row["fault"] for row in followed.run.rows] == [None]


@pytest.mark.parametrize("later", ["321", "3", "012345"])
def test_a_file_that_is_replaced_is_read_again(tmp_path: Path, later: str) -> None:
    path = write(tmp_path / "a.jsonl", [record(task) for task in "012"])
    followed = Followed(path)
    followed.look()
    write(tmp_path / "new", [record(task) for task in later]).replace(path)
    assert followed.look() is True
    assert tasks(followed) == list(later)


def test_a_file_that_goes_takes_its_attempts_with_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [record()])
    followed = Followed(path)
    followed.look()
    path.unlink()
    assert (followed.look(), followed.run.rows) == (True, [])
    assert followed.look() is False


def test_the_set_up_is_read_with_the_attempts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [record()], agent="noop")
    followed = Followed(path)
    followed.look()
    assert followed.run.config == {"agent": "noop"}


@pytest.mark.parametrize("wrong", ["hello\n", "{}\n", '{"domain": "shop"}\n', "\n", "NaN\n"])
def test_what_is_not_a_result_is_named_with_its_line(tmp_path: Path, wrong: str) -> None:
    path = write(tmp_path / "a.jsonl", [record()])
    followed = Followed(path)
    followed.look()
    with path.open("a") as file:
        file.write(wrong)
    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.jsonl, line 2,? is not"):
            followed.look()
    assert len(followed.run.rows) == 1


def test_a_newer_form_and_a_folder_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [record()], schema=99)
    with pytest.raises(DataError, match="newer"):
        Followed(path).look()
    with pytest.raises(DataError, match="is a folder: name the JSON-lines file"):
        follow([tmp_path])
