"""How the user says things: more or less talkative, and never quite the same way twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tau2_gym.users.base import STOP, TRANSFER
from tau2_gym.users.scripting.performing import Done, Note, Remark
from tau2_gym.users.scripting.speech import finished, vary

Verbosity = Literal["terse", "normal", "chatty"]

_HELLO = (
    "Hi.",
    "Hello.",
    "Hi there.",
    "Good day.",
    "Hello, I need some help.",
    "Hi, can you help me?",
)
_ACKNOWLEDGE = ("Okay.", "Okay, thank you.", "Alright.", "Thanks, go on.", "Sure, I'll wait.")
_YES = ("Yes, please.", "Yes.", "Yes, go ahead.", "Yes, that's fine.", "Sure, please do.")
_NO = ("No.", "No, thank you.", "No, I don't want that.")
_UNKNOWN = ("I'm not sure about that.", "I don't know, sorry.", "I can't tell you that.")
_SHOWS = (
    "It says:",
    "This is what I get:",
    "The result:",
    "My phone shows:",
    "Here's what it says:",
)
_FAILED = ("I got an error:", "That did not work:", "My phone gives an error:")
_SOLVED = (
    "It works now, thank you!",
    "Great, that's solved. Thank you for your help.",
    "Everything is fine now, thanks.",
)
_FINISHED = (
    "No, that's all. Thank you.",
    "That was everything, thanks.",
    "Nothing else, thank you.",
)
_UNSOLVED = (
    "I'm afraid my problem isn't solved yet.",
    "It's still not working for me.",
    "No, the problem is still there.",
)
_FRUSTRATED = (
    "I have to say, this is getting a bit frustrating.",
    "I had hoped that would do it; this is a little annoying.",
)
_GIVE_UP = (
    "I don't think this is leading anywhere. I'll leave it here, thanks anyway.",
    "This isn't getting me further, so I'll try again another time. Thank you.",
    "Let's stop here. I'll call again later.",
)
_HANDED_OVER = ("Okay, thank you.", "Alright, I'll hold.", "Thanks, I'll wait.")
_MORE = ("Yes, one more thing.", "Yes.", "There is something else.")


@dataclass(frozen=True, slots=True)
class Voice:
    """A way of speaking. The same `rng` state gives the same words."""

    verbosity: Verbosity
    rng: Random

    @property
    def breath(self) -> int:
        """How many things it tells unasked at a time."""
        return {"terse": 1, "normal": 2, "chatty": 3}[self.verbosity]

    def hello(self) -> str:
        """The start of a conversation; empty for a user of few words."""
        return "" if self.verbosity == "terse" else self.rng.choice(_HELLO)

    def statements(self, texts: Sequence[str]) -> str:
        """Things it knows or wants, in its own words."""
        return " ".join(finished(vary(text, self.rng)) for text in texts)

    def report(self, remarks: Sequence[Remark]) -> str:
        """What came of its errands, with the results in the phone's own words."""
        return "\n".join(self._remark(remark) for remark in remarks)

    def _remark(self, remark: Remark) -> str:
        match remark:
            case Note(text=text):
                return text
            case Done(result=result) if self.verbosity == "terse":
                return result
            case Done(what=what, result=result, error=error):
                return f'I {what}. {self.rng.choice(_FAILED if error else _SHOWS)} "{result}"'

    def acknowledge(self) -> str:
        """Taking note of something that asks for nothing."""
        return self.rng.choice(_ACKNOWLEDGE)

    def yes(self) -> str:
        """Consent."""
        return self.rng.choice(_YES)

    def no(self) -> str:
        """Refusal."""
        return self.rng.choice(_NO)

    def unknown(self) -> str:
        """Having no answer."""
        return self.rng.choice(_UNKNOWN)

    def more(self) -> str:
        """Before something not said yet, when asked whether there is more."""
        return self.rng.choice(_MORE)

    def unsolved(self, *, frustrated: bool) -> str:
        """The problem is still there."""
        words = self.rng.choice(_UNSOLVED)
        return f"{words} {self.rng.choice(_FRUSTRATED)}" if frustrated else words

    def solved(self) -> str:
        """The end, happy: the problem is gone."""
        return f"{self.rng.choice(_SOLVED)} {STOP}"

    def done(self) -> str:
        """The end: everything wanted was said and dealt with."""
        return f"{self.rng.choice(_FINISHED)} {STOP}"

    def give_up(self) -> str:
        """The end, unhappy."""
        return f"{self.rng.choice(_GIVE_UP)} {STOP}"

    def handed_over(self) -> str:
        """The end: somebody else takes over."""
        return f"{self.rng.choice(_HANDED_OVER)} {TRANSFER}"
