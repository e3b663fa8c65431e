"""A Qwen3 of about a million weights, and a tokenizer whose tokens are phrases.

A customer of the scripted kind and a telecom database say few different things, so text is split at
the ends of lines, phrases and JSON fields, and byte-pair merges stop there: a field with its value
is one token, the same one wherever it stands. An episode takes some 350 tokens that way instead of
6000, which is what lets a laptop train on thousands of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.prompts import BARE

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
PHRASE = r".*?(?:\n|[.?!|,] )"
"""A piece of text that merges stay within."""

TEMPLATE = """
{%- for message in messages -%}
  {%- set text = message.content or "" -%}
  {%- if message.role == "tool" -%}
    {{- "<|im_start|>user" if loop.first or messages[loop.index0 - 1].role != "tool" -}}
    {{- "\\n<tool_response>\\n" ~ text ~ "\\n</tool_response>" -}}
    {{- "<|im_end|>\\n" if loop.last or messages[loop.index0 + 1].role != "tool" -}}
  {%- elif message.role == "assistant" -%}
    {{- "<|im_start|>assistant\\n" ~ text -}}
    {%- for call in message.tool_calls or [] -%}
      {%- set function = call.function or call -%}
      {{- "\\n" if text or not loop.first -}}
      {{- '<tool_call>\\n{"name": "' ~ function.name ~ '", "arguments": ' ~ (function.arguments | tojson) ~ "}\\n</tool_call>" -}}
    {%- endfor -%}
    {{- "<|im_end|>\\n" -}}
  {%- else -%}
    {{- "<|im_start|>" ~ message.role ~ "\\n" ~ text ~ "<|im_end|>\\n" -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}
""".strip()
"""Qwen3's form of a conversation, without its list of tools: the model is to know them by heart."""


def make_tokenizer(
    conversations: Iterable[Sequence[Mapping[str, Any]]], size: int, *, digits: bool = False
) -> Any:
    """A tokenizer made from conversations.

    Args:
        conversations: flat messages, role and content.
        size: tokens, at most.
        digits: each digit is a token, so that numbers never seen can be read and copied.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    marks = re.compile("|".join(map(re.escape, MARKS)))
    texts = [
        part
        for messages in conversations
        for message in messages
        for part in marks.split(f"{message['role']}\n{message['content']}")
        if part
    ]
    bpe = Tokenizer(models.BPE())
    split: Any = pre_tokenizers.Split(Regex(PHRASE), "isolated")
    level: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alone: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, *alone, level])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(CONTROL) - len(MARKS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=200,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_special_tokens(list(CONTROL))
    bpe.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
    )


def make_model(tokenizer: Any, seed: int, *, width: int, layers: int, context: int) -> Any:
    """A model of random weights, in float32.

    Args:
        seed: decides them.
        width: of the residual stream.
        layers: how many.
        context: the most tokens of an episode.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            num_key_value_heads=width // 64,
            head_dim=32,
            max_position_embeddings=context,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def save(folder: Path, tokenizer: Any, model: Any) -> None:
    """Write both where `from_pretrained` finds them."""
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def flat(messages: Iterable[Mapping[str, Any]], domain: str) -> list[dict[str, str]]:
    """An episode's trajectory as the agent sees it, in roles and contents only."""
    found = [{"role": "system", "content": BARE.format(domain)}]
    for message in messages:
        if message.get("requestor") == "user" or (
            message["role"] == "user" and message.get("tool_calls")
        ):
            continue  # what the customer does with the phone is the customer's
        text = message.get("content") or ""
        if message["role"] == "tool":
            found.append({"role": "user", "content": f"<tool_response>\n{text}\n</tool_response>"})
            continue
        for call in message.get("tool_calls") or ():
            name, arguments = call["name"], json.dumps(call["arguments"])
            text += "\n" * bool(text)
            text += f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'
        found.append({"role": message["role"], "content": text})
    return found
