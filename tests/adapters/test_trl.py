"""TRL's trainer on our episodes: schemas as ours, rewards as ours, optimiser steps on a tiny model."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any, Optional

import pytest

from agents.oracle import plan
from tau2_gym.actions import parse_action
from tau2_gym.adapters import trl as adapter
from tau2_gym.adapters.signatures import annotation, method
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.types import ToolKind, ToolSpec
from tests.helpers import make

DOMAINS = ("airline", "retail", "telecom", "mock")


def moved(episode: Any, move: str, tools: Any) -> str:
    """A move of a plan, through the methods that TRL calls."""
    message = parse_action(move, tools)
    if not message.tool_calls:
        return str(episode.respond(message=message.content))
    (call,) = message.tool_calls
    return str(getattr(episode, call.name)(**call.arguments))


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_actions_earn_the_same(domain: str) -> None:
    world, env = get_domain(domain), make(domain, user="scripted")
    episode = adapter.environment(domain)()
    for task in world.task_ids("base")[:8]:
        moves = plan(world.task(task))
        said = [episode.reset(task_id=task, seed=0)]
        observation, _ = env.reset(seed=0, options={"task_id": task})
        heard, total, ended, turn = [observation], 0.0, False, 0
        while not ended:
            move = moves[min(turn, len(moves) - 1)]
            observation, reward, terminated, truncated, _ = env.step(move)
            heard.append(observation)
            said.append(moved(episode, move, world.agent_tools))
            ended, total, turn = terminated or truncated, total + reward, turn + 1
        assert said[:-1] == heard[:-1]
        assert said[-1].endswith(adapter.OVER)
        assert episode.get_reward() == pytest.approx(total)
        assert episode.respond(message="Hello?") == adapter.OVER
        assert episode.get_reward() == pytest.approx(total)  # Nothing more is earned.


def test_an_episode_that_is_left_is_worth_nothing_officially() -> None:
    episode = adapter.environment("telecom")()
    task = "[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"
    episode.reset(task_id=task, seed=0)
    episode.respond(message="Please turn on mobile data.")
    assert 0 < episode.get_reward() < 0.4
    penal = adapter.environment("telecom", reward="potential")()
    penal.reset(task_id=task, seed=0)
    penal.respond(message="Please turn on mobile data.")
    assert penal.get_reward() == pytest.approx(0.0)  # The potential is given back.


def test_episodes_do_not_disturb_each_other() -> None:
    environment = adapter.environment("telecom")
    one, other = environment(), environment()
    task = get_domain("telecom").task_ids("base")[0]
    assert one.reset(task_id=task, seed=1) == other.reset(task_id=task, seed=1)
    one.refuel_data(customer_id="C1001", line_id="L1002", gb_amount=2.0)
    first = one.get_details_by_id(id="L1002")
    assert first != other.get_details_by_id(id="L1002")
    assert one.reset(task_id=task, seed=1)
    assert one.get_details_by_id(id="L1002") == other.get_details_by_id(id="L1002")


@pytest.mark.parametrize("domain", DOMAINS)
def test_schemas_read_off_the_methods_are_the_tools(domain: str) -> None:
    utils = pytest.importorskip("transformers.utils")
    episode = adapter.environment(domain)()
    for name, tool in get_domain(domain).agent_tools.items():
        function = utils.get_json_schema(getattr(episode, name))["function"]
        assert function["name"] == name
        assert function["description"].split() == tool.schema["function"]["description"].split()
        parameters = function["parameters"]
        assert set(parameters["properties"]) == set(tool.parameters["properties"])
        assert set(parameters.get("required", ())) == set(tool.parameters.get("required", ()))
        for parameter, schema in tool.parameters["properties"].items():
            read = parameters["properties"][parameter]
            if "type" in schema and "enum" not in schema:
                assert read["type"] == schema["type"], (name, parameter)
            if "enum" in schema:
                assert read["enum"] == schema["enum"]
    assert utils.get_json_schema(episode.respond)["function"]["parameters"]["required"] == [
        "message"
    ]


def test_arguments_may_be_given_by_position_too() -> None:
    seen = []
    tool = get_domain("telecom").agent_tools["refuel_data"]
    run = method(tool, lambda self, name, arguments: seen.append((name, arguments)) or "")
    run(None, "C1", "L1", gb_amount=2.0)
    assert seen == [("refuel_data", {"customer_id": "C1", "line_id": "L1", "gb_amount": 2.0})]
    with pytest.raises(TypeError, match="takes 3 arguments, and 4 were given"):
        run(None, "C1", "L1", 2.0, 3.0)


def tool_of(name: str, parameters: dict[str, Any]) -> ToolSpec:
    function = {"name": name, "description": "Does it.", "parameters": parameters}
    return ToolSpec(name, ToolKind.READ, {"type": "function", "function": function})


@pytest.mark.parametrize("name", ["self", "class", "from", "order-id", "two words", ""])
def test_parameters_that_python_cannot_have_are_refused(name: str) -> None:
    tool = tool_of("find", {"type": "object", "properties": {name: {"type": "string"}}})
    with pytest.raises(ConfigError, match=f"tool 'find' has a parameter '{name}'"):
        method(tool, lambda self, tool, arguments: "")


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        (True, Any),
        ({"type": ["string", "null"]}, Optional[str]),  # noqa: UP045
        ({"type": "array", "items": True}, list[Any]),
        ({"oneOf": [{"type": "string"}]}, Any),
        ({"$ref": "#/$defs/Nowhere"}, Any),
        ({"$ref": "#/$defs/Tree"}, dict[str, Any]),
    ],
)
def test_odd_schemas_have_a_type(schema: Any, kind: Any) -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}
    parameters = {"type": "object", "properties": {"x": schema}, "$defs": {"Tree": tree}}
    run = method(tool_of("find", parameters), lambda self, tool, arguments: repr(arguments))
    assert run.__annotations__["x"] == kind
    assert run(None, x=1) == "{'x': 1}"
    assert annotation({"$ref": "#/$defs/Self"}, {"Self": {"$ref": "#/$defs/Self"}}) is Any
    nothing = method(tool_of("find", {"type": "object"}), lambda self, tool, arguments: tool)
    assert nothing(None) == "find"


@pytest.mark.parametrize("name", ["reset", "respond", "get_reward", "domain", "_step"])
def test_tools_with_the_names_of_the_class_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tools = {name: tool_of(name, {"type": "object", "properties": {}})}
    odd = type("Odd", (), {"agent_tools": tools, "answered": False, "name": "mock"})()
    monkeypatch.setattr(adapter, "get_domain", lambda *given: odd)
    with pytest.raises(ConfigError, match=f"mock has a tool '{name}', which is a name"):
        adapter.environment("mock")


def test_the_tasks_as_a_data_set() -> None:
    pytest.importorskip("datasets")
    rows = adapter.dataset("retail", split="train", seed=3)
    assert rows["task_id"][:] == list(get_domain("retail").task_ids("train"))
    system, user = rows[0]["prompt"]
    assert system["content"].endswith(adapter.TALKING)
    assert get_domain("retail").policy in system["content"]
    assert user == {"role": "user", "content": ""}
    assert (
        adapter.dataset("mock", split="base", prompt="Short.")[0]["prompt"][0]["content"]
        == "Short."
    )


def test_the_example_of_the_module() -> None:
    pytest.importorskip("datasets")
    assert doctest.testmod(adapter).failed == 0


@pytest.mark.parametrize(
    ("domain", "options", "said"),
    [
        ("hotel", {}, "unknown domain 'hotel'"),
        ("code", {}, "code has no user to respond to"),
        ("retail", {"user": "nobody"}, "unknown user 'nobody'"),
        ("retail", {"reward": "big"}, "unknown reward preset"),
        ("retail", {"max_steps": 0}, "max_steps"),
    ],
)
def test_what_cannot_be_is_refused(domain: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        adapter.environment(domain, **options)
    with pytest.raises(ConfigError, match="unknown split"):
        adapter.dataset("retail", split="dev")


# With TRL itself


def test_three_steps_of_grpo_with_a_model_that_calls_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trl = pytest.importorskip("trl", reason="trl is not installed")
    pytest.importorskip("torch")
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from tests.adapters.trl_model import clerk

    prompt = "You serve customers."
    environment, rows = adapter.environment("mock", max_steps=12), adapter.dataset(
        "mock", split="base", prompt=prompt
    ).select([0])  # fmt: skip
    model, tokenizer = clerk()
    seen: list[tuple[float, int]] = []

    class Watched(environment):  # type: ignore[misc, valid-type]
        def get_reward(self) -> float:
            reward = super().get_reward()
            seen.append((reward, self._turn))
            return float(reward)

    config = trl.GRPOConfig(
        output_dir=str(tmp_path), max_steps=3, num_generations=4, per_device_train_batch_size=4,
        max_completion_length=160, temperature=1.0, report_to=[], use_cpu=True, bf16=False, seed=0,
        logging_steps=1, save_strategy="no", learning_rate=1e-4, disable_tqdm=True,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        model=model,
        args=config,
        train_dataset=rows,
        processing_class=tokenizer,
        environment_factory=Watched,
    )
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trainer.train()
    assert len(seen) == 12
    assert sum(turns for _, turns in seen) > 6  # It does call tools.
    assert len({reward for reward, _ in seen}) > 1
    logged = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    means = [sum(reward for reward, _ in seen[i : i + 4]) / 4 for i in (0, 4, 8)]
    assert logged == pytest.approx(means, abs=1e-3)
    assert any(not (weight == before[name]).all() for name, weight in model.named_parameters())
    assert json.dumps(logged)
