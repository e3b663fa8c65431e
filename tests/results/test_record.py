"""The form of results: its schema, and versions of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.errors import DataError
from tau2_gym.journal import read_json
from tau2_gym.results import record
from tau2_gym.results.record import SCHEMA, check_schema, problem, schema, unreadable
from tau2_gym.results.run import read_run
from tests.results.helpers import row, write_run

PUBLISHED = read_json(Path(record.__file__).with_name("schema.json"))


def bare(data: Any) -> Any:
    """A schema without what is for people, which comes from pydantic in words of its own."""
    if isinstance(data, dict):
        return {
            key: bare(value)
            for key, value in data.items()
            if not (key in {"title", "description"} and isinstance(value, str))
        }
    return [bare(item) for item in data] if isinstance(data, list) else data


def test_the_published_schema_is_that_of_records() -> None:
    assert bare(PUBLISHED) == bare(schema())
    assert PUBLISHED["$id"] == f"urn:tau2-gym:results:{SCHEMA}"


def test_results_keep_to_the_schema() -> None:
    validate = pytest.importorskip("jsonschema").Draft202012Validator(PUBLISHED)
    played = row("1", checks={"db": True}, verdicts=[{"met": True}], rewards=[{"official": 1.0}])
    assert [error.message for error in validate.iter_errors(played)] == []
    assert list(validate.iter_errors({**played, "trial": "first"})) != []


def test_a_row_that_lacks_what_has_been_added_is_read(tmp_path: Path) -> None:
    old = row("1")
    for name in ("answer", "tokens", "verdicts"):
        del old[name]
    assert problem(old) == "it has no answer, verdicts, tokens"
    assert unreadable(old) is None
    run = read_run(write_run(tmp_path / "a.jsonl", [old]))
    assert (run.rows[0]["answer"], run.rows[0]["verdicts"]) == (None, [])
    run.rows[0]["verdicts"].append({})
    again = read_run(tmp_path / "a.jsonl")
    assert again.rows[0]["verdicts"] == []  # No row shares what another lacks.


@pytest.mark.parametrize("version", [0, SCHEMA + 1, "1", None, True])
def test_results_of_another_schema_are_refused(tmp_path: Path, version: Any) -> None:
    with pytest.raises(DataError, match=f"has results of schema {version!r}, and this"):
        check_schema(tmp_path, version)
    with pytest.raises(DataError, match="has results of schema"):
        read_run(write_run(tmp_path / "a.jsonl", [row("1")], schema=version))


def test_a_run_and_what_it_is_called(tmp_path: Path) -> None:
    rows = [row("1", 0), row("1", 1), row("2", 0, domain="mock"), row("1", 0, 0.0)]
    run = read_run(write_run(tmp_path / "a.b.jsonl", rows, seed=5))
    assert (run.name, run.k, run.seed, run.domains) == ("a.b", 2, 5, ["retail", "mock"])
    # Of an attempt that is there twice, the last result counts.
    assert [each["official_reward"] for each in run.rows] == [0.0, 1.0, 1.0]


def test_a_run_that_is_being_written_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a.jsonl", [row("1"), row("2")])
    path.write_bytes(path.read_bytes()[:-9])
    assert [each["task_id"] for each in read_run(path).rows] == ["1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        ("", "holds no results"),
        ("{", "holds no results"),
        ("{\n", "line 1, is not JSON"),
        ("[]\n", "line 1 is not a result of a run: it is not a JSON object"),
        ("{}\n", "line 1 is not a result of a run: domain: "),
        (json.dumps(row("1", steps="many")) + "\n", "line 1 is not a result of a run: steps: "),
        ('{"simulations": [], "tasks": []}\n', "line 1 is not a result of a run: domain: "),
        ("\x00\x01\n", "line 1, is not JSON"),
    ],
    ids=range(9),
)
def test_what_is_no_run_is_one_sentence(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_run(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder: name the JSON-lines file"):
        read_run(tmp_path)


@pytest.mark.parametrize("ending", [".config.json", ".summary.json"])
def test_what_stands_beside_a_run_is_no_run(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_text("{}")
    with pytest.raises(DataError) as caught:
        read_run(path)
    assert str(caught.value).endswith(
        f"not hold the attempts of a run: name {tmp_path / 'a.jsonl'}"
    )
