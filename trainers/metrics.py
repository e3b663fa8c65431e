"""What is logged about episodes, from OpenRLHF's experiences: means per step, and pass@k of
evaluations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tau2_gym.results.metrics import pass_at_k, pass_hat_k
from tau2_gym.results.record import SUCCESS
from trainers.rollout.curriculum import task_of

FAULTS = ("fault_user", "fault_infrastructure", "masked")
"""Of all episodes. Everything else from the executor is averaged over those that are not masked."""

BY_DOMAIN = ("official", "partial", "reward", "turns", "response_tokens")
"""Logged for each domain, too."""

OURS = ("official", "partial", "turns", "malformed", "ownership", "tool_errors", "truncated")


@dataclass(frozen=True, slots=True)
class Episode:
    """What is logged of an episode.

    Attributes:
        domain, task_id: which task it was.
        values: the executor's `extra_logs`, and the reward.
    """

    domain: str
    task_id: str
    values: dict[str, float]

    @property
    def masked(self) -> bool:
        """Whether it faulted, and does not count as an attempt."""
        return bool(self.values["masked"])

    @property
    def solved(self) -> bool:
        """Whether its official reward is a success."""
        return self.values["official"] >= SUCCESS


def episodes(experiences: Iterable[Any]) -> Iterator[Episode]:
    """The episodes in OpenRLHF's experiences."""
    for experience in experiences:
        for index, label in enumerate(experience.labels):
            values = {name: float(value[index]) for name, value in experience.info.items()}
            yield Episode(*task_of(label), values)


def training_metrics(experiences: Sequence[Any]) -> dict[str, float]:
    """Means over the episodes of a step, and over those of each domain: `telecom/official`.

    `pass@1` is the fraction that was solved. Faulted episodes count in `masked` and faults only.
    `logprob_diff_mean` and `_max`, where the trainer has computed log-probabilities before its update,
    compare the sampler's log-probabilities with the trainer's, over
    all tokens that were sampled in episodes that are not masked, in nats.
    """
    played = list(episodes(experiences))
    counted = [episode for episode in played if not episode.masked]
    found = {name: fmean(episode.values[name] for episode in played) for name in FAULTS}
    if counted:
        for name in _told(counted[0]):
            found[name] = fmean(episode.values[name] for episode in counted)
        found["pass@1"] = fmean(episode.solved for episode in counted)
    for domain, group in sorted(_by_domain(counted).items()):
        for name in BY_DOMAIN:
            found[f"{domain}/{name}"] = fmean(episode.values[name] for episode in group)
        found[f"{domain}/pass@1"] = fmean(episode.solved for episode in group)
    return found | _differences(experiences)


def evaluation_metrics(_: object, experiences: Sequence[Any], samples: int) -> dict[str, float]:
    """pass@k and pass^k of an evaluation, overall and by domain: the benchmark's own (see
    `tau2_gym.results.metrics`), on the official reward, without faulted episodes.

    Args:
        _: OpenRLHF's loader of the tasks.
        experiences: what was played.
        samples: attempts at each task, the largest k.
    """
    played = list(episodes(experiences))
    counted = [episode for episode in played if not episode.masked]
    found = {name: fmean(episode.values[name] for episode in played) for name in FAULTS if played}
    for prefix, group in [("", counted), *sorted(_by_domain(counted).items())]:
        if not group:
            continue
        start = f"{prefix}/" if prefix else ""
        found |= {f"{start}{name}": value for name, value in _passes(group, samples).items()}
        for name in ("partial", "turns"):
            found[f"{start}{name}"] = fmean(episode.values[name] for episode in group)
    return found


def _passes(played: Sequence[Episode], samples: int) -> dict[str, float]:
    tasks: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for episode in played:
        tasks[episode.domain, episode.task_id].append(episode.solved)
    found = {"tasks": float(len(tasks))}
    for k in sorted({1, samples}):
        for name, metric in (("pass@", pass_at_k), ("pass^", pass_hat_k)):
            values = [metric(len(solved), sum(solved), k) for solved in tasks.values()]
            known = [value for value in values if value is not None]
            if known and not (k == 1 and name == "pass^"):
                found[f"{name}{k}"] = fmean(known)
    return found


def _told(episode: Episode) -> list[str]:
    """Names of what the executor tells of an episode, without what counts for all of them."""
    ledger = [name for name in episode.values if name.startswith("ledger/")]
    return ["reward", "response_tokens", *OURS, *ledger]


def _by_domain(played: Iterable[Episode]) -> dict[str, list[Episode]]:
    groups: dict[str, list[Episode]] = defaultdict(list)
    for episode in played:
        groups[episode.domain].append(episode)
    return groups


def _differences(experiences: Sequence[Any]) -> dict[str, float]:
    total = largest = tokens = 0.0
    for experience in experiences:
        if experience.rollout_log_probs is None or experience.action_log_probs is None:
            return {}
        mask = experience.action_mask.bool().clone()
        for row, hidden in enumerate(experience.info["masked"]):
            if hidden:
                mask[row] = False
        difference = (experience.action_log_probs - experience.rollout_log_probs).abs()[mask]
        if difference.numel():
            total += float(difference.sum())
            largest = max(largest, float(difference.max()))
            tokens += difference.numel()
    return {"logprob_diff_mean": total / max(tokens, 1.0), "logprob_diff_max": largest}
