"""tau2-bench as a Gymnasium environment: the agent acts, the user and the world answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from tau2_gym.actions import Action
from tau2_gym.domains import with_tasks
from tau2_gym.domains.base import Domain, check_ready, get_domain
from tau2_gym.errors import ConfigError, one_of
from tau2_gym.info import shown
from tau2_gym.render import to_text
from tau2_gym.rewards import RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.session import Outcome, Session
from tau2_gym.spaces import ActionSpace, TextSpace, branch
from tau2_gym.types import Role
from tau2_gym.users import User, make_user

if TYPE_CHECKING:
    from tau2_gym.judge import Judge

RENDER_MODES = ("ansi", "human")


def _checked(judge: Judge | None) -> Judge | None:
    if judge is not None:
        from tau2_gym.judge import Judge  # which takes long to import

        if not isinstance(judge, Judge):
            raise ConfigError(
                "judge must be a tau2_gym.judge.Judge, with a method decide, "
                f"not {type(judge).__name__}"
            )
    return judge


class Tau2Env(gym.Env[str, Any]):
    """
    ## Description
    The customer-service agent of an airline, a shop or a telecom provider talks to a user and calls
    tools, following a policy (tau2-bench, arXiv:2506.07982). Telecom has dual control: the user has
    tools, too, and the agent can only ask for their use.

    ## Action Space
    `ActionSpace`: a text, which goes to the user unless it is a tool call in one of the notations
    of `tau2_gym.actions`, or an OpenAI assistant message as a dict. An action that looks like a
    tool call but cannot be read comes back as an error observation.

    ## Observation Space
    `TextSpace`: what has arrived since the last action: the user's message, or the results of the
    tools called. Everything else is in `info`:

    | key | what |
    |---|---|
    | `messages` | the conversation so far in OpenAI chat form, without a system message |
    | `tools` | OpenAI function schemas of the agent's tools |
    | `policy`, `ticket` | the domain's policy; the task as a ticket, in solo mode only |
    | `domain`, `task_id`, `revision`, `source` | what is played; the hash of the data; their origin |
    | `reward_terms` | the ledger: amounts by name, whose sum is the reward |
    | `checks`, `partial_score` | the grader's findings now, and Φ made of them |
    | `official_reward` | tau2-bench's reward; None until the end, or if it needs a judge |
    | `ungraded` | at the end, the parts of the reward basis that were not graded; nothing is paid for them |
    | `answer` | what the agent has answered, where that can be compared; else None |
    | `termination` | how the episode ended, or None |
    | `steps`, `num_turns` | deliveries of messages; the agent's actions |
    | `num_errors`, `malformed`, `ownership_violations` | failed calls (both sides'); unreadable actions; calls of the user's tools |
    | `attribution` | the user's tool calls that this turn prompted |
    | `state_key` | hash of both databases and the dialogue |
    | `privileged` | **what the agent must not see**: expected actions, the user's scenario and tool
    results |

    ## Rewards
    See `tau2_gym.rewards`. By default (`progress`) each step pays the change in the partial score,
    and the last one also the official reward.

    ## Starting State
    A task of the split, drawn by the seed, or the one given as `options={"task_id": …}`. The user
    has spoken first, except in solo mode.

    ## Episode End
    Terminated: the user stops or is transferred, too many errors, or a message that breaks the
    rules of communication; in a domain without a user, the agent answers. Truncated: `max_steps`,
    `max_turns`. If the user stops at once, the first step ends
    the episode.

    ## Arguments
    Args:
        domain: airline, retail, telecom or mock, or one from outside (see `domains.resolve`).
        task_split: train, test, base or full; telecom also small.
        task_ids: these tasks instead of a split.
        tasks: what the domain makes its tasks from, if it makes them (`code` does), instead of its default.
        user: a name (see `tau2_gym.users.make_user`), or any object with the method of
            `tau2_gym.users.User`.
        reward: a preset's name, a `RewardConfig`, or its keyword arguments as a mapping.
        judge: a `tau2_gym.judge.Judge` for tasks that are graded by natural-language assertions.
        max_steps, max_turns, max_errors, max_calls, validate_communication, solo, agent_stop: see
            `tau2_gym.episode`. A solo agent calls the tool `done` to end the episode. With
            `agent_stop` any agent may call `done`, and `respond`. Beware: an agent that does so at
            once earns 1.0 on tasks in which nothing should change.
        source: `inspect-evals`, or `tau2` if tau2-bench itself is installed.
        data_dir: another revision of tasks and databases; by default `TAU2_DATA_DIR`, or the
            source's own.
        render_mode: None, `ansi` or `human`: the conversation, in colour.

    Raises:
        ConfigError: an argument has a value that is not allowed.

    ## Version History
    * v0: tau2-bench 1.0.1's rules.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        domain: str,
        *,
        task_split: str = "base",
        task_ids: Sequence[str] | None = None,
        tasks: str | None = None,
        user: str | User = "scripted",
        reward: str | Mapping[str, Any] | RewardConfig = "progress",
        judge: Judge | None = None,
        max_steps: int = 100,
        max_turns: int | None = None,
        max_errors: int = 10,
        max_calls: int = 20,
        validate_communication: bool = False,
        solo: bool = False,
        agent_stop: bool = False,
        source: str = "inspect-evals",
        data_dir: str | PathLike[str] | None = None,
        render_mode: str | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            allowed = sorted(set(type(self).__init__.__kwdefaults__ or ()))
            raise ConfigError(
                f"unknown argument {', '.join(map(repr, unknown))}; allowed: {', '.join(allowed)}"
            )
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise one_of("render_mode", render_mode, RENDER_MODES)
        self.rules = Rules(
            max_steps=max_steps,
            max_turns=max_turns,
            max_errors=max_errors,
            max_calls=max_calls,
            validate_communication=validate_communication,
            solo=solo,
            agent_stop=agent_stop,
        )
        self.render_mode = render_mode
        if tasks is not None:
            domain = with_tasks(domain, tasks)
        check_ready(domain)
        self.domain: Domain = get_domain(domain, source, data_dir)
        if solo and self.domain.policy_solo is None:
            raise ConfigError(f"{domain} has no solo mode; telecom and mock have one")
        self.task_ids = self.domain.chosen(task_split, task_ids)
        self.user = make_user(user)
        self.reward_config = RewardConfig.of(reward)
        self.judge = _checked(judge)
        tools = dict(self.domain.agent_tools)
        if solo:
            tools.update(self.domain.user_tools)
        self.action_space: ActionSpace = ActionSpace(self.domain, tools, agent_stop=agent_stop)
        self.observation_space = TextSpace()
        self._session: Session | None = None
        self._shown = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: decides the task (unless given) and everything the user says.
            options: `{"task_id": …}` to choose the task.

        Returns:
            What the user says first (in solo mode the ticket), and `info`.

        Raises:
            ConfigError: unknown option or task.
        """
        super().reset(seed=seed)
        options = options or {}
        for name in options:
            if name != "task_id":
                raise one_of("reset option", name, ["task_id"])
        drawn = self.task_ids[int(self.np_random.integers(len(self.task_ids)))]
        user_seed = int(self.np_random.integers(2**63))
        task = self.domain.task(options.get("task_id", drawn))
        self._session = Session(self.domain, task, self.rules, self.reward_config, user_seed)
        self._shown = 0
        outcome = self._play_on(self._session)
        return outcome.observation, shown(outcome.info)

    def step(self, action: Action) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take the agent's action and let the user and the world answer.

        Raises:
            RuntimeError: no episode has been started, or it has ended.
            TypeError: the action is neither text nor a mapping.
            ConfigError: the action is a message of another role.
            UserFault: the user could not answer. Restore a snapshot taken before.
            InfrastructureError: what a tool works with failed; likewise.
            JudgeFault: the judge could not decide what the episode earned; likewise.
        """
        session = self._session
        if session is None or not session.awaits_agent:
            raise RuntimeError("no episode is in progress: call reset() first")
        session.agent_acts(action)
        outcome = self._play_on(session)
        return (
            outcome.observation,
            outcome.reward,
            outcome.terminated,
            outcome.truncated,
            shown(outcome.info),
        )

    def _play_on(self, session: Session) -> Outcome:
        """Let the user act until it is the agent's turn, or the end."""
        while session.turn is Role.USER:
            session.user_acts(self.user.respond(session.user_view(), session.user_seed))
        outcome = session.settle()
        if session.ungraded and self.judge is not None:
            outcome = self._judged(session, self.judge)
        if self.render_mode == "human":
            self._show(session)
        return outcome

    @staticmethod
    def _judged(session: Session, judge: Judge) -> Outcome:
        """Ask the judge, and pay what it decides."""
        from tau2_gym.completion import run_sync
        from tau2_gym.judge import JudgeFault, judged_reward

        episode = session.episode
        assert episode.termination is not None
        judgement = run_sync(
            judged_reward(
                episode.task, session.checks(), episode.termination, episode.messages, judge
            )
        )
        if judgement.reward is None:
            raise JudgeFault(judgement.reason)
        return session.judged(judgement.reward)

    def snapshot(self) -> Session:
        """The episode as it is now, to `restore` later, any number of times, here or in another
        environment of the same domain.

        Raises:
            RuntimeError: no episode has been started.
        """
        return self._under_way().fork()

    def restore(self, snapshot: Session) -> tuple[str, dict[str, Any]]:
        """Continue from a snapshot. Returns the last observation and `info` of that moment.

        Raises:
            ConfigError: the snapshot is of another domain or of another revision of it.
        """
        other = snapshot.episode.domain
        if other is not self.domain:
            raise ConfigError(
                f"the snapshot is of {other.name} ({other.revision}), "
                f"not of {self.domain.name} ({self.domain.revision})"
            )
        self._session = snapshot.fork()
        self._shown = 0
        assert snapshot.last is not None
        return snapshot.last.observation, shown(snapshot.last.info)

    def _under_way(self) -> Session:
        if self._session is None:
            raise RuntimeError("there is no episode yet: call reset() first")
        return self._session

    def fork(self, n: int = 1) -> list[Tau2Env]:
        """`n` independent environments that continue from here. They share what never changes.

        Raises:
            ConfigError: n is less than 1.
        """
        if n < 1:
            raise ConfigError(f"fork needs at least one branch, not {n}")
        forks = []
        for _ in range(n):
            twin = object.__new__(type(self))
            twin.__dict__.update(self.__dict__)
            twin._session = None if self._session is None else self._session.fork()
            # Each branch draws its own samples and next tasks, but the same ones.
            twin.action_space = self.action_space.fork()
            if self._np_random is not None:
                twin._np_random = branch(self._np_random)
            forks.append(twin)
        return forks

    def render(self) -> str | None:
        """The conversation so far: as text with `ansi`; `human` prints by itself.

        Raises:
            RuntimeError: no episode has been started.
        """
        if self.render_mode is None:
            gym.logger.warn("no render_mode was given: use gym.make(…, render_mode='ansi')")
            return None
        session = self._under_way()
        if self.render_mode == "ansi":
            return to_text(session.episode.messages)
        self._show(session)
        return None

    def _show(self, session: Session) -> None:
        """Print what has not been printed yet."""
        messages = session.episode.messages
        print(to_text(messages[self._shown :]), end="")
        self._shown = len(messages)
