"""Rows with tools, as others write them, become the flat rows that are trained on."""

from __future__ import annotations

import copy
import json
from itertools import compress
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.errors import ConfigError, DataError
from tests.tiny_model import TEMPLATE, tiny_tokenizer
from tests.trainers.data.test_chat_template import openrlhf_items, tokens, with_template
from trainers.data.chat_template import FlatTemplate
from trainers.data.conversations import flat_rows, has_tools
from trainers.data.dataset import read_rows

TOOL = {
    "type": "function",
    "function": {
        "name": "code_interpreter",
        "description": "Run Python.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The code."}},
            "required": ["code"],
        },
    },
}
CODE = "print(sum(p for p in range(10)))"
CALL = {"name": "code_interpreter", "arguments": {"code": CODE}}
SYSTEM = {"role": "system", "content": "Solve it."}
SOLVED = [
    {"role": "user", "content": "What is 0 + 1 + ... + 9?"},
    {
        "role": "assistant",
        "content": "I compute it.",
        "tool_calls": [{"id": "1", "type": "function", "function": CALL}],
    },
    {"role": "tool", "content": "45", "tool_call_id": "1", "name": "code_interpreter"},
    {"role": "assistant", "content": "It is \\boxed{45}."},
]


def calling(call: Any) -> list[Any]:
    """The conversation with its call written otherwise."""
    messages = copy.deepcopy(SOLVED)
    messages[1] = {"role": "assistant", "content": None, "tool_calls": [call]}
    return messages


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parquet(path: Path, rows: list[Any]) -> Path:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    datasets.Dataset.from_list(rows).to_parquet(path)
    return path


@pytest.mark.parametrize("system", [[SYSTEM], []])
def test_a_row_looks_to_the_model_as_its_template_shows_it_with_tools(
    system: list[Any], tmp_path: Path
) -> None:
    tokenizer = tiny_tokenizer("instruct")
    messages = [*system, *SOLVED]
    file = write(tmp_path / "rows.jsonl", [{"messages": messages, "tools": [TOOL], "id": 7}])
    (read,) = read_rows(file)
    assert has_tools(read)
    (flat,) = flat_rows([read], FlatTemplate(tokenizer))
    assert flat.keys() == {"messages", "id"}
    assert [message["role"] for message in flat["messages"]] == [
        *("system", "user", "assistant", "user", "assistant")
    ]
    assert tokens(tokenizer, flat["messages"]) == tokens(tokenizer, messages, [TOOL])
    assert "code_interpreter" in flat["messages"][0]["content"]
    assert not has_tools(flat)


def test_what_the_assistant_writes_is_trained_with_its_calls_and_nothing_else() -> None:
    tokenizer = tiny_tokenizer("instruct")
    (flat,) = flat_rows([{"messages": SOLVED, "tools": [TOOL]}], FlatTemplate(tokenizer))
    ((ids, learned),) = openrlhf_items(tokenizer, [flat["messages"]])
    call = f'<tool_call>\n{{"name": "code_interpreter", "arguments": {json.dumps({"code": CODE})}}}'
    assert tokenizer.decode(list(compress(ids, learned))) == (
        f"I compute it.\n{call}\n</tool_call><|im_end|>\nIt is \\boxed{{45}}.<|im_end|>"
    )


@pytest.mark.parametrize(
    "call",
    [
        {"type": "function", "function": CALL},
        {"type": "function", "function": {**CALL, "arguments": json.dumps(CALL["arguments"])}},
        CALL,
        {**CALL, "arguments": json.dumps(CALL["arguments"])},
    ],
)
def test_calls_may_be_written_in_several_ways(call: Any, tmp_path: Path) -> None:
    rows = [{"messages": calling(call), "tools": json.dumps([TOOL])}]
    (read,) = read_rows(write(tmp_path / "rows.jsonl", rows))
    assert read["tools"] == [TOOL]
    assert read["messages"][1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": CALL}],
    }


def test_calls_in_the_text_stay_text(tmp_path: Path) -> None:
    messages = copy.deepcopy(SOLVED)
    text = f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>"
    messages[1] = {"role": "assistant", "content": text}
    (read,) = read_rows(write(tmp_path / "rows.jsonl", [{"messages": messages, "tools": [TOOL]}]))
    (flat,) = flat_rows([read], FlatTemplate(tiny_tokenizer("instruct")))
    assert flat["messages"][2]["content"] == text
    assert flat["messages"][3] == {
        "role": "user",
        "content": "<tool_response>\n45\n</tool_response>",
    }


def test_parquet_is_read_like_json_lines(tmp_path: Path) -> None:
    rows = [
        {"messages": [SYSTEM, *SOLVED], "tools": [TOOL], "id": 1},
        {"messages": SOLVED[:1] + SOLVED[3:], "tools": [], "id": 2},
    ]
    (tmp_path / "table").mkdir()
    expected = read_rows(write(tmp_path / "rows.jsonl", rows))
    file = parquet(tmp_path / "table" / "rows.parquet", rows)
    assert read_rows(file) == read_rows(tmp_path / "table") == expected
    assert not has_tools(expected[1])
    test = [{**rows[0], "metadata": {"task_split": "test"}}]
    with pytest.raises(DataError, match=r"rows\.parquet, row 1, comes from a test task"):
        read_rows(parquet(file, test))
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"rows\.parquet is not Parquet: "):
        read_rows(file)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"messages": SOLVED, "tools": "search"}, "'tools' that are not a list of schemas"),
        ({"messages": SOLVED, "tools": {"a": 1}}, "'tools' that are not a list of schemas"),
        ({"messages": SOLVED, "tools": ["search"]}, "'tools' that are not a list of schemas"),
        ({"messages": calling({"name": ""})}, "a call without a name"),
        ({"messages": calling("print(1)")}, "a call without a name"),
        ({"messages": calling({**CALL, "arguments": "print(1)"})}, "are not a JSON object"),
        ({"messages": calling({**CALL, "arguments": [1]})}, "are not a JSON object"),
        ({"messages": [{**SOLVED[1], "tool_calls": {"a": 1}}]}, "that are not a list"),
        ({"messages": [{**SOLVED[0], "tool_calls": [CALL]}]}, "not all text in 'content'"),
        ({"messages": [{"role": "tool", "content": [1]}]}, "not all text in 'content'"),
    ],
)
def test_what_is_not_a_conversation_is_named(
    row: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"rows\.jsonl, line 1, holds .*{sentence}"):
        read_rows(write(tmp_path / "rows.jsonl", [row]))


def test_a_template_that_shows_a_row_otherwise_is_refused_with_its_number() -> None:
    plain = {"messages": SOLVED[:1] + SOLVED[3:]}
    apart = TEMPLATE.replace('{{- "<|im_start|>user" if', '{{- "<|im_start|>tool" if')
    template = FlatTemplate(with_template(apart))
    with pytest.raises(ConfigError, match="row 2 cannot be trained on: the chat template"):
        flat_rows([plain, {"messages": SOLVED, "tools": [TOOL]}], template)
    assert flat_rows([plain], template) == [plain]
