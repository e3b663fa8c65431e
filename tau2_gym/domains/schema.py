"""OpenAI function schemas from Python functions, laid out as tau2-bench lays them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def openai_schema(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The schema of `function` from its signature and Google-style docstring.

    Parameter types become a pydantic model named "parameters"; the description is the docstring's
    short and long description with a blank line between (tau2-bench 1.0.1, `environment/tool.py`).
    A leading `self` is left out.
    """
    import inspect

    from docstring_parser import parse
    from pydantic import Field, create_model

    doc = parse(function.__doc__ or "")
    descriptions = {param.arg_name: param.description for param in doc.params}
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.name == "self":
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        if parameter.name in descriptions:
            default = Field(default, description=descriptions[parameter.name])
        fields[parameter.name] = (parameter.annotation, default)
    parts = [doc.short_description, doc.long_description]
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": "\n\n".join(part for part in parts if part),
            "parameters": create_model("parameters", **fields).model_json_schema(),
        },
    }
