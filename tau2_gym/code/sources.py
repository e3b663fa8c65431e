"""Problems from public data sets, by name, and from files, loaded with Hugging Face's `datasets`.

| name | data set | licence |
|---|---|---|
| `deepscaler` | agentica-org/DeepScaleR-Preview-Dataset | MIT |
| `omni_math` | KbsdJames/Omni-MATH | Apache-2.0 |
| `numina_math` | AI-MO/NuminaMath-1.5 | Apache-2.0 |
| `taco_code` | BAAI/TACO | Apache-2.0 |
| `leetcode_code` | newfacade/LeetCodeDataset | Apache-2.0 |
| `open_agentrl_grpo_2k` | y-ohtani/open_agentrl_grpo_2k, a sample of the five | Apache-2.0 |
| `file` | a file in the form of the last | – |

The licences are those stated on the card of the model that was trained on these data sets. None of their
content is part of this package: it is downloaded on first use, or read from `path`.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from tau2_gym.code.tables import Table, from_files, from_hub
from tau2_gym.code.tasks import check_commas
from tau2_gym.domains.registry import TaskSource
from tau2_gym.errors import ConfigError, DataError, one_of

VERSION = 2
"""Of how rows are read and graded. To be raised whenever a problem that is made of a row changes, or its
grading does."""

COUNT, TEST, TESTS, MOST = 2000, 200, 20, 1_000_000
"""Default numbers of training problems, test problems and tests per program; the largest number allowed for
each."""

OPTIONS = ("count", "test", "tests", "seed", "revision", "path")

HELD_OUT = 5
"""In a data set without a test split, one problem in this many is for testing."""


@dataclass(frozen=True)
class DataSet:
    """A data set. Calling it with options returns tasks.

    Attributes:
        name: ours.
        hub: its name on the Hugging Face hub; empty if it has none.
        licence: its licence.
        read: reads its rows.
        splits: the splits it has; one is enough.
        revision: of its repository, by default.
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
        found = (
            from_files(self.name, path)
            if path
            else from_hub(self.hub, revision, self.splits, self.files)
        )
        tables = {split: Table(rows, self.read) for split, rows in found.items()}
        drawn = _drawn(tables, counts, seed)
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

    def _warn(self, path: str, tables: Mapping[str, Table]) -> None:
        """Say how many rows of a file of one's own are left out, and which is the first."""
        for split, table in tables.items():
            if out := table.left_out():
                warnings.warn(
                    f"{len(out)} of {len(table.digests)} rows that were read for {split} from {path} are "
                    f"left out, row {out[0]} first: they are no problems of the form of {self.name}",
                    stacklevel=3,
                )

    def _options(self, options: str) -> dict[str, str]:
        place = options.partition(",")[0].removeprefix("path=")
        if not os.path.exists(place):  # The name of a file may have anything in it.
            check_commas(self.name, options, OPTIONS)
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


def _drawn(
    tables: Mapping[str, Table], counts: Mapping[str, int], seed: int
) -> dict[str, list[Read]]:
    """Different problems of each split, none of them in both.

    Where there is a table for testing, none of its problems is trained on. Otherwise what is asked decides
    which problems are for testing, so that other seeds and other data sets part them in the same way.
    """
    if len(tables) > 1:
        table = tables["test"]
        held = {table.digest(number) for number in range(len(table.rows))}

        def is_test(digest: str) -> bool:
            return digest in held
    else:

        def is_test(digest: str) -> bool:
            return int(digest, 16) % HELD_OUT == 0

    found: dict[str, list[Read]] = {}
    for split, count in counts.items():
        table = tables[split] if len(tables) > 1 else next(iter(tables.values()))
        order = list(range(len(table.rows)))
        Random(f"{seed}/{split}").shuffle(order)
        chosen = dict[str, Read]()
        for number in order:
            if len(chosen) == count:
                break
            problem = None if number in table.digests else table.problem(number)
            digest = table.digests[number]
            if digest is None or digest in chosen or is_test(digest) != (split == "test"):
                continue
            # What was read before was not kept, since tests of a program can be large.
            problem = problem or table.problem(number)
            assert problem is not None
            chosen[digest] = problem
        found[split] = list(chosen.values())
    return found


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
