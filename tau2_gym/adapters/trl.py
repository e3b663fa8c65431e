"""The environments in TRL: `GRPOTrainer(environment_factory=…)`.

>>> from tau2_gym.adapters import trl
>>> environment = trl.environment("telecom", reward="progress")
>>> dataset = trl.dataset("telecom", split="train")
>>> dataset.column_names
['prompt', 'task_id', 'seed']
>>> episode = environment()
>>> episode.reset(**dataset[0]).startswith("H")
True
>>> "C1001" in episode.get_customer_by_phone(phone_number="555-123-2002")
True
>>> 0.0 <= episode.get_reward() < 1.0
True

    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model="Qwen/Qwen3-0.6B", args=GRPOConfig(num_generations=8, max_completion_length=4096),
        train_dataset=dataset, environment_factory=environment,
    )
    trainer.train()

TRL ends an episode at a turn without a tool call, so talking to the user is a tool, too: `respond(message)`. The
prompt says so, and departs from tau2-bench's in that. TRL takes one reward for an episode: the sum of the ledger of
all turns. An episode that the model leaves before its end earns what it has earned until then, and officially 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from tau2_gym.actions import as_assistant
from tau2_gym.adapters.signatures import method
from tau2_gym.domains.base import Domain, check_ready, check_split, get_domain
from tau2_gym.domains.instruction import official_prompt
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError
from tau2_gym.rewards import RewardConfig
from tau2_gym.types import Message, ToolCall
from tau2_gym.users import User

if TYPE_CHECKING:
    from datasets import Dataset

OVER = "The conversation is over. Write a last word and call no more tools."

TALKING = (
    "To say something to the user, call the tool respond(message). A turn without a tool call ends the conversation, "
    "so write one only when the conversation is over."
)
"""What the prompt says on top of tau2-bench's."""


class Tau2Environment:
    """One episode at a time, with the agent's tools as methods. Made by `environment`."""

    domain: Domain
    options: Mapping[str, Any]

    def __init__(self) -> None:
        self._env = Tau2Env(self.domain.name, **self.options)
        self._reward = 0.0
        self._over = True
        self._turn = 0

    def reset(self, **row: Any) -> str:
        """Start the episode of a row of `dataset`; what is missing in it is drawn. Returns what the user says."""
        task_id = row.get("task_id")
        options = None if task_id is None else {"task_id": task_id}
        observation, info = self._env.reset(seed=row.get("seed"), options=options)
        self._reward, self._turn = 0.0, 0
        self._over = info["termination"] is not None
        return observation

    def respond(self, message: str) -> str:
        """Say something to the user.

        Args:
            message: What to say.

        Returns:
            What the user answers.
        """
        return self._step(message)

    def get_reward(self) -> float:
        """The sum of the rewards of all turns. An episode that is not over is over now, and officially worth 0."""
        session = self._env._session
        if session is None or self._over:
            return self._reward
        return self._reward + sum(session.cut().values())

    def _step(self, action: Any) -> str:
        if self._over:
            return OVER
        observation, reward, terminated, truncated, _ = self._env.step(action)
        self._turn += 1
        self._reward += reward
        self._over = terminated or truncated
        return f"{observation}\n{OVER}".strip() if self._over else observation


def _call(episode: Tau2Environment, name: str, arguments: dict[str, Any]) -> str:
    calls = (ToolCall(name, arguments, f"call_{episode._turn}"),)
    return episode._step(as_assistant(Message("assistant", tool_calls=calls)))


def environment(
    domain: str,
    *,
    user: str | User = "scripted",
    reward: str | Mapping[str, Any] | RewardConfig = "progress",
    max_steps: int = 100,
    max_turns: int | None = None,
    max_errors: int = 10,
    source: str = "inspect-evals",
    data_dir: str | PathLike[str] | None = None,
) -> type[Tau2Environment]:
    """A class for `GRPOTrainer(environment_factory=…)`. For several domains at once, give TRL a dict of them by
    name, and concatenate their data sets, each with a column `environment`.

    Args:
        domain, user, reward, max_steps, max_turns, max_errors, source, data_dir: as in `Tau2Env`.

    Raises:
        ConfigError: an argument has a value that is not allowed, or a tool of the domain a name that the class itself
            needs.
    """
    check_ready(domain)
    world = get_domain(domain, source, data_dir)
    if taken := sorted(set(world.agent_tools) & {*dir(Tau2Environment), "domain", "options"}):
        raise ConfigError(
            f"{domain} has a tool {taken[0]!r}, which is a name that environments in TRL have themselves"
        )
    if world.answered:
        raise ConfigError(f"{domain} has no user to respond to: it is not served in TRL")
    options = {
        "user": user,
        "reward": reward,
        "max_steps": max_steps,
        "max_turns": max_turns,
        "max_errors": max_errors,
        "source": source,
        "data_dir": data_dir,
    }
    Tau2Env(domain, **options)  # type: ignore[arg-type]  # What is wrong is said now.
    tools: dict[str, Callable[..., str]] = {
        name: method(tool, _call) for name, tool in world.agent_tools.items()
    }
    name = f"Tau2{world.name.title()}"
    return type(name, (Tau2Environment,), {**tools, "domain": world, "options": options})


def dataset(
    domain: str,
    *,
    split: str = "train",
    seed: int = 0,
    prompt: str | None = None,
    source: str = "inspect-evals",
    data_dir: str | PathLike[str] | None = None,
) -> Dataset:
    """The tasks of a split as a data set of prompts.

    Args:
        domain, source, data_dir: as in `environment`.
        split: train, test, base or full.
        seed: what the user says depends on it; all rollouts of a row have the same.
        prompt: the system prompt; by default tau2-bench's, with a paragraph about `respond`.

    Raises:
        ConfigError: unknown domain or split; or the package `datasets` is missing.
    """
    check_split(domain, split, source, data_dir)
    try:
        from datasets import Dataset
    except ModuleNotFoundError:
        raise ConfigError(
            "data sets need the package datasets, not installed here: pip install 'tau2-gym[trl]'"
        ) from None
    world = get_domain(domain, source, data_dir)
    if prompt is None:
        prompt = f"{official_prompt(world.agent_instruction, world.policy)}\n{TALKING}"
    # What the user says first is appended to the last message.
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": ""}]
    rows = [
        {"prompt": messages, "task_id": task_id, "seed": seed} for task_id in world.task_ids(split)
    ]
    return Dataset.from_list(rows)
