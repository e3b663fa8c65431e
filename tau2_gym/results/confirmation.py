"""Whether an agent changed something before the user had said yes to it.

The policies of airline and retail ask for it: list the details of an action, and obtain explicit user confirmation.
tau2-bench's grades do not see it (its issue 298), since only what was changed is graded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau2_gym.domains.base import Domain
from tau2_gym.types import ToolKind

YES = re.compile(
    r"\b(?:yes|yep|yeah|yup|sure|absolutely|definitely|certainly|of course|go ahead|proceed|please do|"
    r"do (?:it|that|so)|(?:i|we)(?:'m| am| are)? (?:hereby )?(?:confirm|approve|agree|"
    r"authori[sz]|consent)\w*|"
    r"confirm(?:ed|ing)|approved?|agreed|sounds (?:good|great|right|fine)|(?:that|this)(?:'s| is) "
    r"(?:right|correct|fine|good|great|ok|okay)|(?:that|it|which) works|works for me|"
    r"looks (?:good|right|correct)|correct|ok|okay|fine)\b",
    re.IGNORECASE,
)
NO = re.compile(r"\W*(?:no|nope|not|don't|do not|wait|stop|hold on)\b", re.IGNORECASE)

ASKED = "user confirmation"
"""What a policy says that asks for it."""


@dataclass(frozen=True, slots=True)
class Writes:
    """The changes that the agent made in an attempt.

    Attributes:
        made: calls of tools that write, without those that failed.
        unconfirmed: those of them before which the user had not said yes.
    """

    made: int
    unconfirmed: int


def writes(messages: Sequence[Mapping[str, Any]], domain: Domain) -> Writes:
    """The agent's changes in a conversation.

    The user has said yes to a change if the last that they said before it agrees to something, and was an answer:
    the agent had said more than its greeting. This is read from words, and may be wrong about a sentence; it does
    not read whether what was done is what had been agreed on.

    Args:
        messages: the whole conversation, in tau2-bench's form.
        domain: whose tools they call.
    """
    kinds = {name for name, tool in domain.agent_tools.items() if tool.kind is ToolKind.WRITE}
    failed = {
        message.get("id")
        for message in messages
        if message["role"] == "tool" and message.get("error")
    }
    made = unconfirmed = spoken = 0
    agreed = False
    for message in messages:
        text = message.get("content")
        if message["role"] == "user" and text:
            agreed = spoken > 1 and says_yes(text)
        elif message["role"] == "assistant" and not message.get("tool_calls"):
            spoken += 1
        if message["role"] != "assistant":
            continue
        for call in message.get("tool_calls") or ():
            if call["name"] in kinds and call.get("id") not in failed:
                made += 1
                unconfirmed += not agreed
    return Writes(made, unconfirmed)


def says_yes(text: str) -> bool:
    """Whether a user's text agrees to something."""
    return NO.match(text) is None and YES.search(text) is not None


def wanted(domain: Domain) -> bool:
    """Whether the policy asks for the user's yes."""
    return ASKED in domain.policy
