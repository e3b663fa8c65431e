"""What the local backend samples with: the engine of `agents`, on the very weights that are trained."""

from __future__ import annotations

from typing import Any

from agents.backends.slots import bytes_per_token, free_memory
from agents.backends.transformers import TransformersBackend
from tau2_gym.errors import ConfigError


def local_engine(model: Any, context: int, concurrency: int) -> TransformersBackend:
    """An engine that keeps all conversations of a step at full length.

    Args:
        model: a causal language model of `transformers`; call `reset` when its weights have changed.
        context: the most tokens of a conversation.
        concurrency: conversations under way at a time.

    Raises:
        ConfigError: keys and values of so many conversations do not fit into memory.
    """
    size, gib = bytes_per_token(model), 2**30
    if size is not None:
        needed, free = concurrency * (context + 1) * size, free_memory(model.device)
        if needed > free:
            raise ConfigError(
                f"keys and values of {concurrency} conversations of {context} tokens take "
                f"{needed / gib:.1f} GiB, and {free / gib:.1f} GiB are free: lower "
                "rollout.concurrency or rollout.context"
            )
    return TransformersBackend(
        model, context=context, batch_size=concurrency, batch_tokens=concurrency * context
    )
