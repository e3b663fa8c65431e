"""Texts for others: without keys, and without what JSON or UTF-8 cannot hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tau2_gym.completion.redaction import KEY, STRUCK, struck


def clean(value: Any) -> Any:
    """Plain data without keys in its texts: those of this process, and what looks like one of a
    well-known service. A lone surrogate becomes a question mark.

    Most data need no change: all texts are looked at together first, which takes one pass and not
    thousands.
    """
    together = "\n".join(_texts(value))
    return value if _text(together) == together else _cleaned(value)


def _text(text: str) -> str:
    return KEY.sub(STRUCK, struck(text.encode(errors="replace").decode()))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(name): _cleaned(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value
