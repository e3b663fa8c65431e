"""Dicts and lists that are shared and cannot be changed.

What `info` shows, the messages so far and the tools for example, is shared: between the steps of an
episode, its forks and its snapshots, and the tools between all environments of a process. Copies for
every step would cost more than the step. So what is shared refuses changes. Readers, `json` and
chat templates included, see an ordinary dict or list, and `copy.copy` and `copy.deepcopy` make
plain ones that you can change.
"""

from __future__ import annotations

import copy
from typing import Any, NoReturn


def frozen(value: Any) -> Any:
    """The value with all dicts and lists in it frozen; anything else is left as it is."""
    if isinstance(value, dict):
        if type(value) is FrozenDict:
            return value
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return value if type(value) is FrozenList else FrozenList(map(frozen, value))
    return value


def _refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        "this is shared with the environment and must not be changed: change a copy.deepcopy of it"
    )


class FrozenDict(dict[Any, Any]):
    """A dict that refuses changes. A pickled one is frozen again, a copy is a plain dict."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def copy(self) -> dict[Any, Any]:
        """A plain dict of the same values."""
        return dict(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


class FrozenList(list[Any]):
    """A list that refuses changes. A pickled one is frozen again, a copy is a plain list."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = remove = pop = clear = sort = reverse = _refuse

    def copy(self) -> list[Any]:
        """A plain list of the same values."""
        return list(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [copy.deepcopy(value, memo) for value in self]

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenList, (list(self),)


NOTHING = FrozenList()
"""The empty list, shared by all."""
