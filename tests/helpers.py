"""What several tests need: the domains, small users, digests of databases, ways to play."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import tau2_gym
from tau2_gym.actions import parse_action
from tau2_gym.domains import DOMAINS, inspect_evals
from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.domains.world import World
from tau2_gym.judge import JudgeFault, Verdict
from tau2_gym.spaces import examples, sample_arguments
from tau2_gym.types import Message, Task, ToolCall, ToolKind
from tau2_gym.users.base import STOP, UserView

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "conformance"
"""Recordings of tau2-bench, which lie beside the repository where they are at hand."""

needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recordings of tau2-bench are not beside the repository"
)

CLOSING = "That is all done. Is there anything else I can help you with?"


@cache
def recorded(name: str) -> list[dict[str, Any]]:
    """The rows of a recording."""
    with gzip.open(RECORDINGS / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


# Users


@dataclass(frozen=True)
class Puppet:
    """Says nothing of its scenario, runs the tools it is asked for, and stops at `CLOSING`."""

    def respond(self, view: UserView, seed: int) -> Message:
        last = view.messages[-1]
        if last.role == "tool":
            return Message("user", "Done.")
        said = last.content or ""
        asked = re.search(r"run (\w+)\((.*)\)", said, re.DOTALL)
        if asked and asked[1] in {tool.name for tool in view.tools}:
            call = parse_action(f"{asked[1]}({asked[2]})", [asked[1]]).tool_calls[0]
            return user_call(call.name, call.arguments, len(view.messages))
        if CLOSING in said:
            return Message("user", f"Thank you. {STOP}")
        return Message("user", f"Hm. I am caller {seed % 1000}.")


@dataclass(frozen=True)
class Restless:
    """Calls its own tools at random, and seldom stops."""

    calls: float = 0.5
    stops: float = 0.01

    def respond(self, view: UserView, seed: int) -> Message:
        chance = random.Random(f"{seed}/{len(view.messages)}")
        if chance.random() < self.stops:
            return Message("user", STOP)
        if view.tools and chance.random() < self.calls:
            tool = chance.choice(view.tools)
            rng = np.random.default_rng(chance.getrandbits(64))
            arguments = sample_arguments(tool, examples(get_domain(view.domain)), rng)
            return user_call(tool.name, arguments, len(view.messages))
        return Message("user", f"I say {chance.randrange(10)}.")


class Leaves:
    """A user who hangs up before the agent's first turn."""

    def respond(self, view: UserView, seed: int) -> Message:
        return Message("user", STOP)


@dataclass(frozen=True)
class Fixed:
    """A judge whose mind is made up; None fails."""

    met: bool | None

    async def decide(
        self, messages: Sequence[Message], assertions: Sequence[str]
    ) -> tuple[Verdict, ...]:
        if self.met is None:
            raise JudgeFault("asleep")
        return tuple(Verdict(text, self.met) for text in assertions)


def user_call(name: str, arguments: dict[str, Any] | None = None, number: int = 0) -> Message:
    call = ToolCall(name, arguments or {}, f"user_{number}", "user")
    return Message("user", tool_calls=(call,))


def agent_call(name: str, arguments: dict[str, Any] | None = None, number: int = 0) -> Message:
    return Message("assistant", tool_calls=(ToolCall(name, arguments or {}, f"agent_{number}"),))


def block(name: str, **arguments: Any) -> str:
    """A tool call as an agent writes it."""
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


# Databases


def digest(domain: Domain) -> str:
    """A hash of every field of every row of both of a domain's databases."""
    found = hashlib.sha256()
    for side in (domain.sides.agent, domain.sides.user):
        for name, content in ({} if side is None else side.database.fields).items():
            if isinstance(content, dict):
                rows: Any = content.items()
            else:
                rows = enumerate(content if isinstance(content, list) else [content])
            for key, row in rows:
                found.update(f"{name}/{key}/{type(row).__name__}".encode())
                found.update(row.model_dump_json().encode())
    return found.hexdigest()


@cache
def pristine(name: str) -> str:
    """The digest of a domain's databases, read again from their files."""
    return digest(inspect_evals.load(name, None))


def assert_pristine(*names: str) -> None:
    for name in names or DOMAINS:
        assert digest(get_domain(name)) == pristine(name), f"the database of {name} was written to"


# Playing


def make(name: str, user: Any = None, **kwargs: Any) -> tau2_gym.envs.agent_env.Tau2Env:
    """A bare environment with a small user."""
    env = gym.make(f"tau2/{name}-v0", user=user or Puppet(), disable_env_checker=True, **kwargs)
    return env.unwrapped  # type: ignore[return-value]


def some(name: str, count: int, seed: int = 0) -> list[Task]:
    """A few tasks of a domain, always the same ones."""
    domain = get_domain(name)
    ids = domain.task_ids("base")
    chosen = random.Random(f"{name}/{seed}").sample(ids, min(count, len(ids)))
    return [domain.task(task_id) for task_id in chosen]


def gold_calls(task: Task) -> list[ToolCall]:
    actions = (task.criteria and task.criteria.actions) or ()
    return [
        ToolCall(action.name, action.arguments, f"gold_{index}", action.requestor)
        for index, action in enumerate(actions)
    ]


def gold_moves(task: Task) -> list[str]:
    """What an agent that knows the answer would do."""
    moves = []
    for call in gold_calls(task):
        if call.requestor == "assistant":
            moves.append(block(call.name, **call.arguments))
        else:
            arguments = ", ".join(f"{k}={v!r}" for k, v in call.arguments.items())
            moves.append(f"Please run {call.name}({arguments}).")
    said = (task.criteria and task.criteria.communicate) or ()
    return [*moves, *([" ".join(said)] if said else []), CLOSING]


def after_gold(domain: Domain, task: Task) -> World:
    """The world after the expected actions, played."""
    world = domain.start(task)
    for call in gold_calls(task):
        world.call(call.name, call.arguments, call.requestor)
    return world


def random_call(domain: Domain, rng: np.random.Generator, *, writes_only: bool = False) -> ToolCall:
    """A call of any tool of either side."""
    tools = [
        (tool, side)
        for side, specs in (("assistant", domain.agent_tools), ("user", domain.user_tools))
        for tool in specs.values()
        if tool.kind is ToolKind.WRITE or not writes_only
    ]
    tool, side = tools[int(rng.integers(len(tools)))]
    return ToolCall(tool.name, sample_arguments(tool, examples(domain), rng), "", side)  # type: ignore[arg-type]


def run(
    env: Any, act: Callable[[int, dict[str, Any]], Any], steps: int = 1000, **reset: Any
) -> Iterator[tuple[str, float, bool, bool, dict[str, Any]]]:
    """Play one episode; `act` gives the action from its number and the last info."""
    observation, info = env.reset(**reset)
    yield observation, 0.0, False, False, info
    for number in range(steps):
        outcome = env.step(act(number, info))
        yield outcome
        info = outcome[4]
        if outcome[2] or outcome[3]:
            return


def public(info: dict[str, Any]) -> str:
    """What of an `info` an agent may see, as text."""
    shown = {key: value for key, value in info.items() if key != "privileged"}
    return json.dumps(shown, ensure_ascii=False)


def written(outcome: tuple[Any, ...]) -> str:
    """All of a step or reset that is plain data, as text to compare."""
    *rest, info = outcome
    plain = {key: value for key, value in info.items() if key != "privileged"}
    trajectory = [message.to_dict() for message in info["privileged"]["trajectory"]]
    return json.dumps([*rest, plain, trajectory])


def fingerprints() -> list[str]:
    """Hashes of two games in every domain with the default user, to compare processes."""
    return [fingerprint(name, seed) for name in DOMAINS for seed in (1, 2)]


def fingerprint(name: str, seed: int) -> str:
    env = gym.make(f"tau2/{name}-v0")
    env.action_space.seed(seed)
    asked = iter(env.unwrapped.domain.user_tools)  # type: ignore[attr-defined]

    def act(number: int, info: dict[str, Any]) -> Any:
        tool = next(asked, None) if number % 2 else None
        return f"Please run {tool}()." if tool else env.action_space.sample()

    game = [written(outcome) for outcome in run(env, act, 20, seed=seed)]
    return hashlib.sha256("\n".join(game).encode()).hexdigest()
