"""How a run is played: who plays, by which rules, on which revision; and the players made of that."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agents import agent_domains, make_agent
from agents.attempts import Attempt
from agents.base import Agent, AsyncAgent
from agents.models import (
    MODEL_AGENTS,
    AgentModel,
    ChatOptions,
    UserModel,
    make_model_agent,
)
from agents.packages import require
from agents.prompts import make_prompt
from agents.rollout import Limits, Player
from agents.sampling import SamplingParams
from tau2_gym.cassette import Cassette
from tau2_gym.completion.redaction import shown_url
from tau2_gym.completion.servers import OUTAGE, STARTUP
from tau2_gym.domains import resolve
from tau2_gym.domains.base import Domain, check_ready, check_split, get_domain
from tau2_gym.domains.registry import without_tasks
from tau2_gym.errors import ConfigError
from tau2_gym.judge import LLMJudge, VerdictCache
from tau2_gym.results.record import TaskKey
from tau2_gym.rewards import RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.types import RewardBasis
from tau2_gym.users import AsyncUser, User, is_model, named_user, without_address

PLAYED = ("airline", "retail", "telecom")
"""The domains of tau2-bench's results."""

MOST_SAMPLES = 10_000
"""The most attempts at a task: each is planned before the first is played."""


@dataclass(frozen=True)
class Setup:
    """A run, apart from its tasks and trials.

    Attributes:
        agent, user: their names (see `agents.make_agent` and `tau2_gym.users.make_user`).
        model: of an agent that is one.
        user_model: how a user that is a model is reached and sampled.
        judge: of the judge, if there is one.
        limits: how much runs at once, with models.
        cassette: a file that model calls are recorded in and replayed from.
        keep_tokens: keep what a model agent was given and sampled, as tokens.
    """

    agent: str
    user: str
    seed: int
    reward: str
    max_steps: int
    max_errors: int
    source: str
    data_dir: str | None
    model: AgentModel | None = None
    user_model: UserModel = field(default_factory=UserModel)
    judge: ChatOptions | None = None
    limits: Limits = field(default_factory=Limits)
    cassette: str | None = None
    keep_tokens: bool = False

    def check(self, domains: Sequence[str], split: str | None, num_samples: int) -> None:
        """Check that all names are known and all numbers possible, before anything is loaded.

        Args:
            domains: what is played in.
            split: what is played, unless tasks are named.
            num_samples: attempts at each task.

        Raises:
            ConfigError: one is not.
        """
        if self.agent not in MODEL_AGENTS:
            make_agent(self.agent)
        require(self._extras())
        self.make_user()
        RewardConfig.of(self.reward)
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, not {self.seed}")
        if not 1 <= num_samples <= MOST_SAMPLES:
            raise ConfigError(
                f"--num-samples must be at least 1 and at most {MOST_SAMPLES}, not {num_samples}"
            )
        for name in domains:
            if split is not None:
                check_split(name, split, self.source, self.data_dir)
            check_ready(name)

    def _extras(self) -> Iterator[str]:
        """The extras whose packages the run needs; none if a cassette may answer every call."""
        if self.cassette is not None:
            return
        if self.agent in ("sglang", "transformers"):
            yield self.agent
        hosted = self.agent == "litellm" and self.model is not None and not self.model.urls
        judged = self.judge is not None and self.judge.url is None
        if hosted or judged or self.user.startswith("litellm:"):
            yield "litellm"

    def identity(self) -> dict[str, Any]:
        """What the outcome of an attempt depends on, apart from its task and trial."""
        how = ("limits", "cassette", "keep_tokens")
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["user"] = without_address(self.user)
        if not is_model(self.user):
            values["user_model"] = None
        found = {
            name: value.identity()
            if isinstance(value, AgentModel | UserModel | ChatOptions)
            else value
            for name, value in values.items()
            if name not in how
        }
        return {**found, "versions": versions(self.source)}

    def make_user(self, cassette: Cassette | None = None) -> User | AsyncUser:
        """The user.

        Raises:
            ConfigError: there is none of that name, or its options do not fit.
        """
        return named_user(self.user, self.source, cassette=cassette, **asdict(self.user_model))

    def domain(self, name: str) -> Domain:
        """A domain, of the source and the revision that are played."""
        return get_domain(name, self.source, self.data_dir)


def versions(source: str) -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ["tau2-gym", "gymnasium", "numpy", "pydantic"]
    if source == "inspect-evals":
        packages += ["inspect-evals", "inspect-ai"]
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def agent_model(
    agent: str,
    name: str,
    urls: tuple[str, ...],
    prompt: str,
    thinking: bool | None,
    sampling: SamplingParams,
    *,
    startup: float = STARTUP,
    outage: float = OUTAGE,
    send_seed: bool = True,
) -> AgentModel | None:
    """The model that an agent is, from the options of a command line; None if it is none.

    Raises:
        ConfigError: the prompt is unknown, or a model was named for an agent that takes none.
    """
    make_prompt(prompt)
    if agent in MODEL_AGENTS:
        return AgentModel(name, urls, prompt, thinking, sampling, startup, outage, send_seed)
    if name:
        raise ConfigError(f"agent {agent!r} takes no --model; {', '.join(MODEL_AGENTS)} do")
    return None


def bypass(setup: Setup) -> str | None:
    """What to say about an agent that is called `litellm` but does not go through LiteLLM."""
    if setup.agent != "litellm" or setup.model is None or not setup.model.urls:
        return None
    place = shown_url(setup.model.urls[0])
    return f"{setup.model.name!r} is called directly at {place}, without LiteLLM."


def make_player(setup: Setup, verdicts: Path | None = None, *, fresh: bool = False) -> Player:
    """The agent and the user of a run, ready to play.

    Args:
        setup: the run.
        verdicts: a file that keeps what the judge says from run to run.
        fresh: discard what that file holds, once everything else is valid.

    Raises:
        ConfigError: an agent, user, reward or source of an unknown name, or options of a model
            that do not fit.
    """
    cassette = None if setup.cassette is None else Cassette(setup.cassette)
    agent: Agent | AsyncAgent
    if setup.agent in MODEL_AGENTS:
        model_options = setup.model or AgentModel("")
        agent = make_model_agent(
            setup.agent, model_options, setup.source, cassette, episodes=setup.limits.episodes
        )
    else:
        agent = make_agent(setup.agent)
    judge = None
    if setup.judge is not None:
        model = setup.judge.chat_model(cassette)
        if fresh and verdicts is not None:
            verdicts.unlink(missing_ok=True)
        judge = LLMJudge(model, cache=VerdictCache(verdicts))
    return Player(
        agent=agent,
        user=setup.make_user(cassette),
        rules=Rules(max_steps=setup.max_steps, max_errors=setup.max_errors),
        reward=RewardConfig.of(setup.reward),
        source=setup.source,
        data_dir=setup.data_dir,
        limits=setup.limits,
        judge=judge,
        keep_tokens=setup.keep_tokens,
    )


def domains_to_play(agent: str, asked: Sequence[str] | None) -> tuple[tuple[str, ...], str | None]:
    """The domains that an agent plays, and a note about them.

    Args:
        agent: its name.
        asked: domains that were asked for; None for those of tau2-bench that it can play.

    Raises:
        ConfigError: the agent or domain is unknown, the agent does not play one asked for, or
            none was asked for and it plays none of `PLAYED`.
    """
    chosen = None if asked is None else tuple(map(resolve, asked))
    able = agent_domains(agent)
    if chosen is None:
        names = tuple(name for name in PLAYED if name in able)
        if not names:
            raise ConfigError(
                f"agent {agent!r} plays {', '.join(able)} only: pass --domains {','.join(able)}"
            )
        note = f"Agent {agent!r} plays {', '.join(names)} only." if names != PLAYED else None
        return names, note
    for name in chosen:
        if name not in able and without_tasks(name) not in able:
            raise ConfigError(f"agent {agent!r} plays {', '.join(able)} only, not {name}")
    return chosen, None


def unjudged(setup: Setup, attempts: Iterable[Attempt]) -> set[TaskKey]:
    """The tasks (domain and id) that are graded by natural-language assertions, where the run has no
    judge to decide them."""
    if setup.judge is not None:
        return set()
    found = set()
    for pair in dict.fromkeys((attempt.domain, attempt.task_id) for attempt in attempts):
        criteria = setup.domain(pair[0]).task(pair[1]).criteria
        if criteria and criteria.nl_assertions and RewardBasis.NL_ASSERTION in criteria.basis:
            found.add(pair)
    return found
