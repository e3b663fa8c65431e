"""The environments in OpenEnv: a server of episodes, each session with its own.

    tau2-gym serve openenv --domains telecom,retail --port 8000

and, in another process or on another machine,

    from openenv.core import GenericEnvClient

    with GenericEnvClient(base_url="http://127.0.0.1:8000").sync() as env:
        result = env.reset(domain="telecom", split="test", index=0, seed=0)
        print(result.observation["text"])
        result = env.step({"message": "May I have your phone number?"})
        print(result.reward, result.observation["text"])

The reward is that of `Tau2Env`, at every step. The task, the user's instructions and the expected actions never leave
the server. Tool schemas and the policy are in the observation of `reset` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from openenv.core.env_server import http_server
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import (
    Action,
    ConcurrencyConfig,
    EnvironmentMetadata,
    Observation,
    State,
)
from pydantic import Field

from tau2_gym.domains.base import check_ready, get_domain
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError, one_of
from tau2_gym.rewards import RewardConfig

RESET = ("seed", "episode_id", "domain", "split", "index", "task_id")

SPLITS = ("train", "test", "base", "full")

TOLD = (
    "reward_terms", "partial_score", "official_reward", "checks", "termination", "attribution", "answer",
    "steps", "num_turns", "num_errors", "malformed", "ownership_violations", "state_key", "ungraded",
)  # fmt: skip
"""What of `info` the metadata of an observation has."""


class Tau2Action(Action):
    """What the agent says or calls: text in any of the notations of `tau2_gym.actions`, or an OpenAI message."""

    message: str | dict[str, Any] = Field(
        description="text, a tool call in text, or an OpenAI assistant message"
    )


class Tau2Observation(Observation):
    """What has reached the agent. `metadata` has the reward's ledger, the grader's checks and the state's key."""

    text: str = Field(description="what has arrived since the last action")
    tools: list[dict[str, Any]] | None = Field(
        default=None, description="function schemas; at reset only"
    )
    policy: str | None = Field(default=None, description="the domain's policy; at reset only")


class Tau2State(State):
    """The episode under way."""

    domain: str | None = None
    task_id: str | None = None
    revision: str | None = None


class Tau2OpenEnv(Environment[Tau2Action, Tau2Observation, Tau2State]):
    """One session.

    Args:
        domains: those that are served.
        options: of `Tau2Env`, the same for all.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, domains: Sequence[str], options: Mapping[str, Any]) -> None:
        super().__init__()
        self.domains, self.options = tuple(domains), dict(options)
        self._env: Tau2Env | None = None
        self._state = Tau2State()

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        domain: str | None = None,
        split: str | None = None,
        index: int | None = None,
        task_id: str | None = None,
        **unknown: Any,
    ) -> Tau2Observation:
        """Start an episode.

        Args:
            seed: decides the task, unless it is given, and what the user says.
            episode_id: what the client calls it.
            domain: one of those that are served; by default the first.
            split, index: a task by its place in a split, as `list_tasks` has it; without an index one of the split
                is drawn. The name of a split may have the domain before it: `telecom:test`.
            task_id: a task by its id.

        Raises:
            ConfigError: one of them is unknown, or there is no such index.
        """
        if unknown:
            raise one_of("option of reset", next(iter(unknown)), RESET)
        if split is not None and ":" in split:
            domain, split = split.split(":", 1)
        name = self._known(domain or self.domains[0])
        split = split or "base"
        ids = get_domain(name, **self._source()).task_ids(split)
        if index is not None:
            if not 0 <= index < len(ids):
                raise ConfigError(
                    f"{name}, {split} has {len(ids)} tasks: there is no index {index}"
                )
            task_id = ids[index]
        self._env = Tau2Env(name, task_split=split, **self.options)
        given = None if task_id is None else {"task_id": task_id}
        text, info = self._env.reset(seed=seed, options=given)
        self._state = Tau2State(
            episode_id=episode_id, domain=name, task_id=info["task_id"], revision=info["revision"]
        )
        tools = [dict(tool) for tool in info["tools"]]
        return Tau2Observation(
            text=text,
            tools=tools,
            policy=info["policy"],
            done=False,
            reward=0.0,
            metadata=_told(info),
        )

    def step(self, action: Tau2Action, timeout_s: float | None = None) -> Tau2Observation:
        """Take an action. `timeout_s` has no meaning here: a step takes milliseconds, or as long as the user's model.

        Raises:
            RuntimeError: no episode is under way.
            ConfigError, UserFault, InfrastructureError: as `Tau2Env.step`.
        """
        if self._env is None:
            raise RuntimeError("no episode is in progress: reset first")
        text, reward, terminated, truncated, info = self._env.step(action.message)
        self._state.step_count += 1
        told = {**_told(info), "truncated": truncated}
        return Tau2Observation(
            text=text, done=terminated or truncated, reward=reward, metadata=told
        )

    @property
    def state(self) -> Tau2State:
        """Which episode it is, and how many actions were taken."""
        return self._state

    def close(self) -> None:
        """Let go of the episode."""
        self._env = None

    def get_metadata(self) -> EnvironmentMetadata:
        """What this is."""
        return EnvironmentMetadata(
            name="tau2",
            description=f"tau2-bench: {', '.join(self.domains)}",
            version=version("tau2-gym"),
        )

    # Which tasks there are: OpenEnv's TaskProvider

    def list_splits(self) -> list[str]:
        """The splits, as `DOMAIN:SPLIT`."""
        return [f"{name}:{split}" for name in self.domains for split in self._splits(name)]

    def _splits(self, name: str) -> list[str]:
        domain = get_domain(name, **self._source())
        return [split for split in SPLITS if split in domain.splits]

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The tasks of a split."""
        return self.get_task_range(split)

    def num_tasks(self, split: str) -> int:
        """How many tasks a split has."""
        return len(self._ids(split))

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """One task of a split.

        Raises:
            IndexError: it has no such index.
        """
        return self._spec(split, index, self._ids(split))

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """Tasks of a split, as a slice takes them."""
        ids = self._ids(split)
        return [self._spec(split, index, ids) for index in range(len(ids))[start:stop]]

    @staticmethod
    def _spec(split: str, index: int, ids: Sequence[str]) -> dict[str, Any]:
        if not 0 <= index < len(ids):
            raise IndexError(f"{split} has {len(ids)} tasks: there is no index {index}")
        return {"id": ids[index], "index": index, "split": split}

    def _ids(self, split: str) -> tuple[str, ...]:
        domain, colon, own = split.partition(":")
        if not colon:
            domain, own = self.domains[0], split
        return get_domain(self._known(domain), **self._source()).task_ids(own)

    def _known(self, name: str) -> str:
        if name not in self.domains:
            raise one_of("domain", name, self.domains)
        return name

    def _source(self) -> dict[str, Any]:
        return {key: self.options[key] for key in ("source", "data_dir") if key in self.options}


def _told(info: Mapping[str, Any]) -> dict[str, Any]:
    """What of `info` leaves the server."""
    return {name: _plain(info[name]) for name in TOLD}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def environment(domains: Sequence[str], **options: Any) -> Callable[[], Tau2OpenEnv]:
    """What makes sessions.

    Args:
        domains: those that are served.
        options: of `Tau2Env`, but for the domain and its tasks.

    Raises:
        ConfigError: one has a value that is not allowed.
    """
    if not domains:
        raise ConfigError("domains names nothing: at least one must be served")
    for name in ("domain", "task_split", "task_ids", "render_mode"):
        if name in options:
            raise ConfigError(f"{name} is for each reset to say, not for the server")
    options = {"reward": RewardConfig.of(options.pop("reward", "progress")), **options}
    for name in domains:
        check_ready(name)
        Tau2Env(
            name, **options
        )  # What is wrong is said now, and data are loaded once for all sessions.
    return partial(Tau2OpenEnv, tuple(domains), options)


def app(domains: Sequence[str], *, sessions: int = 64, idle: float = 3600.0, **options: Any) -> Any:
    """The server, as an ASGI application.

    Args:
        domains, options: as in `environment`.
        sessions: at a time; further clients are refused.
        idle: seconds after which a session is closed in which nothing happens.

    Raises:
        ConfigError: one has a value that is not allowed.
    """
    if sessions < 1 or not idle > 0:
        raise ConfigError("there must be room for a session, and time for it")
    return http_server.create_fastapi_app(
        environment(domains, **options),
        Tau2Action,
        Tau2Observation,
        concurrency_config=ConcurrencyConfig(max_concurrent_envs=sessions, session_timeout=idle),
        state_cls=Tau2State,
    )
