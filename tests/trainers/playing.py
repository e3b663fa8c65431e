"""Attempts to make rows of: played by the workflow agent, and by a model that says what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from agents import make_agent
from agents.attempts import Attempt, attempt_seed
from agents.backends.base import Generation
from agents.codec import ChatCodec
from agents.prompts import make_prompt
from agents.rollout import Player, rollout
from agents.sampling import SamplingParams
from agents.token_agent import TokenAgent
from tau2_gym.domains.base import get_domain
from tau2_gym.rules import Rules
from tau2_gym.users import make_user

TASKS = get_domain("telecom").task_ids("train")

LINES = (
    "Sure.  What is your phone number?",
    'Let me look.\n<tool_call>{"name":"get_customer_by_phone",  "arguments": '
    '{"phone_number": "555-123-2002"}}</tool_call>',
    "Please check the status bar.",
)
"""What no template would write in quite the same way."""


@dataclass(frozen=True)
class Parrot:
    """A backend that says the lines in turn. `spelled`: letter by letter, as no tokenizer would;
    `cut`: every turn is cut off, or that one."""

    tokenizer: Any
    lines: Sequence[str] = LINES
    spelled: bool = False
    cut: bool | int = False

    async def ready(self) -> int:
        return 32768

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        turn = int(rid.partition("/")[2])
        line = self.lines[turn % len(self.lines)]
        cut = self.cut if isinstance(self.cut, bool) else self.cut == turn
        parts = list(line) if self.spelled else [line]
        said = [token for part in parts for token in self.tokenizer.encode(part)]
        sampled = (*said, *([] if cut else stop_ids))
        versions = (("parrot", len(sampled)),)
        reason = "length" if cut else "stop"
        return Generation(sampled, (0.0,) * len(sampled), reason, versions)  # type: ignore[arg-type]

    async def close(self) -> None:
        pass


@cache
def workflow_attempts(tasks: int = 4, samples: int = 2) -> tuple[dict[str, Any], ...]:
    player = Player(make_agent("workflow"), make_user("scripted"))
    return _play(player, [(task, trial) for task in TASKS[:tasks] for trial in range(samples)])


def parrot_attempt(parrot: Parrot, prompt: str = "compact") -> dict[str, Any]:
    codec = ChatCodec(parrot.tokenizer, tools=prompt != "bare")
    agent = TokenAgent(codec, parrot, SamplingParams(), make_prompt(prompt))
    player = Player(agent, make_user("scripted"), Rules(max_steps=13), keep_tokens=True)
    (attempt,) = _play(player, [(TASKS[0], 0)])
    return attempt


def _play(player: Player, chosen: Sequence[tuple[str, int]]) -> tuple[dict[str, Any], ...]:
    attempts = [
        Attempt("telecom", task, trial, attempt_seed(0, "telecom", task, trial))
        for task, trial in chosen
    ]

    async def play() -> dict[tuple[str, int], Any]:
        return {
            (record.task_id, record.trial): record
            async for record in rollout(player.play, attempts, 8)
        }

    records = asyncio.run(play())
    # As they are read from a file.
    return tuple(json.loads(json.dumps(records[which].to_dict())) for which in chosen)
