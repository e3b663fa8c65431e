"""Light objects that carry a published tool class's own functions.

Sources publish their tools as methods of heavy objects (stores, registries). The methods themselves
only touch `self.db` and each other, so they can be bound to an object that has nothing but a view
of an episode's database. Functions are copied, never changed in place: the source's own class stays
as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from tau2_gym.domains.overlay import View


class Toolkit:
    """Base of bound tool classes: the functions of one side of a domain over one episode's data.

    `salt` tells identifiers that tools invent in one world (new bills) from another world's.
    """

    __slots__ = ("db", "salt")

    def __init__(self, db: View, salt: str) -> None:
        self.db = db
        self.salt = salt


def rebind(
    function: FunctionType, qualname: str, replacements: Mapping[str, Any] | None = None
) -> FunctionType:
    """A copy of `function` under another qualified name, with some of its globals replaced.

    Python's own messages about wrong arguments show the qualified name, and tau2-bench shows those
    messages to agents.
    """
    namespace = {**function.__globals__, **replacements} if replacements else function.__globals__
    copy = FunctionType(
        function.__code__,
        namespace,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = function.__annotations__
    copy.__doc__ = function.__doc__
    copy.__qualname__ = qualname
    return copy


def bind(
    name: str,
    source: type,
    *,
    replacements: Mapping[str, Any] | None = None,
    extra: Mapping[str, Callable[..., Any] | property] | None = None,
    wrap: Callable[[FunctionType], FunctionType] | None = None,
) -> type[Toolkit]:
    """A `Toolkit` class called `name` with the functions and properties that `source` defines.

    Args:
        name: the class's name in tau2-bench, as its error messages show it.
        source: the published class.
        replacements: module globals of `source` to see differently.
        extra: members to add or to put in place of the source's.
        wrap: applied to every public function of the source.
    """
    members: dict[str, Any] = {"__slots__": ()}
    for attribute, value in vars(source).items():
        if isinstance(value, FunctionType) and not attribute.startswith("__"):
            bound = rebind(value, f"{name}.{attribute}", replacements)
            members[attribute] = bound if wrap is None or attribute.startswith("_") else wrap(bound)
        elif isinstance(value, property) and isinstance(value.fget, FunctionType):
            members[attribute] = property(rebind(value.fget, f"{name}.{attribute}", replacements))
    for attribute, value in (extra or {}).items():
        if isinstance(value, FunctionType):
            value = rebind(value, f"{name}.{attribute}")
        members[attribute] = value
    return type(name, (Toolkit,), members)
