from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tau2_gym.domains import overlay as overlay_module
from tau2_gym.domains.base import Domain
from tau2_gym.domains.overlay import BaseDatabase, Overlay, Row
from tau2_gym.errors import DataError

ROWS_PER_TABLE = 150


class Address(BaseModel):
    city: str
    lines: dict[str, str] = {}


class Person(BaseModel):
    name: str
    age: int = 0
    address: Address | None = None
    tags: list[str] = []


class Company(BaseModel):
    people: dict[str, Person]
    log: list[Person]
    head: Person
    secret: Person


def company() -> BaseDatabase:
    ann = Person(name="Ann", age=3, address=Address(city="Ulm", lines={"1": "a", "2": "b"}))
    db = Company(
        people={"a": ann, "b": Person(name="Bob", tags=["x"])},
        log=[Person(name="Cid"), Person(name="Dot")],
        head=Person(name="Eva"),
        secret=Person(name="Fay"),
    )
    hidden = {"phantom": Person(name="Gil")}
    return BaseDatabase(db, hidden)


def state(base: BaseDatabase) -> str:
    def plain(content: Any) -> Any:
        if isinstance(content, dict):
            return {key: plain(item) for key, item in content.items()}
        if isinstance(content, list):
            return [plain(item) for item in content]
        return content.model_dump_json()

    return json.dumps(plain(base.fields))


@pytest.fixture
def base() -> BaseDatabase:
    return company()


@pytest.fixture
def overlay(base: BaseDatabase) -> Overlay:
    return Overlay(base)


class TestCopies:
    def test_they_are_equal_and_private(self) -> None:
        row = Row(Person(name="Ann", age=3, tags=["x"]))
        copy: Any = row.copy()
        assert copy == row.model
        copy.tags.append("y")
        assert row.model == Person(name="Ann", age=3, tags=["x"])

    @pytest.mark.parametrize("stored", ["7", "seven", 7.0, [1]])
    def test_what_a_tool_stored_against_the_types_is_kept(self, stored: Any) -> None:
        row = Row(Person(name="Ann").model_copy(update={"age": stored}))
        for _ in range(2):
            copy: Any = row.copy()
            assert (copy.age, type(copy.age)) == (stored, type(stored))
            assert copy is not row.model

    def test_sound_rows_are_parsed_since_that_is_faster(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(overlay_module, "deepcopy")
        assert Row(Person(name="Ann")).copy() == Person(name="Ann")


class TestTransactions:
    def test_what_is_written_is_read_and_the_base_stays(self, overlay: Overlay) -> None:
        before = state(overlay.base)
        view = overlay.view
        overlay.begin()
        view.people["a"].address.lines["1"] = "changed"
        view.people["b"].tags.append("y")
        view.head.name = "Eve"
        for person in view.log:
            person.age += 1
        view.people["c"] = Person(name="Cyd")
        view.log.append(Person(name="Dan"))
        assert view.people["a"].address.lines["1"] == "changed"
        assert view.people["c"].name == "Cyd"
        assert overlay.commit()
        assert view.people["a"].address.lines == {"1": "changed", "2": "b"}
        assert view.people["b"].tags == ["x", "y"]
        assert view.head.name == "Eve"
        assert [person.age for person in view.log] == [1, 1, 0]
        assert view.people["c"].name == "Cyd"
        assert state(overlay.base) == before

    def test_reading_alone_changes_nothing(self, overlay: Overlay) -> None:
        overlay.begin()
        assert [person.name for person in overlay.view.people.values()] == ["Ann", "Bob"]
        assert overlay.view.head.name == "Eva"
        assert not overlay.commit()
        assert overlay.changed == {}

    def test_a_row_written_back_to_what_it_was_is_no_difference(self, overlay: Overlay) -> None:
        for name in ("Eve", "Eva"):
            overlay.begin()
            overlay.view.head.name = name
            assert overlay.commit()
        assert overlay.difference() == {}

    def test_what_an_aborted_tool_had_written_stays(self, overlay: Overlay) -> None:
        def tool(db: Any) -> None:
            db.people["a"].age = 99
            raise ValueError("half-way")

        overlay.begin()
        with pytest.raises(ValueError, match="half-way"):
            tool(overlay.view)
        assert overlay.commit()
        assert overlay.view.people["a"].age == 99

    def test_a_later_transaction_does_not_write_into_committed_rows(self, overlay: Overlay) -> None:
        overlay.begin()
        overlay.view.people["a"].age = 5
        overlay.commit()
        committed = overlay.changed[("people", "a")].model
        overlay.begin()
        overlay.view.people["a"].age = 6
        assert committed.age == 5  # type: ignore[attr-defined]
        overlay.commit()
        assert committed.age == 5  # type: ignore[attr-defined]
        assert overlay.view.people["a"].age == 6

    def test_a_row_put_in_is_the_tools_own_until_the_commit(self, overlay: Overlay) -> None:
        overlay.begin()
        new = Person(name="Cyd")
        overlay.view.people["c"] = new
        new.age = 7
        overlay.commit()
        assert overlay.view.people["c"].age == 7

    def test_writing_outside_a_transaction_is_refused(self, overlay: Overlay) -> None:
        with pytest.raises(RuntimeError, match="outside a transaction"):
            overlay.view.people["c"] = Person(name="Cyd")
        with pytest.raises(RuntimeError, match="outside a transaction"):
            overlay.view.log.append(Person(name="Cyd"))

    @pytest.mark.parametrize("value", ["many", None, [1, {"a": 2}], 1.5, {"b": [None]}])
    def test_values_against_the_declared_type_are_kept_as_they_are(
        self, overlay: Overlay, value: Any
    ) -> None:
        overlay.begin()
        overlay.view.people["a"].age = value
        overlay.commit()
        overlay.begin()
        copied = overlay.view.people["a"]
        assert copied.age == value
        assert type(copied.age) is type(value)
        copied.name = "Anna"
        overlay.commit()
        assert overlay.view.people["a"].age == value
        (row,) = overlay.difference().values()
        assert json.loads(row)["age"] == value


class TestForks:
    def test_forks_and_their_origin_go_separate_ways(self, overlay: Overlay) -> None:
        overlay.begin()
        overlay.view.people["a"].tags.append("before")
        overlay.commit()
        twin = overlay.fork()
        for each, word in ((overlay, "origin"), (twin, "twin")):
            each.begin()
            each.view.people["a"].tags.append(word)
            each.view.people[word] = Person(name=word)
            each.commit()
        assert overlay.view.people["a"].tags == ["before", "origin"]
        assert twin.view.people["a"].tags == ["before", "twin"]
        assert list(overlay.view.people) == ["a", "b", "origin"]
        assert list(twin.view.people) == ["a", "b", "twin"]

    def test_a_fork_is_equal_to_its_origin(self, overlay: Overlay) -> None:
        overlay.begin()
        overlay.view.head.age = 4
        overlay.commit()
        assert overlay.fork().difference() == overlay.difference() != {}


class TestDifference:
    def test_it_names_changed_and_new_rows_whole(self, overlay: Overlay) -> None:
        overlay.begin()
        overlay.view.head.age = 4
        overlay.view.log.append(Person(name="Dan"))
        overlay.commit()
        difference = overlay.difference()
        assert set(difference) == {("head", None), ("log", 2)}
        assert json.loads(difference[("head", None)]) == {
            "name": "Eva",
            "age": 4,
            "address": None,
            "tags": [],
        }

    def test_the_order_of_writing_does_not_matter(self, base: BaseDatabase) -> None:
        first, second = Overlay(base), Overlay(base)
        for overlay, order in ((first, "ab"), (second, "ba")):
            for key in order:
                overlay.begin()
                overlay.view.people[key].age = 8
                overlay.commit()
        assert first.difference() == second.difference()

    def test_hidden_records_are_kept_and_not_compared(self, overlay: Overlay) -> None:
        overlay.begin()
        overlay.view.phantom.age = 1
        assert overlay.commit()
        assert overlay.view.phantom.age == 1
        assert overlay.difference() == {}


class TestMerge:
    def merged(self, overlay: Overlay, field: str, data: Any) -> Any:
        overlay.begin()
        overlay.merge(field, data)
        overlay.commit()
        return overlay.view

    def test_dicts_are_merged_and_everything_else_replaced(self, overlay: Overlay) -> None:
        data = {"a": {"address": {"lines": {"2": "c"}}, "tags": ["t"]}}
        view = self.merged(overlay, "people", data)
        assert view.people["a"].model_dump() == {
            "name": "Ann",
            "age": 3,
            "address": {"city": "Ulm", "lines": {"1": "a", "2": "c"}},
            "tags": ["t"],
        }
        assert overlay.base.fields["people"]["a"].tags == []

    def test_what_is_a_dict_on_one_side_only_is_replaced(self, overlay: Overlay) -> None:
        with pytest.raises(DataError, match=r"address"):
            self.merged(overlay, "people", {"a": {"address": "Bonn"}})
        with pytest.raises(DataError, match=r"tags"):
            self.merged(overlay, "people", {"a": {"tags": {"x": 1}}})

    def test_a_new_row_is_added(self, overlay: Overlay) -> None:
        view = self.merged(overlay, "people", {"c": {"name": "Cyd"}})
        assert view.people["c"] == Person(name="Cyd")
        assert len(view.people) == 3

    def test_a_record_is_merged(self, overlay: Overlay) -> None:
        view = self.merged(overlay, "head", {"age": 4})
        assert view.head == Person(name="Eva", age=4)

    @pytest.mark.parametrize(
        ("field", "data", "message"),
        [
            ("nobody", {}, "cannot merge initialisation data into 'nobody'"),
            ("log", [], "cannot merge initialisation data into 'log'"),
            ("people", {"a": {"age": "old"}}, r"people\['a'\]"),
            ("people", {"z": {}}, r"people\['z'\]"),
        ],
    )
    def test_data_that_do_not_fit_are_refused(
        self, overlay: Overlay, field: str, data: Any, message: str
    ) -> None:
        overlay.begin()
        with pytest.raises(DataError, match=message):
            overlay.merge(field, data)
        overlay.commit()


class TestViews:
    def test_a_table_is_a_mapping(self, overlay: Overlay) -> None:
        people = overlay.view.people
        assert "a" in people
        assert "z" not in people
        assert people.get("z") is None
        assert list(people) == list(people.keys()) == ["a", "b"]
        assert len(people) == 2
        with pytest.raises(KeyError, match="z"):
            people["z"]

    def test_a_scan_sees_what_was_changed_and_added(self, overlay: Overlay) -> None:
        overlay.begin()
        overlay.view.people["b"].name = "Bea"
        overlay.view.people["c"] = Person(name="Cyd")
        expected = {"a": "Ann", "b": "Bea", "c": "Cyd"}
        for _ in range(2):  # inside the transaction, and after it
            assert {k: person.name for k, person in overlay.view.people.items()} == expected
            assert [person.name for person in overlay.view.people.values()] == [*expected.values()]
            assert len(overlay.view.people) == 3
            assert "c" in overlay.view.people
            overlay.commit()

    def test_a_list_grows_at_its_end(self, overlay: Overlay) -> None:
        for name in ("Dan", "Eli"):
            overlay.begin()
            overlay.view.log.append(Person(name=name))
            overlay.commit()
        assert [person.name for person in overlay.view.log] == ["Cid", "Dot", "Dan", "Eli"]
        assert len(overlay.view.log) == 4

    def test_a_list_has_its_rows_by_their_places(self, overlay: Overlay) -> None:
        overlay.begin()
        overlay.view.log[0].name = "Cyd"
        overlay.view.log.append(Person(name="Dan"))
        overlay.commit()
        assert [overlay.view.log[index].name for index in (0, 2, -1, -3)] == [
            "Cyd", "Dan", "Dan", "Cyd"
        ]  # fmt: skip
        for index in (3, -4):
            with pytest.raises(IndexError, match="log has 3 rows"):
                overlay.view.log[index]

    def test_a_record_can_be_replaced(self, overlay: Overlay) -> None:
        overlay.begin()
        overlay.view.head = Person(name="Zoe")
        overlay.commit()
        assert overlay.fork().view.head.name == "Zoe"
        assert list(overlay.difference()) == [("head", None)]

    @pytest.mark.parametrize(
        ("field", "value", "error"),
        [
            ("people", {}, "people cannot be replaced as a whole"),
            ("log", [], "log cannot be replaced as a whole"),
            ("counter", 1, "the database has no 'counter'"),
            ("head", {"name": "Zoe"}, "a row of head must be a model, not a dict"),
        ],
    )
    def test_nothing_is_kept_beside_the_database(
        self, overlay: Overlay, field: str, value: Any, error: str
    ) -> None:
        overlay.begin()
        with pytest.raises((AttributeError, TypeError), match=error):
            setattr(overlay.view, field, value)
        assert not overlay.commit()

    def test_there_are_no_other_fields(self, overlay: Overlay) -> None:
        with pytest.raises(AttributeError, match="nobody"):
            overlay.view.nobody  # noqa: B018

    @pytest.mark.parametrize("key", [("people", "z"), ("log", 2), ("log", -1)])
    def test_there_are_no_other_rows(self, overlay: Overlay, key: Any) -> None:
        assert overlay.get(key) is None


# Writes to the three kinds of fields, by name, row and value.
writes = st.lists(
    st.tuples(st.sampled_from(["people", "log", "head"]), st.integers(0, 3), st.integers(0, 3)),
    max_size=12,
)


@settings(max_examples=150)
@given(writes, writes)
def test_an_overlay_behaves_like_a_deep_copy(
    together: list[tuple[str, int, int]], apart: list[tuple[str, int, int]]
) -> None:
    def write(db: Any, field: str, index: int, value: int) -> None:
        if field == "head":
            db.head.age = value
        elif field == "log":
            rows = list(db.log)
            if index < len(rows):
                rows[index].tags.append(str(value))
            else:
                db.log.append(Person(name=str(value)))
        elif f"{index}" in db.people:
            db.people[f"{index}"].age = value
        else:
            db.people[f"{index}"] = Person(name=str(value))

    def shape(db: Any) -> Any:
        people = {key: person.model_dump() for key, person in db.people.items()}
        return people, [person.model_dump() for person in db.log], db.head.model_dump()

    base = company()
    before = state(base)
    overlay = Overlay(base)
    plain = Company(**{key: base.fields[key] for key in Company.model_fields}).model_copy(deep=True)
    for index, step in enumerate(together + apart):
        if index == len(together):
            twin, at_fork = overlay.fork(), shape(plain)
        overlay.begin()
        write(overlay.view, *step)
        write(plain, *step)
        overlay.commit()
        assert shape(overlay.view) == shape(plain)
    if apart:
        assert shape(twin.view) == at_fork
    assert state(base) == before


def parts(value: Any) -> list[Any]:
    """Everything inside a row that can be changed in place."""
    if isinstance(value, BaseModel):
        inner = list(vars(value).values())
    elif isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        return []
    return [value, *(part for item in inner for part in parts(item))]


def keys(field: str, content: Any) -> list[Any]:
    """Names of the rows of a field, of large tables a sample."""
    if not isinstance(content, dict | list):
        return [(field, None)]
    found = list(content) if isinstance(content, dict) else list(range(len(content)))
    if len(found) > ROWS_PER_TABLE:
        found = random.Random(field).sample(found, ROWS_PER_TABLE)
    return [(field, key) for key in found]


def test_every_copied_row_of_a_domain_equals_the_original_and_shares_nothing(
    domain: Domain,
) -> None:
    seen = 0
    for side in (domain.sides.agent, domain.sides.user):
        if side is None:
            continue
        for key in (key for item in side.database.fields.items() for key in keys(*item)):
            row = side.database.row(key)
            assert row is not None
            copy = row.copy()
            assert copy == row.model
            assert type(copy) is type(row.model)
            assert copy.model_dump_json() == row.model.model_dump_json()
            originals = {id(part) for part in parts(row.model)}
            assert not [part for part in parts(copy) if id(part) in originals]
            seen += 1
    assert seen
