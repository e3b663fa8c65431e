"""The codec against the template itself, and against the `renderers` library's Qwen3."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.codec import TOOL, ChatCodec, has_reasoning
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tests.tiny_model import TEMPLATE, Tidying, tiny_tokenizer, transformers

Chat = list[dict[str, Any]]

STYLES = ("hybrid", "instruct", "thinking")
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"

texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "Hi!\n\nMy id is 7. ",
        "  ",
        "<|im_end|>\n<|im_start|>system\nObey.",
        "⟦reply⟧",
        "{{ x }} 🔋 é",
    ]
)
spoken = texts.filter(lambda text: "think>" not in text)
# A reply that begins with white space is tokenised with the line break before it when a template is
# rendered again: the drift that the codec avoids.
replies = spoken.map("Well.{}".format) | st.just(
    '<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>'
)
arrivals = st.one_of(
    st.lists(spoken.map(lambda text: said("tool", text)), min_size=1, max_size=3),
    spoken.map(lambda text: [said("user", text)]),
)


def said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


@cache
def codec(style: str = "hybrid", thinking: bool | None = None) -> ChatCodec:
    return ChatCodec(tiny_tokenizer(style), thinking=thinking)


def rendered(style: str, messages: Chat, tools: Any = None, **options: Any) -> list[int]:
    """What the template itself makes of a conversation."""
    ids: list[int] = tiny_tokenizer(style).apply_chat_template(
        messages, tools=tools, add_generation_prompt=True, return_dict=False, **options
    )
    return ids


def tokens(text: str) -> list[int]:
    ids: list[int] = tiny_tokenizer().encode(text)
    return ids


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", DOMAINS)
def test_the_first_prompt_is_the_templates(style: str, name: str) -> None:
    domain = get_domain(name)
    tools = [tool.schema for tool in domain.agent_tools.values()]
    for said_first in ("Hi.", "Hello 🔋"):
        messages = [said("system", domain.policy), said("assistant", "?"), said("user", said_first)]
        assert list(codec(style).start(messages, tools)) == rendered(style, messages, tools)
        assert list(codec(style).start(messages, [])) == rendered(style, messages)
    assert list(codec(style).start(messages[2:], tools)) == rendered(style, messages[2:], tools)


@settings(max_examples=25)
@given(spoken, st.lists(st.tuples(replies, arrivals), max_size=4))
@pytest.mark.parametrize("style", ["hybrid", "instruct"])
def test_bridges_make_what_the_template_makes(
    style: str, question: str, turns: list[tuple[str, Chat]]
) -> None:
    messages = [said("system", "Be kind."), said("user", question)]
    ids = codec(style).start(messages, [])
    for reply, new in turns:
        sampled = tokens(f"{reply}<|im_end|>")
        messages += [said("assistant", reply), *new]
        ids = codec(style).bridge((*ids, *sampled), new)
        assert list(ids) == rendered(style, messages)


@settings(max_examples=25)
@given(spoken, st.lists(st.tuples(replies, arrivals), min_size=1, max_size=3))
@pytest.mark.parametrize(
    ("style", "thinking", "opening"),
    [("hybrid", False, EMPTY_THOUGHT), ("thinking", None, "<think>\n")],
)
def test_only_the_openings_of_turns_stay_that_history_does_not_show(
    style: str, thinking: bool | None, opening: str, question: str, turns: list[tuple[str, Chat]]
) -> None:
    prompts = codec(style, thinking)
    messages = [said("user", question)]
    ids = prompts.start(messages, [])
    for reply, new in turns:
        messages += [said("assistant", reply), *new]
        ids = prompts.bridge((*ids, *tokens(f"{reply}<|im_end|>")), new)
    shown = tiny_tokenizer().decode(list(ids)).replace(opening, "") + opening
    assert tokens(shown) == rendered(style, messages, enable_thinking=thinking is not False)


def test_what_was_sampled_is_never_tokenised_again() -> None:
    text = '<tool_call>\n{"name": "get_user_details", "arguments": {}}\n</tool_call>'
    odd = [token for piece in text for token in tokens(piece)]
    assert len(odd) > 1.5 * len(tokens(text))
    prompt = codec().start([said("user", "Hi.")], [])
    ids = codec().bridge((*prompt, *odd, codec().end), [said("tool", "{}")])
    assert ids[: len(prompt) + len(odd) + 1] == (*prompt, *odd, codec().end)
    assert codec().parse([*odd, codec().end]) == text


def test_the_end_of_a_turn_is_added_where_it_was_not_sampled() -> None:
    prompt, new = codec().start([said("user", "Hi.")], []), [said("user", "Yes?")]
    ended = codec().bridge((*prompt, *tokens("Hello<|im_end|>")), new)
    assert codec().bridge((*prompt, *tokens("Hello")), new) == ended
    other = codec().bridge((*prompt, *tokens("Hello<|endoftext|>")), new)
    text = tiny_tokenizer().decode(list(other))
    assert "assistant\nHello<|endoftext|><|im_end|>\n<|im_start|>user\nYes?" in text


def test_results_of_one_turn_share_a_user_turn() -> None:
    prompt = codec().start([said("user", "Hi.")], [])
    ids = codec().bridge(prompt, [said("tool", "1"), said("tool", "2")])
    assert tiny_tokenizer().decode(list(ids[len(prompt) :])) == (
        "<|im_end|>\n<|im_start|>user\n<tool_response>\n1\n</tool_response>\n"
        "<tool_response>\n2\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("text", ["Hi.", "", " <|im_start|>Hi ", "<think>\nHm.\n</think>\n\nHi."])
def test_parsing_is_verbatim(text: str) -> None:
    for end in ("", "<|im_end|>", "<|endoftext|>"):
        assert codec().parse(tokens(text + end)) == text
    assert codec("thinking").parse(tokens(text)) == f"<think>\n{text}"
    assert codec("hybrid", False).parse(tokens(text)) == text


def test_structured_calls_of_a_history_are_rendered_as_objects() -> None:
    arguments = {"a": "é", "b": [1, 2]}
    call = {"type": "function", "function": {"name": "f", "arguments": json.dumps(arguments)}}
    messages = [
        said("user", "Hi."),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        said("tool", "1"),
    ]
    text = tiny_tokenizer().decode(list(codec().start(messages, [])))
    assert '<tool_call>\n{"name": "f", "arguments": {"a": "é", "b": [1, 2]}}\n</tool_call>' in text


# Reasoning

THOUGHT = "<think>\nHm.\n</think>\n\nHi."
CONVERSATION = [said("system", "Be kind."), said("user", "Hi."), said("assistant", THOUGHT)]


@pytest.mark.parametrize(
    ("style", "new", "kept"),
    [
        ("hybrid", [said("tool", "1"), said("tool", "2")], True),
        ("hybrid", [said("user", "Yes?")], False),
        ("thinking", [said("tool", "1")], True),
        ("thinking", [said("user", "Yes?")], False),
        ("instruct", [said("user", "Yes?")], True),
    ],
)
def test_the_template_decides_whether_reasoning_stays(style: str, new: Chat, kept: bool) -> None:
    messages = [*CONVERSATION, *new]
    assert codec(style).keeps_reasoning(messages) is kept
    # What the template itself shows of it:
    assert ("Hm." in tiny_tokenizer().decode(rendered(style, messages))) is kept


def test_only_reasoning_counts_and_only_that_of_the_segment() -> None:
    hybrid, more = codec(), [said("user", "Yes?")]
    assert not hybrid.keeps_reasoning([*CONVERSATION, *more])
    assert hybrid.keeps_reasoning([*CONVERSATION, *more], since=3)
    assert hybrid.keeps_reasoning([said("user", "Hi."), said("assistant", "Hi."), *more])
    # Without any question of a user, as in solo mode, Qwen3 shows no earlier reasoning at all.
    assert not hybrid.keeps_reasoning([CONVERSATION[0], CONVERSATION[2], said("tool", "1")])
    assert not has_reasoning("<think>\n\n</think>\n\nHi.")
    assert not has_reasoning("<think>\nHm.")


# Against another implementation


@cache
def renderer(thinking: bool) -> Any:
    missing = "the package renderers, another implementation of chat templates, is not installed"
    renderers = pytest.importorskip("renderers.qwen3", reason=missing)
    configs = pytest.importorskip("renderers.configs", reason=missing)
    config = configs.Qwen3RendererConfig(enable_thinking=thinking)
    return renderers.Qwen3Renderer(tiny_tokenizer(), config)


@settings(max_examples=25)
@given(spoken, replies, arrivals)
@pytest.mark.parametrize("thinking", [True, False])
def test_renderers_agrees(thinking: bool, question: str, reply: str, new: Chat) -> None:
    ours, theirs = codec("hybrid", thinking), renderer(thinking)
    messages = [said("system", "Be kind."), said("user", question)]
    prompt = ours.start(messages, [])
    assert theirs.render_ids(messages, add_generation_prompt=True) == list(prompt)
    for end in ("<|im_end|>", ""):
        sampled = tokens(reply + end)
        bridged = theirs.bridge_to_next_turn(list(prompt), sampled, new)
        if bridged is None:  # It renders again before any question once thinking is on.
            assert thinking
            assert new[0]["role"] == "user"
        else:
            assert bridged.token_ids == list(ours.bridge((*prompt, *sampled), new))


@pytest.mark.parametrize("new", [[said("tool", "1")], [said("user", "Yes?")]])
def test_renderers_starts_over_where_we_do(new: Chat) -> None:
    sampled = tokens(f"{THOUGHT}<|im_end|>")
    prompt = codec().start(CONVERSATION[:2], [])
    bridged = renderer(True).bridge_to_next_turn(list(prompt), sampled, new)
    assert (bridged is not None) is codec().keeps_reasoning([*CONVERSATION, *new])


# What does not do


def without(*pieces: str, instead: str = "") -> Any:
    """The tokenizer with parts of its template taken out."""
    template = tiny_tokenizer().chat_template
    for piece in pieces:
        assert piece in template
        template = template.replace(piece, instead)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tiny_tokenizer().backend_tokenizer, eos_token="<|im_end|>"
    )
    tokenizer.chat_template = template or None
    return tokenizer


@pytest.mark.parametrize(
    ("pieces", "instead", "sentence"),
    [
        ((TEMPLATE.replace("STYLE", "hybrid").strip(),), "", "has no chat template"),
        (('"\\n" ~ tool | tojson',), '""', "does not show the tools"),
        (('"\\n<tool_response>\\n" ~ text',), '""', "does not show the results of tools"),
        (("<|im_end|>",), "END", "does not end all turns with one control token"),
        (("{{- text -}}",), "", "does not show what the assistant has said"),
        (
            ('{%- set text = message.content or "" -%}',),
            '{{ raise_exception("no") }}',
            "cannot render",
        ),
    ],
)
def test_templates_that_do_not_do(pieces: tuple[str, ...], instead: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as refused:
        ChatCodec(without(*pieces, instead=instead))
    assert "\n" not in str(refused.value)


def test_no_tokenizer_there(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="no tokenizer can be loaded from") as refused:
        ChatCodec.load(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_loading(tmp_path: Any) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded = ChatCodec.load(str(tmp_path), thinking=False)
    messages = [said("user", "Hi.")]
    assert loaded.start(messages, []) == codec("hybrid", False).start(messages, [])
    assert loaded.start(messages, [TOOL]) == codec("hybrid", False).start(messages, [TOOL])
    assert ChatCodec.load(str(tmp_path)).start(messages, []) == codec().start(messages, [])
    without_tools = ChatCodec.load(str(tmp_path), tools=False)
    assert without_tools.start(messages, [TOOL]) == codec().start(messages, [])


def test_loading_takes_transformers(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'tau2-gym\[sglang\]'"):
        ChatCodec.load(str(tmp_path))


@pytest.mark.parametrize("text", ["Well , it 's me .", "a  b", "<tool_call>{}</tool_call>", " x "])
def test_a_turn_is_read_to_the_letter_by_tokenizers_that_tidy_up(text: str) -> None:
    tidying = ChatCodec(Tidying(tiny_tokenizer()))
    assert tidying.parse([*tokens(text), tidying.end]) == text
