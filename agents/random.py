"""An agent that does anything at all."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from agents.base import Action, AgentView
from tau2_gym.domains.base import get_domain
from tau2_gym.spaces import ActionSpace


@dataclass(frozen=True)
class RandomAgent:
    """Samples the action space: sentences, and valid calls of the agent's own tools.

    Attributes:
        source: where the domain comes from, for real values to put into arguments.
    """

    source: str = "inspect-evals"

    def act(self, view: AgentView, seed: int) -> Action:
        """A sample that depends on the seed and the turn only."""
        domain = get_domain(view.domain, self.source)
        names = {tool["function"]["name"] for tool in view.tools}
        tools = {
            name: spec
            for name, spec in {**domain.agent_tools, **domain.user_tools}.items()
            if name in names
        }
        # A string seeds Python's generator the same way in every process.
        state = random.Random(f"{seed}/{view.turn}").getrandbits(64)
        return ActionSpace(domain, tools, seed=np.random.default_rng(state)).sample()
