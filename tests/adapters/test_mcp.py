"""MCP's own client is the agent of an episode in another process."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp.client.stdio", reason="mcp is not installed")

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from typer.testing import CliRunner

from agents.oracle import plan
from tau2_gym.actions import parse_action
from tau2_gym.adapters.mcp import OVER
from tau2_gym.adapters.serve import app
from tau2_gym.domains.base import get_domain
from tau2_gym.results.run import read_run
from tests.helpers import make

DOMAINS = ("airline", "retail", "telecom", "mock")


@asynccontextmanager
async def client(*options: str) -> AsyncIterator[tuple[ClientSession, Any]]:
    code = "from tau2_gym.cli import app; app(prog_name='tau2-gym')"
    server = StdioServerParameters(
        command=sys.executable, args=["-c", code, "serve", "mcp", *options]
    )
    async with stdio_client(server) as (reads, writes), ClientSession(reads, writes) as session:
        yield session, await session.initialize()


def text(result: Any) -> str:
    return str(result.content[0].text)


async def oracle(session: ClientSession, domain: str, task: str) -> list[str]:
    """Play the plan through MCP; what came back."""
    world, said = get_domain(domain), list[str]()
    moves = plan(world.task(task))
    for turn in range(60):
        message = parse_action(moves[min(turn, len(moves) - 1)], world.agent_tools)
        if message.tool_calls:
            (call,) = message.tool_calls
            result = await session.call_tool(call.name, call.arguments)
        else:
            result = await session.call_tool("respond", {"message": message.content})
        said.append(text(result))
        if said[-1].endswith(OVER):
            break
    return said


def run(scenario: Callable[[], Any]) -> Any:
    return anyio.run(scenario)


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_episode_over_mcp_is_the_same_episode(domain: str, tmp_path: Path) -> None:
    task = get_domain(domain).task_ids("base")[0]
    output = tmp_path / "mcp.jsonl"

    async def scenario() -> list[str]:
        async with client(domain, "--task", task, "--output", str(output)) as (session, _):
            return await oracle(session, domain, task)

    said = run(scenario)
    env = make(domain, user="scripted")
    env.reset(seed=0, options={"task_id": task})
    moves, expected, total, ended = plan(get_domain(domain).task(task)), list[str](), 0.0, False
    while not ended:
        move = moves[min(len(expected), len(moves) - 1)]
        observation, reward, terminated, truncated, info = env.step(move)
        expected.append(observation)
        ended, total = terminated or truncated, total + reward
    assert said[:-1] == expected[:-1]
    (row,) = read_run(output).rows
    assert row["reward"] == pytest.approx(total)
    assert row["official_reward"] == info["official_reward"]
    assert (row["task_id"], row["num_turns"]) == (task, len(expected))
    assert [message["role"] for message in row["messages"]] == [
        message.role for message in info["privileged"]["trajectory"]
    ]


def test_what_the_client_is_told() -> None:
    async def scenario() -> tuple[Any, Any, list[str]]:
        async with client("telecom", "--seed", "3") as (session, hello):
            tools = await session.list_tools()
            wrong = [
                text(await session.call_tool("nope", {})),
                text(await session.call_tool("get_customer_by_phone", {"phone": 5})),
                text(await session.call_tool("toggle_data", {})),
            ]
            return hello, tools, wrong

    hello, tools, wrong = run(scenario)
    world = get_domain("telecom")
    assert world.policy in hello.instructions
    assert "The user has said: " in hello.instructions
    assert {tool.name for tool in tools.tools} == {*world.agent_tools, "respond"}
    schemas = {tool.name: tool.inputSchema for tool in tools.tools}
    assert schemas["refuel_data"] == json.loads(
        json.dumps(world.agent_tools["refuel_data"].parameters)
    )
    assert all(said.startswith("Error") for said in wrong)  # The user's tool, too.


def test_an_agent_that_leaves_has_not_solved_the_task(tmp_path: Path) -> None:
    output = tmp_path / "mcp.jsonl"

    async def scenario() -> None:
        async with client("retail", "--output", str(output)) as (session, _):
            await session.call_tool("respond", {"message": "Hello!"})

    run(scenario)
    (row,) = read_run(output).rows
    assert (row["termination"], row["official_reward"], row["num_turns"]) == ("agent_left", 0.0, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["hotel"], "unknown domain 'hotel'"),
        (["retail", "--task", "x"], "unknown task 'x'"),
        (["retail", "--split", "dev"], "unknown split"),
        (["retail", "--user", "nobody"], "unknown user"),
    ],
)
def test_what_cannot_be_served(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["mcp", *options])
    assert (done.exit_code, said in done.output) == (2, True), done.output
