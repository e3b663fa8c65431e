"""Problems of others, by the names of data sets or from files, loaded by Hugging Face's `datasets`.

| name | data set | licence |
|---|---|---|
| `deepscaler` | agentica-org/DeepScaleR-Preview-Dataset | MIT |
| `omni_math` | KbsdJames/Omni-MATH | Apache-2.0 |
| `numina_math` | AI-MO/NuminaMath-1.5 | Apache-2.0 |
| `taco_code` | BAAI/TACO | Apache-2.0 |
| `leetcode_code` | newfacade/LeetCodeDataset | Apache-2.0 |
| `open_agentrl_grpo_2k` | y-ohtani/open_agentrl_grpo_2k, a sample of the five | Apache-2.0 |
| `file` | a file in the form of the last | – |

Licences are as the card of the model says that was trained on them. Nothing of them is part of this
package: they are downloaded when they are asked for, or read from `path`.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tau2_gym.code.columns import (
    Read,
    Reader,
    leetcode,
    numina,
    taco,
    trained,
    value_reader,
)
from tau2_gym.domains.registry import TaskSource
from tau2_gym.errors import ConfigError, DataError, first_line, one_of

VERSION = 1
"""Of how rows are read. To be raised whenever a problem that is made of a row changes."""

COUNT, TEST, TESTS, MOST = 2000, 200, 20, 1_000_000
"""How many problems to train on and to test with, and tests of a program, unless told; the most of each."""

OPTIONS = ("count", "test", "tests", "seed", "revision", "path")

HELD_OUT = 5
"""Of a data set that is not split, one problem in so many is for testing."""

FORMATS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}


@dataclass(frozen=True)
class DataSet:
    """A data set. Called with options, it gives tasks.

    Attributes:
        name: ours.
        hub: its name on the Hugging Face hub; empty if it has none.
        licence: its licence.
        read: reads its rows.
        splits: those it has, of which one is enough.
        revision: of its repository, unless told.
        files: where its Parquet files are, by split, if its repository cannot be loaded by name.
    """

    name: str
    hub: str
    licence: str
    read: Reader
    splits: tuple[str, ...] = ("train",)
    revision: str = "main"
    files: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, options: str) -> TaskSource:
        """Tasks of the data set.

        Args:
            options: separated by commas: `count=500`, to train on; `test=100`, to test with; `tests=10` of
                a program; `seed=1`, which draws them; `revision=…` of the repository; `path=…`, a file or a
                folder instead of it.

        Raises:
            ConfigError: an option is unknown or has a value that is not allowed, or the data set cannot be
                loaded.
            DataError: none of its rows is a problem.
        """
        given = self._options(options)
        counts = {
            "train": _number(given, "count", COUNT, 1),
            "test": _number(given, "test", TEST, 1),
        }
        tests, seed = _number(given, "tests", TESTS, 1), _number(given, "seed", 0, 0)
        path, revision = given.get("path"), given.get("revision", self.revision)
        tables = self._local(path) if path else self._remote(revision)
        drawn = _drawn(tables, self.read, counts, seed)
        if not any(drawn.values()):
            raise DataError(f"no row of {path or self.hub} is a problem of the form of {self.name}")
        if path:
            self._warn(path, tables)
        rows, splits = dict[str, Mapping[str, Any]](), dict[str, list[str]]()
        for split, problems in drawn.items():
            ids = [f"{self.name}-{problem.digest[:12]}" for problem in problems]
            splits[split] = ids
            rows |= {id_: one.row(id_, tests) for id_, one in zip(ids, problems, strict=True)}
        said = json.dumps([VERSION, rows, splits])
        return TaskSource(
            rows=rows,
            splits=splits,
            revision=hashlib.sha256(said.encode()).hexdigest()[:12],
            source=path or f"{self.hub}@{revision}",
        )

    def _warn(self, path: str, tables: Mapping[str, Sequence[Any]]) -> None:
        """Say how many rows of a file of one's own are left out, and which is the first."""
        for split, table in tables.items():
            out = [number for number, row in enumerate(table, 1) if self.read(row) is None]
            if out:
                warnings.warn(
                    f"{len(out)} of {len(table)} rows for {split} in {path} are left out, row {out[0]} "
                    f"first: they are no problems of the form of {self.name}",
                    stacklevel=2,
                )

    def _options(self, options: str) -> dict[str, str]:
        given = dict[str, str]()
        for number, part in enumerate(filter(None, options.split(","))):
            name, sign, value = part.partition("=")
            if not self.hub and number == 0 and name not in OPTIONS:
                name, sign, value = "path", "=", part
            if name not in OPTIONS:
                raise one_of(f"option of {self.name}", name, OPTIONS)
            if not sign or not value or name in given:
                raise ConfigError(f"{self.name}: write {name}=VALUE once, not {options!r}")
            given[name] = value
        if not self.hub and "path" not in given:
            raise ConfigError(f"{self.name}: name a file, as in {self.name}:data/train.parquet")
        return given

    def _remote(self, revision: str) -> dict[str, Sequence[Any]]:
        """The rows of the repository, by split."""
        places = {
            split: f"hf://datasets/{self.hub}@{revision}/{self.files[split]}"
            for split in self.splits
            if split in self.files
        }
        return {
            split: _load(
                f"{self.hub}@{revision}", "parquet", split="train", data_files=places[split]
            )
            if places
            else _load(f"{self.hub}@{revision}", self.hub, split=split, revision=revision)
            for split in self.splits
        }

    def _local(self, path: str) -> dict[str, Sequence[Any]]:
        """The rows of a file, or of the files of a folder that begin with the names of splits."""
        place = Path(path)
        if place.is_dir():
            files = {
                split: sorted(file for file in place.glob(f"{split}*") if file.suffix in FORMATS)
                for split in ("train", "test")
            }
            files = {split: found for split, found in files.items() if found}
        else:
            files = {"train": [place]}
        if not files or not all(file.is_file() for found in files.values() for file in found):
            raise ConfigError(
                f"{self.name}: {path} is neither a file nor a folder with files that begin with train or test"
            )
        return {split: _load(path, *_format(found)) for split, found in files.items()}


def _format(files: Sequence[Path]) -> Any:
    """What `datasets` calls the format of files, and the files."""
    (suffix,) = (
        {file.suffix for file in files} if len({file.suffix for file in files}) == 1 else {""}
    )
    if suffix not in FORMATS:
        raise one_of("format of files of problems", suffix, FORMATS)
    return FORMATS[suffix], [str(file) for file in files]


def _load(what: str, kind: str, files: Any = None, **options: Any) -> Sequence[Any]:
    """Rows, loaded by `datasets`.

    Raises:
        ConfigError: it is not installed, or cannot load them.
    """
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            "problems of others are loaded by datasets: pip install 'tau2-gym[data]'"
        ) from error
    if files is not None:
        options |= {"data_files": files, "split": "train"}
    try:
        table: Sequence[Any] = datasets.load_dataset(kind, **options)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise ConfigError(f"{what} cannot be loaded: {first_line(error)}") from error
    return table


def _drawn(
    tables: Mapping[str, Sequence[Any]], read: Reader, counts: Mapping[str, int], seed: int
) -> dict[str, list[Read]]:
    """Different problems of each split, none of them in both.

    Where there is a table for testing, what it asks is never trained on. Otherwise what is asked decides
    which problems are for testing, so that other seeds and other data sets part them in the same way.
    """
    if len(tables) > 1:
        held = {problem.digest for problem in _problems(tables["test"], read)}

        def is_test(problem: Read) -> bool:
            return problem.digest in held
    else:

        def is_test(problem: Read) -> bool:
            return int(problem.digest, 16) % HELD_OUT == 0

    found: dict[str, list[Read]] = {}
    for split, count in counts.items():
        table = tables[split] if len(tables) > 1 else next(iter(tables.values()))
        order = list(range(len(table)))
        Random(f"{seed}/{split}").shuffle(order)
        chosen = dict[str, Read]()
        for problem in _problems((table[number] for number in order), read):
            if len(chosen) == count:
                break
            if is_test(problem) == (split == "test"):
                chosen.setdefault(problem.digest, problem)
        found[split] = list(chosen.values())
    return found


def _problems(rows: Any, read: Reader) -> Iterator[Read]:
    for row in rows:
        problem = read(row)
        if problem is not None:
            yield problem


def _number(given: Mapping[str, str], name: str, default: int, low: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= MOST):
        raise ConfigError(f"{name} must be a whole number from {low} to {MOST}, not {text!r}")
    return int(text)


DEEPSCALER = DataSet(
    *("deepscaler", "agentica-org/DeepScaleR-Preview-Dataset", "MIT"),
    read=value_reader("problem", "answer"),
)
OMNI_MATH = DataSet(
    *("omni_math", "KbsdJames/Omni-MATH", "Apache-2.0"),
    read=value_reader("problem", "answer"),
    splits=("test",),
)
NUMINA_MATH = DataSet("numina_math", "AI-MO/NuminaMath-1.5", "Apache-2.0", read=numina)
TACO = DataSet(
    *("taco_code", "BAAI/TACO", "Apache-2.0"),
    read=taco,
    splits=("train", "test"),
    files={"train": "ALL/train-*.parquet", "test": "ALL/test-*.parquet"},
)
LEETCODE = DataSet(
    *("leetcode_code", "newfacade/LeetCodeDataset", "Apache-2.0"),
    read=leetcode,
    splits=("train", "test"),
    revision="215604aeed660029df7de2fea5a4d7b6ed476a08",
)
GRPO_2K = DataSet(
    "open_agentrl_grpo_2k", "y-ohtani/open_agentrl_grpo_2k", "Apache-2.0", read=trained
)
FILE = DataSet("file", "", "that of the file", read=trained)
