from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tau2_gym.actions import MAX_DEPTH, format_action, is_empty, is_malformed, parse_action
from tau2_gym.errors import ConfigError
from tau2_gym.types import INVALID_CALL, Message, ToolCall
from tau2_gym.users.base import STOP

TOOLS = ("get_user", "list_all", "toggle", "done_deal")

GET = {"name": "get_user", "arguments": {"id": "u1", "n": 2}}
CALL = ToolCall("get_user", {"id": "u1", "n": 2}, "call_0_0")


def said(text: str | None, *calls: ToolCall) -> Message:
    return Message("assistant", text, calls)


@pytest.mark.parametrize(
    "action",
    [
        f"<tool_call>{json.dumps(GET)}</tool_call>",
        f"<tool_call>\n{json.dumps(GET)}\n</tool_call>",
        f"\n  <tool_call>\n{json.dumps(GET, indent=2)}\n</tool_call>\n",
        f"<tool_call>{json.dumps(GET)}",
        f"<think>Whom? get_user(id='u2')</think>\n<tool_call>{json.dumps(GET)}</tool_call>",
        json.dumps(GET),
        json.dumps([GET]),
        json.dumps({"type": "function", "function": GET}),
        json.dumps({"name": "get_user", "arguments": json.dumps(GET["arguments"])}),
        json.dumps({**GET, "requestor": "user", "id": "mine", "type": "x"}),
        "get_user(id='u1', n=2)",
        'get_user(id="u1", n=2)',
        "  get_user ( id='u1',\n  n=2 )\n",
        {"role": "assistant", "content": None, "tool_calls": [{"function": GET}]},
        {"tool_calls": [GET]},
        {
            "content": "",
            "tool_calls": (
                {
                    "type": "function",
                    "function": {"name": "get_user", "arguments": json.dumps(GET["arguments"])},
                },
            ),
        },
    ],
    ids=repr,
)
def test_every_form_of_a_call_is_that_call(action: Any) -> None:
    message = parse_action(action, TOOLS)
    assert message.tool_calls == (CALL,)
    assert not message.has_text


@pytest.mark.parametrize(
    "action",
    [
        "How can I help?",
        "Sure(ok)",
        "f(x)",
        "f(x=1)",
        "lookup_nothing(id='u1')",
        "Please run get_user(id='u1').",
        "get_user (see above) is a tool",
        "(get_user(id='u1'))",
        "get_user",
        "{not json}",
        "[1, 2]",
        "[]",
        "{}",
        '{"name": "John"}',
        '{"name": "John", "age": 3}',
        '{"arguments": {}}',
        '[{"name": "get_user", "arguments": {}}, 3]',
        '"get_user"',
        "null",
        "I use {braces} and [brackets].",
        "The tool call went well: get_user(id='u1')",
        "done()",
        "respond(content='Hello')",
        STOP,
        "1 < 2 and 3 > 2",
        "Grüße 🙂 \x00 \ud800",
    ],
)
def test_text_that_looks_odd_is_said_as_it_is(action: str) -> None:
    assert parse_action(action, TOOLS) == said(action)
    assert parse_action({"role": "assistant", "content": action}, TOOLS) == said(action)


@pytest.mark.parametrize(
    "action",
    [
        "",
        " \n",
        "<tool_call></tool_call>",
        "<tool_call>get_user</tool_call>",
        "<tool_call>{'name': 'get_user', 'arguments': {}}</tool_call>",
        "<tool_call>[]</tool_call>",
        "<tool_call>3</tool_call>",
        "<tool_call>{}</tool_call>",
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": 3, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "get_user", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "get_user", "arguments": "id"}</tool_call>',
        '<tool_call>{"name": "get_user", "arguments": 3}</tool_call>',
        '<tool_call>{"name": "get_user", "arguments": false}</tool_call>',
        f"One moment.\n<tool_call>{json.dumps(GET)[:-1]}</tool_call>",
        f"{json.dumps(GET)}</tool_call>",
        "</tool_call>",
        json.dumps(GET)[:-1],
        "{'name': 'get_user', \"name\": \"arguments\"",
        '{"name": "get_user", "arguments": {"id": "u1"}',
        '{"name": "get_user", "arguments": 5}',
        "get_user('u1')",
        "get_user(id='u1'",
        "get_user(id='u1'))",
        "get_user(**{'id': 'u1'})",
        "get_user(*['u1'])",
        "get_user(id=open('x'))",
        "get_user(id=f'{1}')",
        "get_user(id=b'u1')",
        "get_user(id={1, 2})",
        "get_user(id={1: 2})",
        "get_user(id={true: 2})",
        "get_user(id={**{'a': 1}})",
        "get_user(id=u-1)",
        "get_user(id=u.id)",
        "get_user(u1)",
        "get_user(id=1j)",
        "get_user(id=...)",
        "get_user(id='a' * 10 ** 10)",
        "get_user(id=0x" + "f" * 5000 + ")",
        "get_user(id='\\ud800')",
        "get_user()\nlist_all()",
        "<think>never closed",
        "<think>only thought</think>",
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": " "},
        {"role": "assistant"},
        {},
        {"content": 3},
        {"content": {"text": "Hello"}},
        {"content": [{"type": "image"}]},
        {"tool_calls": "get_user"},
        {"tool_calls": [None]},
        {"tool_calls": ["get_user"]},
        {"tool_calls": [{}]},
        {"tool_calls": [{"function": None}]},
        {"tool_calls": [{"function": {"name": "get_user", "arguments": "{"}}]},
        {"tool_calls": [{"name": "get_user", "arguments": {"id": object()}}]},
        {"tool_calls": [{"name": "get_user", "arguments": {"id": {1, 2}}}]},
        {"tool_calls": [{"name": "get_user", "arguments": {1: 2, "a": 3}}]},
        {"tool_calls": [{"name": "", "arguments": {(1, 2): 3}}]},
    ],
    ids=lambda action: repr(action)[:60],
)
def test_what_is_meant_as_a_call_and_cannot_be_read_is_never_said(action: Any) -> None:
    message = parse_action(action, TOOLS, turn=7)
    assert is_malformed(message)
    assert message.content is None
    (call,) = message.tool_calls
    assert (call.name, call.id) == (INVALID_CALL, "call_7_0")
    assert call.arguments["reason"].startswith("unreadable action: ")
    assert "<tool_call>" in call.arguments["reason"]
    assert json.dumps(call.arguments)


def test_the_unreadable_text_is_kept_for_the_record() -> None:
    (call,) = parse_action("get_user('u1')", TOOLS).tool_calls
    assert call.arguments["text"] == "get_user('u1')"
    (call,) = parse_action({"content": 3}, TOOLS).tool_calls
    assert json.loads(call.arguments["text"]) == {"content": 3}


def test_an_action_that_holds_itself_is_malformed() -> None:
    arguments: dict[str, Any] = {}
    arguments["again"] = arguments
    assert is_malformed(parse_action({"tool_calls": [{"name": "f", "arguments": arguments}]}, ()))


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, 300, 980, 5000])
def test_nesting_beyond_what_a_database_holds_is_malformed(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    text = f'<tool_call>{{"name": "get_user", "arguments": {{"id": {nested}}}}}</tool_call>'
    assert is_malformed(parse_action(text, TOOLS)) is (depth > MAX_DEPTH)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'a'", "a"),
        ("-1", -1),
        ("1.5", 1.5),
        ("True", True),
        ("true", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ("['a', true, [null]]", ["a", True, [None]]),
        ("('a', 'b')", ["a", "b"]),
        ("{'a': {'b': [1, false]}}", {"a": {"b": [1, False]}}),
        ("[{'x': 'y'}]", [{"x": "y"}]),
        # What is not quoted is text, as tau2-bench reads it.
        ("L1", "L1"),
        ("[L1, 'L2']", ["L1", "L2"]),
        ("{a: b}", {"a": "b"}),
        ("True_", "True_"),
    ],
)
def test_arguments_of_a_function_call_are_pythons_or_jsons_literals(
    written: str, value: Any
) -> None:
    (call,) = parse_action(f"get_user(id={written})", TOOLS).tool_calls
    assert call.arguments == {"id": value}
    assert type(call.arguments["id"]) is type(value)


def test_text_around_blocks_is_kept_beside_the_calls() -> None:
    action = f"One moment.\n<tool_call>{json.dumps(GET)}</tool_call>\nThank you."
    assert parse_action(action, TOOLS) == said("One moment.\n\nThank you.", CALL)


def test_several_calls_are_numbered_within_the_turn() -> None:
    other = {"name": "list_all", "arguments": {}}
    blocks = "".join(f"<tool_call>{json.dumps(item)}</tool_call>\n" for item in (GET, other))
    expected = (
        ToolCall("get_user", GET["arguments"], "call_4_0"),  # type: ignore[arg-type]
        ToolCall("list_all", {}, "call_4_1"),
    )
    for action in (blocks, json.dumps([GET, other]), {"tool_calls": [GET, other]}):
        assert parse_action(action, TOOLS, turn=4).tool_calls == expected


BROKEN = [
    {"name": "get_user", "arguments": [1]},
    {"name": 3, "arguments": {}},
    {"name": "get_user", "arguments": "{"},
    {"name": "get_user", "arguments": {"id": "\ud800"}},
]


@pytest.mark.parametrize("form", ["blocks", "bare", "openai", "openai content"])
@pytest.mark.parametrize("pattern", ["xo", "ox", "oxo", "xox", "xx", "oxxo"])
def test_a_broken_call_takes_none_beside_it_along(form: str, pattern: str) -> None:
    items = [GET if sign == "o" else BROKEN[at % len(BROKEN)] for at, sign in enumerate(pattern)]
    blocks = "Well. " + "".join(f"<tool_call>{json.dumps(item)}</tool_call>" for item in items)
    action: Any = {
        "blocks": blocks,
        "bare": json.dumps(items),
        "openai": {"tool_calls": items},
        "openai content": {"role": "assistant", "content": blocks},
    }[form]
    message = parse_action(action, TOOLS, turn=5)
    assert message.content == ("Well." if "block" in form or "content" in form else None)
    assert [call.id for call in message.tool_calls] == [f"call_5_{i}" for i in range(len(items))]
    for item, call in zip(items, message.tool_calls, strict=True):
        if item is GET:
            assert (call.name, call.arguments) == ("get_user", GET["arguments"])
        else:
            assert call.name == INVALID_CALL
            assert call.arguments["reason"].startswith("unreadable action: ")
            assert json.loads(call.arguments["text"]) == item


def test_what_is_not_even_an_object_takes_none_along_either() -> None:
    for action in (
        {"tool_calls": [GET, None, "get_user"]},
        f"<tool_call>{json.dumps(GET)}</tool_call><tool_call>oh</tool_call><tool_call>3",
    ):
        names = [call.name for call in parse_action(action, TOOLS).tool_calls]
        assert names == ["get_user", INVALID_CALL, INVALID_CALL]


def test_ids_of_openai_calls_are_kept_where_given() -> None:
    calls = [{"id": "x9", "function": GET}, {"id": "", "function": GET}, {"id": 3, "function": GET}]
    message = parse_action({"tool_calls": calls}, TOOLS, turn=2)
    assert [call.id for call in message.tool_calls] == ["x9", "call_2_1", "call_2_2"]


def test_openai_content_given_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "Good "}, None, {"type": "text", "text": "day"}]
    assert parse_action({"content": parts}, TOOLS) == said("Good day")


@pytest.mark.parametrize("place", ["block", "bare", "openai", "openai inside"])
def test_a_requestor_cannot_be_smuggled_in(place: str) -> None:
    smuggled = {**GET, "requestor": "user"}
    action: Any = {
        "block": f"<tool_call>{json.dumps(smuggled)}</tool_call>",
        "bare": json.dumps(smuggled),
        "openai": {"tool_calls": [{"requestor": "user", "function": GET}], "requestor": "user"},
        "openai inside": {"tool_calls": [{"function": smuggled}]},
    }[place]
    (call,) = parse_action(action, TOOLS).tool_calls
    assert call == CALL
    assert call.requestor == "assistant"


@pytest.mark.parametrize("arguments", [None, "", {}, []])
def test_no_arguments_may_be_written_in_any_way(arguments: Any) -> None:
    action = json.dumps({"name": "list_all", "arguments": arguments})
    assert parse_action(action, TOOLS).tool_calls == (ToolCall("list_all", {}, "call_0_0"),)


def test_a_call_does_not_share_the_callers_arguments() -> None:
    action: Any = {"tool_calls": [{"name": "get_user", "arguments": {"ids": [{"a": 1}]}}]}
    (call,) = parse_action(action, TOOLS).tool_calls
    action["tool_calls"][0]["arguments"]["ids"][0]["a"] = 2
    assert call.arguments == {"ids": [{"a": 1}]}


class TestPseudoTools:
    @pytest.mark.parametrize(
        "action",
        [
            '<tool_call>{"name": "done", "arguments": {}}</tool_call>',
            '{"name": "done", "arguments": {}}',
            {"tool_calls": [{"name": "done", "arguments": {}}]},
        ],
    )
    def test_done_stops_only_where_the_agent_may_stop(self, action: Any) -> None:
        assert parse_action(action, TOOLS, agent_stop=True) == said(STOP)
        assert parse_action(action, TOOLS).tool_calls[0].name == "done"

    @pytest.mark.parametrize(
        "action",
        [
            "done()",
            '<tool_call>{"name": "done", "arguments": {}}</tool_call>',
            '{"name": "done", "arguments": {}}',
            {"tool_calls": [GET, {"name": "done", "arguments": {}}]},
        ],
    )
    def test_done_stops_a_solo_agent_which_has_nobody_to_respond_to(self, action: Any) -> None:
        assert parse_action(action, TOOLS, solo=True) == said(STOP)
        respond = "respond(content='Hello')"
        assert parse_action(respond, TOOLS, solo=True) == said(respond)
        call = {"name": "respond", "arguments": {"content": "Hello"}}
        assert (
            parse_action({"tool_calls": [call]}, TOOLS, solo=True).tool_calls[0].name == "respond"
        )

    def test_as_functions_they_exist_only_where_the_agent_may_stop(self) -> None:
        respond = "respond(content='Hello')"
        assert parse_action("done()", TOOLS, agent_stop=True) == said(STOP)
        assert parse_action(respond, TOOLS, agent_stop=True) == said("Hello")
        for text in ("done()", respond):
            assert parse_action(text, TOOLS) == said(text)

    def test_respond_speaks_only_where_the_agent_may_stop(self) -> None:
        action = {"tool_calls": [{"name": "respond", "arguments": {"content": "Hello"}}]}
        assert parse_action(action, TOOLS, agent_stop=True) == said("Hello")
        assert parse_action(action, TOOLS).tool_calls[0].name == "respond"

    def test_respond_drops_the_calls_beside_it(self) -> None:
        calls = [{"name": "respond", "arguments": {"content": "Hello"}}, GET]
        assert parse_action({"tool_calls": calls}, TOOLS, agent_stop=True) == said("Hello")

    @pytest.mark.parametrize("arguments", [{}, {"content": ""}, {"content": " "}, {"content": 3}])
    def test_respond_without_text_remains_a_call(self, arguments: dict[str, Any]) -> None:
        action = json.dumps({"name": "respond", "arguments": arguments})
        message = parse_action(action, TOOLS, agent_stop=True)
        assert [call.name for call in message.tool_calls] == ["respond"]

    def test_other_tools_are_what_they_are(self) -> None:
        assert parse_action(json.dumps(GET), TOOLS, agent_stop=True) == said(None, CALL)


@pytest.mark.parametrize("action", [None, 3, b"Hello", ["Hello"], 1.5])
def test_what_is_no_action_at_all_is_a_type_error(action: Any) -> None:
    with pytest.raises(TypeError, match="not " + type(action).__name__):
        parse_action(action, TOOLS)


@pytest.mark.parametrize("role", ["user", "system", "tool", None])
def test_a_message_of_another_role_is_no_action(role: Any) -> None:
    with pytest.raises(ConfigError, match="allowed: assistant"):
        parse_action({"role": role, "content": "Hello"}, TOOLS)


# What holds for every action

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
# Pieces of the accepted forms, so that what is drawn comes close to them.
pieces = st.lists(
    st.sampled_from(
        [
            "<tool_call>",
            "</tool_call>",
            "<think>",
            "</think>",
            "{",
            "}",
            "[",
            "]",
            '"name"',
            '"arguments"',
            ": ",
            ", ",
            '"get_user"',
            "get_user(",
            "toggle(id=",
            ")",
            "'",
            '"requestor": "user"',
            json.dumps(GET),
            "\n",
            " ",
        ]
    )
    | st.text(max_size=4),
    max_size=12,
).map("".join)
near_calls = st.dictionaries(
    st.sampled_from(["name", "arguments", "function", "type", "requestor", "id"]),
    st.sampled_from(["get_user", "function", "", "{}", '{"a": 1}']) | values,
)
near_messages = st.dictionaries(
    st.sampled_from(["content", "tool_calls", "name"]),
    st.text() | st.lists(near_calls, max_size=2) | values,
)
texts = st.one_of(
    st.text(),
    pieces,
    values.map(json.dumps),
    near_calls.map(json.dumps),
    near_calls.map(lambda call: f"<tool_call>{json.dumps(call)}</tool_call>"),
)
known = st.sampled_from(TOOLS)
names = st.text(min_size=1) | known


@settings(max_examples=400)
@given(texts | near_messages | near_messages.map(json.dumps), st.booleans())
def test_any_action_becomes_a_message_that_calls_only_what_was_written(
    action: Any, agent_stop: bool
) -> None:
    message = parse_action(action, TOOLS, turn=3, agent_stop=agent_stop)
    assert message.role == "assistant"
    assert message.has_text or message.is_tool_call
    written = action if isinstance(action, str) else json.dumps(action)
    unescaped = written + json.dumps(written) + repr(action)
    for call in message.tool_calls:
        assert call.requestor == "assistant"
        assert isinstance(call.name, str)
        quoted = {call.name, json.dumps(call.name)[1:-1], json.dumps(json.dumps(call.name))[3:-3]}
        assert call.name == INVALID_CALL or any(name in unescaped for name in quoted)
    if not message.is_tool_call and isinstance(action, str) and not agent_stop:
        assert message.content
        assert message.content in action
        assert "<tool_call>" not in message.content


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(names, st.dictionaries(st.text(), values, max_size=3)), min_size=1, max_size=3
    )
)
def test_calls_written_out_are_read_back(calls: list[tuple[str, dict[str, Any]]]) -> None:
    message = said(
        None,
        *(
            ToolCall(name, arguments, f"call_5_{index}")
            for index, (name, arguments) in enumerate(calls)
        ),
    )
    assert parse_action(format_action(message), TOOLS, turn=5) == message


@settings(max_examples=250)
@given(texts)
def test_what_was_read_is_read_again_from_what_it_is_written_as(action: str) -> None:
    message = parse_action(action, TOOLS)
    assert parse_action(format_action(message), TOOLS) == message


@given(known, st.dictionaries(st.from_regex(r"\A[a-z_]+\Z"), values, max_size=3))
def test_a_function_call_carries_any_json_values(name: str, arguments: dict[str, Any]) -> None:
    arguments = {f"p_{key}": value for key, value in arguments.items()}
    text = f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
    (call,) = parse_action(text, TOOLS).tool_calls
    assert (call.name, call.arguments) == (name, arguments)


@pytest.mark.parametrize("argument", ["</tool_call>", "<tool_call>", "<think>", "</", "\\/", '"'])
def test_arguments_may_hold_the_signs_of_the_form_itself(argument: str) -> None:
    message = said(None, ToolCall("get_user", {"id": argument}, "call_0_0"))
    assert parse_action(format_action(message), TOOLS) == message


def test_text_and_calls_are_written_one_below_the_other() -> None:
    message = said("One moment.", CALL)
    assert format_action(message).startswith("One moment.\n<tool_call>\n{")
    assert parse_action(format_action(message), TOOLS) == message


@pytest.mark.parametrize(
    "content",
    ['<tool_call>{"name": "get_user", "arguments": {"id": 1}}</tool_call>', "get_user(id=1)"],
)
def test_calls_left_in_the_content_of_a_chat_message_are_calls(content: str) -> None:
    message = parse_action({"role": "assistant", "content": content}, ["get_user"])
    assert [(call.name, call.arguments) for call in message.tool_calls] == [("get_user", {"id": 1})]
    assert not message.has_text


def chat(**changes: Any) -> dict[str, Any]:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": {}}}
    call["function"] = {"name": "look", "arguments": {}, **changes}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("word"), "word"),
        (np.array([1, 2]), [1, 2]),
        (np.array([[0.5], [1.5]]), [[0.5], [1.5]]),
        (np.array([{"a": np.int8(1)}], dtype=object), [{"a": 1}]),
        (np.array(7), 7),
    ],
)
def test_arrays_and_numbers_of_numpy_are_those_of_python(value: Any, plain: Any) -> None:
    for given_so, wanted in ((value, plain), ([value], [plain]), ({"b": value}, {"b": plain})):
        (call,) = parse_action(chat(arguments={"a": given_so}), ["look"]).tool_calls
        assert call.arguments == {"a": wanted}
        assert json.loads(json.dumps(call.arguments, allow_nan=False)) == call.arguments


@pytest.mark.parametrize("empty", [np.array([]), np.array([1, 2]), np.array(["a"]), np.array(1.0)])
def test_no_array_in_any_place_of_an_action_raises(empty: Any) -> None:
    whole = chat()["tool_calls"][0]
    for action in (
        {"role": "assistant", "content": empty},
        {"role": "assistant", "content": [empty]},
        {"role": "assistant", "tool_calls": empty},
        {"role": "assistant", "tool_calls": [empty]},
        {"role": "assistant", "tool_calls": [{**whole, "id": empty}]},
        {"role": "assistant", "tool_calls": [{**whole, "function": empty}]},
        chat(name=empty),
        chat(arguments=empty),
    ):
        message = parse_action(action, ["look"])
        assert message.is_tool_call or message.has_text


def test_calls_in_an_array_are_calls() -> None:
    calls = np.array(chat()["tool_calls"] * 2, dtype=object)
    message = parse_action({"role": "assistant", "tool_calls": calls}, ["look"])
    assert [call.name for call in message.tool_calls] == ["look", "look"]


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), np.float64("-inf"), np.array(np.nan)]
)
def test_numbers_that_json_does_not_have_are_unreadable(number: Any) -> None:
    for arguments in ({"a": number}, {"a": [{"b": number}]}):
        message = parse_action(chat(arguments=arguments), ["look"])
        assert is_malformed(message)
        assert "a number that JSON does not have" in message.tool_calls[0].arguments["reason"]


def test_a_message_has_32768_characters_at_most() -> None:
    assert parse_action("a" * 2**15, ()).content == "a" * 2**15
    (call,) = parse_action("a" * (2**15 + 1), ()).tool_calls
    assert call.name == INVALID_CALL


HEAVY = {
    "numbers": np.zeros(5 * 10**6),
    "words": np.array(["word"] * 10**6),
    "objects": np.array([np.zeros(1000)] * 1000, dtype=object),
    "bytes": b"x" * 10**8,
    "set": set(range(10**6)),
    "shared text": [{"type": "text", "text": "x" * 10**6}] * 1000,
    "shared list": [[1] * 1000] * 1000,
}


@pytest.mark.parametrize("name", HEAVY)
def test_nothing_heavy_in_any_place_of_an_action_is_taken_in(name: str) -> None:
    value = HEAVY[name]
    for action in (
        {"content": value},
        {"tool_calls": value},
        {"content": "", "tool_calls": [value]},
        chat(name=value),
        chat(arguments=value),
        chat(arguments={"a": value}),
        chat(arguments={"a": [{"b": value}]}),
    ):
        tracemalloc.start()
        message = parse_action(action, ["look"])
        assert not is_empty(action)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5 * 10**7
        assert len(str(message)) < 10**5


@pytest.mark.parametrize(
    "silence", [np.array([]), np.array([], dtype=object), [], None, "", "  \n", ()]
)
def test_a_message_of_nothing_is_empty_whatever_holds_nothing(silence: Any) -> None:
    assert is_empty({"content": silence})
    assert is_empty({"content": silence, "tool_calls": np.array([])})
    assert not is_empty({"content": silence, "tool_calls": np.array([1, 2])})
    assert not is_empty({"content": np.array([1, 2])})


@pytest.mark.parametrize(
    "role",
    [np.array(["a", "b"]), 10**5000, "x" * 10**6, ["assistant"], {}, None, b"assistant"],
    ids=["array", "number", "text", "list", "object", "nothing", "bytes"],
)
def test_whatever_stands_for_a_role_is_refused_in_a_short_sentence(role: Any) -> None:
    with pytest.raises(ConfigError) as error:
        parse_action({"role": role, "content": "hello"}, ["look"])
    assert len(str(error.value)) < 200


LITERALS = [
    *(
        "1",
        "'a'",
        "x",
        "None",
        "()",
        "(1, 2)",
        "[1]",
        "{}",
        "{1: 2}",
        "{1, 2}",
        "{**x}",
        "[*x]",
        "...",
    ),
    *(
        "1j",
        "b'a'",
        "-x",
        "1e999",
        "f'{x}'",
        "x.y",
        "x[0]",
        "x()",
        "not x",
        "lambda: 0",
        "(y := 1)",
    ),
    *(
        "1 + 1",
        "1 if x else 2",
        "[x for x in y]",
        "await x",
        "(yield)",
        "'a' 'b'",
        "0x" + "f" * 9000,
    ),
]
"""Python's expressions, one of each kind."""


@pytest.mark.parametrize("inner", LITERALS, ids=range(len(LITERALS)))
def test_no_expression_in_any_place_of_a_function_call_raises(inner: str) -> None:
    for outer in (
        "{}",
        "[{}]",
        "({},)",
        "{{'a': {}}}",
        "{{{}: 1}}",
        "{{({},): 1}}",
        "-{}",
        "{{{}}}",
    ):
        for form in (
            "toggle(a={})",
            "toggle({})",
            "toggle(**{})",
            "toggle(*{})",
            "toggle(a={}, a=1)",
        ):
            message = parse_action(form.format(outer.format(inner)), TOOLS)
            (call,) = message.tool_calls
            assert call.name in ("toggle", INVALID_CALL)
            json.dumps(call.arguments, allow_nan=False)
