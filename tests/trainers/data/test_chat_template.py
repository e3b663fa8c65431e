"""Flat conversations are token for token what the template shows, and OpenRLHF trains what it should."""

from __future__ import annotations

import copy
from itertools import compress
from types import SimpleNamespace
from typing import Any

import pytest

from agents.base import AgentView
from agents.prompts import BARE, make_prompt
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tests.tiny_model import TEMPLATE, tiny_tokenizer
from tests.trainers.playing import workflow_attempts
from trainers.data.chat_template import FlatTemplate, UnfitError
from trainers.data.sft_rows import seen

DOMAIN = get_domain("telecom")
TOOLS = [tool.schema for tool in DOMAIN.agent_tools.values()]
TWO_CALLS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello."},
    {
        "role": "assistant",
        "content": "One moment.",
        "tool_calls": [
            {"type": "function", "function": {"name": "one", "arguments": {"ä": 'a "b"\n'}}},
            {"type": "function", "function": {"name": "two", "arguments": {}}},
        ],
    },
    {"role": "tool", "content": '{"x": 1}'},
    {"role": "tool", "content": "</tool_response> <b>"},
    {"role": "assistant", "content": "Done.\n"},
    {"role": "user", "content": "Thanks."},
    {"role": "assistant", "content": "Bye."},
]


def conversations(prompt: str = "compact", count: int = 4) -> list[list[dict[str, Any]]]:
    view = AgentView("telecom", DOMAIN.policy, TOOLS, ())
    system = {"role": "system", "content": make_prompt(prompt)(view)}
    return [[system, *seen(row["messages"])] for row in workflow_attempts()[:count]]


def tokens(tokenizer: Any, messages: Any, tools: Any = None) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(messages, tools=tools, return_dict=False)
    return ids


@pytest.mark.parametrize("style", ["instruct", "hybrid", "thinking"])
@pytest.mark.parametrize("prompt", ["official", "compact", "bare"])
def test_the_tokens_are_those_of_the_original(style: str, prompt: str) -> None:
    tokenizer = tiny_tokenizer(style)
    tools = None if prompt == "bare" else TOOLS
    for chat in [*conversations(prompt, 2), TWO_CALLS]:
        flat = FlatTemplate(tokenizer).flatten(chat, tools)
        assert all(message.keys() == {"role", "content"} for message in flat)
        assert {message["role"] for message in flat} == {"system", "user", "assistant"}
        assert tokens(tokenizer, flat) == tokens(tokenizer, chat, tools)
        if prompt == "bare" and chat is not TWO_CALLS:
            assert flat[0]["content"] == BARE.format("telecom")


def openrlhf_items(tokenizer: Any, rows: list[Any]) -> list[tuple[list[int], list[int]]]:
    """What OpenRLHF's own dataset makes of rows: tokens, and 1 on those that are learned."""
    datasets = pytest.importorskip("datasets")
    dataset_class = pytest.importorskip("openrlhf.datasets").SFTDataset
    options = SimpleNamespace(input_key="messages", output_key=None, apply_chat_template=True)
    dataset = dataset_class(
        datasets.Dataset.from_list([{"messages": row} for row in rows]),
        tokenizer,
        16384,
        SimpleNamespace(args=SimpleNamespace(data=options)),
        num_processors=None,
        multiturn=True,
    )
    assert len(dataset) == len(rows)
    found = []
    for ids, attention, mask in (dataset[number] for number in range(len(dataset))):
        assert attention.all()
        # OpenRLHF's mask is that of the token to come.
        learned = [0, *mask[0, :-1].int().tolist()]
        found.append((ids[0].tolist(), learned))
    return found


@pytest.mark.parametrize("prompt", ["compact", "bare"])
def test_openrlhf_trains_what_the_assistant_says_and_nothing_else(prompt: str) -> None:
    tokenizer = tiny_tokenizer("instruct")
    template = FlatTemplate(tokenizer)
    tools = None if prompt == "bare" else TOOLS
    rows = [template.flatten(chat, tools) for chat in [*conversations(prompt), TWO_CALLS]]
    for row, (ids, learned) in zip(rows, openrlhf_items(tokenizer, rows), strict=True):
        encoded = template.encode(row)
        assert (ids, learned) == (list(encoded.ids), list(encoded.mask))
        text = tokenizer.decode(list(compress(ids, learned)))
        said = [message["content"] for message in row if message["role"] == "assistant"]
        assert text == "<|im_end|>\n".join(said) + "<|im_end|>"


@pytest.mark.parametrize("style", ["hybrid", "thinking"])
def test_templates_that_rewrite_earlier_turns_are_refused(style: str) -> None:
    tokenizer = tiny_tokenizer(style)
    template = FlatTemplate(tokenizer)
    flat = template.flatten(conversations()[0], TOOLS)
    with pytest.raises(UnfitError, match="rewrites earlier turns"):
        template.encode(flat)
    # And rightly so: OpenRLHF would learn what the customer or a tool has said.
    ((ids, learned),) = openrlhf_items(tokenizer, [flat])
    text = tokenizer.decode(list(compress(ids, learned)))
    assert "<|im_start|>user" in text


def test_what_cannot_be_trained_on_is_refused() -> None:
    template = FlatTemplate(tiny_tokenizer("instruct"))
    system, user, reply = TWO_CALLS[0], TWO_CALLS[1], {"role": "assistant", "content": "Hi."}
    with pytest.raises(UnfitError, match="does not begin with"):
        template.encode([reply, user, reply])  # type: ignore[list-item]
    with pytest.raises(UnfitError, match="does not begin with"):
        template.encode([])
    with pytest.raises(UnfitError, match="does not end with the assistant"):
        template.encode([system, reply, user])  # type: ignore[list-item]
    template.encode([system, user, {"role": "assistant", "content": "\nHi."}])  # type: ignore[list-item]
    blank = {"role": "assistant", "content": "\n\nHi."}
    with pytest.raises(UnfitError, match="a token spans the border"):
        template.encode([system, user, blank])  # type: ignore[list-item]


def with_template(template: str, **changes: Any) -> Any:
    tokenizer = copy.deepcopy(tiny_tokenizer("instruct"))
    tokenizer.chat_template = template.replace("STYLE", "instruct").strip()
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    return tokenizer


def test_templates_that_do_not_do_are_refused() -> None:
    with pytest.raises(ConfigError, match="has no chat template"):
        FlatTemplate(SimpleNamespace(chat_template=None))
    with pytest.raises(ConfigError, match="would not learn where to stop"):
        FlatTemplate(with_template(TEMPLATE, eos_token="<|endoftext|>"))
    after = with_template("{{ tools | tojson if tools }}" + TEMPLATE)
    with pytest.raises(ConfigError, match="does not show tools in the system message"):
        FlatTemplate(after).flatten(TWO_CALLS, TOOLS)
    speaker = '("caller" if message.tool_calls else "assistant")'
    called = with_template(
        TEMPLATE.replace(r'"<|im_start|>assistant\n"', rf'"<|im_start|>" ~ {speaker} ~ "\n"', 1)
    )
    with pytest.raises(UnfitError, match="does not show tool calls as the assistant's text"):
        FlatTemplate(called).flatten(TWO_CALLS, TOOLS)
    apart = with_template(
        TEMPLATE.replace('<|im_start|>user" if loop', '<|im_start|>tool" if loop')
    )
    with pytest.raises(UnfitError, match="results of tools as turns of the user"):
        FlatTemplate(apart).flatten(TWO_CALLS, TOOLS)


def test_the_digest_is_that_of_the_template() -> None:
    one, other = (FlatTemplate(tiny_tokenizer(style)).digest for style in ("instruct", "hybrid"))
    assert one != other
    assert FlatTemplate(with_template(TEMPLATE)).digest == one
