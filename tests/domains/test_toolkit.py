from __future__ import annotations

from types import FunctionType
from typing import Any

import pytest

from tau2_gym.domains.toolkit import Toolkit, bind, rebind

LIMIT = 3


class Published:
    """Stands for a source's class, with more to it than we want."""

    heavy = object()

    def __init__(self) -> None:
        raise AssertionError("the source's own object is never made")

    def count(self, *, start: int = 1) -> int:
        """How many."""
        return start + len(self.db) + self._limit()  # type: ignore[attr-defined]

    def _limit(self) -> int:
        return LIMIT

    @property
    def first(self) -> Any:
        return self.db[0]  # type: ignore[attr-defined]


def test_bound_functions_see_the_database_and_each_other() -> None:
    toolkit = bind("ShopTools", Published)
    tools: Any = toolkit(["x", "y"], "salt")  # type: ignore[arg-type]
    assert isinstance(tools, Toolkit)
    assert tools.count() == 6
    assert tools.count(start=0) == 5
    assert tools.first == "x"
    assert tools.salt == "salt"
    assert not hasattr(tools, "heavy")


def test_wrong_arguments_are_reported_under_the_name_of_tau2_bench() -> None:
    tools: Any = bind("ShopTools", Published)([], "salt")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^ShopTools\.count\(\) got an unexpected keyword"):
        tools.count(end=2)


def test_globals_are_replaced_for_the_bound_class_only() -> None:
    tools: Any = bind("ShopTools", Published, replacements={"LIMIT": 100})([], "")  # type: ignore[arg-type]
    assert tools.count() == 101
    assert bind("ShopTools", Published)([], "").count() == 4  # type: ignore[arg-type, attr-defined]
    assert LIMIT == 3


def test_members_can_be_added_and_replaced() -> None:
    def _limit(self: Any) -> int:
        return -1

    extra = {"_limit": _limit, "last": property(lambda self: self.db[-1])}
    tools: Any = bind("ShopTools", Published, extra=extra)(["x"], "")  # type: ignore[arg-type]
    assert tools.count() == 1
    assert tools.last == "x"


def test_only_public_functions_are_wrapped() -> None:
    seen = []

    def wrap(function: FunctionType) -> FunctionType:
        seen.append(function.__name__)
        return function

    bind("ShopTools", Published, wrap=wrap)
    assert seen == ["count"]


def test_the_sources_own_class_stays_as_it_was() -> None:
    before = Published.count.__qualname__, Published.count.__globals__
    copy = rebind(Published.count, "Other.count", {"LIMIT": 0})  # type: ignore[arg-type]
    assert copy.__qualname__ == "Other.count"
    assert copy.__doc__ == "How many."
    assert copy.__kwdefaults__ == {"start": 1}
    assert copy.__annotations__ == {"start": "int", "return": "int"}
    assert (Published.count.__qualname__, Published.count.__globals__) == before
