"""Data sets by name and from files, loaded by `datasets` from small files of their form."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.code import sources, tables
from tau2_gym.code.tables import PIECE
from tau2_gym.code.tasks import LOADERS, load_tasks
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, DataError
from tests.code.helpers import block, make, problem_of
from tests.code.test_columns import ADDS, NUMINA, TWO_SUM

datasets = pytest.importorskip(
    "datasets", reason="datasets is not installed: pip install -e '.[data]'"
)

SETS = {one.name: one for one in vars(sources).values() if isinstance(one, sources.DataSet)}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))
    datasets.disable_progress_bars()


def sums(count: int) -> list[dict[str, Any]]:
    return [{"problem": f"What is 1 + {n}?", "answer": str(n + 1)} for n in range(count)]


def taco_row(number: int) -> dict[str, Any]:
    tests = json.dumps(ADDS)
    return {"question": f"Add {number}.", "starter_code": "", "input_output": tests}


def leetcode_row(number: int) -> dict[str, Any]:
    return {**TWO_SUM, "problem_description": f"Two sums {number}."}


def grpo_row(number: int) -> dict[str, Any]:
    """As in the seed's Parquet file, where all that is expected is text."""
    code = number % 3 == 0
    return {
        "data_source": "taco_code" if code else "deepscaler",
        "prompt": [{"role": "user", "content": f"Question {number}?"}],
        "ability": "CODE" if code else "MATH",
        "reward_model": {"ground_truth": json.dumps(ADDS) if code else str(number)},
        "agent_name": "tool_agent",
        "extra_info": {"index": number},
    }


ROWS: dict[str, Any] = {
    "deepscaler": lambda n: sums(n + 1)[n],
    "omni_math": lambda n: sums(n + 1)[n],
    "numina_math": lambda n: {**NUMINA, **sums(n + 1)[n]},
    "taco_code": taco_row,
    "leetcode_code": leetcode_row,
    "open_agentrl_grpo_2k": grpo_row,
    "file": grpo_row,
}


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_data_set_has_a_name_to_load_it_by_and_a_licence() -> None:
    assert SETS.keys() == ROWS.keys() == LOADERS.keys() - {"generated"}
    assert all(one.licence for one in SETS.values())
    table = str(sources.__doc__)
    for name, one in SETS.items():
        assert f"| `{name}` | {one.hub or 'a file'}" in table
        assert one.licence in table or name == "file"


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("name", ROWS)
def test_a_file_of_its_form_gives_tasks(name: str, suffix: str, tmp_path: Path) -> None:
    file = save(tmp_path / f"rows{suffix}", [ROWS[name](number) for number in range(40)])
    spec = f"{name}:path={file},count=12,test=3"
    found = load_tasks(spec)
    assert [len(found.splits[split]) for split in ("train", "test")] == [12, 3]
    assert list(found.rows) == [*found.splits["train"], *found.splits["test"]]
    assert len(found.rows) == 15
    assert all(task.startswith(f"{name}-") for task in found.rows)
    again = load_tasks(spec)
    assert (again.rows, again.revision) == (found.rows, found.revision)
    other = load_tasks(f"{spec},seed=1")
    assert other.revision != found.revision
    assert not set(other.splits["train"]) & set(found.splits["test"])
    problems = [problem_of(row) for row in found.rows.values()]
    assert all(problem.expected or problem.tests for problem in problems)


def test_the_forms_tell_values_and_programs_apart(tmp_path: Path) -> None:
    file = save(tmp_path / "train.parquet", [grpo_row(number) for number in range(30)])
    found = load_tasks(f"file:{file}")
    kinds = [problem_of(row).kind for row in found.rows.values()]
    assert (kinds.count("program"), kinds.count("mathematics")) == (10, 20)
    assert found.source == str(file)


def test_a_folder_may_have_a_file_of_each_split(tmp_path: Path) -> None:
    save(tmp_path / "data" / "train-1.jsonl", sums(20)[:12])
    save(tmp_path / "data" / "train-2.jsonl", sums(20)[10:18])
    save(tmp_path / "data" / "test.jsonl", sums(20)[16:])
    found = load_tasks(f"deepscaler:path={tmp_path / 'data'}")
    assert [len(found.splits[split]) for split in ("train", "test")] == [16, 4]
    asked = {
        split: {found.rows[id_]["ticket"] for id_ in ids} for split, ids in found.splits.items()
    }
    assert asked["test"] == {row["problem"] for row in sums(20)[16:]}
    assert not asked["train"] & asked["test"]


def test_what_is_asked_decides_what_is_for_testing_whatever_the_data_set(tmp_path: Path) -> None:
    file = save(tmp_path / "rows.jsonl", sums(200))
    one, other = (
        {row["ticket"] for row in found.rows.values() if row["id"] in found.splits["test"]}
        for found in (load_tasks(f"{name}:path={file}") for name in ("deepscaler", "omni_math"))
    )
    assert one == other
    assert 20 <= len(one) <= 60


def test_tests_of_a_program_are_bounded(tmp_path: Path) -> None:
    row = taco_row(1)
    row["input_output"] = json.dumps({"inputs": ["1"] * 50, "outputs": ["1"] * 50})
    file = save(tmp_path / "rows.jsonl", [row, taco_row(2), taco_row(3), taco_row(4), taco_row(5)])
    for options, most in (("", 20), (",tests=7", 7)):
        found = load_tasks(f"taco_code:path={file}{options}")
        assert max(len(problem_of(row).tests) for row in found.rows.values()) == most


def test_an_episode_is_played_with_a_problem_of_a_file(tmp_path: Path) -> None:
    rows = [grpo_row(number) for number in range(1, 31)]
    file = save(tmp_path / "train.parquet", rows)
    env = make(f"file:{file}", task_split="train")
    tasks = load_tasks(f"file:{file}").rows
    value = next(id_ for id_ in env.task_ids if problem_of(tasks[id_]).kind == "mathematics")
    observation, _ = env.reset(options={"task_id": value})
    assert "Question " in observation
    expected = problem_of(tasks[value]).expected
    *_, info = env.step(f"It is \\boxed{{{expected}}}.")
    assert info["official_reward"] == 1.0
    program = next(id_ for id_ in env.task_ids if problem_of(tasks[id_]).kind == "program")
    env.reset(options={"task_id": program})
    *_, info = env.step(block("import sys\nprint(sum(map(int, sys.stdin.read().split())))"))
    assert info["official_reward"] == 1.0


# The hub, which is not there


@pytest.mark.parametrize("name", [name for name in ROWS if name != "file"])
def test_the_hub_is_asked_for_the_data_set_and_its_revision(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []

    def load(kind: str, **options: Any) -> Any:
        asked.append((kind, options))
        offset = 100 * len(asked)
        return datasets.Dataset.from_list([ROWS[name](offset + number) for number in range(20)])

    monkeypatch.setattr(datasets, "load_dataset", load)
    one = SETS[name]
    found = load_tasks(f"{name}:count=5,test=2,revision=abc")
    assert (len(found.rows), found.source) == (7, f"{one.hub}@abc")
    if name == "taco_code":
        assert asked == [
            ("parquet", {"data_files": f"hf://datasets/BAAI/TACO@abc/ALL/{split}-*.parquet", "split": "train"})
            for split in ("train", "test")
        ]  # fmt: skip
    else:
        assert asked == [(one.hub, {"split": split, "revision": "abc"}) for split in one.splits]
    asked.clear()
    assert load_tasks(f"{name}:count=5,test=2").source == f"{one.hub}@{one.revision}"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("no route\nmore"),
        ValueError("unknown split"),
        RuntimeError("scripts are not supported"),
        FileNotFoundError("no such data set"),
    ],
)
def test_what_cannot_be_loaded_is_said(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ConfigError) as refused:
        load_tasks("deepscaler")
    said = str(error).partition("\n")[0]
    assert str(refused.value) == f"{SETS['deepscaler'].hub}@main cannot be loaded: {said}"


def test_without_datasets_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'tau2-gym\[data\]'"):
        load_tasks("deepscaler")


# What is refused


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            "deepscaler:size=3",
            "unknown option of deepscaler 'size'; allowed: count, path, revision",
        ),
        ("deepscaler:count", "deepscaler: write count=VALUE once, not 'count'"),
        ("deepscaler:count=1,count=2", "deepscaler: write count=VALUE once"),
        ("deepscaler:count=" + "0" * 19 + "10000000", "count must be a whole number from 1"),
        ("deepscaler:count=0", "count must be a whole number from 1 to 1000000, not '0'"),
        ("deepscaler:tests=" + "1000000000".zfill(29), "tests must be a whole number from 1"),
        ("deepscaler:seed=-1", "seed must be a whole number from 0"),
        ("deepscaler:tests=many", "tests must be a whole number from 1"),
        ("file", "file: name a file, as in file:data/train.parquet"),
        ("file:none.parquet", "file: none.parquet is neither a file nor a folder with files that"),
        ("file:.", "file: . is neither a file nor a folder"),
        ("taco_code:path=none", "taco_code: none is neither"),
        (f"file:{'a' * 5000}", "file: aaaa"),
        ("file:a\0b", "file: a\0b is neither"),
        (
            "deepscaler:",
            "nothing follows the colon of 'deepscaler:': leave it out, or name options",
        ),
        ("file:", "file: name a file, as in file:data/train.parquet"),
        ("rows.jsonl", "unknown source of tasks 'rows.jsonl'; allowed: "),
    ],
)
def test_options_are_checked(
    spec: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        load_tasks(spec)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("spec", "right"),
    [
        ("file:rows.jsonl:count=10", "file:rows.jsonl,count=10"),
        ("file:rows.jsonl;count=10;seed=3", "file:rows.jsonl,count=10,seed=3"),
        ("file:rows.jsonl?count=10&seed=3", "file:rows.jsonl,count=10,seed=3"),
        ("file:rows.jsonl, count=10", "file:rows.jsonl,count=10"),
        ("file:path=rows.jsonl:tests=1", "file:path=rows.jsonl,tests=1"),
        ("deepscaler::count=10", "deepscaler:count=10"),
        ("deepscaler:count=5:test=3", "deepscaler:count=5,test=3"),
        ("generated:seed=3:count=5", "generated:seed=3,count=5"),
        ("generated:count=5 difficulty=2", "generated:count=5,difficulty=2"),
        ("rows.jsonl", "file:rows.jsonl"),
        ("data/train.parquet,count=5", "file:data/train.parquet,count=5"),
        ("file=rows.jsonl", "file:rows.jsonl"),
        ("count=5", "generated:count=5"),
    ],
)
def test_options_in_another_form_are_answered_with_the_right_one(
    spec: str, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        load_tasks(spec)
    assert str(refused.value).endswith(f" {right}")


def test_the_name_of_a_file_may_look_like_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a:count=3.jsonl", [grpo_row(n) for n in range(1, 9)])
    for spec in ("file:a:count=3.jsonl,count=1", "file:path=a:count=3.jsonl,count=1"):
        assert len(load_tasks(spec).splits["train"]) == 1


@pytest.mark.parametrize("splits", [("rows",), ("train", "test")])
def test_a_row_is_read_once_and_again_only_if_it_is_taken(
    splits: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = list[str]()

    def read(row: Mapping[str, Any]) -> Any:
        counted.append(row["problem"])
        return None if row["answer"] == "3" else SETS["deepscaler"].read(row)

    for split in splits:
        start = 1000 * len(split)
        rows = [{**row, "problem": f"{start} {row['problem']}"} for row in sums(60)]
        path = save(tmp_path / f"{split}.jsonl", rows)
    one = replace(SETS["deepscaler"], read=read)
    with pytest.warns(UserWarning, match="left out, row 3 first"):
        found = one(f"path={tmp_path if len(splits) > 1 else path},test=2")
    assert len(found.splits["test"]) == 2
    assert set(Counter(counted).values()) <= {1, 2}
    assert len(counted) <= 60 * len(splits) + 2


def test_rows_of_a_file_that_are_left_out_are_told(tmp_path: Path) -> None:
    path = save(tmp_path / "rows.jsonl", [*sums(2), {"problem": "What?", "anwser": "1"}])
    with pytest.warns(
        UserWarning, match=r"1 of 3 rows .* for train from .*rows\.jsonl are left out, row 3"
    ):
        load_tasks(f"deepscaler:path={path}")


def test_a_split_without_problems_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    name = f"code:deepscaler:path={save(tmp_path / 'rows.jsonl', sums(1))}"
    domain = get_domain(name)
    (empty,) = [split for split in ("train", "test") if not domain.splits[split]]
    with pytest.raises(ConfigError, match=f"split '{empty}' of .* has no tasks; these have: base"):
        make(name.partition(":")[2], task_split=empty)


def test_files_of_other_kinds_and_of_other_forms_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "rows.txt"
    text.write_text("1")
    with pytest.raises(ConfigError, match=r"unknown format of files of problems '\.txt'"):
        load_tasks(f"file:{text}")
    other = save(tmp_path / "other.jsonl", sums(3))
    with pytest.raises(DataError, match=r"no row of .* is a problem of the form of taco_code"):
        load_tasks(f"taco_code:path={other}")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.jsonl", b"", "{} is empty"),
        ("rows.jsonl", b"\n \n\n", "{} is empty"),
        ("rows.parquet", b"", "{} is empty"),
        ("rows.parquet", b"PAR1", "{} cannot be loaded: "),
        ("rows.parquet", b"PAR1xxxxPAR1", "{} cannot be loaded: "),
        ("rows.jsonl", b'{"a": 1}\n{"a": \n', "{} cannot be loaded: JSON parse error: "),
        ("rows.jsonl", bytes(range(256)), "{} cannot be loaded: JSON parse error: "),
        ("rows.jsonl", b"1\n2\n", "{} cannot be loaded: JSON parse error: "),
        ("rows.jsonl", b"[1, 2]\n", "no row of {} is a problem of the form of file"),
        ("rows.jsonl", b"{}\n", "{} has no rows"),
        ("rows.jsonl", None, "file: {} is neither a file nor a folder"),
        ("rows.jsonl/train.jsonl", b"", "{}/train.jsonl is empty"),
    ],
)
def test_a_file_that_is_broken_or_empty_takes_one_sentence_and_nothing_else(
    name: str,
    content: bytes | None,
    sentence: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    datasets.enable_progress_bars()
    file, top = tmp_path / name, tmp_path / name.partition("/")[0]
    if content is None:
        file.mkdir()
    else:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    with pytest.raises((ConfigError, DataError)) as refused:
        load_tasks(f"file:{top}")
    assert str(refused.value).startswith(sentence.format(top))
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_table_without_rows_is_said_to_have_none(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    datasets.Dataset.from_dict({"prompt": []}).to_parquet(file)
    with pytest.raises(ConfigError, match=r"rows\.parquet has no rows"):
        load_tasks(f"file:{file}")


def test_nothing_is_shown_while_rows_are_loaded_and_all_is_as_before_afterwards(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path / "rows.jsonl", [grpo_row(number) for number in range(10)])
    capfd.readouterr()
    level = logging.getLogger("datasets").level
    for shown in (True, False):
        (datasets.enable_progress_bars if shown else datasets.disable_progress_bars)()
        load_tasks(f"file:{file},seed={int(shown)}")
        assert capfd.readouterr() == ("", "")
        assert datasets.are_progress_bars_disabled() is not shown
    assert logging.getLogger("datasets").level == level


def test_a_file_may_begin_with_much_of_nothing(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [json.dumps(grpo_row(number)) for number in range(1, 9)]
    file.write_text("\n" * (3 * PIECE) + "\n".join(rows))
    assert len(load_tasks(f"file:{file}").rows) == 8


def test_a_file_that_may_not_be_read_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    file = save(tmp_path / "rows.jsonl", [grpo_row(1)])
    monkeypatch.setattr(tables, "open", refuse, raising=False)
    with pytest.raises(ConfigError, match=r"rows\.jsonl cannot be read: Permission denied$"):
        load_tasks(f"file:{file}")
