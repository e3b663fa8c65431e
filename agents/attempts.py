"""One attempt of an agent at a task: what is played, and the seed of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tau2_gym.results.record import Key


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to be made. The seed decides everything random in it."""

    domain: str
    task_id: str
    trial: int
    seed: int

    @property
    def key(self) -> Key:
        """Which attempt it is."""
        return (self.domain, self.task_id, self.trial)


def attempt_seed(seed: int, domain: str, task_id: str, trial: int) -> int:
    """The seed of one attempt: 32 bits that depend on nothing but these four."""
    digest = hashlib.sha256(f"{seed}/{domain}/{task_id}/{trial}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
