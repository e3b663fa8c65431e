"""Settings that are not allowed, in words: where each comes from, what is wrong, and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

SHOWN = 60
"""Characters of a value that are shown."""

LISTS = ("tuple_type", "list_type", "set_type")


def sentence(
    error: ValidationError,
    kind: type[BaseModel],
    recipes: Sequence[Path],
    assigned: Mapping[str, str],
) -> str:
    """All that is wrong with settings, in one sentence.

    Args:
        error: what pydantic says of them.
        kind: what they were to be.
        recipes: the files that they come from.
        assigned: what was written on the command line, by dotted name; empty for an option that is named
            otherwise.
    """
    said: dict[str, list[str]] = {}
    found: dict[tuple[str, str], list[str]] = {}
    for item in error.errors():
        name = _name(kind, item["loc"])
        end = _not(item) if item["type"] not in ("value_error", "missing") else ""
        found.setdefault((name, end), []).append(_wrong(kind, name, item))
    for (name, end), wrong in found.items():
        # One setting that may be of several types is wrong once for each of them.
        text = wrong[0] + "".join(f" or {more.removeprefix('must be ')}" for more in wrong[1:])
        colon = "" if text.startswith(("must be ", "is ")) else ":"
        told = f"{name or 'settings'}{colon} {text}{end}"
        said.setdefault(_source(name, recipes, assigned), []).append(told)
    return "; ".join(
        f"{source}: {'; '.join(wrong)}" if source else "; ".join(wrong)
        for source, wrong in said.items()
    )


def _name(kind: type[BaseModel], place: Sequence[int | str]) -> str:
    """The dotted name of a setting, without what pydantic adds for the members of a union."""
    names, section = list[str](), _Section.of(kind)
    for part in place:
        if isinstance(part, str) and section is None:
            break
        names.append(str(part))
        section = section and _Section.of(section.get(str(part)))
    return ".".join(names)


class _Section(dict[str, Any]):
    """The types of a section's settings by name."""

    @classmethod
    def of(cls, kind: Any) -> _Section | None:
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        return cls({name: field.annotation for name, field in kind.model_fields.items()})


def _settings(kind: type[BaseModel], names: Sequence[str]) -> str:
    """The settings of a section."""
    section = _Section.of(kind)
    for name in names:
        section = section and _Section.of(section.get(name))
    return ", ".join(section or ())


def _wrong(kind: type[BaseModel], name: str, item: Any) -> str:
    """What is wrong with a setting, and what is allowed."""
    message, *sections = str(item["msg"]), *name.split(".")
    if item["type"] == "extra_forbidden":
        return f"there is no such setting; allowed: {_settings(kind, sections[:-1])}"
    if item["type"] == "model_type":
        return (
            f"is a section: write {name}.NAME=VALUE, NAME being one of {_settings(kind, sections)}"
        )
    if item["type"] == "missing":
        return "is missing"
    if item["type"] in LISTS:
        return "must be a list, such as [a, b]"
    if item["type"] == "path_type":
        return "must be a path"
    if message.startswith("Input should be "):
        return f"must be {message.removeprefix('Input should be ').partition(', unable')[0]}"
    return message.removeprefix("Value error, ")


def _not(item: Any) -> str:
    """The value that is not allowed, if it is short."""
    if item["type"] in ("extra_forbidden", "model_type"):
        return ""
    text = json.dumps(item["input"], default=str)
    return f", not {text if len(text) <= SHOWN else text[:SHOWN] + '…'}"


def _source(name: str, recipes: Sequence[Path], assigned: Mapping[str, str]) -> str:
    """Where a setting comes from: the assignments to it or to what it is made of, else the recipes."""
    said = [
        text
        for key, text in assigned.items()
        if key == name or name.startswith(f"{key}.") or key.startswith(f"{name}.")
    ]
    if not name:  # Settings that do not go together.
        said = list(filter(None, assigned.values()))
    return ", ".join(filter(None, said) if said else map(str, recipes))
