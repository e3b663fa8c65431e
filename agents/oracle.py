"""An agent that knows the answer: the ceiling, and a check that tasks can be solved."""

from __future__ import annotations

import json
from dataclasses import dataclass

from agents.base import Action, AgentView
from tau2_gym.actions import format_action
from tau2_gym.types import Criteria, Message, Task, ToolCall

CLOSING = "That is all done. Is there anything else I can help you with?"


@dataclass(frozen=True)
class OracleAgent:
    """Plays the expected actions in order: its own by calling, the user's by asking for them.

    Then it says what the task wants to be said, and closes; or, where an answer ends the episode, it
    answers. The only agent that reads
    `view.privileged`.
    """

    def act(self, view: AgentView, seed: int) -> Action:
        """The `view.turn`-th move of the plan; after the plan, the closing again."""
        moves = plan(view.privileged["task"], solo=view.ticket is not None)
        return moves[min(view.turn, len(moves) - 1)]


def plan(task: Task, *, solo: bool = False) -> list[str]:
    """The moves that solve a task. In solo mode the agent has the user's tools itself."""
    criteria = task.criteria or Criteria()
    moves = []
    for action in criteria.actions or ():
        if action.requestor == "assistant" or solo:
            call = ToolCall(action.name, action.arguments)
            moves.append(format_action(Message("assistant", tool_calls=(call,))))
        else:
            arguments = ", ".join(f"{k}={json.dumps(v)}" for k, v in action.arguments.items())
            moves.append(f"Please run {action.name}({arguments}) on your device.")
    if solo:
        return [*moves, "###STOP###"]
    if criteria.answer is not None:
        return [*moves, criteria.answer]
    if criteria.communicate:
        moves.append(f"For your information: {'; '.join(criteria.communicate)}.")
    return [*moves, CLOSING]
