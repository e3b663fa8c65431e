"""One episode with its grader and its ledger: what every driver steps.

A driver asks `turn` whose turn it is and passes that party's message to `agent_acts` or
`user_acts`. When it is the agent's turn again, or the episode has ended, `settle` says what the
agent's turn earned. The synchronous environment and asynchronous drivers are loops over the same
object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from tau2_gym.actions import DONE_SCHEMA, Action, is_empty, parse_action
from tau2_gym.domains.base import Domain
from tau2_gym.episode import Episode
from tau2_gym.frozen import NOTHING, FrozenDict, FrozenList, frozen
from tau2_gym.grading import Grader, official_reward
from tau2_gym.info import Info, Privileged
from tau2_gym.rewards import Accountant, Ledger, RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.turns import Turn, TurnReader
from tau2_gym.types import Checks, Message, RewardBasis, Role, Task
from tau2_gym.users.base import UserView, check_answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an agent's turn led to, in Gymnasium's terms."""

    observation: str
    reward: float
    terminated: bool
    truncated: bool
    info: Info


class _Unpaid(NamedTuple):
    """The last step of an episode that waits for a judge: the ledger before it, and the step
    itself."""

    accountant: Accountant
    before: float
    turn: Turn


class Session:
    """An episode in progress. Args:
        domain, task, rules: what is played and how.
        reward: what is paid.
        user_seed: the seed that the user is called with.

    Attributes:
        episode: the episode.
        user_seed: as given.
        turns: how many actions the agent has taken.
        last: the last outcome of `settle`; None before the first.
    """

    def __init__(
        self, domain: Domain, task: Task, rules: Rules, reward: RewardConfig, user_seed: int
    ) -> None:
        self.episode = Episode(domain, task, rules)
        self.rules = rules
        self.user_seed = user_seed
        self.turns = 0
        self.last: Outcome | None = None
        self._grader = Grader(domain, task, solo=rules.solo)
        self._accountant = Accountant(reward, domain.name)
        self._reader = TurnReader()
        self._turn: Turn | None = None
        self._graded = 0
        self._settled = 0
        self._phi = 0.0
        self._official: float | None = None
        self._unpaid: _Unpaid | None = None
        self._found: tuple[Checks, dict[str, Any]] | None = None
        self._show_tools()

    def _show_tools(self) -> None:
        domain = self.episode.domain
        tools = {**domain.agent_tools, **domain.user_tools}
        # A user's tool written as a function call is a call, too: one that breaks ownership.
        self._callable = tools
        shown = tools if self.rules.solo else domain.agent_tools
        done = [DONE_SCHEMA] if self.rules.solo else []
        self._tools = frozen([*(tool.schema for tool in shown.values()), *done])

    def __getstate__(self) -> dict[str, Any]:
        # Tools and policy are the domain's, which is found again where this is unpickled.
        state = {**vars(self), "_callable": None, "_tools": None}
        if self.last is not None:
            state["last"] = replace(self.last, info={**self.last.info, "tools": [], "policy": ""})
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._show_tools()
        if self.last is not None:
            self.last.info["tools"], self.last.info["policy"] = self._tools, self._policy

    @property
    def _policy(self) -> str:
        domain = self.episode.domain
        solo = domain.policy_solo if self.rules.solo else None
        return domain.policy if solo is None else solo

    def fork(self) -> Session:
        """An independent copy that continues from here."""
        twin = object.__new__(Session)
        twin.__dict__.update(self.__dict__)
        twin.episode = self.episode.fork()
        twin._grader = self._grader.fork()
        twin._accountant = self._accountant.fork()
        twin._reader = self._reader.fork()
        return twin

    @property
    def turn(self) -> Role | None:
        """Whose turn it is; None when the episode has ended."""
        return self.episode.turn

    @property
    def awaits_agent(self) -> bool:
        """Whether an action is due. One is due, too, of an episode that ended before the agent's
        first turn: it is not delivered, but the step says how the episode ended and what it earned."""
        return self.turn is Role.AGENT or (self.episode.done and not self.turns)

    def user_view(self) -> UserView:
        """What the user sees now."""
        return self.episode.user_view()

    def user_acts(self, message: Message) -> None:
        """Deliver the user's message.

        Raises:
            UserFault: it is not a message of a user, or it is empty and communication is not
                validated.
            RuntimeError: it is not the user's turn.
        """
        check_answer(message, empty=self.rules.validate_communication)
        self.episode.act(message)

    def agent_acts(self, action: Action) -> Message:
        """Deliver the agent's action, and return the message as it was delivered.

        Raises:
            RuntimeError: it is not the agent's turn.
            TypeError: the action is neither text nor a mapping.
            ConfigError: the action is a message of another role.
            InfrastructureError: what a tool works with failed; the episode cannot be continued.
        """
        if not self.awaits_agent:
            raise RuntimeError(f"the agent may not act: it is the turn of {self.turn}")
        rules, version = self.rules, self.episode.world.version
        message = parse_action(
            action,
            self._callable,
            self.turns,
            agent_stop=rules.agent_stop,
            solo=rules.solo,
            answered=self.episode.domain.answered,
        )
        if rules.validate_communication and is_empty(action):
            message = Message("assistant", "")
        if self.episode.done:
            self._turn = Turn()
        else:
            text = action if isinstance(action, str) else message.content or ""
            added = self.episode.act(message)
            message = added[0]
            self._turn = self._reader.read(added, self.episode, version, text)
        self.turns += 1
        return message

    def settle(self) -> Outcome:
        """What the agent's turn led to; before its first turn, what the start led to.

        Raises:
            RuntimeError: it is the user's turn.
        """
        episode = self.episode
        if self.turn is Role.USER:
            raise RuntimeError("the turn is not over: it is the user's turn")
        checks = self.checks()
        ledger: Ledger = {}
        before, self._phi = self._phi, self._accountant.score(checks)
        if episode.termination is not None and self._official is None:
            self._official = official_reward(episode.task, checks, episode.termination)
        if self._turn is not None:
            if self.ungraded:
                self._unpaid = _Unpaid(self._accountant.fork(), before, self._turn)
            ledger = self._accountant.step(
                before, self._phi, self._turn, ended=episode.done, official=self._official
            )
        new = episode.messages[self._settled :]
        self._settled, self._turn = len(episode.messages), None
        truncated = episode.termination is not None and episode.termination.truncated
        opening = episode.task.ticket if self.rules.solo and not episode.messages else None
        self.last = Outcome(
            observation=reached_agent(new) if opening is None else opening,
            reward=sum(ledger.values()),
            terminated=episode.done and not truncated,
            truncated=truncated,
            info=self._info(checks, ledger, new),
        )
        return self.last

    @property
    def ungraded(self) -> bool:
        """Whether the episode has ended and only a judge can decide what it earned: see
        `judged`."""
        return self.episode.done and self._official is None

    def judged(self, reward: float) -> Outcome:
        """Pay what a judge has decided: the last outcome again, with this official reward and the
        ledger that it makes.

        Args:
            reward: tau2-bench's reward of the episode, as `tau2_gym.judge.judged_reward` gives it.

        Raises:
            RuntimeError: the last outcome is not that of an episode that needs a judge.
        """
        if self.last is None or not self.ungraded:
            raise RuntimeError(
                "there is nothing to judge: the episode has not ended, or is already graded"
            )
        self._official = reward
        ledger = self.last.info["reward_terms"]
        if self._unpaid is not None:
            books, before, turn = self._unpaid
            self._accountant, self._unpaid = books.fork(), None
            ledger = self._accountant.step(before, self._phi, turn, ended=True, official=reward)
        told = {"reward_terms": FrozenDict(ledger), "official_reward": reward, "ungraded": NOTHING}
        info = cast(Info, {**self.last.info, **told})
        self.last = replace(self.last, reward=sum(ledger.values()), info=info)
        return self.last

    def cut(self) -> Ledger:
        """What is paid and deducted at the end of an episode that its driver gives up, for example
        because the agent's context is full. Its official reward is 0.

        Raises:
            RuntimeError: the episode has ended by itself.
        """
        if self.episode.done:
            raise RuntimeError("the episode has ended by itself")
        return self._accountant.step(self._phi, self._phi, Turn(), ended=True, official=0.0)

    def checks(self) -> Checks:
        """The grader's findings now."""
        episode = self.episode
        self._grader.update(episode.messages[self._graded :], episode.world)
        self._graded = len(episode.messages)
        return self._grader.checks(episode.world)

    def _info(self, checks: Checks, ledger: Ledger, new: Sequence[Message]) -> Info:
        episode, domain, solo = self.episode, self.episode.domain, self.rules.solo
        findings = self._findings(checks)
        calls = [
            {"name": call.name, "arguments": call.arguments}
            for message in new
            if message.role == "user"
            for call in message.tool_calls
        ]
        return {
            "messages": FrozenList(episode.chat),
            "tools": self._tools,
            "policy": self._policy,
            "ticket": episode.task.ticket if solo else None,
            "domain": domain.name,
            "task_id": episode.task.id,
            "revision": domain.revision,
            "source": domain.source,
            "reward_terms": FrozenDict(ledger),
            "checks": findings["checks"],
            "partial_score": self._phi,
            "official_reward": self._official,
            "ungraded": FrozenList([RewardBasis.NL_ASSERTION.value]) if self.ungraded else NOTHING,
            "answer": episode.world.given,
            "termination": None if episode.termination is None else episode.termination.value,
            "steps": episode.steps,
            "num_turns": self.turns,
            "num_errors": episode.num_errors,
            "malformed": episode.malformed,
            "ownership_violations": episode.ownership_violations,
            "attribution": frozen(calls) if calls else NOTHING,
            "state_key": episode.state_key,
            "privileged": cast(
                Privileged,
                FrozenDict(
                    task=episode.task,
                    trajectory=tuple(episode.messages),
                    **findings["privileged"],
                ),
            ),
        }

    def _findings(self, checks: Checks) -> dict[str, Any]:
        """What the checks look like in `info`: as the last time, if they have not changed since."""
        if self._found is None or self._found[0] != checks:
            shown = {"checks": checks.to_dict(), "privileged": self._grader.privileged()}
            self._found = (checks, frozen(shown))
        return self._found[1]


def reached_agent(messages: Sequence[Message]) -> str:
    """The text of what reached the agent: user messages and results of its own calls."""
    return "\n".join(
        message.content or ""
        for message in messages
        if (message.role == "user" and not message.is_tool_call)
        or (message.role == "tool" and message.requestor == "assistant")
    )
