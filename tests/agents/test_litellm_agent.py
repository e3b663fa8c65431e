"""The agent played by a model behind an API, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from agents.base import AgentView, AsyncAgent, Reply, Usage
from agents.litellm_agent import LiteLLMAgent
from agents.prompts import make_prompt
from tau2_gym.completion import EXACT_TOKENS, ChatModel, ExactTokens, call_seed
from tau2_gym.completion import model as model_module
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, InfrastructureError, UserFault
from tau2_gym.types import INVALID_CALL
from tau2_gym.users.llm import LLMUser
from tests.chat_server import ChatServer, Status, Whole, call, in_turn, player, puppet
from tests.helpers import Puppet, gold_moves, make, some
from tests.playing import play, play_metered

both_ways = pytest.mark.parametrize(
    "litellm",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.skipif(find_spec("litellm") is None, reason="LiteLLM is missing"),
        ),
    ],
    ids=["http", "litellm"],
)
HELLO = {"role": "user", "content": "My order is late."}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


def agent(server: ChatServer, litellm: bool = False, **options: Any) -> LiteLLMAgent:
    options = {"retries": 1, "timeout": 20.0, **options}
    name = "openai/tiny" if litellm else "tiny"
    return LiteLLMAgent(ChatModel(name, base_url=server.url, litellm=litellm, **options))


def view(*messages: dict[str, Any], turn: int = 0, ticket: str | None = None) -> AgentView:
    retail = get_domain("retail")
    tools = [tool.schema for tool in retail.agent_tools.values()]
    return AgentView("retail", retail.policy, tools, messages or (HELLO,), ticket, turn)


def act(chosen: LiteLLMAgent, seen: AgentView, memory: Any = None, seed: int = 0) -> Reply:
    return asyncio.run(chosen.aact(seen, memory, seed))


@both_ways
def test_what_the_model_is_sent(server: ChatServer, litellm: bool) -> None:
    act(agent(server, litellm, temperature=0.8), view(turn=2), seed=5)
    (sent,) = server.requests
    retail = get_domain("retail")
    assert sent["messages"] == [
        {
            "role": "system",
            "content": f"<instructions>\n{retail.agent_instruction}\n</instructions>\n"
            f"<policy>\n{retail.policy}\n</policy>",
        },
        HELLO,
    ]
    assert sent["tools"] == [tool.schema for tool in retail.agent_tools.values()]
    assert sent["temperature"] == 0.8
    assert sent["seed"] == call_seed(5, 2)


def test_another_prompt(server: ChatServer) -> None:
    act(replace(agent(server), prompt=lambda view: f"Short: {view.domain}."), view())
    assert server.requests[0]["messages"][0] == {"role": "system", "content": "Short: retail."}


def test_the_ticket_of_solo_mode(server: ChatServer) -> None:
    act(agent(server), view(ticket="The phone has no signal."))
    system = server.requests[0]["messages"][0]["content"]
    assert system.endswith("<ticket>\nThe phone has no signal.\n</ticket>")


@both_ways
def test_text_and_calls_become_actions(server: ChatServer, litellm: bool) -> None:
    two = [call("a", {"x": 1}, 1)["tool_calls"][0], call("b", "{oops", 2)["tool_calls"][0]]
    server.brain = in_turn("Hello.", {"content": "<think>x</think>One moment.", "tool_calls": two})
    assert act(agent(server, litellm), view()).action == "Hello."
    action = act(agent(server, litellm), view()).action
    assert isinstance(action, dict)
    assert action["content"] == "One moment."
    calls = [
        (c["id"], c["function"]["name"], c["function"]["arguments"]) for c in action["tool_calls"]
    ]
    assert calls == [("call-1", "a", '{"x": 1}'), ("call-2", "b", "{oops")]


@pytest.mark.parametrize(
    "answer",
    [call("get_order_details", "{oops"), "<tool_call>{oops</tool_call>", "", "<think>Hm"],
)
def test_the_agents_mistakes_are_its_own(server: ChatServer, answer: Any) -> None:
    server.brain = lambda body: answer
    env = make("retail", user=Puppet())
    _, info = env.reset(seed=0)
    reply = act(agent(server), AgentView.from_info(info))
    assert reply.action is not None
    *_, info = env.step(reply.action)
    assert info["malformed"] == 1
    trajectory = info["privileged"]["trajectory"]
    assert any(c.name == INVALID_CALL for message in trajectory for c in message.tool_calls)


def test_a_refusal_is_said(server: ChatServer) -> None:
    server.brain = lambda body: {"content": None, "refusal": "I cannot help with that."}
    assert act(agent(server), view()).action == "I cannot help with that."


@both_ways
def test_tokens_and_usage(server: ChatServer, litellm: bool) -> None:
    body = {
        "id": "1", "object": "chat.completion", "created": 0, "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi."},
                "finish_reason": "stop",
                "prompt_token_ids": [1, 2, 3],
                "response_token_ids": [4, 5],
                "meta_info": {"output_token_logprobs": [[-0.5, 4, None], [-0.25, 5, None]]},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }  # fmt: skip
    chosen = agent(server, litellm, extra_body=EXACT_TOKENS)
    first = act(chosen, view())
    server.brain = lambda _: Whole(body)
    second = act(chosen, view(turn=1), first.memory)
    assert first.memory == (None,)
    assert second.memory == (None, ExactTokens((1, 2, 3), (4, 5), (-0.5, -0.25)))
    assert (first.usage, second.usage) == (Usage(100, 10, 0.0, 1), Usage(3, 2, 0.0, 1))


@both_ways
def test_a_conversation_that_outgrows_the_model_ends(server: ChatServer, litellm: bool) -> None:
    full = {"error": {"message": "maximum context length is 9"}}
    server.brain = lambda body: Status(400, full)
    reply = act(agent(server, litellm), view(turn=3), memory=(None,) * 3)
    assert reply == Reply(None, (None,) * 3, stop="context_overflow")
    with pytest.raises(ConfigError, match="first prompt in retail is too long"):
        act(agent(server, litellm), view())


def test_failures_are_the_servers(server: ChatServer) -> None:
    chosen = agent(server)
    act(chosen, view())
    for answer in (Status(500), {"content": None, "finish_reason": "content_filter"}):
        server.brain = lambda body, answer=answer: answer
        with pytest.raises(InfrastructureError):
            act(chosen, view())


def test_in_turn_as_well(server: ChatServer) -> None:
    chosen = agent(server)
    assert isinstance(chosen, AsyncAgent)
    assert chosen.act(view(), 0) == "Hello."


@both_ways
@pytest.mark.parametrize("name", ["retail", "telecom", "airline"])
def test_whole_episodes_between_two_models(server: ChatServer, litellm: bool, name: str) -> None:
    tasks = some(name, 4, seed=2)
    users = get_domain(name).user_guidelines[:40]
    # The server sees which side is asking; the agent's moves are those of the episode under way.
    current: list[str] = []

    def brain(body: dict[str, Any]) -> Any:
        is_user = body["messages"][0]["content"].startswith(users)
        return puppet(body) if is_user else player(current)(body)

    server.brain = brain
    chosen = agent(server, litellm)
    for task in tasks:
        current[:] = gold_moves(task)
        before = len(server.requests)
        outcome, own, both = asyncio.run(play_metered(chosen, LLMUser(chosen.model), task))
        assert outcome.info["official_reward"] == 1.0
        assert both.calls == len(server.requests) - before
        assert own.calls == outcome.info["num_turns"]
        assert own.prompt_tokens == 100 * own.calls


def test_whole_episodes_with_real_models_on_both_sides() -> None:
    """One tiny Qwen3 plays the agent, another one the user. The agent's tokens are those of its chat
    template, their log-probabilities those of one pass over them, and the same seed plays the same
    episode again."""
    pytest.importorskip("torch")
    from tests.model_brain import ModelBrain, tiny_customer
    from tests.tiny_model import rescored, tiny_model

    brain = ModelBrain(tiny_model())
    litellm = find_spec("litellm") is not None
    options = {"temperature": 1.0, "max_tokens": 48, "timeout": 60.0}
    task = some("telecom", 1, seed=1)[0]

    def played(seed: int) -> tuple[Any, ...]:
        kept: list[Any] = []
        outcome, took = asyncio.run(
            play(chosen, sarah, task, seed=seed, max_steps=10, keep=kept.append)
        )
        return outcome.info["privileged"]["trajectory"], kept, took, outcome.info

    with ChatServer(brain) as policy, ChatServer(ModelBrain(tiny_customer())) as customer:
        chosen = agent(policy, litellm, extra_body=EXACT_TOKENS, **options)
        chosen = replace(chosen, prompt=make_prompt("compact"))
        sarah = LLMUser(agent(customer, litellm, **options).model, 10, "You are a customer.")
        for seed in range(5, 30):
            try:
                trajectory, kept, took, info = played(seed)
            except UserFault:
                continue
            if any(m.role == "user" and m.is_tool_call for m in trajectory):
                break
        assert (trajectory, kept) == played(seed)[:2]
    assert any(m.role == "user" and m.is_tool_call for m in trajectory)
    assert any(m.role == "tool" and m.requestor == "assistant" for m in trajectory)
    turns: tuple[ExactTokens, ...] = kept[-1]
    assert info["termination"] == "max_steps"
    assert len(turns) == info["num_turns"] == took.calls
    assert took.completion_tokens == sum(len(turn.output_ids) for turn in turns)
    scores = rescored(tiny_model(), turns[-1].prompt_ids + turns[-1].output_ids, 1.0)
    assert scores[-len(turns[-1].output_ids) :] == pytest.approx(turns[-1].logprobs, abs=1e-4)
    sent = policy.requests[-1]
    ids = brain.tokenizer.apply_chat_template(
        sent["messages"], tools=sent["tools"], add_generation_prompt=True, return_dict=False
    )
    assert tuple(ids) == turns[-1].prompt_ids


def test_the_view_is_left_as_it_is(server: ChatServer) -> None:
    task = some("retail", 1)[0]
    server.brain = player(gold_moves(task))
    outcome, _ = asyncio.run(play(agent(server), _Async(), task))
    sent = server.requests[-1]["messages"][1:]
    assert json.dumps(outcome.info["messages"][: len(sent)]) == json.dumps(sent)


class _Async:
    async def arespond(self, view: Any, seed: int) -> Any:
        return Puppet().respond(view, seed)
