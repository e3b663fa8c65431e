"""Texts for others: without keys, and without what JSON or UTF-8 cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tau2_gym.completion.redaction import KEY, STRUCK, struck


def clean(value: Any) -> Any:
    """Plain data without keys in its texts: those of this process, and what looks like one of a
    well-known service. A lone surrogate becomes a question mark."""
    if isinstance(value, str):
        text = value.encode(errors="replace").decode()
        return KEY.sub(STRUCK, struck(text))
    if isinstance(value, Mapping):
        return {clean(name): clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value
