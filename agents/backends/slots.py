"""Where keys and values of conversations are kept, and how models attend to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

DIRECT = 2**26
"""The most scores that attention holds at once."""


class Slots(Cache):  # type: ignore[misc]
    """Keys and values of `count` conversations of up to `length` tokens, in every layer.

    Attributes:
        count, length: as above.
        rows: the slots that a pass of the model is about, (batch,); None for all of them, in order,
            which saves copying them.
        at: the places of the pass's tokens in their conversations, (batch, tokens). Place `length`
            takes what belongs nowhere: padding, and slots that do not run.
        width: how many places of the slots the pass looks at.
    """

    def __init__(self, count: int, length: int) -> None:
        super().__init__(layers=[])
        self.count, self.length = count, length
        self.rows: torch.Tensor | None = None
        self.at = torch.empty(0)
        self.width = 0
        self._layers: list[list[torch.Tensor]] = []
        self._all = torch.empty(0)

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
        if layer == len(self._layers):
            self._layers.append([self._empty(keys), self._empty(values)])
            self._all = torch.arange(self.count, device=keys.device)
        rows = (self._all if self.rows is None else self.rows)[:, None]
        held = []
        for new, kept in zip((keys, values), self._layers[layer], strict=True):
            kept[rows, :, self.at] = new.transpose(1, 2)
            seen = kept[:, :, : self.width]
            held.append(seen if self.rows is None else seen[self.rows])
        return held[0], held[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Unused: places are given with each pass."""
        return 0

    def copy(self, source: int, target: int, start: int, stop: int) -> None:
        """Copy places `start` to `stop` from one slot to another."""
        with torch.inference_mode():
            for layer in self._layers:
                for kept in layer:
                    kept[target, :, start:stop] = kept[source, :, start:stop]

    def clear(self, slot: int) -> None:
        """Overwrite a slot with zeros."""
        with torch.inference_mode():
            for layer in self._layers:
                for kept in layer:
                    kept[slot] = 0

    def resize(self, count: int, length: int, keep: Sequence[int]) -> None:
        """Make more, fewer, longer or shorter slots, a layer at a time, so that no more than one
        layer is there twice.

        Args:
            count, length: the new size.
            keep: the slots that become the first ones, in order.
        """
        self.count, self.length = count, length
        with torch.inference_mode():
            for layer in self._layers:
                for number, kept in enumerate(layer):
                    layer[number] = new = self._empty(kept)
                    width = min(new.shape[2], kept.shape[2]) - 1
                    for target, source in enumerate(keep):
                        new[target, :, :width] = kept[source, :, :width]
        if self._layers:
            self._all = torch.arange(count, device=self._all.device)

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros((self.count, like.shape[1], self.length + 1, like.shape[3]))


def grouped_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of several heads to the same keys and values, without a copy of these for each.

    Args:
        query: (batch, heads, tokens, size).
        key, value: (batch, shared heads, width, size).
        attention_mask: what each token sees, (batch, 1, tokens, width).
        scaling: of the scores; by default 1 / √size.
        more: other options of the model's attention.

    Raises:
        NotImplementedError: one of these would change the scores.
    """
    changed = [
        name for name in ("softcap", "s_aux", "sliding_window") if more.get(name) is not None
    ]
    if changed:
        raise NotImplementedError(f"attention with {', '.join(changed)}")
    batch, heads, tokens, size = query.shape
    shared = key.shape[1]
    scaling = size**-0.5 if scaling is None else scaling
    grouped = query.reshape(batch, shared, heads // shared * tokens, size)
    if query.dtype != torch.float32 or batch * heads * tokens * key.shape[2] > DIRECT:
        # Half precision would round the scores, and many of them would fill the memory.
        seen = attention_mask.repeat(1, 1, heads // shared, 1)
        mixed = scaled_dot_product_attention(grouped, key, value, seen, scale=scaling)
    else:
        scores = torch.matmul(grouped, key.transpose(-1, -2)).view(batch, heads, tokens, -1)
        hidden = torch.full_like(scores[:1, :1, :1, :1], -torch.inf)
        scores = torch.where(attention_mask, scores * scaling, hidden)
        weights = torch.softmax(scores, dim=-1)
        mixed = torch.matmul(weights.view(batch, shared, -1, weights.shape[-1]), value)
    return mixed.reshape(batch, heads, tokens, -1).transpose(1, 2), None


ATTENTION = "tau2_gym_slots"
"""The name under which models find it."""

AttentionInterface.register(ATTENTION, grouped_attention)


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """Let a model attend by `grouped_attention`, without gradients."""
    config = model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        with torch.inference_mode():
            yield
    finally:
        config._attn_implementation = before


def bytes_per_token(model: Any) -> int | None:
    """What keys and values of a token take, or None for a model whose attention is not full in all
    layers, or not of the kind that can be replaced."""
    cache = DynamicCache(config=model.config)
    if not getattr(model, "_supports_attention_backend", False) or any(
        type(layer) is not DynamicLayer for layer in cache.layers
    ):
        return None
    one = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    try:
        with attending(model):
            model.eval()(
                input_ids=one,
                attention_mask=one[:, None, None, 0:1] == 0,
                position_ids=one,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
    except NotImplementedError:
        return None
    parts = [part for layer in cache.layers for part in (layer.keys, layer.values)]
    return sum(int(part.nbytes) for part in parts)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
