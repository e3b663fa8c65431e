"""tau2-bench as a Gymnasium environment: the agent acts, the user and the world answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import gymnasium as gym

from tau2_gym.actions import Action, parse_action
from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.episode import Episode
from tau2_gym.errors import ConfigError, one_of
from tau2_gym.grading import Grader, official_reward
from tau2_gym.render import to_text
from tau2_gym.rewards import Accountant, Ledger, RewardConfig, partial_score
from tau2_gym.spaces import ActionSpace, TextSpace
from tau2_gym.turns import Turn, TurnReader
from tau2_gym.types import Checks, Message, Role, Termination
from tau2_gym.users import User, make_user

RENDER_MODES = ("ansi", "human")


@dataclass(slots=True)
class Snapshot:
    """An episode of an environment at one moment, to go back to. Made by `Tau2Env.snapshot`."""

    episode: Episode
    grader: Grader
    accountant: Accountant
    turns: TurnReader
    user_seed: int
    seen: int
    shown: int
    turn: int
    phi: float
    official: float | None
    last_info: dict[str, Any]

    def fork(self) -> Snapshot:
        """An independent copy."""
        return Snapshot(
            self.episode.fork(),
            self.grader.fork(),
            self.accountant.fork(),
            self.turns.fork(),
            self.user_seed,
            self.seen,
            self.shown,
            self.turn,
            self.phi,
            self.official,
            self.last_info,
        )


class Tau2Env(gym.Env[str, Any]):
    """
    ## Description
    A customer-service agent of an airline, a shop or a telecom provider talks with a user and calls
    tools, under a policy (tau2-bench, arXiv:2506.07982). In telecom the control is dual: the user
    has tools of their own, which the agent can only ask for.

    ## Action Space
    `ActionSpace`: a text, which is said to the user unless it is a tool call in one of the forms
    of `tau2_gym.actions`, or an OpenAI assistant message as a dict. An action that is meant as a
    tool call but cannot be read comes back as an error observation.

    ## Observation Space
    `TextSpace`: what has arrived since the last action, the user's message or the results of the
    tools called. Everything else is in `info`:

    | key | what |
    |---|---|
    | `messages` | the conversation so far in OpenAI chat form, without a system message |
    | `tools` | OpenAI function schemas of the agent's tools |
    | `policy`, `ticket` | the domain's policy; the task as a ticket, in solo mode only |
    | `domain`, `task_id`, `revision`, `source` | what is played; the hash of the data; their origin |
    | `reward_terms` | the ledger: amounts by name, whose sum is the reward |
    | `checks`, `partial_score` | the grader's findings now, and Φ made of them |
    | `official_reward` | tau2-bench's reward; None until the end, or if it takes a judge |
    | `termination` | how the episode ended, or None |
    | `steps`, `num_turns` | deliveries of messages; the agent's actions |
    | `num_errors`, `malformed`, `ownership_violations` | failed calls (both sides'); unreadable actions; calls of the user's tools |
    | `attribution` | the user's tool calls that this turn elicited |
    | `state_key` | hash of both databases and the dialogue |
    | `privileged` | what the agent must not see: expected actions, the user's scenario and tool results |

    ## Rewards
    See `tau2_gym.rewards`. By default (`progress`) each step pays the change of the partial score,
    and the end the official reward.

    ## Starting State
    A task of the split, drawn by the seed, or the one given as `options={"task_id": …}`. The user
    has spoken first, except in solo mode.

    ## Episode End
    Terminated: the user stops or is transferred, too many errors, or a breach of the rules of
    communication. Truncated: `max_steps`.

    ## Arguments
    Args:
        domain: airline, retail, telecom or mock.
        task_split: train, test, base or full; telecom also small.
        task_ids: these tasks instead of a split.
        user: `scripted`, `replay:FILE`, or any object with the method of `tau2_gym.users.User`.
        reward: a preset's name, a `RewardConfig`, or its keyword arguments as a mapping.
        max_steps, max_errors, validate_communication, solo, agent_stop: see `tau2_gym.episode`.
            `agent_stop` also lets the agent call `done` and `respond`. Mind that an agent which
            says `done` at once earns 1.0 on the tasks that ask for no change.
        source: `inspect-evals`, or `tau2` if tau2-bench itself is installed.
        data_dir: another revision of tasks and databases; else `TAU2_DATA_DIR`, else the source's.
        render_mode: None, `ansi` or `human`: the conversation, in colour.

    Raises:
        ConfigError: an argument has a value that is not allowed.

    ## Version History
    * v0: tau2-bench 1.0.1's rules.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 1}

    def __init__(
        self,
        domain: str,
        *,
        task_split: str = "base",
        task_ids: Sequence[str] | None = None,
        user: str | User = "scripted",
        reward: str | Mapping[str, Any] | RewardConfig = "progress",
        max_steps: int = 100,
        max_errors: int = 10,
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
        if max_steps < 1 or max_errors < 1:
            raise ConfigError(
                f"max_steps and max_errors must be at least 1, not {max_steps} and {max_errors}"
            )
        self.render_mode = render_mode
        self.domain: Domain = get_domain(domain, source, data_dir)
        if solo and self.domain.policy_solo is None:
            raise ConfigError(f"{domain} has no solo mode; telecom and mock have one")
        self.task_ids = self._choose_tasks(task_split, task_ids)
        self.user = make_user(user)
        self.reward_config = RewardConfig.of(reward)
        self.solo = solo
        self.agent_stop = agent_stop
        self._rules: dict[str, Any] = {
            "max_steps": max_steps,
            "max_errors": max_errors,
            "validate_communication": validate_communication,
            "solo": solo,
            "agent_stop": agent_stop,
        }
        tools = dict(self.domain.agent_tools)
        if solo:
            tools.update(self.domain.user_tools)
        self.tools = [tool.schema for tool in tools.values()]
        # A user's tool written as a function call is a call, too: one that breaks ownership.
        self._callable = {**self.domain.user_tools, **tools}
        self.action_space = ActionSpace(self.domain, tools, agent_stop=agent_stop)
        self.observation_space = TextSpace()
        self._now: Snapshot | None = None

    def _choose_tasks(self, split: str, task_ids: Sequence[str] | None) -> tuple[str, ...]:
        if task_ids is None:
            return self.domain.task_ids(split)
        if isinstance(task_ids, str) or not task_ids:
            raise ConfigError(f"task_ids must be a list with at least one id, not {task_ids!r}")
        return tuple(self.domain.task(task_id).id for task_id in task_ids)

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
        episode = Episode(self.domain, task, **self._rules)
        grader = Grader(self.domain, task)
        grader.update(episode.messages, episode.world)
        accountant = Accountant(self.reward_config, self.domain.name, 0.0)
        now = self._now = Snapshot(
            episode=episode,
            grader=grader,
            accountant=accountant,
            turns=TurnReader(),
            user_seed=user_seed,
            seen=len(episode.messages),
            shown=0,
            turn=0,
            phi=0.0,
            official=None,
            last_info={},
        )
        self._let_user_act(now)
        now.phi = accountant.start = partial_score(self._checks(now), accountant.weights())
        observation = task.ticket or "" if self.solo else self._arrived(episode.messages)
        now.last_info = self._info(now, {}, [])
        self._show(now)
        return observation, dict(now.last_info)

    def step(self, action: Action) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take the agent's action and let the user and the world answer.

        Raises:
            RuntimeError: no episode has been started, or it has ended.
            TypeError: the action is neither text nor a mapping.
            UserFault: the user could not answer. The episode can go on from a snapshot.
        """
        now = self._now
        if now is None or now.episode.turn is not Role.AGENT:
            raise RuntimeError("no episode is under way: call reset() first")
        episode = now.episode
        start, version = len(episode.messages), episode.world.version
        message = parse_action(action, self._callable, now.turn, agent_stop=self.agent_stop)
        if self._rules["validate_communication"] and is_empty(action):
            message = Message("assistant", "")
        added = episode.act(message)
        now.turn += 1
        text = action if isinstance(action, str) else message.content or ""
        turn = now.turns.read(added, episode, version, text)
        self._let_user_act(now)
        new = episode.messages[start:]
        checks = self._checks(now)
        ledger = self._settle(now, checks, turn)
        now.last_info = self._info(now, ledger, new)
        self._show(now)
        truncated = episode.termination is Termination.MAX_STEPS
        terminated = episode.done and not truncated
        return self._arrived(new), sum(ledger.values()), terminated, truncated, dict(now.last_info)

    def _let_user_act(self, now: Snapshot) -> None:
        episode = now.episode
        while episode.turn is Role.USER:
            episode.act(self.user.respond(episode.user_view(), now.user_seed))

    def _checks(self, now: Snapshot) -> Checks:
        episode = now.episode
        now.grader.update(episode.messages[now.seen :], episode.world)
        now.seen = len(episode.messages)
        return now.grader.checks(episode.world)

    def _settle(self, now: Snapshot, checks: Checks, turn: Turn) -> Ledger:
        termination = now.episode.termination
        if termination is not None:
            now.official = official_reward(now.episode.task, checks, termination)
        before, now.phi = now.phi, partial_score(checks, now.accountant.weights())
        return now.accountant.step(
            before, now.phi, turn, ended=termination is not None, official=now.official
        )

    @staticmethod
    def _arrived(messages: Sequence[Message]) -> str:
        """The text of what reached the agent: user messages and results of its own calls."""
        return "\n".join(
            message.content or ""
            for message in messages
            if (message.role == "user" and not message.is_tool_call)
            or (message.role == "tool" and message.requestor == "assistant")
        )

    def _info(self, now: Snapshot, ledger: Ledger, new: Sequence[Message]) -> dict[str, Any]:
        episode, grader = now.episode, now.grader
        task = episode.task
        return {
            "messages": list(episode.chat),
            "tools": self.tools,
            "policy": self.domain.policy_solo if self.solo else self.domain.policy,
            "ticket": task.ticket if self.solo else None,
            "domain": self.domain.name,
            "task_id": task.id,
            "revision": self.domain.revision,
            "source": self.domain.source,
            "reward_terms": ledger,
            "checks": grader.checks(episode.world).to_dict(),
            "partial_score": now.phi,
            "official_reward": now.official,
            "termination": None if episode.termination is None else episode.termination.value,
            "steps": episode.steps,
            "num_turns": now.turn,
            "num_errors": episode.num_errors,
            "malformed": episode.malformed,
            "ownership_violations": episode.ownership_violations,
            "attribution": [
                {"name": call.name, "arguments": call.arguments}
                for message in new
                if message.role == "user"
                for call in message.tool_calls
            ],
            "state_key": episode.state_key,
            "privileged": {
                "task": task,
                "trajectory": episode.messages[:],
                "new_messages": list(new),
                **grader.privileged(),
            },
        }

    def snapshot(self) -> Snapshot:
        """The episode as it is now, to `restore` later, any number of times, here or in another
        environment of the same domain.

        Raises:
            RuntimeError: no episode has been started.
        """
        if self._now is None:
            raise RuntimeError("there is no episode yet: call reset() first")
        return self._now.fork()

    def restore(self, snapshot: Snapshot) -> tuple[str, dict[str, Any]]:
        """Go on from a snapshot. Returns the last observation and `info` of that moment.

        Raises:
            ConfigError: the snapshot is of another domain or of another revision of it.
        """
        if snapshot.episode.domain is not self.domain:
            other = snapshot.episode.domain
            raise ConfigError(
                f"the snapshot is of {other.name} ({other.revision}), "
                f"not of {self.domain.name} ({self.domain.revision})"
            )
        self._now = snapshot.fork()
        new = self._now.last_info["privileged"]["new_messages"] or self._now.episode.messages
        return self._arrived(new), dict(self._now.last_info)

    def fork(self, n: int = 1) -> list[Tau2Env]:
        """`n` independent environments that go on from here. They share what never changes.

        Raises:
            ConfigError: n is less than 1.
        """
        if n < 1:
            raise ConfigError(f"fork needs at least one branch, not {n}")
        forks = []
        for _ in range(n):
            twin = object.__new__(type(self))
            twin.__dict__.update(self.__dict__)
            twin._now = None if self._now is None else self._now.fork()
            # Each branch draws its own samples and next tasks, but the same ones.
            twin._np_random = None
            if self._np_random is not None:
                twin.np_random = type(self._np_random)(type(self._np_random.bit_generator)())
                twin.np_random.bit_generator.state = self._np_random.bit_generator.state
            forks.append(twin)
        return forks

    def render(self) -> str | None:  # type: ignore[override]
        """The conversation so far: as text with `ansi`; `human` prints by itself."""
        if self.render_mode is None:
            gym.logger.warn("no render_mode was given: use gym.make(…, render_mode='ansi')")
            return None
        if self._now is None:
            raise RuntimeError("there is no episode yet: call reset() first")
        if self.render_mode == "ansi":
            return to_text(self._now.episode.messages)
        self._show(self._now)
        return None

    def _show(self, now: Snapshot) -> None:
        if self.render_mode == "human":
            print(to_text(now.episode.messages[now.shown :]), end="")
            now.shown = len(now.episode.messages)


def is_empty(action: Action) -> bool:
    """Whether an action says and does nothing at all."""
    if isinstance(action, str):
        return not action.strip()
    return not action.get("content") and not action.get("tool_calls")
