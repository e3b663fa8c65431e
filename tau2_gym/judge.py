"""Judges natural-language assertions about an episode, if the official reward needs it.

Some revisions of tau2-bench's tasks are graded by assertions such as "the agent refuses to cancel",
which only a reader can decide. A `Judge` decides them. Without one, such an episode stays ungraded,
and says so; if the judge fails, that is the judge's fault. An episode never passes or fails
silently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tau2_gym.completion import ChatModel, ContextOverflow, call_seed
from tau2_gym.completion.wire import digest
from tau2_gym.errors import ConfigError, DataError, InfrastructureError
from tau2_gym.grading import official_reward
from tau2_gym.journal import Journal
from tau2_gym.types import Checks, Fault, Message, Task, Termination


class JudgeFault(RuntimeError):
    """The judge could not decide. Never held against the agent."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an assertion holds, and why the judge thinks so."""

    assertion: str
    met: bool
    reason: str = ""


@runtime_checkable
class Judge(Protocol):
    """Decides whether assertions about an episode hold."""

    async def decide(
        self, messages: Sequence[Message], assertions: Sequence[str]
    ) -> tuple[Verdict, ...]:
        """One verdict for each assertion, in their order. The same episode and assertions get the
        same verdicts.

        Raises:
            JudgeFault: no verdict could be reached.
            InfrastructureError: the judge could not be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """The reward of an ended episode, judged if it needs a judge.

    Attributes:
        reward: tau2-bench's reward; None if the episode is ungraded.
        verdicts: of the judge; empty if no judge was needed, or there was none.
        fault: `Fault.JUDGE` if the judge failed.
        reason: why the episode is ungraded; empty if it is graded.
    """

    reward: float | None
    verdicts: tuple[Verdict, ...] = ()
    fault: Fault | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for results."""
        return asdict(self)


async def judged_reward(
    task: Task,
    checks: Checks,
    termination: Termination,
    messages: Sequence[Message],
    judge: Judge | None,
) -> Judgement:
    """tau2-bench's reward of an ended episode. The judge is asked only if everything else holds,
    since the reward is a product: then it is 1 if all assertions hold, else 0.

    Args:
        task: what was played.
        checks, termination: how it ended.
        messages: everything said and done.
        judge: None leaves an episode that needs one ungraded.

    Raises:
        ConfigError: the judge's model is set up wrongly.
        DataError: the judge's cassette does not hold the call.
    """
    reward = official_reward(task, checks, termination)
    if reward is not None:
        return Judgement(reward)
    if judge is None:
        return Judgement(
            None, reason=f"task {task.id!r} is graded by natural-language assertions: no judge"
        )
    assert task.criteria is not None
    try:
        verdicts = await judge.decide(messages, task.criteria.nl_assertions)
    except (JudgeFault, InfrastructureError) as error:
        return Judgement(None, fault=Fault.JUDGE, reason=f"judge: {error}")
    return Judgement(float(all(verdict.met for verdict in verdicts)), verdicts)


class VerdictCache:
    """Verdicts by key.

    Args:
        path: a file of JSON lines that keeps them from run to run; None keeps them in memory only.

    Raises:
        DataError: the file holds something else.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._journal = None if path is None else Journal(path)
        self._verdicts: dict[str, tuple[Verdict, ...]] = {}
        for number, row in self._journal or ():
            try:
                self._verdicts[row["key"]] = tuple(Verdict(**item) for item in row["verdicts"])
            except (KeyError, TypeError) as error:
                raise DataError(f"{path}, line {number}, holds no verdicts: {error!r}") from error

    def get(self, key: str) -> tuple[Verdict, ...] | None:
        """The verdicts kept under a key."""
        return self._verdicts.get(key)

    def put(self, key: str, verdicts: tuple[Verdict, ...]) -> None:
        """Keep verdicts."""
        self._verdicts[key] = verdicts
        if self._journal is not None:
            rows = [asdict(verdict) for verdict in verdicts]
            self._journal.append({"key": key, "verdicts": rows})


INSTRUCTION = """
You grade a conversation between a customer-service agent and a customer. You get the conversation
and a numbered list of assertions about it. Decide for each assertion, on its own, whether the
conversation shows that it holds. What the conversation does not show does not hold.

Answer with one JSON object and nothing else:
{"verdicts": [{"number": 1, "reason": "one sentence", "met": true}, ...]}
with exactly one entry for every assertion.
""".strip()


@dataclass(frozen=True)
class LLMJudge:
    """A judge played by a model. Verdicts are kept by a hash of everything they depend on, so no
    episode is judged twice.

    Attributes:
        model: the model; temperature 0 is the one to use.
        attempts: how many answers to ask for before the judge is at fault. An answer counts if it
            has exactly one verdict for each assertion.
        cache: keeps the verdicts.

    Raises:
        ConfigError: not at least one attempt.
    """

    model: ChatModel
    attempts: int = 3
    cache: VerdictCache = field(default_factory=VerdictCache, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigError(f"a judge needs at least 1 attempt, not {self.attempts}")

    async def decide(
        self, messages: Sequence[Message], assertions: Sequence[str]
    ) -> tuple[Verdict, ...]:
        """See `Judge.decide`."""
        listed = "\n".join(f"{number}. {text}" for number, text in enumerate(assertions, start=1))
        question = (
            f"<conversation>\n{transcript(messages)}\n</conversation>\n\n"
            f"<assertions>\n{listed}\n</assertions>"
        )
        chat = [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": question},
        ]
        key = digest(self.model.request(chat))
        verdicts = self.cache.get(key)
        if verdicts is None:
            verdicts = await self._ask(chat, assertions)
            self.cache.put(key, verdicts)
        return verdicts

    async def _ask(
        self, chat: list[dict[str, str]], assertions: Sequence[str]
    ) -> tuple[Verdict, ...]:
        problem = ""
        for attempt in range(self.attempts):
            try:
                completion = await self.model.complete(chat, seed=call_seed(0, 0, attempt))
            except ContextOverflow as error:
                raise JudgeFault(str(error)) from error
            try:
                return read_verdicts(completion.said, assertions)
            except JudgeFault as error:
                problem = str(error)
        raise JudgeFault(f"no usable answer in {self.attempts} attempts; {problem}")


def transcript(messages: Sequence[Message]) -> str:
    """An episode as text: who said, called and was returned what."""
    lines = []
    for message in messages:
        name = {"assistant": "agent", "user": "user", "tool": "result"}[message.role]
        if message.role == "tool" and message.requestor == "user":
            name = "result for the user"
        if message.content:
            lines.append(f"{name}: {message.content}")
        lines += [
            f"{name} calls {call.name}({json.dumps(call.arguments)})" for call in message.tool_calls
        ]
    return "\n".join(lines)


def read_verdicts(text: str, assertions: Sequence[str]) -> tuple[Verdict, ...]:
    """The verdicts in a judge's answer: the JSON object in it, whatever surrounds it.

    Raises:
        JudgeFault: there is not exactly one verdict for each assertion.
    """
    found = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        rows = json.loads(found[0] if found else "")["verdicts"]
        by_number = {row["number"]: row for row in rows}
        if len(rows) != len(by_number) or set(by_number) != set(range(1, len(assertions) + 1)):
            raise JudgeFault(f"{len(rows)} verdicts on {len(assertions)} assertions")
        if not all(isinstance(row["met"], bool) for row in rows):
            raise JudgeFault("a verdict is neither true nor false")
    except (ValueError, KeyError, TypeError) as error:
        raise JudgeFault(f"the answer holds no verdicts: {error!r}") from error
    return tuple(
        Verdict(text, by_number[number]["met"], str(by_number[number].get("reason", "")))
        for number, text in enumerate(assertions, start=1)
    )
