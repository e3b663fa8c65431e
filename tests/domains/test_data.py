from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tau2_gym.domains import inspect_evals
from tau2_gym.domains.base import get_domain
from tau2_gym.domains.data import DataFolder
from tau2_gym.errors import DataError

LAYOUTS = ("tau2/domains/shop", "domains/shop", "shop")

TASKS = [{"id": "1"}, {"id": "2"}]


def folder(path: Path, **files: Any) -> Path:
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def packaged_mock() -> Path:
    from inspect_evals.tau2 import utils

    return Path(utils.TAU2_DATA_DIR) / "domains" / "mock"


@pytest.fixture
def revised(tmp_path: Path) -> Path:
    """A data folder with the mock domain, to be changed."""
    root = tmp_path / "data"
    shutil.copytree(packaged_mock(), root / "mock")
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_a_data_folder_is_found(tmp_path: Path, layout: str) -> None:
    path = folder(tmp_path / layout, tasks=TASKS)
    data = DataFolder("shop", tmp_path / "nowhere", tmp_path)
    assert data.path == path
    assert data.tasks() == TASKS


def test_the_packaged_data_are_used_unless_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged, named, given = (tmp_path / name for name in ("packaged", "named", "given"))
    for root in (packaged, named, given):
        folder(root / "shop", tasks=TASKS)
    assert DataFolder("shop", packaged).path == packaged / "shop"
    monkeypatch.setenv("TAU2_DATA_DIR", str(named))
    assert DataFolder("shop", packaged).path == named / "shop"
    assert DataFolder("shop", packaged, given).path == given / "shop"


def test_a_folder_without_tasks_is_refused_naming_where_they_were_sought(tmp_path: Path) -> None:
    folder(tmp_path / "shop", db={})
    with pytest.raises(DataError, match=r"no tasks\.json for domain 'shop'") as caught:
        DataFolder("shop", tmp_path / "nowhere", tmp_path)
    assert str(tmp_path / "tau2/domains/shop") in str(caught.value)


def test_structured_files_are_read_in_every_format(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop", tasks=TASKS)
    (path / "a.toml").write_text('[t]\nx = 1\ny = ["ä"]')
    (path / "b.json.gz").write_bytes(gzip.compress('{"x": "ä"}'.encode()))
    data = DataFolder("shop", tmp_path)
    assert data.data("a") == {"t": {"x": 1, "y": ["ä"]}}
    assert data.data("b") == {"x": "ä"}
    assert data.has("b")
    assert not data.has("c")
    with pytest.raises(DataError, match=r"has no c\.json"):
        data.data("c")


@pytest.mark.parametrize(
    ("name", "content"),
    [("db.json", b"{"), ("db.json", b"\xff"), ("db.toml", b"x ="), ("db.json.gz", b"{}")],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = folder(tmp_path / "shop", tasks=TASKS)
    (path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        DataFolder("shop", tmp_path).data("db")


def test_texts_are_read_from_markdown_or_text_files(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop", tasks=TASKS)
    (path / "policy.md").write_text("# Règles\n", encoding="utf-8")
    (path / "notes.txt").write_text("n")
    data = DataFolder("shop", tmp_path)
    assert data.text("policy") == "# Règles\n"
    assert data.text("notes") == "n"
    assert data.has_text("policy")
    assert data.has_text("notes")
    assert not data.has_text("manual")
    assert not data.has_text("tasks")
    with pytest.raises(DataError, match=r"has no manual\.md"):
        data.text("manual")


@pytest.mark.parametrize("content", [{"x": []}, [1], [{"name": "no id"}], "tasks", None])
def test_a_task_file_of_another_form_is_refused(tmp_path: Path, content: Any) -> None:
    folder(tmp_path / "shop", tasks=content)
    with pytest.raises(DataError, match="not a list of tasks"):
        DataFolder("shop", tmp_path).tasks()


def test_tasks_may_stand_under_a_key(tmp_path: Path) -> None:
    folder(tmp_path / "shop", tasks={"tasks": TASKS})
    assert DataFolder("shop", tmp_path).tasks() == TASKS


def test_splits_are_optional(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop", tasks=TASKS)
    assert DataFolder("shop", tmp_path).splits() == {}
    (path / "split_tasks.json").write_text('{"test": ["2"]}')
    assert DataFolder("shop", tmp_path).splits() == {"test": ["2"]}


def test_the_revision_follows_the_files_that_count_towards_it(tmp_path: Path) -> None:
    def revision(tasks: Any, db: Any, other: Any) -> str:
        shutil.rmtree(tmp_path / "shop", ignore_errors=True)
        folder(tmp_path / "shop", tasks=tasks, db=db, other=other)
        data = DataFolder("shop", tmp_path)
        data.tasks()
        data.data("db", revision=True)
        data.data("other")
        return data.revision

    first = revision(TASKS, {}, {})
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert revision(TASKS, {}, {"x": 1}) == first
    assert len({first, revision(TASKS[:1], {}, {}), revision(TASKS, {"x": 1}, {})}) == 3


class TestContentsAloneDecideTheRevision:
    """The files' origin, the order of reading them, their format and their layout do not."""

    DB: ClassVar = {"rows": {"b": {"x": 1.5, "when": "2025-02-25"}, "a": {"x": [True, None]}}}

    def revision(self, path: Path, stems: Sequence[str] = ("tasks", "db"), **given: Any) -> str:
        data = DataFolder("shop", path, **given)
        for stem in stems:
            if stem == "tasks":
                data.tasks()
            else:
                data.data(stem, revision=True)
        return data.revision

    @pytest.fixture
    def plain(self, tmp_path: Path) -> str:
        folder(tmp_path / "plain" / "shop", tasks=TASKS, db=self.DB)
        return self.revision(tmp_path / "plain")

    def test_it_stays_the_same_over_the_years(self, plain: str) -> None:
        text = json.dumps({"db": self.DB, "tasks": TASKS}, sort_keys=True).replace(" ", "")
        assert plain == hashlib.sha256(text.encode()).hexdigest()[:12]

    def test_dates_of_toml_count_as_their_text(self, tmp_path: Path) -> None:
        for root, when in (("a", "2025-02-25"), ("b", '"2025-02-25"'), ("c", "2025-02-26")):
            path = folder(tmp_path / root / "shop", tasks=TASKS)
            (path / "db.toml").write_text(f"when = {when}")
        one, same, other = (self.revision(tmp_path / root) for root in "abc")
        assert one == same != other

    def test_the_order_of_reading(self, tmp_path: Path, plain: str) -> None:
        assert self.revision(tmp_path / "plain", ("db", "tasks")) == plain
        assert self.revision(tmp_path / "plain", ("db", "tasks", "db")) == plain
        assert self.revision(tmp_path / "plain", ("db",)) != plain

    def test_where_they_lie(self, tmp_path: Path, plain: str) -> None:
        given = {"data_dir": tmp_path / "plain"}
        assert self.revision(tmp_path / "nowhere", **given) == plain

    @pytest.mark.parametrize("form", ["indented", "keys", "gzip", "toml", "ascii", "under a key"])
    def test_the_layout_of_a_file(self, tmp_path: Path, plain: str, form: str) -> None:
        db, tasks = self.DB, TASKS
        if form == "toml":  # which has no null
            db = {"rows": {"b": {"x": 1.5, "when": "2025-02-25"}, "a": {"x": [True]}}}
            folder(tmp_path / "null-free" / "shop", tasks=TASKS, db=db)
            plain = self.revision(tmp_path / "null-free")
        path = folder(tmp_path / "other" / "shop", tasks=tasks)
        written = path / "db.json"
        if form == "indented":
            written.write_text(json.dumps(db, indent=3) + "\n")
        elif form == "keys":
            rows = {key: dict(reversed(row.items())) for key, row in db["rows"].items()}
            turned = {"rows": dict(reversed(rows.items()))}
            written.write_text(json.dumps(turned))
        elif form == "gzip":
            (path / "db.json.gz").write_bytes(gzip.compress(json.dumps(db).encode()))
        elif form == "toml":
            text = 'rows.b.when = "2025-02-25"\nrows.b.x = 1.5\n[rows.a]\nx = [true]\n'
            (path / "db.toml").write_text(text)
        else:
            written.write_text(json.dumps(db, ensure_ascii=form == "ascii"))
        if form == "under a key":
            (path / "tasks.json").write_text(json.dumps({"tasks": TASKS}))
        assert self.revision(tmp_path / "other") == plain

    @pytest.mark.parametrize(
        "changed",
        [{"x": 1.5}, {"x": 1.5, "when": "2025-02-26"}, {"x": "1.5", "when": "2025-02-25"}],
    )
    def test_any_other_content_is_another(
        self, tmp_path: Path, plain: str, changed: dict[str, Any]
    ) -> None:
        db = {"rows": {**self.DB["rows"], "b": changed}}
        folder(tmp_path / "other" / "shop", tasks=TASKS, db=db)
        assert self.revision(tmp_path / "other") != plain
        folder(tmp_path / "more" / "shop", tasks=TASKS[::-1], db=self.DB)
        assert self.revision(tmp_path / "more") != plain


class TestAnotherRevisionOfADomain:
    def test_the_same_data_are_the_same_revision(self, revised: Path) -> None:
        assert inspect_evals.load("mock", str(revised)).revision == get_domain("mock").revision

    @pytest.mark.parametrize("file", ["tasks", "db"])
    def test_changed_data_are_another_revision(self, revised: Path, file: str) -> None:
        path = next((revised / "mock").glob(f"{file}.*"))
        text = path.read_text()
        path.write_text(text.replace("Test task", "Another task").replace("meeting", "party"))
        assert path.read_text() != text
        assert inspect_evals.load("mock", str(revised)).revision != get_domain("mock").revision

    def test_a_malformed_database_is_refused(self, revised: Path) -> None:
        next((revised / "mock").glob("db.*")).unlink()
        (revised / "mock" / "db.json").write_text('{"tasks": 3, "users": {}}')
        with pytest.raises(DataError, match="db of 'mock' is malformed"):
            inspect_evals.load("mock", str(revised))

    def test_an_inbox_is_read_where_there_is_one(self, revised: Path) -> None:
        inbox = {"notifications": {"n1": {"notification_id": "n1", "message": "Hello"}}}
        (revised / "mock" / "user_db.json").write_text(json.dumps(inbox))
        domain = inspect_evals.load("mock", str(revised))
        world = domain.start(domain.task("create_task_1"))
        assert "Hello" in world.call("check_notifications", {}, "user")[0]
        assert world.call("dismiss_notification", {"notification_id": "n1"}, "user") == (
            "Notification n1 dismissed",
            False,
        )
        assert '"status": "read"' in world.call("check_notifications", {}, "user")[0]
