"""GRPO in one file, read from top to bottom: rollouts, advantages, loss, step.

`python -m examples.grpo_loop` takes four minutes on a laptop, `--steps 10` half a minute. So that no
GPU is needed, the policy is not a language model: it reads the last message as a bag of words, and
picks one of 17 moves, each a message or a tool call. The rest is the real thing: tasks, tools, user,
a reward at every step, groups forked from one episode, held-out tasks to evaluate on. Suffixes are
shapes: b steps of all episodes, g episodes of a group, t turns, f features, m moves.
"""

import json
import random
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

import torch
import typer
from torch import Tensor, nn

from agents.telecom import TRANSFER_SENTENCE
from tau2_gym.domains.base import get_domain
from tau2_gym.envs.agent_env import Tau2Env

ASKS = """turn off airplane mode; take the SIM card out and put it back in; turn on mobile data; \
set the network mode to 4G/5G preferred; turn on data roaming; turn off data saver mode; \
turn off Wi-Fi calling; disconnect the VPN; grant the messaging app the SMS and storage permissions; \
reset the APN settings and restart your phone; check the payment request and make the payment"""
OTHERS = """enable_roaming(customer_id="{customer_id}", line_id="{line_id}")
refuel_data(customer_id="{customer_id}", line_id="{line_id}", gb_amount=2.0)
send_payment_request(customer_id="{customer_id}", bill_id="{bill_id}")
resume_line(customer_id="{customer_id}", line_id="{line_id}")
transfer_to_human_agents(summary="The problem could not be solved.")
Is there anything else I can help you with?"""
MOVES = [*(f"Please {ask}." for ask in ASKS.split("; ")), *OTHERS.splitlines()]
BUCKETS, TURNS, EPOCHS, ENTROPY = 2048, 25, 4, 0.03
FEATURES = BUCKETS + len(MOVES)


def words(place: str, text: str) -> list[int]:
    """The features that the words of a text set, hashed into `BUCKETS`."""
    return [zlib.crc32(f"{place} {word}".encode()) % BUCKETS for word in text.lower().split()]


@dataclass
class Episode:
    """An environment, what is known about its customer, and what was done in each turn."""

    env: Tau2Env
    heard: str
    account: dict[str, Any] = field(default_factory=dict)
    known: list[int] = field(default_factory=list)
    turns: list[tuple[Tensor, int, float]] = field(default_factory=list)  # state, move, logprob
    rewards: list[float] = field(default_factory=list)
    over: bool = False
    solved: bool = False

    def step(self, action: str) -> float:
        """Say something, or call a tool. Every step is paid, not only the last."""
        self.heard, reward, terminated, truncated, info = self.env.step(action)
        self.over = terminated or truncated or len(self.turns) == TURNS
        self.solved = info["official_reward"] == 1.0
        return float(reward)

    def _look_up(self, call: str) -> Any:
        self.step(call)
        return json.loads(self.heard)


def begin(task_id: str, seed: int) -> Episode:
    """An episode in which the customer has just been identified."""
    env = Tau2Env("telecom")
    start = Episode(env, env.reset(seed=seed, options={"task_id": task_id})[0])
    start.known = words("problem", start.heard)
    start.step("I can help with that. What is your phone number?")
    number = re.findall(r"\d{3}-\d{3}-\d{4}", start.heard)[-1]
    customer = start._look_up(f'get_customer_by_phone(phone_number="{number}")')
    ids = customer["line_ids"] + customer["bill_ids"]
    found = [start._look_up(f'get_details_by_id(id="{one}")') for one in ids]
    line = next(one for one in found if one.get("phone_number") == number)
    bill = next((one for one in found if one["status"] == "Overdue"), {"bill_id": "none"})
    start.account = {**customer, **line, **bill}
    start.known += words("account", f"{line} {bill}")
    return start


def rollout(policy: nn.Module, episodes: list[Episode]) -> None:
    """Play the episodes to their ends, side by side: one pass of the policy per turn."""
    while running := [episode for episode in episodes if not episode.over]:
        x_bf = torch.zeros(len(running), FEATURES)
        for x_f, episode in zip(x_bf, running, strict=True):
            made = [BUCKETS + move for _, move, _ in episode.turns]
            x_f[[*episode.known, *words("heard", episode.heard), *made]] = 1
        logp_bm = policy(x_bf).log_softmax(-1).detach()
        move_b = torch.multinomial(logp_bm.exp(), 1)[:, 0].tolist()
        for episode, x_f, logp_m, move in zip(running, x_bf, logp_bm, move_b, strict=True):
            episode.turns.append((x_f, move, float(logp_m[move])))
            reward = episode.step(MOVES[move].format(**episode.account))
            if "transfer" in MOVES[move] and not episode.over:
                reward += episode.step(TRANSFER_SENTENCE)
            episode.rewards.append(reward)


def advantages_gt(group: list[Episode]) -> list[Tensor]:
    """Each turn's rewards to come, less the group's mean at that turn, over the totals' deviation."""
    togos_t = [torch.tensor(e.rewards).flip(0).cumsum(0).flip(0) for e in group]
    togo_gt = nn.utils.rnn.pad_sequence(togos_t, batch_first=True)  # nothing comes after the end
    adv_gt = (togo_gt - togo_gt.mean(0)) / (togo_gt[:, 0].std() + 1e-4)
    return [adv_t[: len(episode.rewards)] for adv_t, episode in zip(adv_gt, group, strict=True)]


def update(policy: nn.Module, adam: torch.optim.Adam, groups: list[list[Episode]]) -> None:
    """A few steps on PPO's clipped loss, with a bonus for entropy."""
    turns = [turn for group in groups for episode in group for turn in episode.turns]
    x_bf = torch.stack([x_f for x_f, _, _ in turns])
    move_b, old_b = (torch.tensor([turn[i] for turn in turns]) for i in (1, 2))
    adv_b = torch.cat([adv_t for group in groups for adv_t in advantages_gt(group)])
    for _ in range(EPOCHS):
        logp_bm = policy(x_bf).log_softmax(-1)
        ratio_b = (logp_bm.gather(-1, move_b[:, None])[:, 0] - old_b).exp()
        gain_b = torch.min(ratio_b * adv_b, ratio_b.clamp(0.8, 1.28) * adv_b)
        entropy_b = -(logp_bm.exp() * logp_bm).sum(-1)
        adam.zero_grad()
        (-gain_b - ENTROPY * entropy_b).mean().backward()
        adam.step()


def main(steps: int = 100, tasks: int = 12, group: int = 8, seed: int = 0) -> None:
    """Learn to help telecom's customers, and show on held-out tasks how well."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    policy = nn.Sequential(nn.Linear(FEATURES, 128), nn.ReLU(), nn.Linear(128, len(MOVES)))
    adam = torch.optim.Adam(policy.parameters(), lr=3e-3)
    train, test = (get_domain("telecom").task_ids(split) for split in ("train", "test"))
    for step in range(steps + 1):
        if step % 10 == 0:
            held_out = [begin(task_id, trial) for trial in (0, 1) for task_id in test]
            rollout(policy, held_out)
            print(f"step {step:3}: {sum(e.solved for e in held_out)} of {len(held_out)} solved")
        groups = []
        for task_id in chance.sample(train, tasks):
            start = begin(task_id, chance.getrandbits(31))
            forks = start.env.fork(group)
            groups.append([Episode(e, start.heard, start.account, start.known) for e in forks])
        rollout(policy, [episode for episodes in groups for episode in episodes])
        update(policy, adam, groups)


if __name__ == "__main__":
    typer.run(main)
