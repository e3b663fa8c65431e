"""The tools of one episode as an MCP server, so that any MCP client can be the agent.

    tau2-gym serve mcp telecom --seed 0 --output runs/mine.jsonl

The client is told the policy as the server's instructions. Besides the domain's tools it has `respond(message)`, which
says something to the user and returns what the user answers. What the user has said first is in the instructions. What the agent must not see stays here; what the attempt earned is written to the output when it ends.
"""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from tau2_gym.actions import as_assistant
from tau2_gym.domains.instruction import official_prompt
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.results.record import Record
from tau2_gym.types import Message, ToolCall

RESPOND = "respond"
OVER = "The conversation is over. There is nothing more to do."

TALKING = (
    "You talk to the user through the tool respond: what you pass is said to the user, and what it returns is the user's "
    "answer. The user has said: {}"
)


class Episode:
    """One episode, whose agent is an MCP client.

    Args:
        env: the environment.
        seed: decides the task, unless it is given, and what the user says.
        task_id: the task; None to have the seed draw one.

    Attributes:
        record: the attempt so far.
        over: whether the episode has ended.
    """

    def __init__(self, env: Tau2Env, seed: int, task_id: str | None = None) -> None:
        self.env = env
        options = None if task_id is None else {"task_id": task_id}
        self.opening, info = env.reset(seed=seed, options=options)
        self.record = Record(
            domain=info["domain"],
            task_id=info["task_id"],
            trial=0,
            seed=seed,
            revision=info["revision"],
        )
        self.record.observe(info)
        self.over = info["termination"] is not None
        self._calls = 0

    @property
    def instructions(self) -> str:
        """What the agent is told: tau2-bench's prompt, how to talk, and what the user has said."""
        domain = self.env.domain
        prompt = official_prompt(domain.agent_instruction, domain.policy)
        return f"{prompt}\n\n{TALKING.format(self.opening)}"

    def tools(self) -> list[types.Tool]:
        """The domain's tools, and `respond`."""
        found = [
            types.Tool(
                name=name,
                description=tool.schema["function"]["description"],
                inputSchema=dict(tool.parameters),
            )
            for name, tool in self.env.domain.agent_tools.items()
        ]
        schema = {
            "type": "object",
            "properties": {"message": {"type": "string", "description": "What to say."}},
            "required": ["message"],
        }
        said = "Say something to the user, and get the user's answer."
        return [*found, types.Tool(name=RESPOND, description=said, inputSchema=schema)]

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """What a tool answers."""
        if self.over:
            return OVER
        if name == RESPOND:
            message = Message("assistant", str(arguments.get("message", "")))
        else:
            call = ToolCall(name, arguments, f"call_{self._calls}")
            message = Message("assistant", tool_calls=(call,))
        self._calls += 1
        observation, _, terminated, truncated, info = self.env.step(as_assistant(message))
        self.record.observe(info)
        self.record.pay(info["reward_terms"])
        self.over = terminated or truncated
        return f"{observation}\n\n{OVER}".strip() if self.over else observation

    def finished(self) -> Record:
        """The record, with the whole conversation. An episode that was left is officially worth 0."""
        session = self.env._session
        assert session is not None
        if not self.over:
            self.record.termination, self.record.official_reward = "agent_left", 0.0
        self.record.messages = [message.to_dict() for message in session.episode.messages]
        return self.record


def server(episode: Episode) -> Server[Any]:
    """The MCP server of an episode."""
    made: Server[Any] = Server("tau2-gym", instructions=episode.instructions)

    @made.list_tools()
    async def list_tools() -> list[types.Tool]:
        return episode.tools()

    # What is wrong with arguments is for the domain's tools to say, as in the environment.
    @made.call_tool(validate_input=False)
    async def call_tool(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
        text = await anyio.to_thread.run_sync(episode.call, name, arguments or {})
        return [types.TextContent(type="text", text=text)]

    return made


async def serve(episode: Episode) -> None:
    """Serve an episode over standard input and output, until the client leaves."""
    made = server(episode)
    async with stdio_server() as (reads, writes):
        await made.run(reads, writes, made.create_initialization_options())
