"""Agents, users and domains from outside this repository, by name.

A name with a colon says where something is: `my_module:Clerk`, an attribute of a module that can be
imported, from the current folder too. A name without one is looked up among the entry points of
installed packages.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from tau2_gym.errors import ConfigError, one_of


def find(what: str, name: str, group: str, known: Iterable[str]) -> Any:
    """What a name from outside stands for.

    Args:
        what: what it should be, for errors: agent, user.
        name: `MODULE:ATTRIBUTE`, or the name of an entry point.
        group: the group of entry points.
        known: names that need no look-up, for errors.

    Raises:
        ConfigError: the name, module or attribute is unknown, or importing the module fails.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        return _installed(what, name, group, known)
    if not module or not attribute:
        raise ConfigError(f"{what} {name!r} is incomplete: write MODULE:NAME")
    found = import_module(f"{what} {name!r}", module)
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        own = [word for word in dir(found) if callable(getattr(found, word, None))]
        close = get_close_matches(attribute, own, 1)
        hint = f"; did you mean {module}:{close[0]}?" if close else ""
        raise ConfigError(
            f"{what} {name!r}: module {module!r} has no {attribute!r}{hint}"
        ) from None
    return found


def make(what: str, name: str, group: str, known: Iterable[str], methods: str) -> Any:
    """What a name from outside stands for; called first if it is a class or a function that makes
    one.

    Args:
        what, name, group, known: see `find`.
        methods: names of methods, separated by commas; it must have one of them.

    Raises:
        ConfigError: as `find`; or making it fails, or it has none of the methods.
    """
    found = find(what, name, group, known)
    wanted = methods.split(",")
    if isinstance(found, type) or not any(hasattr(found, method) for method in wanted):
        if not callable(found):
            raise ConfigError(f"{what} {name!r} is {_a(found)}, and has no {' or '.join(wanted)}")
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{what} {name!r} could not be made: {_said(error)}") from error
    if not any(callable(getattr(found, method, None)) for method in wanted):
        raise ConfigError(f"{what} {name!r} is {_a(found)}, and has no {' or '.join(wanted)}")
    return found


def import_module(what: str, module: str) -> ModuleType:
    """A module, imported for what it contains.

    Args:
        what: what is looked for, for errors.
        module: its dotted name.

    Raises:
        ConfigError: the module does not exist, or importing it fails.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{what}: there is no module {module!r}, neither here nor among the installed packages"
            ) from None
        raise ConfigError(f"{what}: importing {module!r} failed: {_said(error)}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what}: importing {module!r} failed: {_said(error)}") from error


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name."""
    return {point.name: point for point in entry_points(group=group)}


def _installed(what: str, name: str, group: str, known: Iterable[str]) -> Any:
    points = installed(group)
    if name not in points:
        raise ConfigError(f"{one_of(what, name, {*known, *points})}, or MODULE:NAME")
    try:
        return points[name].load()
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{what} {name!r} is installed as {points[name].value}, and importing it failed: "
            f"{_said(error)}"
        ) from error


def _a(found: object) -> str:
    return f"of type {type(found).__name__}"


def _said(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
