"""How tau2-bench turns what a tool returns into the text of a tool message."""

from __future__ import annotations

import json
from datetime import date
from typing import Any


def render(result: Any) -> str:
    """The text of a tool result.

    A string stays as it is. Anything else becomes JSON, in which models are dumped as they are, but
    numbers and booleans that stand outside a model become strings: `{"charge": "2.0"}`.
    (tau2-bench 1.0.1, `environment/environment.py`, `Environment.to_json_str`.)

    Raises:
        ValueError: the result holds something that has no such form.
    """
    if isinstance(result, str):
        return result
    return json.dumps(_plain(result), default=str)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "model_dump"):
        return value.model_dump(warnings=False)
    raise ValueError(f"Unsupported type: {type(value)}")
