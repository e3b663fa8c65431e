"""One attempt of an agent at a task: what is played, and the record of how it went."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agents.base import Agent, AgentView
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import Tau2GymError, UserFault
from tau2_gym.types import Fault, RewardBasis

SUCCESS = 1 - 1e-6
"""Official rewards from here on count as success, as in tau2-bench."""

Key = tuple[str, str, int]
"""Domain, task id and trial: which attempt it is."""


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


@dataclass(slots=True)
class Record:
    """How an attempt went: a line of the results.

    Attributes:
        official_reward: tau2-bench's reward; None if it could not be played or graded.
        reward: the sum of the environment's rewards.
        partial_score, checks: the grader's findings at the end.
        termination: how it ended; None after a fault.
        fault, error: who is to blame that it could not be played to an end, and what happened.
        ungraded: parts of the task's reward basis that nobody graded.
        steps, num_turns: deliveries of messages; the agent's actions.
        messages: the whole trajectory in tau2-bench's form.
    """

    domain: str
    task_id: str
    trial: int
    seed: int
    revision: str
    official_reward: float | None = None
    reward: float = 0.0
    partial_score: float = 0.0
    checks: dict[str, Any] | None = None
    termination: str | None = None
    fault: str | None = None
    error: str | None = None
    ungraded: list[str] | None = None
    steps: int = 0
    num_turns: int = 0
    num_errors: int = 0
    malformed: int = 0
    ownership_violations: int = 0
    messages: list[dict[str, Any]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, in the order of the fields."""
        return asdict(self)


def play(env: Tau2Env, agent: Agent, attempt: Attempt) -> Record:
    """Let an agent play one episode to its end.

    What the agent or the user raises is recorded as a fault and does not count as a failed
    attempt. The environment itself does not raise on anything an agent says.

    Raises:
        Tau2GymError: the run is set up wrongly (an agent that cannot play this domain, say), which
            no other attempt would cure.
    """
    record = Record(
        attempt.domain, attempt.task_id, attempt.trial, attempt.seed, env.domain.revision
    )
    info: Mapping[str, Any] = {}
    try:
        _, info = env.reset(seed=attempt.seed, options={"task_id": attempt.task_id})
        done = info["termination"] is not None
        while not done:
            action = agent.act(AgentView.from_info(info), attempt.seed)
            _, reward, terminated, truncated, info = env.step(action)
            record.reward += reward
            done = terminated or truncated
    except Tau2GymError:
        raise
    except Exception as error:
        fault = Fault.USER if isinstance(error, UserFault) else Fault.INFRASTRUCTURE
        record.fault = fault.value
        record.error = f"{type(error).__name__}: {error}"
    if info:
        _fill(record, info)
    return record


def _fill(record: Record, info: Mapping[str, Any]) -> None:
    record.official_reward = info["official_reward"]
    record.partial_score = info["partial_score"]
    record.checks = info["checks"]
    record.termination = info["termination"]
    record.steps = info["steps"]
    record.num_turns = info["num_turns"]
    record.num_errors = info["num_errors"]
    record.malformed = info["malformed"]
    record.ownership_violations = info["ownership_violations"]
    record.messages = [message.to_dict() for message in info["privileged"]["trajectory"]]
    if record.termination is not None and record.official_reward is None:
        record.ungraded = [RewardBasis.NL_ASSERTION.value]
