"""A task of inspect_ai, graded by our grader: `inspect eval tau2_gym/adapters/inspect_ai.py -T domain=telecom`.

>>> from inspect_ai import eval
>>> from tau2_gym.adapters.inspect_ai import tau2
>>> task = tau2("telecom", split="test")
>>> len(task.dataset)
40

The model under evaluation is the agent. Each turn's ledger is an entry of the transcript, so that `inspect view` shows what
a turn earned, and the checks are in the score's metadata. A user or a server that fails is an error of the sample and
never the agent's failure. Tasks that only a judge can grade are unscored.
"""

from __future__ import annotations

from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import transcript
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    get_model,
)
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall, ToolCallError, ToolInfo, ToolParams

from tau2_gym.domains.base import check_ready, check_split, get_domain
from tau2_gym.domains.instruction import official_prompt
from tau2_gym.rewards import RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.session import Outcome, Session
from tau2_gym.types import Message, Role
from tau2_gym.users import AsyncUser, make_user

PLAYED = "tau2"
"""Where a sample's state keeps how the episode ended."""


@task
def tau2(
    domain: str = "telecom",
    split: str = "test",
    user: str = "scripted",
    reward: str = "progress",
    max_steps: int = 100,
    max_errors: int = 10,
    seed: int = 0,
    source: str = "inspect-evals",
    task_ids: str | list[str] | None = None,
) -> Task:
    """The tasks of a split, or those named.

    Args:
        domain, split, user, reward, max_steps, max_errors, source: as in `Tau2Env`; all but domain and split are
            passed with `-T`.
        seed: of the user; an epoch of a sample has its own.
        task_ids: these tasks instead of a split. (inspect's own `--sample-id` reads brackets as a pattern, and the
            ids of telecom's tasks have some.)

    Raises:
        ConfigError: an argument has a value that is not allowed.
    """
    if task_ids is None:
        check_split(domain, split, source)
    check_ready(domain)
    world = get_domain(domain, source)
    named = [task_ids] if isinstance(task_ids, str) else task_ids
    samples = [
        Sample(input=f"{domain}: {task_id}", id=task_id, target="1", metadata={"domain": domain})
        for task_id in world.chosen(split, named)
    ]
    rules = Rules(max_steps=max_steps, max_errors=max_errors)
    return Task(
        dataset=MemoryDataset(samples, name=f"tau2-{domain}-{split}"),
        solver=play(domain, user, RewardConfig.of(reward), rules, seed, source),
        scorer=[official_reward(), partial_score()],
        metadata={"domain": domain, "revision": world.revision, "user": user, "seed": seed},
    )


@solver
def play(
    domain: str, user: str, reward: RewardConfig, rules: Rules, seed: int, source: str
) -> Solver:
    """Lets the model play the agent until the episode ends."""
    world, player = get_domain(domain, source), make_user(user)
    prompt = official_prompt(world.agent_instruction, world.policy)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        user_seed = seed * 1_000_003 + state.epoch
        session = Session(world, world.task(str(state.sample_id)), rules, reward, user_seed)
        state.messages = [ChatMessageSystem(content=prompt)]
        outcome = await _answer(session, player, state, 0)
        tools = [_tool_info(schema) for schema in outcome.info["tools"]]
        rewards = []
        while session.turn is Role.AGENT:
            output = await get_model().generate(state.messages, tools=tools)
            state.output = output
            state.messages.append(output.message)
            known = len(session.episode.messages)
            session.agent_acts(_action(output.message))
            outcome = await _answer(session, player, state, known + 1)
            rewards.append(dict(outcome.info["reward_terms"]))
            transcript().info(
                {"reward": rewards[-1], "partial_score": outcome.info["partial_score"]},
                source="tau2_gym",
            )
        if session.awaits_agent:  # over before the agent's first turn
            session.agent_acts("")
            outcome = session.settle()
            rewards.append(dict(outcome.info["reward_terms"]))
        state.metadata[PLAYED] = {
            "official_reward": outcome.info["official_reward"],
            "partial_score": outcome.info["partial_score"],
            "reward": sum(sum(each.values()) for each in rewards),
            "rewards": rewards,
            "checks": dict(outcome.info["checks"]),
            "termination": outcome.info["termination"],
            "messages": [message.to_dict() for message in session.episode.messages],
        }
        state.completed = True
        return state

    return solve


async def _answer(session: Session, user: Any, state: TaskState, since: int) -> Outcome:
    """Let the user act until it is the agent's turn, or the end, and show the agent what has arrived."""
    while session.turn is Role.USER:
        view = session.user_view()
        if isinstance(user, AsyncUser):
            message = await user.arespond(view, session.user_seed)
        else:
            message = user.respond(view, session.user_seed)
        session.user_acts(message)
    for message in session.episode.messages[since:]:
        said = _shown(message)
        if said is not None:
            state.messages.append(said)
    return session.settle()


def _shown(message: Message) -> ChatMessage | None:
    """A message as the agent sees it; None if it does not."""
    if message.role == "tool":
        if message.requestor == "user":
            return None
        error = ToolCallError("unknown", message.content or "") if message.error else None
        return ChatMessageTool(
            content=message.content or "", tool_call_id=message.call_id, error=error
        )
    if message.role == "user":
        return None if message.is_tool_call else ChatMessageUser(content=message.content or "")
    calls = [ToolCall(call.id, call.name, dict(call.arguments)) for call in message.tool_calls]
    return ChatMessageAssistant(content=message.content or "", tool_calls=calls or None)


def _action(message: ChatMessageAssistant) -> dict[str, Any]:
    """What a model answered, as an action. A call whose arguments could not be parsed is one that cannot be read."""
    return {
        "role": "assistant",
        "content": message.text,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.function,
                    "arguments": call.parse_error if call.parse_error else call.arguments,
                },
            }
            for call in message.tool_calls or ()
        ],
    }


def _tool_info(schema: dict[str, Any]) -> ToolInfo:
    function = schema["function"]
    return ToolInfo(
        name=function["name"],
        description=function["description"],
        parameters=ToolParams.model_validate(_plain(function["parameters"])),
    )


def _plain(schema: Any, definitions: dict[str, Any] | None = None) -> Any:
    """A JSON schema without references, which inspect's tools do not have; where one refers to itself, anything goes."""
    if isinstance(schema, dict):
        known = {**(definitions or {}), **schema.get("$defs", {})}
        if "$ref" in schema:
            return _plain(known.pop(schema["$ref"].rpartition("/")[2], {}), known)
        return {key: _plain(value, known) for key, value in schema.items() if key != "$defs"}
    return [_plain(item, definitions) for item in schema] if isinstance(schema, list) else schema


@scorer(metrics=[mean(), stderr()])
def official_reward() -> Scorer:
    """tau2-bench's reward."""

    async def score(state: TaskState, target: Target) -> Score:
        played = state.metadata[PLAYED]
        official = played["official_reward"]
        if official is None:
            return Score(value=float("nan"), explanation="only a judge can grade this task")
        how = {name: played[name] for name in ("termination", "checks", "reward", "rewards")}
        return Score(value=official, answer=played["termination"], metadata=how)

    return score


@scorer(metrics=[mean(), stderr()])
def partial_score() -> Scorer:
    """Φ at the end."""

    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=state.metadata[PLAYED]["partial_score"])

    return score


__all__ = ["official_reward", "partial_score", "play", "tau2"]
