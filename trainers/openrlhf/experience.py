"""OpenRLHF's samples and experience maker, with rewards for turns and advantages of `trainers.credit`.

An `Experience` has one number per episode, what it earned. What each turn earned travels in the
field `returns`, which OpenRLHF fills only together with the advantages: the amount of a turn is
at its last token, until `compute_advantages_and_returns` puts what was still to come there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

import torch

from trainers.config import GRPOConfig
from trainers.credit import ESTIMATORS, group_advantages
from trainers.openrlhf.gpu_packages import gpu_packages_optional
from trainers.rollout.executor import settings_of_environment

with gpu_packages_optional():
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker
    from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator


class EpisodeSamples(SamplesGenerator):  # type: ignore[misc]
    """Keeps what each turn earned."""

    def _process_response_into_experience(self, response: dict[str, Any], **options: Any) -> Any:
        experience = super()._process_response_into_experience(response, **options)
        rewards = torch.zeros(experience.action_mask.shape, dtype=torch.float32)
        ranges = zip(response["action_ranges"], response["turn_rewards"], strict=True)
        for (_, end), reward in ranges:
            rewards[0, end - 2] = reward  # an action's token t stands at place t − 1
        experience.returns = rewards
        return experience


class ExperienceMaker(RemoteExperienceMaker):  # type: ignore[misc]
    """Computes advantages as the settings say.

    Where `curriculum.advantage` is set, those of a group are multiplied by the weight that its task
    had when it was sampled, `info["weight"]`.

    Args:
        arguments: as OpenRLHF's.
        config: settings; by default those of the environment variable.
        options: as OpenRLHF's.
    """

    def __init__(self, *arguments: Any, config: GRPOConfig | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.config = config or settings_of_environment()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def compute_advantages_and_returns(self, experiences: list[Any]) -> list[Any]:
        """Replace each experience's turn rewards by advantages and returns, (episodes, tokens).

        Raises:
            ValueError: the episodes are not whole groups.
        """
        size = self.args.rollout.n_samples_per_prompt
        rows = [(e, row) for e in experiences for row in range(len(e.sequences))]
        # The place of an episode in the order in which it was sampled, groups one after the other.
        order = [index for e in experiences for index in e.index]
        if len(rows) % size:
            raise ValueError(f"{len(rows)} episodes are not whole groups of {size}")
        for experience in experiences:
            experience.advantages = torch.zeros(experience.action_mask.shape, dtype=torch.float32)
            experience.info["return"] = torch.zeros(len(experience.sequences))
            experience.info["group_reward_std"] = torch.zeros(len(experience.sequences))
        placed = [row for _, row in sorted(zip(order, rows, strict=True), key=lambda it: it[0])]
        for start in range(0, len(placed), size):
            self._group(placed[start : start + size])
        for experience in experiences:
            experience.kl = None
        return experiences

    def _group(self, group: Sequence[tuple[Any, int]]) -> None:
        turns = [turns_of(e.action_mask[row]) for e, row in group]
        rewards = [
            [float(e.returns[row, end - 1]) for _, end in spans]
            for (e, row), spans in zip(group, turns, strict=True)
        ]
        algorithm = self.config.algorithm
        masked = [bool(e.info["masked"][row]) for e, row in group]
        advantages = group_advantages(
            rewards,
            masked,
            credit=algorithm.credit,
            std_norm=algorithm.std_norm,
            gamma=algorithm.gamma,
        )
        weight = 1.0
        if self.config.curriculum.advantage:
            first, row = group[0]
            weight = float(first.info["weight"][row])
        discount = algorithm.gamma if ESTIMATORS[algorithm.credit].discounts else 1.0
        totals = [sum(earned) for earned, hidden in zip(rewards, masked, strict=True) if not hidden]
        spread = float(torch.tensor(totals or [0.0]).std(correction=0))
        for (e, row), spans, earned, worth in zip(group, turns, rewards, advantages, strict=True):
            to_come = 0.0
            for (begin, end), reward, advantage in reversed(
                list(zip(spans, earned, worth, strict=True))
            ):
                to_come = reward + discount * to_come
                e.advantages[row, begin:end] = weight * advantage
                e.returns[row, begin:end] = to_come
            e.info["return"][row] = sum(earned)
            e.info["group_reward_std"][row] = spread


def score_masked(group: Sequence[Any]) -> None:
    """Give the masked episodes of a group the mean score of the others.

    OpenRLHF's dynamic filtering refuses groups whose mean score is 0 or 1. An episode that was not
    finished or graded says nothing about either, and with a score of 0 would make a group that was
    solved
    each time look like one that was not. A group of masked episodes alone keeps its zeros and is
    refused.

    Args:
        group: an experience for each episode.
    """
    scores = [float(e.scores[0]) for e in group if not e.info["masked"][0]]
    for experience in group:
        if scores and experience.info["masked"][0]:
            experience.scores = torch.tensor([fmean(scores)])


def turns_of(mask: torch.Tensor) -> list[tuple[int, int]]:
    """The runs of ones in an action mask, as ranges: between two turns there is always a token that
    the agent did not sample."""
    spans, at = [], 0
    for drawn, run in groupby(mask.tolist()):
        end = at + len(list(run))
        if drawn:
            spans.append((at, end))
        at = end
    return spans
