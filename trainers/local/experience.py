"""The experience maker of a training run in one process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from trainers.config import GRPOConfig
from trainers.openrlhf.experience import EpisodeSamples, ExperienceMaker
from trainers.openrlhf.gpu_packages import gpu_packages_optional

with gpu_packages_optional():
    from openrlhf.models.utils import masked_mean
    from openrlhf.trainer.ppo_utils.experience import Experience
    from openrlhf.trainer.ppo_utils.kl_controller import FixedKLController


class LocalMaker(ExperienceMaker):
    """Asks the models in this process, not Ray's.

    `info["entropy"]` is an estimate in nats per token: minus the mean log-probability of what was
    sampled.

    Args:
        config: settings of the run.
        tokenizer: of the model.
        actor: OpenRLHF's `Actor` that learns.
        reference: the model that it must stay close to, if any.
    """

    def __init__(
        self, config: GRPOConfig, tokenizer: Any, actor: Any, reference: Any | None = None
    ) -> None:
        super().__init__(
            None,
            None,
            None,
            None,
            FixedKLController(0.0),
            strategy_of(config),
            tokenizer,
            config=config,
        )
        self._actor, self._reference = actor, reference

    def split_rollout_samples(self, rollout_samples: list[Any]) -> list[Any]:
        """Micro-batches of episodes of similar lengths."""
        for index, sample in enumerate(rollout_samples):
            sample.index = [index]
        size = self.config.hardware.micro_batch
        ordered = sorted(rollout_samples, key=lambda sample: int(sample.total_length))
        return [
            Experience.concat_experiences(
                ordered[start : start + size], self.tokenizer.pad_token_id
            )
            for start in range(0, len(ordered), size)
        ]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def make_experience(self, samples_list: list[Any]) -> list[Any]:
        """Add the log-probabilities of the models as they are before the update."""
        algorithm = self.config.algorithm
        device = next(self._actor.parameters()).device
        self._actor.eval()
        for batch in samples_list:
            inputs = (batch.sequences, batch.action_mask, batch.attention_mask)
            inputs = tuple(tensor.to(device) for tensor in inputs)
            # A single update starts from these very probabilities: it computes them itself.
            if algorithm.epochs * algorithm.updates > 1:
                batch.action_log_probs = self._actor(*inputs).cpu()
            if self._reference is not None:
                batch.base_action_log_probs = self._reference(*inputs).cpu()
            drawn = batch.rollout_log_probs * batch.action_mask
            batch.info["entropy"] = -masked_mean(drawn, batch.action_mask, dim=-1)
        return samples_list


def local_samples(config: GRPOConfig, tokenizer: Any) -> EpisodeSamples:
    """What makes samples of played episodes."""
    return EpisodeSamples(strategy_of(config), None, None, tokenizer, [])


def strategy_of(config: GRPOConfig) -> Any:
    """What OpenRLHF's classes read of its command line."""
    args = SimpleNamespace(
        algo=SimpleNamespace(advantage=SimpleNamespace(estimator="group_norm")),
        rollout=SimpleNamespace(n_samples_per_prompt=config.rollout.samples),
    )
    return SimpleNamespace(args=args)
