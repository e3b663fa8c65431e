"""Calls of chat models: the one place that talks to them.

`ChatModel`     a model, how it is reached and how it is to answer; `complete` asks it
`Completion`    its answer: text, tool calls, usage, exact tokens where the server returns them
`metered`       counts what the calls in a block take
`run_sync`      waits for a coroutine from synchronous code
`ContextOverflow`, `ContentFiltered`, `CallTimeout`   how a call can fail
"""

from __future__ import annotations

from tau2_gym.completion.blocking import run_sync
from tau2_gym.completion.faults import CallTimeout, ContentFiltered, ContextOverflow
from tau2_gym.completion.metering import Meter, Usage, metered
from tau2_gym.completion.model import ChatModel, call_seed
from tau2_gym.completion.wire import EXACT_TOKENS, Completion, ExactTokens, RawCall

__all__ = [
    "EXACT_TOKENS",
    "CallTimeout",
    "ChatModel",
    "Completion",
    "ContentFiltered",
    "ContextOverflow",
    "ExactTokens",
    "Meter",
    "RawCall",
    "Usage",
    "call_seed",
    "metered",
    "run_sync",
]
