"""Brains for `ChatServer` that think: the tiny Qwen3, and one that was taught to be a customer."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from functools import cache
from typing import Any
from zlib import crc32

from agents.backends.transformers import TransformersBackend
from agents.sampling import SamplingParams
from tests.chat_server import Answer
from tests.tiny_model import taught, tiny_model, tiny_tokenizer

BLOCK = re.compile(r"\n?<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)


CUSTOMER = (
    "My phone has no internet.",
    "I want to return a lamp.",
    '<tool_call>\n{"name": "check_network_status", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "toggle_data", "arguments": {}}\n</tool_call>',
    "It still does not work.",
)
"""What a customer says and does."""


@cache
def tiny_customer() -> Any:
    """A copy of the tiny model that has learned to speak as a customer, whatever the prompt."""
    lines = [("", line) for line in CUSTOMER]
    return taught(deepcopy(tiny_model()), lines, rounds=120, rate=4e-3)


class ModelBrain:
    """Renders the chat with the model's template, samples, and reads the tool calls, as servers do.

    Token ids and log-probabilities come with the answer, in SGLang's form, if they are asked for.
    """

    def __init__(self, model: Any) -> None:
        self.tokenizer = tiny_tokenizer()
        self.backend = TransformersBackend(model, self.tokenizer)

    async def __call__(self, body: dict[str, Any]) -> Answer:
        prompt = self.tokenizer.apply_chat_template(
            body["messages"],
            tools=body.get("tools"),
            add_generation_prompt=True,
            return_dict=False,
        )
        params = SamplingParams(
            temperature=body.get("temperature", 1.0),
            max_new_tokens=body.get("max_tokens", 64),
            seed=body.get("seed", 0),
        )
        generation = await self.backend.generate(prompt, params, "chat/0")
        text = self.tokenizer.decode(generation.ids, skip_special_tokens=True)
        answer = self._message(text)
        if generation.finish_reason == "length":
            answer["finish_reason"] = "length"
        answer["usage"] = {
            "prompt_tokens": len(prompt),
            "completion_tokens": len(generation.ids),
        }
        if body.get("return_token_ids"):
            pairs = zip(generation.logprobs, generation.ids, strict=True)
            answer["choice"] = {
                "prompt_token_ids": list(prompt),
                "response_token_ids": list(generation.ids),
                "meta_info": {"output_token_logprobs": [[lp, token, None] for lp, token in pairs]},
            }
        return answer

    @staticmethod
    def _message(text: str) -> dict[str, Any]:
        try:
            calls = [json.loads(block) for block in BLOCK.findall(text)]
            read = [(call["name"], json.dumps(call["arguments"])) for call in calls]
        except (ValueError, KeyError, TypeError):
            read = []
        if not read:
            return {"content": text}
        return {
            "content": BLOCK.sub("", text).strip() or None,
            "tool_calls": [
                {
                    "id": f"call_{index}_{crc32(text.encode())}",
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }
                for index, (name, arguments) in enumerate(read)
            ],
        }
