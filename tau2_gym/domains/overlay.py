"""Copy-on-write databases: one read-only database per process, and a few changed rows per episode.

A `BaseDatabase` is shared and never changes. An `Overlay` holds the rows one episode has changed;
once committed they never change either, so a fork copies a small dict. A write happens
inside a transaction: every row the tool touches is handed out as a fresh copy, and the commit keeps
those that came out different. A tool that fails half-way keeps what it had changed, as it does in
tau2-bench, whose tools have no transactions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from tau2_gym.errors import DataError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tau2_gym.domains.base import Domain

Key = tuple[str, Any]
"""Names a row: (field of the database, key in a table | index in a list | None for a record)."""


class Row:
    """One immutable row, with the two serialisations that comparing and copying need."""

    __slots__ = ("_canonical", "_exact", "_json", "model")

    def __init__(self, model: BaseModel) -> None:
        self.model = model
        self._json: bytes | None = None
        self._canonical: str | None = None
        self._exact: bool | None = None

    @property
    def json(self) -> bytes:
        """The row as JSON, fields in their order. Equal bytes mean equal rows."""
        if self._json is None:
            self._json = to_json(self.model)
        return self._json

    @property
    def canonical(self) -> str:
        """The row as JSON with sorted keys: what tau2-bench hashes to compare databases."""
        if self._canonical is None:
            self._canonical = json.dumps(
                self.model.model_dump(warnings=False), sort_keys=True, default=str
            )
        return self._canonical

    def copy(self) -> BaseModel:
        """A private copy. Parsing the JSON is several times faster than `deepcopy`, but it would
        repair values that a tool has stored without validation; those are copied with
        `deepcopy`."""
        parse = type(self.model).__pydantic_validator__.validate_json
        if self._exact is None:
            try:
                self._exact = to_json(parse(self.json)) == self.json
            except ValueError:
                self._exact = False
        return parse(self.json) if self._exact else deepcopy(self.model)


def to_json(model: BaseModel) -> bytes:
    """The model as JSON; values a tool has stored against the declared type are kept as they are."""
    return type(model).__pydantic_serializer__.to_json(model, warnings=False)


class BaseDatabase:
    """A validated database, read-only. Fields are tables (dict), lists, or records (a model).

    `hidden` records are state of the tools, not of the database: no comparison sees them.

    Attributes:
        home: the domain that it belongs to, and which side's it is there; None until a domain takes
            it. Another process finds it by its home, instead of getting a copy.
    """

    def __init__(self, db: BaseModel, hidden: Mapping[str, BaseModel] | None = None) -> None:
        self.home: tuple[Domain, str] | None = None
        self.fields: dict[str, Any] = {name: getattr(db, name) for name in type(db).model_fields}
        self.hidden = frozenset(hidden or ())
        self.fields.update(hidden or {})
        self._rows: dict[Key, Row] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        if self.home is None:
            raise TypeError("a database of no domain cannot be pickled or copied")
        return (_at_home, self.home)

    def row(self, key: Key) -> Row | None:
        """The row under `key`, or None. Its serialisations are computed once per process."""
        row = self._rows.get(key)
        if row is None:
            field, index = key
            content = self.fields[field]
            if isinstance(content, dict):
                if index not in content:
                    return None
                model = content[index]
            elif isinstance(content, list):
                if not 0 <= index < len(content):
                    return None
                model = content[index]
            else:
                model = content
            row = self._rows.setdefault(key, Row(model))
        return row


def _at_home(domain: Domain, side: str) -> BaseDatabase:
    database: BaseDatabase = getattr(domain.sides, side).database
    return database


class Overlay:
    """The rows of a database that one episode has changed."""

    __slots__ = ("_open", "base", "changed", "view")

    def __init__(self, base: BaseDatabase, changed: dict[Key, Row] | None = None) -> None:
        self.base = base
        self.changed: dict[Key, Row] = changed if changed is not None else {}
        self._open: dict[Key, BaseModel] | None = None
        self.view = View(self)

    def fork(self) -> Overlay:
        """An independent overlay with the same content. Cheap: rows are shared, never written."""
        return Overlay(self.base, dict(self.changed))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.writing:
            raise TypeError("a database cannot be pickled or copied in the middle of a write")
        return (Overlay, (self.base, self.changed))

    @property
    def writing(self) -> bool:
        """Whether a transaction is open."""
        return self._open is not None

    def begin(self) -> None:
        """Open a transaction: from now on every row handed out is a private copy."""
        self._open = {}

    def abandon(self) -> None:
        """Close the transaction, if one is open, without looking at what changed in it."""
        self._open = None

    def close(self) -> dict[Key, Row]:
        """Close the transaction without keeping anything. Returns the rows that changed in it.

        Raises:
            ValueError: a tool has stored something in a row that JSON cannot express.
        """
        opened, self._open = self._open or {}, None
        changed = {}
        for key, model in opened.items():
            row = Row(model)
            before = self.row(key)
            if before is None or row.json != before.json:
                changed[key] = row
        return changed

    def commit(self) -> bool:
        """Close the transaction, keeping the rows that changed. Returns whether any did."""
        changed = self.close()
        self.changed.update(changed)
        return bool(changed)

    def growth(self, key: Key, row: Row) -> int:
        """How many bytes of JSON a row has more than the base's."""
        before = self.base.row(key)
        return len(row.json) - (0 if before is None else len(before.json))

    def row(self, key: Key) -> Row | None:
        """The committed row under `key`, or None."""
        return self.changed.get(key) or self.base.row(key)

    def get(self, key: Key) -> BaseModel | None:
        """The row's model: private while a transaction is open, shared and not to be written
        otherwise."""
        opened = self._open
        if opened is None:
            row = self.row(key)
            return None if row is None else row.model
        model = opened.get(key)
        if model is None:
            row = self.row(key)
            if row is None:
                return None
            model = opened[key] = row.copy()
        return model

    def put(self, key: Key, model: BaseModel) -> None:
        """Store a new or replaced row; only inside a transaction."""
        if self._open is None:
            raise RuntimeError(f"row {key} written outside a transaction")
        if not hasattr(type(model), "__pydantic_serializer__"):
            raise TypeError(f"a row of {key[0]} must be a model, not a {type(model).__name__}")
        self._open[key] = model

    def merge(self, field: str, update: Any) -> None:
        """Merge plain data into a field, validating every row; only inside a transaction.

        Raises:
            DataError: no such field, a list (which has no keys to merge by), or an invalid row.
        """
        content = self.base.fields.get(field)
        if content is None or isinstance(content, list):
            raise DataError(f"cannot merge initialisation data into {field!r}")
        rows = update.items() if isinstance(content, dict) else [(None, update)]
        for index, data in rows:
            key = (field, index)
            before = self.get(key)
            model = type(before or next(iter(content.values())))
            merged = _deep_update(before.model_dump(), data) if before is not None else data
            try:
                self.put(key, model.model_validate(merged))
            except ValueError as error:
                raise DataError(f"initialisation data of {field}[{index!r}]: {error}") from error

    def added(self, field: str) -> list[Any]:
        """Keys of rows of `field` that the base does not have, in the order they were added."""
        seen = dict.fromkeys(self.changed)
        if self._open is not None:
            seen.update(dict.fromkeys(self._open))
        return [key[1] for key in seen if key[0] == field and self.base.row(key) is None]

    def difference(self) -> dict[Key, str]:
        """The rows that differ from the base, in canonical JSON. Two overlays over the same base
        have the same difference iff tau2-bench's hashes of the whole databases are equal."""
        result: dict[Key, str] = {}
        for key, row in self.changed.items():
            before = self.base.row(key)
            if key[0] in self.base.hidden:
                continue
            if before is None or before.canonical != row.canonical:
                result[key] = row.canonical
        return result


def _deep_update(base: dict[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `update` merged in; only dicts are merged, everything else is replaced."""
    result = dict(base)
    for key, value in update.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            result[key] = _deep_update(old, value)
        else:
            result[key] = value
    return result


class View:
    """The database as tools see it: `self.db.users[...]`, `for line in self.db.lines`, …"""

    def __init__(self, overlay: Overlay) -> None:
        own = vars(self)
        own["_overlay"] = overlay
        for field, content in overlay.base.fields.items():
            if isinstance(content, dict):
                own[field] = TableView(overlay, field, content)
            elif isinstance(content, list):
                own[field] = ListView(overlay, field, content)

    def __getattr__(self, field: str) -> Any:
        # Only records come here: tables and lists are attributes.
        if field.startswith("_") or field not in self._overlay.base.fields:
            raise AttributeError(field)
        return self._overlay.get((field, None))

    def __setattr__(self, field: str, model: Any) -> None:
        # What were kept here and not in the overlay, no grade and no fork would know.
        if field not in self._overlay.base.fields:
            raise AttributeError(f"the database has no {field!r}")
        if field in vars(self):
            raise AttributeError(f"{field} cannot be replaced as a whole: change its rows")
        self._overlay.put((field, None), model)


class TableView(Mapping[str, Any]):
    """A table: a mapping of keys to rows."""

    __slots__ = ("_base", "_field", "_overlay")

    def __init__(self, overlay: Overlay, field: str, base: dict[str, Any]) -> None:
        self._overlay, self._field, self._base = overlay, field, base

    def __getitem__(self, key: str) -> Any:
        model = self._overlay.get((self._field, key))
        if model is None:
            raise KeyError(key)
        return model

    def __setitem__(self, key: str, model: Any) -> None:
        self._overlay.put((self._field, key), model)

    def __contains__(self, key: object) -> bool:
        return key in self._base or key in self._overlay.added(self._field)

    def __iter__(self) -> Iterator[str]:
        yield from self._base
        yield from self._overlay.added(self._field)

    def __len__(self) -> int:
        return len(self._base) + len(self._overlay.added(self._field))

    def _merged(self) -> Mapping[str, Any]:
        """All rows for a scan. A scan outside a transaction need not look rows up one by one."""
        if self._overlay.writing:
            return {key: self[key] for key in self}
        changed = {
            key: row.model
            for (field, key), row in self._overlay.changed.items()
            if field == self._field
        }
        return {**self._base, **changed} if changed else self._base

    def values(self) -> Any:
        """All rows."""
        return self._merged().values()

    def items(self) -> Any:
        """All keys and rows."""
        return self._merged().items()


class ListView:
    """A list of rows, which can grow."""

    __slots__ = ("_base", "_field", "_overlay")

    def __init__(self, overlay: Overlay, field: str, base: list[Any]) -> None:
        self._overlay, self._field, self._base = overlay, field, base

    def __len__(self) -> int:
        return len(self._base) + len(self._overlay.added(self._field))

    def __iter__(self) -> Iterator[Any]:
        overlay, field = self._overlay, self._field
        if not overlay.writing and not overlay.changed:
            yield from self._base
            return
        for index in range(len(self)):
            yield overlay.get((field, index))

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self._field} has {len(self)} rows, and no {index}")
        return self._overlay.get((self._field, index % len(self)))

    def append(self, model: Any) -> None:
        """Add a row; only inside a transaction."""
        self._overlay.put((self._field, len(self)), model)
