from __future__ import annotations

from typing import Any, Literal

from tau2_gym.domains.schema import openai_schema


def order(self: Any, item: str, count: int = 1, speed: Literal["slow", "fast"] = "slow") -> str:
    """Order an item.

    It is sent
    at once.

    Args:
        item: What to order.
        count: How many.
    """
    return f"{self}{item}{count}{speed}"


def bare(flag: bool) -> None: ...


def test_a_schema_says_what_signature_and_docstring_say() -> None:
    assert openai_schema("place_order", order) == {
        "type": "function",
        "function": {
            "name": "place_order",
            "description": "Order an item.\n\nIt is sent\nat once.",
            "parameters": {
                "title": "parameters",
                "type": "object",
                "required": ["item"],
                "properties": {
                    "item": {"title": "Item", "type": "string", "description": "What to order."},
                    "count": {
                        "title": "Count",
                        "type": "integer",
                        "default": 1,
                        "description": "How many.",
                    },
                    "speed": {
                        "title": "Speed",
                        "type": "string",
                        "enum": ["slow", "fast"],
                        "default": "slow",
                    },
                },
            },
        },
    }


def test_a_function_without_docstring_has_an_empty_description() -> None:
    function = openai_schema("bare", bare)["function"]
    assert function["description"] == ""
    assert function["parameters"]["properties"] == {"flag": {"title": "Flag", "type": "boolean"}}
