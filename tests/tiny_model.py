"""A Qwen3 of 178,000 weights, made on the spot: tokenizer, chat template and model.

The tokenizer is a byte-level BPE of the domains' own texts with Qwen3's control tokens. The chat
template renders what Qwen3's renders, but for the sentences that introduce the tools. It comes in the
three styles of that family:

- `hybrid`: Qwen3. Reasoning is dropped from turns before the last question of the user;
  `enable_thinking=False` puts an empty reasoning into the generation prompt.
- `instruct`: Qwen3-Instruct-2507. Knows of no reasoning.
- `thinking`: Qwen3-Thinking-2507. As `hybrid`, and the generation prompt opens the reasoning.

The model is trained for a few seconds on short assistant turns, so that it calls tools now and then,
rightly, wrongly and unreadably.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import get_domain

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

torch.set_num_threads(1)

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)

TEMPLATE = r"""
{%- set style = "STYLE" -%}
{%- set reasons = style != "instruct" -%}
{%- set given = messages[0].content if messages[0].role == "system" else "" -%}
{%- if tools -%}
  {{- "<|im_start|>system\n" ~ (given ~ "\n\n" if given) ~ "# Tools\n\nThe functions you can call:\n<tools>" -}}
  {%- for tool in tools -%}{{- "\n" ~ tool | tojson -}}{%- endfor -%}
  {{- "\n</tools>\n\nTo call one, write its name and arguments as JSON between these tags:\n<tool_call>\n" -}}
  {{- '{"name": ..., "arguments": {...}}' ~ "\n</tool_call><|im_end|>\n" -}}
{%- elif given -%}
  {{- "<|im_start|>system\n" ~ given ~ "<|im_end|>\n" -}}
{%- endif -%}
{%- set question = namespace(at=messages | length - 1) -%}
{%- for message in messages -%}
  {%- set quoted = message.role == "user" and message.content.startswith("<tool_response>") and message.content.endswith("</tool_response>") -%}
  {%- if message.role == "user" and not quoted -%}{%- set question.at = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
  {%- set text = message.content or "" -%}
  {%- if message.role == "tool" -%}
    {{- "<|im_start|>user" if loop.first or messages[loop.index0 - 1].role != "tool" -}}
    {{- "\n<tool_response>\n" ~ text ~ "\n</tool_response>" -}}
    {{- "<|im_end|>\n" if loop.last or messages[loop.index0 + 1].role != "tool" -}}
  {%- elif message.role == "assistant" -%}
    {%- set thought = "" -%}
    {%- if reasons and "</think>" in text -%}
      {%- set thought = text.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n") -%}
      {%- set text = text.split("</think>")[-1].lstrip("\n") -%}
    {%- endif -%}
    {{- "<|im_start|>assistant\n" -}}
    {%- if reasons and loop.index0 > question.at and (loop.last or thought) -%}
      {{- "<think>\n" ~ thought.strip("\n") ~ "\n</think>\n\n" -}}
    {%- endif -%}
    {{- text -}}
    {%- for call in message.tool_calls or [] -%}
      {%- set function = call.function or call -%}
      {%- set arguments = function.arguments if function.arguments is string else function.arguments | tojson -%}
      {{- "\n" if text or not loop.first -}}
      {{- '<tool_call>\n{"name": "' ~ function.name ~ '", "arguments": ' ~ arguments ~ "}\n</tool_call>" -}}
    {%- endfor -%}
    {{- "<|im_end|>\n" -}}
  {%- elif not (loop.first and message.role == "system") -%}
    {{- "<|im_start|>" ~ message.role ~ "\n" ~ text ~ "<|im_end|>\n" -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- "<|im_start|>assistant\n" -}}
  {{- "<think>\n" if style == "thinking" -}}
  {{- "<think>\n\n</think>\n\n" if style == "hybrid" and enable_thinking is defined and not enable_thinking -}}
{%- endif -%}
"""


def texts() -> list[str]:
    """What the domains' prompts are made of."""
    found = []
    for name in DOMAINS:
        domain = get_domain(name)
        tools = [*domain.agent_tools.values(), *domain.user_tools.values()]
        found += [domain.policy, *(json.dumps(tool.schema) for tool in tools)]
    return found


@cache
def tiny_tokenizer(style: str = "hybrid") -> Any:
    """The tokenizer, a `PreTrainedTokenizerFast` of about 4000 tokens."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=4000, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts(), trainer)
    bpe.add_special_tokens(list(CONTROL))
    bpe.add_tokens([tokenizers.AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE.replace("STYLE", style).strip(),
    )


LINES = (
    '<tool_call>\n{"name": "get_user_details", "arguments": {"user_id": "mia_li_3668"}}\n</tool_call>',
    '<tool_call>\n{"name": "get_customer_by_phone", "arguments": {"phone_number": "555-123-2002"}}\n</tool_call>',
    '<tool_call>\n{"name": "get_order_details", "arguments": {"order_id": "#W2378156"}}\n</tool_call>',
    '<tool_call>\n{"name": "list_all_airports", "arguments": {}}\n</tool_call>\n'
    '<tool_call>\n{"name": "calculate", "arguments": {"expression": "1 + 1"}}\n</tool_call>',
    "Please check the status bar of your phone.",
    "What is your user id?",
    "<think>\nThe user wants to know.\n</think>\n\nI can help you with that.",
)
"""What the model learns to say, after whatever prompt."""


@cache
def tiny_model() -> Any:
    """The model, in float32. It attends to the last 16 tokens only, so that it goes on as it has
    learned after prompts of any length. About one turn in three is a readable tool call."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=32768,
        use_sliding_window=True,
        sliding_window=16,
        max_window_layers=0,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = transformers.Qwen3ForCausalLM(config)
    return taught(model, [("", line) for line in LINES], rounds=70, rate=1e-2)


def taught(model: Any, lines: Sequence[tuple[str, str]], rounds: int, rate: float) -> Any:
    """The model when it has learned what to say as the assistant.

    Args:
        model: is trained in place.
        lines: how the turn before ends, empty if that does not matter, and what is to be said.
        rounds, rate: how often all lines are learned, and how fast.
    """
    tokenizer = tiny_tokenizer()
    starts = [
        tokenizer.encode(f"{before}<|im_end|>\n<|im_start|>assistant\n") for before, _ in lines
    ]
    turns = [
        start + tokenizer.encode(f"{line}<|im_end|>")
        for start, (_, line) in zip(starts, lines, strict=True)
    ]
    width = max(map(len, turns))
    ids = torch.full((len(turns), width), tokenizer.pad_token_id)
    labels = torch.full((len(turns), width), -100)
    for row, (start, turn) in enumerate(zip(starts, turns, strict=True)):
        ids[row, : len(turn)] = torch.tensor(turn)
        labels[row, len(start) : len(turn)] = torch.tensor(turn[len(start) :])
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(rounds):
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


DONE = "That is all done. Is there anything else I can help you with?"
CLERK = (
    (
        "task as completed.",
        '<tool_call>\n{"name": "update_task_status", "arguments": '
        '{"task_id": "task_2", "status": "completed"}}\n</tool_call>',
    ),
    (
        "for user_1.",
        '<tool_call>\n{"name": "create_task", "arguments": '
        '{"user_id": "user_1", "title": "Important Meeting"}}\n</tool_call>',
    ),
    *((f'"status": "{status}"}}\n</tool_response>', DONE) for status in ("pending", "completed")),
)
"""What a clerk of the domain `mock` says and does."""


@cache
def tiny_clerk() -> Any:
    """A copy of the tiny model that solves some tasks of the domain `mock`, and not others."""
    return taught(deepcopy(tiny_model()), CLERK, rounds=150, rate=4e-3)


@cache
def plain_model() -> Any:
    """A model of random weights, in float32, whose attention reaches back to the first token."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(1)
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,
    )
    return transformers.Qwen3ForCausalLM(config).eval()


class Tidying:
    """A tokenizer that tidies up what it decodes unless it is told not to, as many do."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def __len__(self) -> int:
        return len(self.tokenizer)

    def decode(
        self,
        ids: Sequence[int],
        skip_special_tokens: bool = True,
        clean_up_tokenization_spaces: bool = True,
    ) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
        if skip_special_tokens:
            text = re.sub(r"<[^<>]*>", "", text)
        if clean_up_tokenization_spaces:
            text = re.sub(r" +(?=[ .,'])", "", text)
        return text


def checkpoint(folder: Path, style: str = "hybrid") -> str:
    """Write tokenizer and model to a folder, and give its name."""
    tiny_tokenizer(style).save_pretrained(folder)
    tiny_model().save_pretrained(folder)
    return str(folder)


def plain_checkpoint(folder: Path | str) -> str:
    """Write tokenizer and random model to a folder, for a server of another make."""
    tiny_tokenizer().save_pretrained(folder)
    plain_model().save_pretrained(folder)
    return str(folder)


def long_checkpoint(folder: Path | str, **sizes: int) -> str:
    """Write tokenizer and a random model whose context holds whole episodes under the official
    prompt, for timing."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(2)
    whole = {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
    }
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        max_position_embeddings=32768,
        eos_token_id=tokenizer.eos_token_id,
        **(whole | sizes),
    )
    tokenizer.save_pretrained(folder)
    transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    return str(folder)


def rescored(model: Any, ids: Sequence[int], temperature: float) -> list[float]:
    """The log-probability of each token but the first, in one pass over all of them."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].float()
    chosen = torch.tensor(ids[1:])[:, None]
    return (logits / (temperature or 1.0)).log_softmax(-1).gather(-1, chosen)[:, 0].tolist()
