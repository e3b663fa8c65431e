"""Both sides of a conversation as agents of PettingZoo: `agent` and `user` over one episode.

>>> from tau2_gym.adapters import pettingzoo
>>> env = pettingzoo.env("telecom", task_split="train")
>>> env.reset(seed=0)
>>> env.agent_selection
'user'
>>> env.last()[0]
'Hi! How can I help you today?'
>>> env.step("My mobile data is slow.")
>>> env.agent_selection
'agent'
>>> env.step("Please tell me your phone number.")
>>> env.observe("user")
'Please tell me your phone number.'

In telecom both have tools (dual control). Whose turn it is follows from the rules of the episode: who calls a tool
goes on, who says something hands over. Both are paid the same: what the agent's turn earned, when it is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from pettingzoo import AECEnv, ParallelEnv

from tau2_gym.actions import Action
from tau2_gym.domains.base import check_ready, get_domain
from tau2_gym.envs.user_side import arrived, read_action, user_info
from tau2_gym.errors import ConfigError, one_of
from tau2_gym.info import shown
from tau2_gym.render import to_text
from tau2_gym.rewards import RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.session import Session, reached_agent
from tau2_gym.spaces import ActionSpace, TextSpace
from tau2_gym.types import Role

AGENT, USER = "agent", "user"
SIDES = [AGENT, USER]
RENDER_MODES = ("ansi", "human")


class Observed(str):
    """Text, with the `dtype` of its space, which PettingZoo's own test compares."""

    __slots__ = ()
    dtype = None


class _Sides:
    """One episode, and what each side sees of it."""

    def __init__(
        self,
        domain: str,
        task_split: str,
        task_ids: Sequence[str] | None,
        reward: str | Mapping[str, Any] | RewardConfig,
        rules: Rules,
        source: str,
        data_dir: str | PathLike[str] | None,
    ) -> None:
        check_ready(domain)
        self.domain = get_domain(domain, source, data_dir)
        if self.domain.answered:
            raise ConfigError(f"{domain} has no user, and so only one side")
        self.task_ids = self.domain.chosen(task_split, task_ids)
        self.reward = RewardConfig.of(reward)
        self.rules = rules
        self.observation_spaces = {side: TextSpace() for side in SIDES}
        self.action_spaces = {
            AGENT: ActionSpace(self.domain, self.domain.agent_tools),
            USER: ActionSpace(self.domain, self.domain.user_tools),
        }
        self.random: np.random.Generator | None = None
        self.session: Session | None = None

    def begin(self, seed: int | None, options: Mapping[str, Any] | None) -> Session:
        """Start an episode: see `env`."""
        if seed is not None or self.random is None:
            self.random, _ = seeding.np_random(seed)
        drawn = self.task_ids[int(self.random.integers(len(self.task_ids)))]
        user_seed = int(self.random.integers(2**63))
        task = self.domain.task((options or {}).get("task_id", drawn))
        self.session = Session(self.domain, task, self.rules, self.reward, user_seed)
        self.seen = dict.fromkeys(SIDES, 0)
        if self.session.turn is not Role.USER:
            self.session.settle()
        return self.session

    @property
    def now(self) -> str | None:
        """Whose turn it is."""
        assert self.session is not None
        turn = self.session.turn
        return None if turn is None else AGENT if turn is Role.AGENT else USER

    def act(self, action: Action) -> float:
        """Take the action of the side whose turn it is. Returns what it led to has earned."""
        session, side = self.session, self.now
        assert session is not None
        assert side is not None
        self.seen[side] = len(session.episode.messages)
        if side is AGENT:
            session.agent_acts(action)
        else:
            session.user_acts(read_action(action, session.user_view()))
        if session.turn is Role.USER:
            return 0.0
        return session.settle().reward

    def observation(self, side: str) -> str:
        """What has reached a side since it last acted."""
        assert self.session is not None
        new = self.session.episode.messages[self.seen[side] :]
        return Observed(arrived(new) if side == USER else reached_agent(new))

    def info(self, side: str) -> dict[str, Any]:
        """What a side knows. The agent's is that of `Tau2Env`, as of the end of its last turn."""
        assert self.session is not None
        if side == USER:
            return user_info(self.session)
        last = self.session.last
        return {} if last is None else shown(last.info)

    def ended(self) -> tuple[bool, bool]:
        """Whether the episode is terminated, and whether it is truncated."""
        assert self.session is not None
        how = self.session.episode.termination
        return how is not None and not how.truncated, how is not None and how.truncated

    def text(self) -> str:
        """The conversation, in colour."""
        return "" if self.session is None else to_text(self.session.episode.messages)


class Tau2AEC(AECEnv[str, str, Any]):
    """Both sides in PettingZoo's AEC interface. See `env`."""

    def __init__(self, sides: _Sides, render_mode: str | None) -> None:
        super().__init__()
        self.metadata = {
            "name": f"tau2_{sides.domain.name}_v0",
            "render_modes": list(RENDER_MODES),
            "is_parallelizable": False,
        }
        self.render_mode = render_mode
        self.possible_agents = list(SIDES)
        self.observation_spaces = dict(sides.observation_spaces)
        self.action_spaces = dict(sides.action_spaces)
        self._sides = sides

    def __str__(self) -> str:
        return str(self.metadata["name"])

    def observation_space(self, agent: str) -> TextSpace:
        """What an agent sees: text."""
        return self._sides.observation_spaces[agent]

    def action_space(self, agent: str) -> ActionSpace:
        """What an agent does: text, or calls of its own tools."""
        return self._sides.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode.

        Args:
            seed: decides the task, unless it is given.
            options: `{"task_id": …}`. Others are ignored, because PettingZoo's own tests pass some.

        Raises:
            ConfigError: unknown task.
        """
        self._sides.begin(seed, options)
        self.agents = list(SIDES)
        self.rewards = dict.fromkeys(SIDES, 0.0)
        self._cumulative_rewards = dict.fromkeys(SIDES, 0.0)
        self._look()
        if self._sides.now is None:  # over before it began
            self.agent_selection = AGENT
        self._skip_agent_selection = None

    def _look(self) -> None:
        terminated, truncated = self._sides.ended()
        self.terminations = dict.fromkeys(SIDES, terminated)
        self.truncations = dict.fromkeys(SIDES, truncated)
        self.infos = {side: self._sides.info(side) for side in SIDES}
        if self._sides.now is not None:
            self.agent_selection = self._sides.now

    def observe(self, agent: str) -> str:
        """What has reached an agent since it last acted."""
        return self._sides.observation(agent)

    def step(self, action: Any) -> None:
        """Take the action of `agent_selection`; None once the episode is over.

        Raises:
            RuntimeError: no episode has been started.
            UserFault: the user's action is empty.
            ConfigError, TypeError: the action is not one.
            InfrastructureError: what a tool works with failed.
        """
        if self._sides.session is None:
            raise RuntimeError("no episode is in progress: call reset() first")
        side = self.agent_selection
        if self.terminations[side] or self.truncations[side]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[side] = 0.0
        earned = self._sides.act(action)
        self.rewards = dict.fromkeys(SIDES, earned)
        self._look()
        self._accumulate_rewards()
        if self.render_mode == "human":
            print(self._sides.text(), end="")

    def render(self) -> str | None:
        """The conversation so far: as text with `ansi`; `human` prints by itself."""
        return self._sides.text() if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Nothing is held."""


class Tau2Parallel(ParallelEnv[str, str, Any]):
    """Both sides in PettingZoo's parallel interface. See `parallel_env`."""

    def __init__(self, sides: _Sides, render_mode: str | None) -> None:
        self.metadata = {"name": f"tau2_{sides.domain.name}_v0", "render_modes": list(RENDER_MODES)}
        self.render_mode = render_mode
        self.possible_agents = list(SIDES)
        self.agents: list[str] = []
        self.observation_spaces = dict(sides.observation_spaces)
        self.action_spaces = dict(sides.action_spaces)
        self._sides = sides

    def observation_space(self, agent: str) -> TextSpace:
        """What an agent sees: text."""
        return self._sides.observation_spaces[agent]

    def action_space(self, agent: str) -> ActionSpace:
        """What an agent does: text, or calls of its own tools."""
        return self._sides.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """Start an episode: see `Tau2AEC.reset`."""
        self._sides.begin(seed, options)
        self.agents = list(SIDES)
        return self._observations(), self._infos()

    def _observations(self) -> dict[str, str]:
        return {side: self._sides.observation(side) for side in self.agents}

    def _infos(self) -> dict[str, dict[str, Any]]:
        now = self._sides.now
        return {side: {**self._sides.info(side), "acts": side == now} for side in self.agents}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, str],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Take the action of the side whose turn it is, which `infos` says (`acts`). The other's is ignored.

        Raises:
            RuntimeError: the episode is over.
            ConfigError: the side whose turn it is has no action; or as in `Tau2AEC.step`.
        """
        now = self._sides.now if self.agents else None
        if now is None and not self.agents:
            raise RuntimeError("no episode is in progress: call reset() first")
        earned = 0.0
        if now is not None:
            if now not in actions:
                raise ConfigError(f"it is the turn of {now!r}, which has no action")
            earned = self._sides.act(actions[now])
        terminated, truncated = self._sides.ended()
        result = (
            self._observations(),
            dict.fromkeys(self.agents, earned),
            dict.fromkeys(self.agents, terminated),
            dict.fromkeys(self.agents, truncated),
            self._infos(),
        )
        if terminated or truncated:
            self.agents = []
        return result

    def render(self) -> str | None:
        """The conversation so far: as text with `ansi`."""
        return self._sides.text() if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Nothing is held."""


def env(
    domain: str,
    *,
    task_split: str = "base",
    task_ids: Sequence[str] | None = None,
    reward: str | Mapping[str, Any] | RewardConfig = "progress",
    max_steps: int = 100,
    max_turns: int | None = None,
    max_errors: int = 10,
    max_calls: int = 20,
    source: str = "inspect-evals",
    data_dir: str | PathLike[str] | None = None,
    render_mode: str | None = None,
) -> Tau2AEC:
    """Both sides, one after the other (AEC).

    Args:
        domain, task_split, task_ids, reward, max_steps, max_turns, max_errors, max_calls, source, data_dir,
            render_mode: as in `Tau2Env`.

    Raises:
        ConfigError: an argument has a value that is not allowed, or the domain has no user.
    """
    rules = Rules(
        max_steps=max_steps, max_turns=max_turns, max_errors=max_errors, max_calls=max_calls
    )
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise one_of("render_mode", render_mode, RENDER_MODES)
    return Tau2AEC(
        _Sides(domain, task_split, task_ids, reward, rules, source, data_dir), render_mode
    )


def parallel_env(domain: str, **options: Any) -> Tau2Parallel:
    """Both sides at once. Only the action of the side whose turn it is counts.

    Args:
        domain: as in `env`.
        options: those of `env`.

    Raises:
        ConfigError: as `env`.
    """
    both = env(domain, **options)
    return Tau2Parallel(both._sides, both.render_mode)
