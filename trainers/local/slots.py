"""Where the local engine keeps the keys and values of conversations, and how models attend to them."""

from __future__ import annotations

from typing import Any

import psutil
import torch
from transformers import AttentionInterface, Cache

from tau2_gym.errors import ConfigError


class Slots(Cache):  # type: ignore[misc]
    """Keys and values of `count` conversations of up to `length` tokens, in every layer.

    Attributes:
        rows: the slots that a pass of the model is about, (batch,); None for all of them, in order,
            which saves copying them.
        at: the places of the pass's tokens in their conversations, (batch, tokens).
        width: how many places of the slots the pass looks at.
    """

    def __init__(self, model: Any, count: int, length: int) -> None:
        super().__init__(layers=[])
        config = model.config
        heads, size = _heads(config)
        # The last place of a slot takes what belongs nowhere: padding, and slots that do not run.
        shape = (config.num_hidden_layers, count, heads, length + 1, size)
        self.keys = torch.zeros(shape, dtype=model.dtype, device=model.device)
        self.values = torch.zeros(shape, dtype=model.dtype, device=model.device)
        self.all = torch.arange(count, device=model.device)
        self.rows: torch.Tensor | None = None
        self.at = self.all
        self.width = 0

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store what a layer has computed, and give all that its slots hold.

        Args:
            keys, values: (batch, heads, tokens, size).
            layer: which layer.

        Returns:
            Keys and values, (batch, heads, width, size).
        """
        rows = (self.all if self.rows is None else self.rows)[:, None]
        held = []
        for new, kept in ((keys, self.keys[layer]), (values, self.values[layer])):
            kept[rows, :, self.at] = new.transpose(1, 2)
            seen = kept[:, :, : self.width]
            held.append(seen if self.rows is None else seen[self.rows])
        return held[0], held[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Unused: places are given with each pass."""
        return 0


def grouped_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of several heads to the same keys and values, without a copy of these for each.

    Args:
        query: (batch, heads, tokens, size).
        key, value: (batch, shared heads, width, size).
        attention_mask: what each token sees, (batch, 1, tokens, width).
    """
    batch, heads, tokens, size = query.shape
    shared = key.shape[1]
    grouped = query.reshape(batch, shared, heads // shared * tokens, size)
    scores = torch.matmul(grouped, key.transpose(-1, -2)).view(batch, heads, tokens, -1)
    hidden = torch.full_like(scores[:1, :1, :1, :1], -torch.inf)
    scores = torch.where(attention_mask, scores * scaling, hidden)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    mixed = torch.matmul(weights.view(batch, shared, -1, weights.shape[-1]), value)
    return mixed.view(batch, heads, tokens, size).transpose(1, 2), None


ATTENTION = "tau2_gym_slots"
"""The name under which models find it."""

AttentionInterface.register(ATTENTION, grouped_attention)


def check_memory(model: Any, count: int, length: int) -> None:
    """See that `Slots` of that size fit into the memory that is free.

    Raises:
        ConfigError: they do not.
    """
    config, gib = model.config, 2**30
    heads, size = _heads(config)
    needed = 2 * config.num_hidden_layers * count * heads * (length + 1) * size
    needed *= torch.finfo(model.dtype).bits // 8
    if model.device.type == "cuda":
        free = torch.cuda.mem_get_info(model.device)[0]
    else:
        free = psutil.virtual_memory().available
    if needed > free:
        raise ConfigError(
            f"keys and values of {count} conversations of {length} tokens take {needed / gib:.1f} "
            f"GiB, and {free / gib:.1f} GiB are free: lower rollout.concurrency or rollout.context"
        )


def _heads(config: Any) -> tuple[int, int]:
    """Heads that keys and values have, and the size of each."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_key_value_heads, size
