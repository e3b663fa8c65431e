"""A user that follows its scenario by rules: no model, no network, the same words for the same seed.

See `docs/users.md` for what it does and where its limits are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import get_args

from tau2_gym.errors import ConfigError, one_of
from tau2_gym.types import Message, ToolCall
from tau2_gym.users.base import UserView
from tau2_gym.users.scripting.cues import Cue, cues
from tau2_gym.users.scripting.dialogue import Exchange, turns
from tau2_gym.users.scripting.errands import Errand, Use, Verify
from tau2_gym.users.scripting.instructions import Reading, read
from tau2_gym.users.scripting.memory import Memory, Statement, memory
from tau2_gym.users.scripting.performing import Circumstances, advance, carry_out, verdict
from tau2_gym.users.scripting.phone import goal_of
from tau2_gym.users.scripting.progress import led_nowhere
from tau2_gym.users.scripting.recall import (
    best_match,
    details_asked,
    is_abroad,
    is_said,
    refused,
    triggered,
    whereabouts,
)
from tau2_gym.users.scripting.toolbox import toolbox
from tau2_gym.users.scripting.voice import Verbosity, Voice
from tau2_gym.users.scripting.words import spoken

_ALTERNATIVES = re.compile(r"\bor\b(?! no[t\b])")
_FRUSTRATION = re.compile(r"frustrat", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ScriptedUser:
    """Plays its scenario by rules.

    Attributes:
        patience: how many turns in a row may lead nowhere (no answer needed, nothing new to do, or
            a closing before the problem is solved) before the user gives up.
        verbosity: how much it volunteers: `terse`, `normal` or `chatty`.

    Raises:
        ConfigError: `patience` is not a positive integer, or `verbosity` is none of these.
    """

    patience: int = 5
    verbosity: Verbosity = "normal"

    def __post_init__(self) -> None:
        if type(self.patience) is not int or self.patience < 1:
            raise ConfigError(f"patience must be a positive integer, not {self.patience!r}")
        if self.verbosity not in get_args(Verbosity):
            raise one_of("verbosity", self.verbosity, get_args(Verbosity))

    def respond(self, view: UserView, seed: int) -> Message:
        """See `tau2_gym.users.base.User.respond`."""
        voice = Voice(self.verbosity, Random(f"{seed}:{len(view.messages)}"))
        return _Mind(view, voice, self.patience).answer()


class _Mind:
    """An answer in the making: everything the user knows on its turn."""

    def __init__(self, view: UserView, voice: Voice, patience: int) -> None:
        *past, self.now = turns(view.messages)
        self.past: Sequence[Exchange] = past
        self.voice = voice
        self.patience = patience
        self.position = len(view.messages)
        self.scenario = view.scenario
        self.known: Memory = memory(view.scenario)
        self.said = [words for turn in past if turn.said for words in spoken(turn.said)]
        self.pending = [wish for wish in self.known.wishes if not is_said(wish, self.said)]
        self.first = 0 < len(self.pending) == len(self.known.wishes)
        tools = toolbox(view.tools)
        goal = goal_of(view.scenario)
        self.around = Circumstances(
            tools,
            tuple(deed for turn in past for deed in turn.deeds),
            goal if goal is not None and any(tool.name == goal.check for tool in tools) else None,
            is_abroad(self.known),
        )
        topic = None
        if past and past[-1].told is not None:
            topic = read(past[-1].told, tools).topic
        self.reading = read(self.now.told, tools, topic) if self.now.told else Reading()
        self.cues = Cue.NONE
        for sentence in self.reading.rest:
            self.cues |= cues(sentence)

    def answer(self) -> Message:
        """The user's message."""
        if Cue.TRANSFER in self.cues and not self.reading.errands:
            return Message("user", self.voice.handed_over())
        errands = list(self.reading.errands)
        if self._must_verify(bool(errands)):
            errands.append(Errand(Verify()))
        step = advance(carry_out(errands, self.around), self.now.deeds)
        if isinstance(step, Use):
            call = ToolCall(step.tool, dict(step.arguments), f"user_{self.position}", "user")
            return Message("user", tool_calls=(call,))
        parts = [self._opening(), self.voice.report(step), *self._replies()]
        parts = list(dict.fromkeys(part for part in parts if part))
        return Message("user", "\n".join([*parts, *self._ending(parts)]))

    # --- What is asked besides errands ---

    def _opening(self) -> str:
        """Why it calls, if it has not said anything of that yet."""
        if not self.first:
            return ""
        hello = "" if self.said else self.voice.hello()
        return f"{hello} {self._disclose(self.pending)}".strip()

    def _replies(self) -> list[str]:
        """Answers to the agent's sentences, and what they remind the user of."""
        replies: list[str] = []
        consented = False
        for sentence in self.reading.rest:
            about = cues(sentence)
            if about & (Cue.ANYTHING_ELSE | Cue.TRANSFER):
                continue
            reminder = triggered(self.known, sentence, self.said)
            if reminder is not None:
                replies.append(self.voice.statements([reminder.text]))
            elif Cue.OPEN_QUESTION in about and not self.first:
                replies.append(self._disclose(self.pending or self.known.wishes))
            elif Cue.CONSENT in about and not consented:
                consented = True
                replies.append(self._consent(sentence))
            elif about & (Cue.QUESTION | Cue.CONSENT) == Cue.QUESTION:
                replies.append(self._reply(sentence))
        answers = [reply for reply in replies if reply]
        asked = self.cues & (Cue.QUESTION | Cue.CONSENT) and Cue.ANYTHING_ELSE not in self.cues
        if asked and not answers and not self.first:
            answers.append(self._disclose(self.pending) if self.pending else self.voice.unknown())
        return answers

    def _reply(self, question: str) -> str:
        """The answer to a question, or nothing if there is none to give."""
        details = details_asked(self.known, question)
        if details:
            return self.voice.statements(details)
        place = whereabouts(self.known, question)
        if place is not None:
            return self.voice.statements([place])
        relevant = best_match(self.known.statements, question)
        return "" if relevant is None else self.voice.statements([relevant.text])

    def _consent(self, question: str) -> str:
        """A yes or a no. Details are confirmed by giving them."""
        details = details_asked(self.known, question)
        if details:
            return self.voice.statements(details)
        unwanted = refused(self.known.statements, question)
        if unwanted is not None:
            return f"{self.voice.no()} {self.voice.statements([unwanted.text])}"
        relevant = best_match(self.known.statements, question)
        if (
            relevant is not None
            and _ALTERNATIVES.search(question)
            and "yes" not in question.lower()
        ):
            return self.voice.statements([relevant.text])
        return self.voice.yes()

    def _disclose(self, wishes: Sequence[Statement]) -> str:
        """As many of the wishes as the user tells at a time."""
        return self.voice.statements([wish.text for wish in wishes[: self.voice.breath]])

    # --- How it ends ---

    def _closing(self) -> bool:
        """Whether the agent is finished: it only asks whether there is anything else."""
        if Cue.ANYTHING_ELSE in self.cues:
            return True
        return Cue.FAREWELL in self.cues and not self.cues & (Cue.QUESTION | Cue.CONSENT)

    def _must_verify(self, busy: bool) -> bool:
        """Whether to check that the problem is solved. What was seen working still works until the
        user changes something; what failed may have been fixed since."""
        goal = self.around.goal
        if goal is None or not self._closing() or self.first:
            return False
        return busy or verdict(goal, self.around.before, self.around) is not True

    def _ending(self, parts: list[str]) -> list[str]:
        """What comes after the answers: an end, an objection, or a word so as not to be silent."""
        closing = self._closing() and not self.first
        if closing and self._is_solved():
            return [self.voice.solved()]
        if closing and self.around.goal is None and not self.pending:
            return [self.voice.done()]
        words = self._objection() if closing else []
        if not (parts or words):
            words = [self.voice.acknowledge()]
        now = Exchange(self.now.told, self.now.deeds, "\n".join([*parts, *words]))
        if led_nowhere((*self.past, now), self.patience, self.known, self.around):
            return [self.voice.give_up()]
        return words

    def _is_solved(self) -> bool:
        """Whether the last check showed that the goal is reached."""
        deeds = (*self.around.before, *self.now.deeds)
        goal = self.around.goal
        return goal is not None and verdict(goal, deeds, self.around) is True

    def _objection(self) -> list[str]:
        """Why it is not over yet."""
        if self.around.goal is None:
            return [f"{self.voice.more()} {self._disclose(self.pending)}"]
        changed = any(self.around.changes(deed.call.name) for deed in self.around.before)
        moody = changed and _FRUSTRATION.search(self.scenario.instructions) is not None
        return [self.voice.unsolved(frustrated=moody)]
