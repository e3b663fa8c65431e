"""Reading JSON objects whose lists are too long to be held."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau2_gym.errors import DataError
from tau2_gym.results.exchange import stream
from tau2_gym.results.exchange.stream import members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def written(folder: Path, text: str) -> Path:
    path = folder / "object.json"
    path.write_text(text, encoding="utf-8")
    return path


def whole(path: Path, lists: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in members(path, lists):
        if name in lists and name in found:
            found[name].append(value)
        else:
            found[name] = value
    return found


@pytest.mark.parametrize("chunk", [1, 3, 2**20])
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(VALUES, max_size=3) | VALUES))
def test_it_reads_what_json_reads(
    tmp_path_factory: pytest.TempPathFactory, chunk: int, data: dict[str, Any]
) -> None:
    path = written(tmp_path_factory.mktemp("json"), json.dumps(data, indent=1))
    lists = tuple(name for name, value in data.items() if isinstance(value, list))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "CHUNK", chunk)
        assert whole(path, lists) == data
        assert whole(path, ()) == data


def test_elements_come_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK", 10)
    path = written(tmp_path, '{"rows": [{"n": 1}, {"n": 2}, ' + "[" * 50)
    rows = members(path, ("rows",))
    assert [next(rows) for _ in range(3)] == [("rows", []), ("rows", {"n": 1}), ("rows", {"n": 2})]
    with pytest.raises(DataError, match="cut off"):
        next(rows)


TEXT = json.dumps({"info": {"n": [1, 2.5, "x"]}, "rows": [{"text": 'say "\\u00e9"'}, True, None]})


@pytest.mark.parametrize("end", range(1, len(TEXT)))
def test_whatever_is_cut_off_is_said_to_be(tmp_path: Path, end: int) -> None:
    path = written(tmp_path, TEXT[:end])
    with pytest.raises(DataError, match=r"object\.json is cut off"):
        list(members(path, ("rows",)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ("[1]", "holds a list, not a JSON object"),
        ('"a"', "holds a text, not a JSON object"),
        ("hello", "holds something else, not a JSON object"),
        ("{} {}", "something after its end"),
        ('{"a": 1 "b": 2}', "',' is missing"),
        ("{1: 2}", "a name is missing"),
        ('{"a": nothing, "b": "' + "x" * 100 + '"}', "Expecting value"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "4300 digits"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        list(members(written(tmp_path, text), ("rows",)))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "object.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DataError, match="not text"):
        list(members(path, ()))


def test_gzipped_files(tmp_path: Path) -> None:
    path = tmp_path / "object.json.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert dict(members(path, ())) == json.loads(TEXT)
    path.write_bytes(gzip.compress(TEXT.encode())[:-12])
    with pytest.raises(DataError, match="cut off"):
        list(members(path, ()))
    path.write_bytes(b"not gzipped at all")
    with pytest.raises(DataError, match="cut off"):
        list(members(path, ()))
