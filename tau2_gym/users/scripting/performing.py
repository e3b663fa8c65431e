"""Running errands: which tool to call next, given what was called already, and what to tell of it.

`carry_out` is a generator that asks for one call after the other. To stay without hidden state it
is never kept: `advance` starts it anew for every message and feeds it the results the conversation
holds, up to the first call that was not made yet.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from tau2_gym.users.scripting.dialogue import Deed
from tau2_gym.users.scripting.errands import Condition, Errand, Flip, Query, Recount, Use, Verify
from tau2_gym.users.scripting.phone import DONE, SWITCHES, Goal, switch_state
from tau2_gym.users.scripting.toolbox import Tool


@dataclass(frozen=True, slots=True)
class Done:
    """Something was done: what, and what came of it in the tool's own words."""

    what: str
    result: str
    error: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Something to say that is not the result of a tool."""

    text: str


Remark = Done | Note
Work = Generator[Use, Deed, list[Remark]]
Look = Generator[Use, Deed, Deed | None]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What errands are run with.

    Attributes:
        tools: the tools the user has.
        before: what it did in earlier turns.
        goal: what it wants to reach, if a tool can tell.
        abroad: whether it is abroad; None if the scenario does not say.
    """

    tools: tuple[Tool, ...]
    before: tuple[Deed, ...]
    goal: Goal | None
    abroad: bool | None

    def has(self, name: str) -> bool:
        """Whether the user has that tool."""
        return any(tool.name == name for tool in self.tools)

    def changes(self, name: str) -> bool:
        """Whether that tool changes something."""
        return any(tool.name == name and tool.changes for tool in self.tools)


def advance(work: Work, deeds: Sequence[Deed]) -> Use | list[Remark]:
    """The next call to make, or what there is to tell when all is done.

    Args:
        work: the work, not started.
        deeds: what was done in this turn. Calls that the work does not ask for are passed over.
    """
    left = list(deeds)
    try:
        use = next(work)
        while True:
            deed = next((deed for deed in left if _is(deed, use)), None)
            if deed is None:
                return use
            left.remove(deed)
            use = work.send(deed)
    except StopIteration as end:
        remarks: list[Remark] = end.value
        return remarks


def _is(deed: Deed, use: Use) -> bool:
    return deed.call.name == use.tool and deed.call.arguments == use.arguments


def verdict(goal: Goal, deeds: Sequence[Deed], around: Circumstances) -> bool | None:
    """Whether the goal is reached, by the last result that tells; None if nothing tells since the
    user's last change."""
    for deed in reversed(deeds):
        if goal.tells.search(deed.result):
            return goal.solved.search(deed.result) is not None
        if around.changes(deed.call.name):
            return None
    return None


def carry_out(errands: Sequence[Errand], around: Circumstances) -> Work:
    """Run errands in order. Yields calls and is sent their results; returns what to tell."""
    hands = _Hands(around)
    for errand in errands:
        if errand.when is not None:
            holds = yield from hands.holds(errand.when)
            if holds is None:
                hands.note("I can't tell whether that applies. Should I do it anyway?")
                continue
            if not holds:
                hands.note("What you said only for that case does not apply, so I left it.")
                continue
        match errand.what:
            case Use() as use:
                yield from hands.use(use)
            case Flip(switch=name, on=on):
                yield from hands.flip(name, on=on)
            case Verify():
                yield from hands.verify()
            case Recount(tool=tool):
                hands.recount(tool)
            case Query(question=question):
                hands.note(question)
    return hands.remarks


class _Hands:
    """What does the errands of one turn, and remembers them."""

    def __init__(self, around: Circumstances) -> None:
        self.around = around
        self.now: list[Deed] = []
        self.remarks: list[Remark] = []

    def note(self, text: str) -> None:
        """Remember to say something, once."""
        if Note(text) not in self.remarks:
            self.remarks.append(Note(text))

    def use(self, use: Use, what: str | None = None) -> Look:
        """Call a tool, or say that there is none."""
        if not self.around.has(use.tool):
            self.note(f"I don't see a way to do that on my phone ({use.tool}).")
            return None
        deed = yield use
        self.now.append(deed)
        told = Done(what or DONE.get(use.tool, f"used {use.tool}"), deed.result, deed.error)
        self.remarks.append(told)
        return deed

    def look(self, use: Use) -> Look:
        """The result of a tool that changes nothing; not called again if that would not change it."""
        for deed in reversed(self.now):
            if self.around.changes(deed.call.name):
                break
            if _is(deed, use):
                return deed
        return (yield from self.use(use))

    def flip(self, name: str, *, on: bool) -> Generator[Use, Deed, None]:
        """Bring a switch into a state. Looks first if it was never seen, and flips no switch that is
        already there."""
        switch = SWITCHES[name]
        wanted = "on" if on else "off"
        if self._state(name) is None and self.around.has(switch.check):
            yield from self.look(Use(switch.check))
        if self._state(name) is on:
            self.note(f"{name[0].upper()}{name[1:]} is already {wanted.upper()}.")
            return
        for _ in range(2):  # without a tool to look with, the first flip may go the wrong way
            deed = yield from self.use(Use(switch.toggle), f"went to turn {name} {wanted}")
            if deed is None or switch_state(name, [deed.result]) is not (not on):
                return

    def verify(self) -> Generator[Use, Deed, None]:
        """See whether the goal is reached."""
        goal = self.around.goal
        if goal is None:
            self.note("I can't check that myself.")
        else:
            yield from self.look(Use(goal.check))

    def recount(self, tool: str) -> None:
        """Say whether a tool was used."""
        did = any(deed.call.name == tool for deed in (*self.around.before, *self.now))
        self.note(f"Yes, I {DONE[tool]}." if did else "No, I haven't done that yet.")

    def holds(self, condition: Condition) -> Generator[Use, Deed, bool | None]:
        """Whether a condition holds; None if the user cannot find out."""
        if condition.look == "abroad":
            fact = self.around.abroad
        elif condition.look == "solved":
            yield from self.verify()
            goal = self.around.goal
            fact = None if goal is None else verdict(goal, self.now, self.around)
        else:
            deed = yield from self.look(condition.look)
            shows = condition.shows
            fact = None if deed is None or shows is None else bool(shows.search(deed.result))
        return None if fact is None else fact is condition.expected

    def _state(self, name: str) -> bool | None:
        return switch_state(name, (deed.result for deed in (*self.around.before, *self.now)))
