"""The floor: an agent that talks and never acts."""

from __future__ import annotations

from dataclasses import dataclass

from agents.base import Action, AgentView


@dataclass(frozen=True)
class NoopAgent:
    """Thanks the user and asks whether there is anything else. Calls no tool, asks for nothing.

    What it earns is what a domain gives away: tasks that want nothing changed.
    """

    def act(self, view: AgentView, seed: int) -> Action:
        """Always the same courtesy."""
        return "Thank you for contacting us. Is there anything else I can help you with?"
