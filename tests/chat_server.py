"""A real HTTP server that speaks OpenAI's chat completions, strictly: it refuses what OpenAI refuses.

What it answers is decided by a brain, a function of the request's body: a script, or a model
(`ModelBrain`). A brain can also misbehave: answer with an error, hang, drop the connection, or say
something that is not a completion.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tau2_gym.actions import parse_action
from tau2_gym.users.base import STOP
from tests.helpers import CLOSING

web = pytest.importorskip("aiohttp.web")


@dataclass(frozen=True)
class Status:
    """An error response."""

    status: int
    body: Any = field(default_factory=lambda: {"error": {"message": "no"}})
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """No answer for so many seconds, then one."""

    seconds: float
    text: str = "Sorry for the delay."


class Drop:
    """The connection is closed without an answer."""


@dataclass(frozen=True)
class Whole:
    """The whole body of the response, whatever it is."""

    body: Any


# A dict is the message; `finish_reason`, `usage` and `choice` in it go where they belong.
Answer = str | dict[str, Any] | Status | Hang | Drop | Whole
Brain = Callable[[dict[str, Any]], Answer | Awaitable[Answer]]

FIELDS = {
    "model", "messages", "tools", "tool_choice", "temperature", "top_p", "max_tokens", "seed",
    "stop", "logprobs", "n", "stream",
    # what SGLang and vLLM take besides
    "chat_template_kwargs", "return_token_ids", "return_prompt_token_ids", "return_meta_info",
}  # fmt: skip


class ChatServer:
    """The server, on a thread of its own. Use it as a context manager.

    Attributes:
        brain: decides the answers; may be changed at any time.
        requests: the bodies received, in order.
        keys: the bearer tokens that came with them.
        url: the base URL.
        connections: how many have been opened.
    """

    def __init__(self, brain: Brain = lambda body: "Hello.") -> None:
        self.brain = brain
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._peers: set[Any] = set()

    @property
    def connections(self) -> int:
        return len(self._peers)

    def __enter__(self) -> ChatServer:
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._complete)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self._peers.add(request.transport.get_extra_info("peername"))
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization", "").removeprefix("Bearer ") or None)
        problem = what_is_wrong(body)
        if problem:
            return web.json_response({"error": {"message": problem}}, status=400)
        answer = self.brain(body)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, Hang):
            await asyncio.sleep(answer.seconds)
            answer = answer.text
        if isinstance(answer, Drop):
            request.transport.close()
            return web.Response()
        if isinstance(answer, Status | Whole):
            status = answer.status if isinstance(answer, Status) else 200
            headers = answer.headers if isinstance(answer, Status) else {}
            if isinstance(answer.body, str):
                return web.Response(text=answer.body, status=status, headers=headers)
            return web.json_response(answer.body, status=status, headers=headers)
        return web.json_response(self._completion(body, answer))

    def _completion(self, body: dict[str, Any], answer: str | dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"content": answer} if isinstance(answer, str) else dict(answer)
        finish = message.pop("finish_reason", "tool_calls" if "tool_calls" in message else "stop")
        usage = message.pop("usage", {"prompt_tokens": 100, "completion_tokens": 10})
        more = message.pop("choice", {})
        return {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": None, **message},
                    "finish_reason": finish,
                    "logprobs": None,
                    **more,
                }
            ],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }


def call(name: str, arguments: Any = None, number: int = 0) -> dict[str, Any]:
    """An answer that calls one tool. `arguments` given as text go as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    function = {"name": name, "arguments": text}
    return {"tool_calls": [{"id": f"call-{number}", "type": "function", "function": function}]}


def what_is_wrong(body: Any) -> str:
    """What OpenAI would refuse in a request; empty if it is right."""
    if unknown := set(body) - FIELDS:
        return f"Unrecognized request argument supplied: {', '.join(sorted(unknown))}"
    if not isinstance(body.get("model"), str):
        return "you must provide a model parameter"
    for tool in body.get("tools", ()):
        if tool.get("type") != "function" or "name" not in tool.get("function", {}):
            return "Missing required parameter: 'tools[0].function.name'"
    if body.get("tools") == []:
        return "[] is too short - 'tools'"
    return _wrong_messages(body.get("messages") or [])


def _wrong_messages(messages: Sequence[dict[str, Any]]) -> str:
    if not messages:
        return "[] is too short - 'messages'"
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        calls = message.get("tool_calls")
        where = f"messages[{index}]"
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                return f"{where}: messages with role 'tool' must answer a call before them"
            waiting.discard(message["tool_call_id"])
        elif waiting:
            return f"{where}: these tool calls have no response: {', '.join(waiting)}"
        if role not in ("system", "user", "assistant", "tool"):
            return f"{where}: invalid role {role!r}"
        if role == "system" and index:
            return f"{where}: system messages come first"
        if calls is not None and (role != "assistant" or not calls):
            return f"{where}: invalid tool_calls"
        for item in calls or ():
            if not isinstance(item["function"]["arguments"], str) or not item["id"]:
                return f"{where}: invalid tool call"
            waiting.add(item["id"])
        if not isinstance(content, str) and not (role == "assistant" and content is None and calls):
            return f"{where}: invalid content {content!r}"
    return f"no response to {', '.join(waiting)}" if waiting else ""


# Brains


def puppet(body: dict[str, Any]) -> Answer:
    """A user that runs the tools it is asked for, and stops at `CLOSING`."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return "Done."
    asked = re.search(r"run (\w+)\((.*)\)", last["content"], re.DOTALL)
    offered = {tool["function"]["name"] for tool in body.get("tools", ())}
    if asked and asked[1] in offered:
        parsed = parse_action(f"{asked[1]}({asked[2]})", [asked[1]]).tool_calls[0]
        return call(parsed.name, parsed.arguments, len(body["messages"]))
    return f"Thank you. {STOP}" if CLOSING in last["content"] else "I need help."


def player(moves: Sequence[str]) -> Brain:
    """An agent that makes these moves, as `tests.helpers.gold_moves` gives them."""

    def brain(body: dict[str, Any]) -> Answer:
        taken = sum(message["role"] == "assistant" for message in body["messages"]) - 1
        message = parse_action(moves[min(taken, len(moves) - 1)], ())
        if not message.tool_calls:
            return message.content or ""
        only = message.tool_calls[0]
        return call(only.name, only.arguments, taken)

    return brain


def in_turn(*answers: Answer) -> Brain:
    """These answers one after the other, the last one again and again."""
    left = list(answers)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]
