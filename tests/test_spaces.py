from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau2_gym.actions import format_action, parse_action
from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.spaces import TEXTS, ActionSpace, TextSpace, examples, sample_arguments
from tau2_gym.types import Message, ToolCall
from tests.helpers import some


def space(domain: Domain, seed: int | None = 0, **options: Any) -> ActionSpace:
    return ActionSpace(domain, domain.agent_tools, seed=seed, **options)


def fits(value: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> bool:
    """Whether a value fits the part of JSON schema that tools use."""
    if "$ref" in schema:
        return fits(value, definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "anyOf" in schema:
        return any(fits(value, option, definitions) for option in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return (
            isinstance(value, dict)
            and set(schema.get("required", ())) <= set(value)
            and all(fits(value[key], properties[key], definitions) for key in value)
        )
    if kind == "array":
        return isinstance(value, list) and all(
            fits(item, schema["items"], definitions) for item in value
        )
    kinds: dict[Any, Any] = {
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": float,
        "null": type(None),
    }
    return type(value) is kinds[kind]


class TestActionSpace:
    def test_samples_are_members(self, domain: Domain) -> None:
        actions = space(domain)
        for _ in range(200):
            assert actions.sample() in actions

    def test_samples_are_texts_and_calls_of_every_tool(self, domain: Domain) -> None:
        actions = space(domain)
        counts: Counter[str] = Counter()
        for _ in range(1000):
            action = actions.sample()
            message = parse_action(action, ())
            if message.is_tool_call:
                (call,) = message.tool_calls
                counts[call.name] += 1
            else:
                assert action in TEXTS
                counts["text"] += 1
        assert set(counts) == {"text", *domain.agent_tools}
        assert 180 < counts["text"] < 320

    def test_sampled_calls_fit_the_tools_schemas(self, domain: Domain) -> None:
        rng = np.random.default_rng(2)
        optional = set()
        for tool in [*domain.agent_tools.values(), *domain.user_tools.values()]:
            schema = tool.parameters
            for _ in range(20):
                arguments = sample_arguments(tool, examples(domain), rng)
                assert fits(arguments, schema, schema.get("$defs", {})), (tool.name, arguments)
                optional.add(set(arguments) == set(schema["properties"]))
        assert True in optional

    def test_some_samples_succeed(self, domain: Domain) -> None:
        actions, world = space(domain), domain.start(some(domain.name, 1)[0])
        results = [
            world.call(call.name, call.arguments, "assistant")[1]
            for _ in range(200)
            for call in parse_action(actions.sample(), ()).tool_calls
        ]
        assert results.count(False) > 0.1 * len(results)

    def test_the_seed_decides_what_is_drawn(self, domain: Domain) -> None:
        first, again, other = (space(domain, seed) for seed in (1, 1, 2))
        drawn = [[each.sample() for _ in range(20)] for each in (first, again, other)]
        assert drawn[0] == drawn[1] != drawn[2]
        first.seed(1)
        assert [first.sample() for _ in range(20)] == drawn[0]

    def test_a_fork_draws_the_same_on_its_own(self, domain: Domain) -> None:
        actions = space(domain)
        actions.sample()
        twin = actions.fork()
        assert twin == actions
        drawn = [twin.sample() for _ in range(20)]
        assert [actions.sample() for _ in range(20)] == drawn

    @pytest.mark.parametrize(
        "action",
        [
            "Hello",
            "f(x)",
            '<tool_call>{"name": "nothing", "arguments": {}}</tool_call>',
            {"role": "assistant", "content": "Hello"},
            {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        ],
    )
    def test_what_can_be_read_is_a_member(self, action: Any) -> None:
        assert action in space(get_domain("mock"))

    @pytest.mark.parametrize(
        "action",
        [
            "",
            " ",
            "<tool_call>{</tool_call>",
            "get_users(1)",
            {},
            {"role": "user", "content": "Hello"},
            {"content": 3},
            None,
            3,
            b"Hello",
            ["Hello"],
        ],
    )
    def test_what_cannot_be_read_is_no_member(self, action: Any) -> None:
        assert action not in space(get_domain("mock"))

    def test_spaces_of_the_same_actions_are_equal(self) -> None:
        mock, airline = get_domain("mock"), get_domain("airline")
        assert space(mock, 1) == space(mock, 2)
        assert space(mock) != space(airline)
        assert space(mock) != space(mock, agent_stop=True)
        assert space(mock) != ActionSpace(mock, {**mock.agent_tools, **mock.user_tools})
        assert space(mock) != TextSpace()

    def test_a_pickled_space_draws_on(self, domain: Domain) -> None:
        actions = space(domain)
        actions.sample()
        twin = pickle.loads(pickle.dumps(actions))
        assert twin == actions
        assert [twin.sample() for _ in range(10)] == [actions.sample() for _ in range(10)]

    def test_masks_are_refused(self) -> None:
        for draw in (space(get_domain("mock")), TextSpace()):
            for option in ("mask", "probability"):
                with pytest.raises(ConfigError, match="neither a mask nor probabilities"):
                    draw.sample(**{option: np.ones(1)})

    def test_it_is_not_flattened(self) -> None:
        assert not space(get_domain("mock")).is_np_flattenable
        assert repr(space(get_domain("mock"))) == "ActionSpace('mock', 4 tools)"


class TestTextSpace:
    @given(st.text() | st.integers() | st.binary() | st.none())
    def test_all_texts_are_members_and_nothing_else(self, value: Any) -> None:
        assert (value in TextSpace()) is isinstance(value, str)

    def test_samples_are_seeded_texts(self) -> None:
        draws = [TextSpace(seed=seed).sample() for seed in range(40)]
        assert draws == [TextSpace(seed=seed).sample() for seed in range(40)]
        assert set(draws) <= set(TEXTS)
        assert len(set(draws)) > 3

    def test_all_are_equal(self) -> None:
        assert TextSpace(1) == TextSpace(2)
        assert TextSpace() != space(get_domain("mock"))


def test_examples_come_from_the_domains_own_database(domain: Domain) -> None:
    found = examples(domain)
    assert found is examples(domain)
    names = {
        name
        for tool in domain.agent_tools.values()
        for name, schema in tool.parameters["properties"].items()
        if schema.get("type") == "string" and name.endswith("_id") and "enum" not in schema
    }
    known = {name for name in names if found.get(name)}
    assert len(known) >= len(names) / 2


def test_a_sampled_call_is_written_as_agents_write_calls() -> None:
    actions = space(get_domain("mock"))
    drawn = [actions.sample() for _ in range(50)]
    calls = [action for action in drawn if action not in TEXTS]
    for action in calls:
        (call,) = parse_action(action, ()).tool_calls
        message = Message("assistant", tool_calls=(ToolCall(call.name, call.arguments),))
        assert format_action(message) == action
