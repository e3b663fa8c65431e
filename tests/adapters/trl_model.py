"""A tiny model that serves a customer of the domain `mock` with TRL's tools: it talks by calling `respond`."""

from __future__ import annotations

import copy
from importlib.resources import files
from typing import Any

from tests.tiny_model import taught, tiny_model, tiny_tokenizer

SAID = (
    (
        "for user_1.",
        '<tool_call>\n{"name": "create_task", "arguments": '
        '{"user_id": "user_1", "title": "Important Meeting"}}\n</tool_call>',
    ),
    (
        '"status": "pending"}\n</tool_response>',
        '<tool_call>\n{"name": "respond", "arguments": '
        '{"message": "Done. Is there anything else I can help you with?"}}\n</tool_call>',
    ),
    ("call no more tools.\n</tool_response>", "Goodbye."),
)
"""How the turn before ends, and what the model has learned to say then."""


def clerk() -> tuple[Any, Any]:
    """The model, and a tokenizer with a chat template that TRL can parse."""
    tokenizer = copy.deepcopy(tiny_tokenizer())
    template = files("trl").joinpath("chat_templates", "qwen3_instruct_2507.jinja")
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    tokenizer.padding_side = "left"
    model = taught(copy.deepcopy(tiny_model()), SAID, rounds=80, rate=4e-3)
    return model.train(), tokenizer
