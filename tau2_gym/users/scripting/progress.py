"""Whether a conversation gets anywhere: what the user counts before it gives up."""

from __future__ import annotations

from collections.abc import Sequence

from tau2_gym.users.scripting.cues import Cue, cues
from tau2_gym.users.scripting.dialogue import Deed, Exchange
from tau2_gym.users.scripting.instructions import read
from tau2_gym.users.scripting.memory import Memory
from tau2_gym.users.scripting.performing import Circumstances
from tau2_gym.users.scripting.recall import is_said
from tau2_gym.users.scripting.words import spoken


def led_nowhere(
    conversation: Sequence[Exchange], patience: int, known: Memory, around: Circumstances
) -> bool:
    """Whether the last `patience` turns of a conversation were all fruitless."""
    if len(conversation) < patience:
        return False
    last = range(len(conversation) - 1, len(conversation) - 1 - patience, -1)
    return not any(
        is_fruitful(conversation[index], conversation[:index], known, around) for index in last
    )


def is_fruitful(
    turn: Exchange, before: Sequence[Exchange], known: Memory, around: Circumstances
) -> bool:
    """Whether a turn made the user do or say something new.

    New are a change of the phone, a look not taken since the last change, something of the scenario
    not said before, and consent to something not asked before.
    """
    since = [deed for earlier in before for deed in earlier.deeds]
    for deed in turn.deeds:
        if around.changes(deed.call.name) or not _looked(deed, since, around):
            return True
        since.append(deed)
    if any(earlier.told == turn.told for earlier in before):
        return False
    return _says_more(turn, before, known) or _seeks_consent(turn, around)


def _looked(deed: Deed, since: Sequence[Deed], around: Circumstances) -> bool:
    """Whether a look was taken before, and nothing was changed after it."""
    for earlier in reversed(since):
        if around.changes(earlier.call.name):
            return False
        if (earlier.call.name, earlier.call.arguments) == (deed.call.name, deed.call.arguments):
            return True
    return False


def _says_more(turn: Exchange, before: Sequence[Exchange], known: Memory) -> bool:
    """Whether the user said something of its scenario that it had not said."""
    words = turn.said or ""
    earlier = "\n".join(other.said for other in before if other.said)
    for statement in known.statements:
        if is_said(statement, spoken(words)) and not is_said(statement, spoken(earlier)):
            return True
    values = (value for detail in known.details for value in detail.values)
    return any(value in words and value not in earlier for value in values)


def _seeks_consent(turn: Exchange, around: Circumstances) -> bool:
    """Whether the agent asked for a yes or a no."""
    if turn.told is None:
        return False
    found = [cues(sentence) for sentence in read(turn.told, around.tools).rest]
    return any(Cue.CONSENT in cue and Cue.ANYTHING_ELSE not in cue for cue in found)
