"""What an agent's text asks the user to do: from English, or a tool's bare name, to errands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tau2_gym.users.scripting import conditions
from tau2_gym.users.scripting.arguments import complete
from tau2_gym.users.scripting.clauses import Clause, Mood, clauses
from tau2_gym.users.scripting.cues import Cue, cues
from tau2_gym.users.scripting.errands import (
    Condition,
    Errand,
    Flip,
    Query,
    Recount,
    Use,
    Verify,
    What,
)
from tau2_gym.users.scripting.features import TOOLS, features, verbs
from tau2_gym.users.scripting.phone import SWITCHES
from tau2_gym.users.scripting.phrasing import normalise
from tau2_gym.users.scripting.speech import sentences
from tau2_gym.users.scripting.toolbox import MARK, NamedCall, Tool, cut_out_calls
from tau2_gym.users.scripting.verbs import CLASSES_OF, PARTICIPLES, any_of, participle

_ASKED = re.compile(
    r"(?:\w+ly |and |so |now |also )*"
    r"(?:is|are|does|do|has|any|where|who|what(?! about)|which|how(?! about))\b"
)
"""Questions that ask what is, and not whether the user would do something."""
_STATE_ONLY = re.compile(r"\b(on|off)(?: again)?$")
_STATE = re.compile(r"\b(?:on|off|enabled|disabled|active|connected|set|shows?|says?)\b")
_IT = re.compile(r"\b(?:it|them|again)\b")
_IF_SO = re.compile(r"(?:and )?if (?:so|yes|it is|it does|you are|you do|they are|that's the case)")
_PRONOUN = re.compile(r"\b(?:it|this|that|them|both|these|those)\b")
_TRANSITIVE = ("reseat", "reset", "disconnect", "connect", "off", "on", "toggle")
_OTHERS_ROAMING = re.compile(r"\b(?:line|account)\b")
_PHONE = re.compile(r"\b(?:phone|device|settings?)\b")
_TELLING = re.compile(r"\b(?:describe|details?|explain|about|what(?:'s| is| seems)|more)\b")
_CONNECTED = re.compile(r"\b(?:connected|currently on|using right now)\b")
_WORKING = re.compile(r"\b(?:work\w*|fast\w*|slow\w*|speed|back|available)\b")
_RECOUNTED = {
    "restart": "reboot_device",
    "reseat": "reseat_sim_card",
    "reset": "reset_apn_settings",
}
_REPORTED = re.compile(
    rf"\b({any_of(form for verb, classes in CLASSES_OF.items() for form in (verb, participle(verb)) if set(classes) & _RECOUNTED.keys())})\b"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text asks for.

    Attributes:
        errands: what to do, in the order asked.
        rest: the sentences that ask for nothing of the kind, as they were written.
        topic: the feature that "it" would stand for in the next text.
    """

    errands: tuple[Errand, ...] = ()
    rest: tuple[str, ...] = ()
    topic: str | None = None


_ATTENTION = 4000
"""How many characters of one text the user takes in: the start and the end of longer ones."""


@lru_cache(maxsize=8192)
def read(text: str, tools: tuple[Tool, ...], topic: str | None = None) -> Reading:
    """Understand a text of the agent's.

    Args:
        text: what the agent said.
        tools: the tools the user has. Without tools there are no errands.
        topic: the feature spoken of before, for "turn it off".
    """
    if len(text) > _ATTENTION:
        text = f"{text[: _ATTENTION // 2]}\n{text[-_ATTENTION // 2 :]}"
    if not tools:
        return Reading((), sentences(text), None)
    reader = _Reader(text, tools, topic)
    errands: list[Errand] = []
    rest: list[str] = []
    for sentence in sentences(reader.marked):
        found = list(reader.errands(sentence))
        for errand in found:
            # "check it and tell me what it shows" is one look, not two; "toggle, toggle" is two
            if errand not in errands[-1:] or _flips(errand):
                errands.append(errand)
        if not found:
            rest.append(sentence)
    return Reading(tuple(errands), tuple(rest), reader.topic)


_TOGGLES = frozenset(switch.toggle for switch in SWITCHES.values())


def _flips(errand: Errand) -> bool:
    return isinstance(errand.what, Use) and errand.what.tool in _TOGGLES


@dataclass(slots=True)
class _Reader:
    """Reads one text, sentence by sentence. Holds what later clauses refer back to."""

    text: str
    tools: tuple[Tool, ...]
    topic: str | None
    marked: str = ""
    calls: tuple[NamedCall, ...] = ()
    condition: Condition | None = None
    doubt: str = ""
    sentence: str = ""
    question: str = ""
    last_verbs: list[str] = field(default_factory=list)
    english: list[What] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.marked, self.calls = cut_out_calls(self.text, self.tools)

    def errands(self, sentence: str) -> Iterator[Errand]:
        """The errands of one sentence."""
        self.sentence = normalise(sentence)
        self.last_verbs = []
        self.english = []
        idle = True
        parts = list(clauses(self.sentence))
        if any(part.mood is Mood.ELSE for part in parts):
            self.condition = self.condition or self._answered_yes()
        else:
            self.condition = None
        self.doubt = ""
        for index, clause in enumerate(parts):
            if clause.mood is Mood.CONDITION:
                self._suppose(clause)
                continue
            if clause.mood is Mood.ELSE:
                self.condition = self.condition and self.condition.negated()
            if clause.mood is Mood.PAST and self.sentence.endswith("?"):
                yield from map(Errand, self._past(clause))
                continue
            if clause.mood not in (Mood.REQUEST, Mood.ELSE):
                self.topic = next(iter(features(clause.text)), self.topic)
                continue
            if index + 1 < len(parts) and parts[index + 1].mood is Mood.CONDITION:
                self.topic = next(iter(features(clause.text)), self.topic)
                self._suppose(parts[index + 1])
            for what in self._wanted(clause):
                idle = False
                yield self._errand(what)
        if idle and self.condition is not None and self.condition.look == "solved":
            yield Errand(Verify())  # "if the problem persists, let me know"
        self.question = self.sentence if self.sentence.endswith("?") else ""

    def _answered_yes(self) -> Condition | None:
        """The condition that the answer to the question before is yes."""
        met = conditions.understand(self.question, self.topic) if self.question else None
        return met if isinstance(met, Condition) else None

    def _suppose(self, clause: Clause) -> None:
        """Take in a condition; it holds for the clauses beside it."""
        if _IF_SO.fullmatch(clause.text):
            met: Condition | bool | None = self._answered_yes()
        else:
            met = conditions.understand(clause.text, self.topic)
        self.condition = met if isinstance(met, Condition) else None
        self.doubt = clause.text if met is None else ""
        self.topic = next(iter(features(clause.text)), self.topic)

    def _errand(self, what: What) -> Errand:
        """The errand under the condition in force."""
        if self.doubt and not isinstance(what, Query):
            return Errand(Query(f'You said "{self.doubt}" - should I do that now?'))
        when = self.condition
        if isinstance(what, Flip) and when is not None and when.is_state_of(what.switch):
            when = None  # "if it is on, turn it off": turning off looks first anyway
        return Errand(what, when)

    def _past(self, clause: Clause) -> list[What]:
        """ "Have you …?": tell what has been done, or look."""
        match = _REPORTED.search(clause.text)
        if match is not None:
            verb = PARTICIPLES.get(match[1], match[1])
            return [Recount(_RECOUNTED[CLASSES_OF[verb][0]])]
        return list(self._use("check", features(clause.text), clause))[:1]

    def _wanted(self, clause: Clause) -> Iterator[What]:
        """What one clause asks for."""
        text = MARK.sub(" ", clause.text)
        about = features(text)
        found = self._verbs(text, clause)
        if not about and self._refers_back(text, found, clause):
            about = (self.topic,) if self.topic is not None else ()
        english = list(self._english(found, about, clause))
        self.english += english
        yield from english
        for match in MARK.finditer(clause.text):
            call = self.calls[int(match[1])]
            if not any(_covers(what, call) for what in self.english):
                yield from self._calls(call.name, call.arguments, f"{call.raw} {text}")
        self.last_verbs = found or self.last_verbs
        self.topic = next((name for name in about if name in TOOLS), self.topic)

    def _verbs(self, text: str, clause: Clause) -> list[str]:
        """The verbs of a clause; those of the one before where it leaves them out."""
        if self.sentence.endswith("?") and _ASKED.match(text):
            return ["check"]
        found = verbs(text)
        if not found and clause.follows_on:
            state = None if "check" in self.last_verbs else _STATE_ONLY.search(text)
            found = self.last_verbs if state is None else [state[1]]
        return found or (["check"] if self.sentence.endswith("?") else [])

    def _refers_back(self, text: str, found: list[str], clause: Clause) -> bool:
        """Whether a clause that names no feature means the one spoken of before."""
        if Cue.CONSENT in cues(self.sentence):
            return False  # "is that okay?"
        if found[:1] == ["check"]:
            asks = _ASKED.match(text) is None or _STATE.search(text) is not None
            return asks and _IT.search(text) is not None
        objectless = clause.follows_on and found[:1] and found[0] in _TRANSITIVE
        return bool(objectless) or _PRONOUN.search(text) is not None

    def _english(self, found: list[str], about: tuple[str, ...], clause: Clause) -> Iterator[What]:
        for verb in found:
            if verb == "restart" and "app" not in clause.text.split():
                yield Use("reboot_device")
                return
            uses = list(self._use(verb, about, clause))
            if uses:
                yield from uses
                return

    def _use(self, verb: str, about: tuple[str, ...], clause: Clause) -> Iterator[What]:
        """What a verb means for the first of the features it can be applied to."""
        if verb in ("check", "run") and "status bar" in about:
            about = ("status bar",)
        for name in about:
            if name == "problem" and verb in ("check", "run"):
                if _TELLING.search(clause.text) is None:
                    yield Verify()
                return
            tool = TOOLS.get(name, {}).get(verb)
            if tool is None or self._is_the_agents(name, clause.text):
                continue
            if name in SWITCHES and verb in ("on", "off"):
                yield Flip(name, verb == "on")
            elif name == "network mode" and verb == "check" and _CONNECTED.search(clause.text):
                yield Use("check_network_status")
            elif name == "mobile data" and verb == "check" and _WORKING.search(clause.text):
                yield Use("run_speed_test")
            else:
                yield from self._calls(tool, None, clause.text)
            return

    def _calls(
        self, tool: str, given: Mapping[str, Any] | None, text: str
    ) -> Iterator[Use | Query]:
        """The calls of a tool, with arguments from the clause, the sentence, or the whole text."""
        required = next((one.required for one in self.tools if one.name == tool), ())
        return complete(tool, required, given or {}, (text, self.sentence, self.text.lower()))

    def _is_the_agents(self, feature: str, text: str) -> bool:
        """Whether the agent means its own side: roaming on the *line* is not the phone's switch."""
        return (
            feature == "data roaming"
            and _OTHERS_ROAMING.search(text) is not None
            and _PHONE.search(text) is None
        )


def _covers(what: What, call: NamedCall) -> bool:
    """Whether a request in English already says what the tool named beside it would do."""
    if isinstance(what, Flip):
        return call.name == SWITCHES[what.switch].toggle
    return isinstance(what, Use) and what.tool == call.name and not call.arguments
