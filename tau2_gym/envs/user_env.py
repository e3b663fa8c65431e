"""The other side as a Gymnasium environment: the user acts, and the agent and the world answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import gymnasium as gym

from tau2_gym.actions import Action
from tau2_gym.domains.base import Domain, check_ready, get_domain
from tau2_gym.envs.user_side import arrived, read_action, user_info
from tau2_gym.errors import ConfigError
from tau2_gym.info import shown
from tau2_gym.plugins import import_module
from tau2_gym.rewards import Ledger, RewardConfig, default_alpha, default_weights, partial_score
from tau2_gym.rules import Rules
from tau2_gym.session import Session
from tau2_gym.spaces import ActionSpace, TextSpace
from tau2_gym.types import Role
from tau2_gym.user_rewards import UserReward, counts, ending

Player = Callable[[dict[str, Any], Any, int], tuple[Action | None, Any]]
"""An agent: from the `info` of `Tau2Env`, what it wants to remember, and a seed, its action and what it wants to
remember. No action: it cannot go on."""


class Tau2UserEnv(gym.Env[str, Any]):
    """
    ## Description
    The learner plays the customer: it has a scenario (who it is, what it wants, what it may tell) and, in telecom,
    a phone with tools. An agent serves it.

    ## Action Space
    A text for the agent, with `###STOP###` where the user ends the conversation, or calls of the user's tools, in
    the notations that agents have.

    ## Observation Space
    What has arrived since the last action: the agent's text, or the results of the user's tools. `info` has the
    `scenario`, the `tools`, the `messages` with the roles swapped (as a model that plays the user reads them), the
    ledger `reward_terms`, and `privileged`: **what a user must not see**, the whole `info` of the agent's side.

    ## Rewards
    See `tau2_gym.user_rewards`.

    ## Starting State
    The agent has greeted.

    ## Episode End
    Terminated: the user stops, or the agent ends or breaks off the conversation, or there are too many errors.
    Truncated: `max_steps`, or the agent's model cannot go on.

    ## Arguments
    Args:
        domain: one with users: airline, retail, telecom, mock, or one from outside.
        agent: who serves: the name of an agent of the checkout (`oracle`, `workflow`, …, see `agents`), or a
            function: see `Player`.
        task_split, task_ids, max_steps, max_turns, max_errors, max_calls, source, data_dir: as in `Tau2Env`.
        reward: a `UserReward`, or its amounts by name.

    Raises:
        ConfigError: an argument has a value that is not allowed.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        domain: str,
        *,
        agent: str | Player = "oracle",
        task_split: str = "base",
        task_ids: Sequence[str] | None = None,
        reward: UserReward | dict[str, Any] | None = None,
        max_steps: int = 100,
        max_turns: int | None = None,
        max_errors: int = 10,
        max_calls: int = 20,
        source: str = "inspect-evals",
        data_dir: str | PathLike[str] | None = None,
    ) -> None:
        check_ready(domain)
        self.domain: Domain = get_domain(domain, source, data_dir)
        if self.domain.answered:
            raise ConfigError(f"{domain} has no user to be played")
        self.task_ids = self.domain.chosen(task_split, task_ids)
        self.rules = Rules(
            max_steps=max_steps, max_turns=max_turns, max_errors=max_errors, max_calls=max_calls
        )
        self.reward = UserReward.of(reward)
        self.agent: Player = _player(agent, self.domain.name)
        self.action_space = ActionSpace(self.domain, self.domain.user_tools)
        self.observation_space = TextSpace()
        self._session: Session | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: decides the task, unless it is given, and everything random of the agent's.
            options: `{"task_id": …}`.

        Returns:
            The agent's greeting, and `info`.

        Raises:
            ConfigError: unknown option or task.
        """
        super().reset(seed=seed)
        for name in options or {}:
            if name != "task_id":
                raise ConfigError(f"unknown reset option {name!r}; allowed: task_id")
        drawn = self.task_ids[int(self.np_random.integers(len(self.task_ids)))]
        self._seed = int(self.np_random.integers(2**63))
        task = self.domain.task((options or {}).get("task_id", drawn))
        self._session = Session(self.domain, task, self.rules, RewardConfig(), self._seed)
        self._memory: Any = None
        self._given_up = False
        self._serve(self._session)
        return arrived(self._session.episode.messages), self._info(self._session, {})

    def step(self, action: Action) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take the user's action; the agent answers once the user has said something.

        Raises:
            RuntimeError: no episode has been started, or it has ended.
            TypeError: the action is neither text nor a mapping.
            ConfigError: the action is a message of another role.
            InfrastructureError: what a tool or the agent works with failed.
        """
        session = self._session
        if session is None or session.turn is None or self._given_up:
            raise RuntimeError("no episode is in progress: call reset() first")
        view, begin = session.user_view(), len(session.episode.messages)
        message = read_action(action, view)
        before = self._phi(session)
        session.user_acts(message)
        gained = self._phi(session) - before
        self._serve(session)
        ledger = self._paid(counts(view, message), gained)
        how = session.episode.termination
        if how is not None and session.last is not None:
            official = session.last.info["official_reward"]
            for name, count in ending(view, message, official):
                ledger[name] = (1 if name == "ending" else -1) * count * getattr(self.reward, name)
        truncated = self._given_up or (how is not None and how.truncated)
        return (
            arrived(session.episode.messages[begin:]),
            sum(ledger.values()),
            how is not None and not truncated,
            truncated,
            self._info(session, ledger),
        )

    def _phi(self, session: Session) -> float:
        """Φ now."""
        return partial_score(session.checks(), default_weights(self.domain.name))

    def _paid(self, found: Mapping[str, int], gained: float) -> Ledger:
        reward = self.reward
        return {
            "told": reward.told * found["told"],
            "volunteered": -reward.volunteered * found["volunteered"],
            "invented": -reward.invented * found["invented"],
            "progress": reward.progress * default_alpha(self.domain.name) * gained,
        }

    def _serve(self, session: Session) -> None:
        """Let the agent act until it is the user's turn, or the end."""
        while session.turn is not Role.USER:
            outcome = session.settle()
            if session.turn is None:
                return
            action, self._memory = self.agent(shown(outcome.info), self._memory, self._seed)
            if action is None:
                self._given_up = True
                return
            session.agent_acts(action)

    def _info(self, session: Session, ledger: Ledger) -> dict[str, Any]:
        last = session.last
        return {
            **user_info(session),
            "reward_terms": dict(ledger),
            "privileged": {} if last is None else shown(last.info),
        }


def _player(agent: str | Player, domain: str) -> Player:
    """The agent of a name; any other is returned as it is.

    Raises:
        ConfigError: there is none of that name, or it does not play the domain; or it is no function.
    """
    if isinstance(agent, str):
        found: Player = import_module(f"agent {agent!r}", "agents").player(agent, domain)
        return found
    if not callable(agent):
        raise ConfigError(f"agent must be a name or a function, not {type(agent).__name__}")
    return agent
