"""Optimiser steps on experience, with OpenRLHF's `PolicyLoss`."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from trainers.config import GRPOConfig
from trainers.local.learner import Learner
from trainers.openrlhf.gpu_packages import gpu_packages_optional

with gpu_packages_optional():
    from openrlhf.models import PolicyLoss, aggregate_loss
    from openrlhf.models.utils import compute_approx_kl
    from openrlhf.trainer.ppo_utils.experience import (
        make_experience_batch,
        remove_padding_in_sequences,
        split_experience_batch,
    )

Totals = dict[str, torch.Tensor]
"""Tokens and episodes of an optimiser step, which its micro-batches are averaged over."""


class PolicyUpdate:
    """Learns from the experience of one training step at a time.

    Args:
        config: settings of the run.
        learner: the model and its optimiser.
    """

    def __init__(self, config: GRPOConfig, learner: Learner) -> None:
        self.config, self.learner = config, learner
        algorithm = config.algorithm
        low, high = algorithm.clip
        self._loss = PolicyLoss(
            low,
            high,
            dual_clip=algorithm.dual_clip,
            token_level_loss=algorithm.loss == "token-mean",
            is_correction_level="off" if algorithm.correction == "off" else "token",
            is_correction_mode=algorithm.correction.replace("off", "mask"),
            is_correction_threshold=list(algorithm.correction_range),
        )

    def learn(self, experiences: Sequence[Any], rng: random.Random) -> dict[str, float]:
        """Take the optimiser steps of a training step.

        Args:
            experiences: with advantages.
            rng: decides which episodes are in which optimiser step.

        Returns:
            Means over the optimiser steps, under OpenRLHF's names; `logprob_diff_max` is the largest
            difference in nats between a sampled token's log-probability here and in the sampler.
            Empty if all episodes are masked.
        """
        algorithm = self.config.algorithm
        items = [item for batch in experiences for item in split_experience_batch(batch)]
        # Faulted episodes have no part in any mean of the loss.
        items = [item for item in remove_padding_in_sequences(items) if not item.info["masked"]]
        if not items:
            return {}
        size = -(-len(items) // algorithm.updates)
        steps = []
        for _ in range(algorithm.epochs):
            rng.shuffle(items)
            steps += [
                self._step(items[start : start + size]) for start in range(0, len(items), size)
            ]
        means = {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}
        return means | {"logprob_diff_max": max(step["logprob_diff_max"] for step in steps)}

    def _step(self, items: Sequence[Any]) -> dict[str, float]:
        """One optimiser step on some episodes."""
        algorithm, device = self.config.algorithm, self.learner.device
        totals: Totals = {
            "batch_num_tokens": sum(item.action_mask.sum() for item in items).float().to(device),
            "global_batch_size": torch.tensor(float(len(items)), device=device),
        }
        found = dict.fromkeys(("policy_loss", "ppo_clip_ratio", "kl", "logprob_diff_max"), 0.0)
        found["actor_lr"] = self.learner.lr
        if not (algorithm.kl or algorithm.entropy):  # the others have no gradient
            items = [item for item in items if item.advantages.any()]
        self.learner.actor.train()
        for batch in _micro_batches(items, self.config.hardware.micro_batch):
            batch.to_device(device)
            self._backward(batch, totals, found)
        found["actor_grad_norm"] = self.learner.step()
        return found

    def _backward(self, batch: Any, totals: Totals, found: dict[str, float]) -> None:
        """Add the gradients of a micro-batch, and its share to what was found."""
        algorithm = self.config.algorithm
        mask, token_mean = batch.action_mask, algorithm.loss == "token-mean"
        logprobs, output = self.learner.actor(
            batch.sequences,
            mask,
            attention_mask=batch.attention_mask,
            return_output=True,
            return_entropy=algorithm.entropy > 0,
        )
        old = logprobs.detach() if batch.action_log_probs is None else batch.action_log_probs
        drift = float(((old - batch.rollout_log_probs) * mask).abs().max())
        found["logprob_diff_max"] = max(found["logprob_diff_max"], drift)
        loss, clipped, *_ = self._loss(
            logprobs,
            old,
            batch.advantages,
            action_mask=mask,
            rollout_log_probs=batch.rollout_log_probs,
            **totals,
        )
        found["ppo_clip_ratio"] += float(clipped * mask.sum() / totals["batch_num_tokens"])
        if algorithm.kl:
            kl = compute_approx_kl(
                logprobs, batch.base_action_log_probs, kl_estimator=algorithm.kl_estimator
            )
            kl = aggregate_loss(kl, mask, token_mean, **totals)
            found["kl"] += float(kl.detach())
            loss = loss + algorithm.kl * kl
        if algorithm.entropy:
            entropy = aggregate_loss(output.entropy, mask, token_mean, **totals)
            loss = loss - algorithm.entropy * entropy
        loss.backward()
        found["policy_loss"] += float(loss.detach())


def _micro_batches(items: Sequence[Any], size: int) -> Iterator[Any]:
    ordered = sorted(items, key=lambda item: int(item.total_length))
    for start in range(0, len(ordered), size):
        yield make_experience_batch(ordered[start : start + size])
