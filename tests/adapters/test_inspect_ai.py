"""inspect_ai runs our episodes, and scores them as we do."""

from __future__ import annotations

import doctest
import json
import math
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import ModelAPI, ModelOutput, get_model, modelapi

from agents.oracle import plan
from tau2_gym.actions import as_assistant, parse_action
from tau2_gym.adapters import inspect_ai as adapter
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, UserFault
from tau2_gym.types import Message
from tau2_gym.users.base import UserView
from tests.helpers import make


class Script(ModelAPI):
    """A model that makes moves that are given."""

    def __init__(self, model_name: str, moves: list[str], domain: str, **_: Any) -> None:
        super().__init__(model_name)
        self.moves, self.tools = iter(moves), get_domain(domain).agent_tools

    async def generate(self, *_: Any, **__: Any) -> ModelOutput:
        message = as_assistant(parse_action(next(self.moves), self.tools))
        if not message.get("tool_calls"):
            return ModelOutput.from_content("script", message["content"])
        function = message["tool_calls"][0]["function"]
        arguments = json.loads(function["arguments"])
        return ModelOutput.for_tool_call("script", function["name"], arguments)

    async def count_tokens(self, *_: Any, **__: Any) -> int:
        return 1  # The usual way asks the network for a vocabulary.


@modelapi("script")
def script() -> type[ModelAPI]:
    return Script


def played(domain: str, task: str, moves: list[str], folder: Path, **options: Any) -> EvalLog:
    model = get_model(
        "script/moves", moves=[*moves, *moves[-1:] * 20], domain=domain, memoize=False
    )
    (log,) = inspect_ai.eval(
        adapter.tau2(domain, task_ids=task, **options), model=model, log_dir=str(folder), display="none", fail_on_error=False,
    )  # fmt: skip
    return log


class Fails:
    """A user who cannot answer."""

    def respond(self, view: UserView, seed: int) -> Message:
        raise UserFault("no answer")


def test_the_example_of_the_module() -> None:
    assert doctest.testmod(adapter).failed == 0


@pytest.mark.parametrize("domain", ["airline", "retail", "telecom", "mock"])
def test_the_oracle_is_scored_as_in_the_environment(domain: str, tmp_path: Path) -> None:
    world, env = get_domain(domain), make(domain, user="scripted")
    for task in world.task_ids("base")[:3]:
        moves = plan(world.task(task))
        log = played(domain, task, moves, tmp_path)
        assert log.status == "success", log.error
        (sample,) = log.samples or ()
        found = sample.metadata["tau2"]
        env.reset(seed=0, options={"task_id": task})
        ended, total, turn = False, 0.0, 0
        while not ended:
            _, reward, terminated, truncated, info = env.step(moves[min(turn, len(moves) - 1)])
            ended, total, turn = terminated or truncated, total + reward, turn + 1
        assert found["reward"] == pytest.approx(total)
        assert found["official_reward"] == info["official_reward"]
        assert found["termination"] == info["termination"]
        assert [m["role"] for m in found["messages"]] == [
            message.role for message in info["privileged"]["trajectory"]
        ]
        score = sample.scores["official_reward"].value  # type: ignore[index]
        if info["official_reward"] is None:
            assert math.isnan(float(score))  # type: ignore[arg-type]
        else:
            assert score == info["official_reward"]
        turns = [
            event for event in sample.events if event.event == "info" and event.source == "tau2_gym"
        ]
        assert len(turns) == len(found["rewards"]) == turn


def test_the_log_can_be_read_and_holds_the_conversation(tmp_path: Path) -> None:
    task = get_domain("telecom").task_ids("base")[0]
    log = played("telecom", task, plan(get_domain("telecom").task(task)), tmp_path)
    again = read_eval_log(log.location)
    (sample,) = again.samples or ()
    assert sample.messages[0].role == "system"
    assert "<policy>" in sample.messages[0].text
    assert {message.role for message in sample.messages} >= {"system", "user", "assistant"}
    assert "toggle" not in " ".join(
        message.text for message in sample.messages if message.role == "tool"
    )  # The agent does not see the user's calls.


def test_doing_nothing_is_scored_and_a_failing_user_is_not(tmp_path: Path) -> None:
    task = get_domain("retail").task_ids("base")[0]
    log = played("retail", task, ["Bye! Is there anything else?"], tmp_path)
    assert log.results is not None
    (sample,) = log.samples or ()
    assert sample.scores["official_reward"].value == 0  # type: ignore[index]
    log = played("retail", task, ["Hi."], tmp_path, user="tests.adapters.test_inspect_ai:Fails")
    (sample,) = log.samples or ()
    assert sample.error is not None
    assert not sample.scores


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"domain": "hotel"}, "unknown domain 'hotel'"),
        ({"split": "dev"}, "unknown split"),
        ({"user": "nobody"}, "unknown user 'nobody'"),
        ({"reward": "big"}, "unknown reward preset"),
        ({"max_steps": 0}, "max_steps"),
        ({"task_ids": ["x"]}, "unknown task 'x'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        adapter.tau2(**options)


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}
    found = adapter._plain({"$ref": "#/$defs/Tree", "$defs": {"Tree": tree}})
    assert found == {"type": "object", "properties": {"left": {}}}
