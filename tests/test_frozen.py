from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tau2_gym.frozen import FrozenDict, FrozenList, frozen

PLAIN: dict[str, Any] = {"a": [1, {"b": [2, 3]}, (4,)], "c": {}}

DICT_EDITS: dict[str, Callable[[Any], Any]] = {
    "set": lambda d: d.__setitem__("a", 1),
    "del": lambda d: d.__delitem__("a"),
    "|=": lambda d: d.__ior__({"x": 1}),
    "update": lambda d: d.update(x=1),
    "setdefault": lambda d: d.setdefault("x", 1),
    "pop": lambda d: d.pop("a"),
    "pop missing": lambda d: d.pop("x", None),
    "popitem": lambda d: d.popitem(),
    "clear": lambda d: d.clear(),
}
LIST_EDITS: dict[str, Callable[[Any], Any]] = {
    "set": lambda v: v.__setitem__(0, 1),
    "set slice": lambda v: v.__setitem__(slice(0, 1), []),
    "del": lambda v: v.__delitem__(0),
    "+=": lambda v: v.__iadd__([1]),
    "*=": lambda v: v.__imul__(2),
    "append": lambda v: v.append(1),
    "extend": lambda v: v.extend([1]),
    "insert": lambda v: v.insert(0, 1),
    "remove": lambda v: v.remove(1),
    "pop": lambda v: v.pop(),
    "clear": lambda v: v.clear(),
    "sort": lambda v: v.sort(key=str),
    "reverse": lambda v: v.reverse(),
}


@pytest.mark.parametrize("edit", DICT_EDITS.values(), ids=DICT_EDITS)
def test_a_frozen_dict_refuses_every_change(edit: Callable[[Any], Any]) -> None:
    value = frozen(PLAIN)
    with pytest.raises(TypeError, match=r"must not be changed: change a copy\.deepcopy of it"):
        edit(value)
    assert value == PLAIN


@pytest.mark.parametrize("edit", LIST_EDITS.values(), ids=LIST_EDITS)
def test_a_frozen_list_refuses_every_change(edit: Callable[[Any], Any]) -> None:
    value = frozen(PLAIN)["a"]
    with pytest.raises(TypeError, match=r"must not be changed: change a copy\.deepcopy of it"):
        edit(value)
    assert value == PLAIN["a"]


@pytest.mark.parametrize(("kind", "edits"), [(dict, DICT_EDITS), (list, LIST_EDITS)])
def test_no_method_that_changes_is_left_out(kind: type, edits: dict[str, Any]) -> None:
    frozen_kind = FrozenDict if kind is dict else FrozenList
    reads = {
        dict: {"keys", "values", "items", "get", "copy", "fromkeys"},
        list: {"count", "index", "copy"},
    }[kind]
    in_place = {"__setitem__", "__delitem__", "__ior__", "__iadd__", "__imul__"}
    changing = {
        name
        for name in dir(kind)
        if (not name.startswith("__") and name not in reads) or name in in_place
    }
    assert changing <= set(vars(frozen_kind))
    assert len(edits) >= len(changing)


def test_it_is_a_dict_or_a_list_to_whoever_reads_it() -> None:
    value = frozen(PLAIN)
    assert value == PLAIN
    assert json.dumps(value) == json.dumps(PLAIN)
    assert isinstance(value, dict)
    assert isinstance(value["a"], list)
    assert {**value, "x": 1} == {**PLAIN, "x": 1}
    assert value["a"] + [5] == [*PLAIN["a"], 5]
    assert type(value | {}) is type(value["c"].copy()) is dict


def test_all_of_it_is_frozen_and_freezing_again_costs_nothing() -> None:
    value = frozen(PLAIN)
    assert type(value["c"]) is type(value["a"][1]) is FrozenDict
    assert type(value["a"]) is type(value["a"][1]["b"]) is FrozenList
    assert frozen(value) is value
    assert frozen(value["a"]) is value["a"]
    PLAIN["c"]["later"] = 1
    try:
        assert "later" not in value["c"]
    finally:
        del PLAIN["c"]["later"]


def test_copies_are_plain_and_may_be_changed() -> None:
    value = frozen(PLAIN)
    deep = copy.deepcopy(value)
    deep["a"][1]["b"].append(1)
    deep["c"]["x"] = 1
    assert value == PLAIN
    for shallow in (copy.copy(value), copy.copy(value["a"]), value["a"].copy()):
        assert type(shallow) in (dict, list)
        shallow.clear()
    assert value == PLAIN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_frozen_again(protocol: int) -> None:
    value = pickle.loads(pickle.dumps(frozen(PLAIN), protocol))
    assert value == PLAIN
    assert type(value) is type(value["a"][1]) is FrozenDict
    assert type(value["a"]) is FrozenList
