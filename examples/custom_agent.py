"""An agent of one's own, played for one episode: first aid for phones.

python -m examples.custom_agent
python -m examples.custom_agent 7      another seed, so another task
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

import gymnasium as gym

import tau2_gym  # noqa: F401  registers the environments
from agents.base import Action, Agent, AgentView

NUMBER = re.compile(r"\d{3}-\d{3}-\d{4}")
AID = (
    "Please turn off airplane mode.",
    "Please reseat your SIM card.",
    "Please reset your APN settings, and then restart your phone.",
    "Please turn on data roaming.",
)


@dataclass(frozen=True)
class FirstAid:
    """Finds the customer, has them do the same few things on the phone, and hands over.

    What to do next follows from the view alone. Nothing is remembered between turns, so one such
    agent can play hundreds of episodes at a time, forks and resumed ones too.

    Attributes:
        aid: what the customer is asked to do, in order.
    """

    domains = ("telecom",)

    aid: tuple[str, ...] = AID

    def act(self, view: AgentView, seed: int) -> Action:
        """The next action: a tool call, or a text for the user."""
        results = [message for message in view.messages if message["role"] == "tool"]
        said = [message["content"] for message in view.messages if message["role"] == "user"]
        told = [message["content"] for message in view.messages if message["role"] == "assistant"]
        if not results:
            number = NUMBER.search(" ".join(said))
            if number is None:
                return "I can help with that. What is your phone number?"
            return call("get_customer_by_phone", phone_number=number[0])
        rest = [step for step in self.aid if step not in told]
        if rest:
            return rest[0]
        if len(results) == 1:
            return call("transfer_to_human_agents", summary=f"Tried: {' '.join(self.aid)}")
        return "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."


def call(name: str, **arguments: str) -> Action:
    """A tool call in one of the forms that environments take."""
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}}]}


def main(seed: int = 0) -> None:
    """Play one episode and show it."""
    agent: Agent = FirstAid()
    env = gym.make("tau2/telecom-v0", render_mode="human")  # prints the conversation
    _, info = env.reset(seed=seed)
    done = False
    while not done:
        action = agent.act(AgentView.from_info(info), seed)
        _, reward, terminated, truncated, info = env.step(action)
        print(f"earned {float(reward):.3f}")
        done = terminated or truncated
    print(f"ended by {info['termination']}")
    print(f"official reward {info['official_reward']}, partial score {info['partial_score']:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
