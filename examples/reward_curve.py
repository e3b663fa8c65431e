"""Draw what an episode earns, turn by turn: `python -m examples.reward_curve OUTPUT.png`.

One telecom task of the test split, played by the workflow agent with the scripted user. Above, the
partial score after each of the agent's turns, with the turns that raised it named by what the agent
or, at its request, the user did. Below, the reward of each turn. Needs matplotlib.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import matplotlib as mpl

import tau2_gym  # noqa: F401  registers the environments
from agents.base import AgentView
from agents.workflow import WorkflowAgent

mpl.use("Agg")
import matplotlib.pyplot as plt

TASK = (
    "[mms_issue]airplane_mode_on|bad_wifi_calling|break_app_both_permissions|data_mode_off|"
    "data_usage_exceeded|unseat_sim_card|user_abroad_roaming_enabled_off[PERSONA:None]"
)
INK, PROGRESS, OFFICIAL = "#222222", "#1b6ca8", "#d1495b"


def play(task_id: str) -> list[dict[str, Any]]:
    """The `info` of every turn of an episode, the reset's first."""
    env = gym.make("tau2/telecom-v0", task_ids=[task_id])
    agent = WorkflowAgent()
    _, info = env.reset(seed=0)
    infos = [info]
    done = False
    while not done:
        action = agent.act(AgentView.from_info(info), seed=0)
        _, _, terminated, truncated, info = env.step(action)
        infos.append(info)
        done = terminated or truncated
    return infos


def deeds(info: dict[str, Any]) -> list[str]:
    """What was called in a turn: by the user on the agent's request, or by the agent."""
    user = [call["name"] for call in info["attribution"]]
    calls = next(m for m in reversed(info["messages"]) if m["role"] == "assistant")
    agent = [call["function"]["name"] for call in calls.get("tool_calls") or ()]
    writes = [name for name in user + agent if not name.startswith(("check", "get", "can", "run"))]
    return writes or user + agent


def draw(infos: list[dict[str, Any]], path: str) -> None:
    """Write the picture."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 5.4), sharex=True, height_ratios=(2.4, 1), layout="constrained"
    )
    turns = range(len(infos))
    scores = [info["partial_score"] for info in infos]
    above.step(turns, scores, where="post", color=PROGRESS, linewidth=2)
    for turn in turns[1:]:
        if scores[turn] > scores[turn - 1] + 1e-9:
            text = "\n".join(dict.fromkeys(deeds(infos[turn])))
            above.annotate(
                text, (turn, scores[turn]), xytext=(-4, 3), textcoords="offset points",
                ha="right", va="bottom", fontsize=7, color=INK,
            )  # fmt: skip
    above.set_ylabel("partial score Φ")
    above.set_ylim(0, 1.12)
    above.set_title(
        "A reward at every step: one telecom test task, workflow agent, scripted user", loc="left"
    )
    for name, colour, label in (
        ("progress", PROGRESS, "progress α·ΔΦ"),
        ("official", OFFICIAL, "official reward"),
    ):
        amounts = [info["reward_terms"].get(name, 0.0) for info in infos]
        below.bar(turns, amounts, color=colour, label=label, width=0.7)
    below.set_yscale("symlog", linthresh=0.05)
    below.set_yticks([0, 0.01, 0.05, 0.1, 1], ["0", ".01", ".05", ".1", "1"])
    below.set_ylabel("reward")
    below.set_xticks(turns)
    below.set_xlabel("turn of the agent")
    below.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m examples.reward_curve OUTPUT.png")
    draw(play(TASK), sys.argv[1])
