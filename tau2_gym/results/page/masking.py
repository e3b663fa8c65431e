"""Secrets in what runs have written down, masked before it is shown."""

from __future__ import annotations

from typing import Any

from tau2_gym.completion.redaction import without_secrets


def masked(data: Any) -> Any:
    """The data with its texts, and the names in it, as `without_secrets` has them.

    Most data hold no secret: all texts are looked at together first, which takes one pass and not thousands.
    """
    texts: list[str] = []
    _collect(data, texts)
    together = "\n".join(texts)
    return data if without_secrets(together) == together else _masked(data)


def _collect(data: Any, texts: list[str]) -> None:
    if isinstance(data, str):
        texts.append(data)
    elif isinstance(data, dict):
        texts.extend(data)
        for value in data.values():
            _collect(value, texts)
    elif isinstance(data, list | tuple):
        for item in data:
            _collect(item, texts)


def _masked(data: Any) -> Any:
    if isinstance(data, str):
        return without_secrets(data)
    if isinstance(data, dict):
        return {without_secrets(name): _masked(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_masked(item) for item in data]
    return data
