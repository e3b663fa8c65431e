"""The environments in SkyRL-gym: text in, text out.

>>> import skyrl_gym
>>> from tau2_gym.adapters.skyrl_gym import register
>>> register("telecom")
'tau2-telecom'
>>> row = {"task_id": None, "seed": 0}
>>> env = skyrl_gym.make("tau2-telecom", env_config={}, extras=row)
>>> prompt, _ = env.init([{"role": "system", "content": "Serve the customer."}])
>>> [message["role"] for message in prompt]
['system', 'user']
>>> step = env.step("May I have your phone number?")
>>> step["reward"], step["done"], step["observations"][0]["role"]
(0.0, False, 'user')

A row of the data set has `task_id` and `seed` in its `extras` (columns of SkyRL's parquet files), and its prompt is the
system prompt: see `prompt`. The model calls tools in its text, in any notation of `tau2_gym.actions`. The reward is
that of `Tau2Env`, at every step, with the ledger in `metadata`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
from skyrl_gym.envs.registration import EnvSpec, registry

from tau2_gym.domains.base import check_ready, get_domain
from tau2_gym.domains.instruction import official_prompt
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError
from tau2_gym.rewards import RewardConfig
from tau2_gym.users import User

TOLD = ("reward_terms", "partial_score", "official_reward", "termination", "state_key")
"""What of `info` the metadata of a step has."""


class Tau2TextEnv(BaseTextEnv):
    """One episode. Made by `skyrl_gym.make`, after `register`.

    Args:
        domain: the domain.
        options: of `Tau2Env`.
        env_config: SkyRL's, which is not used.
        extras: the row: `task_id` and `seed`; others are ignored, since SkyRL passes all columns.

    Raises:
        ConfigError: unknown task, or a seed that is none.
    """

    def __init__(
        self,
        domain: str,
        options: Mapping[str, Any],
        env_config: Any = None,
        extras: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        row = dict(extras or {})
        self._env = Tau2Env(domain, **options)
        self._task, self._seed = row.get("task_id"), row.get("seed", 0)
        if type(self._seed) is not int or self._seed < 0:
            raise ConfigError(f"seed must be an integer of at least 0, not {self._seed!r}")
        if self._task is not None:
            self._env.domain.task(self._task)
        self._total: dict[str, float] = {"reward": 0.0, "partial_score": 0.0, "solved": 0.0}
        self.max_turns = self._env.rules.max_steps

    def init(self, prompt: list[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Start the episode: the prompt, and what the user says first."""
        options = None if self._task is None else {"task_id": self._task}
        text, info = self._env.reset(seed=self._seed, options=options)
        return [*prompt, {"role": "user", "content": text}], {"task_id": info["task_id"]}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Take what the model wrote.

        Raises:
            RuntimeError: no episode is in progress.
        """
        text, reward, terminated, truncated, info = self._env.step(action)
        self.turns += 1
        self._total["reward"] += reward
        self._total["partial_score"] = info["partial_score"]
        self._total["solved"] = float((info["official_reward"] or 0.0) >= 1)
        done = terminated or truncated
        return BaseTextEnvStepOutput(
            observations=[] if done else [{"role": "user", "content": text}],
            reward=reward,
            done=done,
            metadata={name: info[name] for name in TOLD},
            postprocessed_action=None,
        )

    def get_metrics(self) -> dict[str, Any]:
        """The sum of the rewards, the partial score, and whether the task was solved."""
        return dict(self._total)


def register(
    domain: str,
    *,
    user: str | User = "scripted",
    reward: str | Mapping[str, Any] | RewardConfig = "progress",
    max_steps: int = 100,
    max_turns: int | None = None,
    max_errors: int = 10,
    source: str = "inspect-evals",
    data_dir: str | PathLike[str] | None = None,
) -> str:
    """Make a domain known to SkyRL-gym as `tau2-DOMAIN`, which is returned.

    Args:
        domain, user, reward, max_steps, max_turns, max_errors, source, data_dir: as in `Tau2Env`.

    Raises:
        ConfigError: an argument has a value that is not allowed.
    """
    check_ready(domain)
    options = {
        "user": user,
        "reward": RewardConfig.of(reward),
        "max_steps": max_steps,
        "max_turns": max_turns,
        "max_errors": max_errors,
        "source": source,
        "data_dir": data_dir,
    }
    Tau2Env(domain, **options)  # type: ignore[arg-type]  # What is wrong is said now.
    name = f"tau2-{domain}"
    registry[name] = EnvSpec(name, Tau2TextEnv, {"domain": domain, "options": options})
    return name


def prompt(domain: str, *, source: str = "inspect-evals") -> str:
    """A system prompt for a model that calls tools in its text: tau2-bench's, and the tools' schemas.

    Raises:
        ConfigError: unknown domain or source.
    """
    world = get_domain(domain, source)
    schemas = "\n".join(json.dumps(tool.schema["function"]) for tool in world.agent_tools.values())
    return (
        f"{official_prompt(world.agent_instruction, world.policy)}\n<tools>\n{schemas}\n</tools>\nTo call a tool, write "
        '<tool_call>{"name": …, "arguments": {…}}</tool_call> and nothing else.'
    )
