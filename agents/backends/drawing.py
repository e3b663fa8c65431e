"""Drawing tokens from logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from agents.sampling import SamplingParams


def draw(
    logits: torch.Tensor, params: Sequence[SamplingParams], chances: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token for each row. What a row draws does not depend on the others.

    Args:
        logits: (rows, vocabulary).
        params: how to draw each row.
        chances: a number in [0, 1) for each row; the same number draws the same token.

    Returns:
        The tokens, and their log-probabilities under softmax(logits / temperature), or under
        softmax(logits) for greedy rows; both of shape (rows,).
    """

    def column(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=logits.device)[:, None]

    vocabulary = logits.shape[-1]
    logprobs = (logits.float() / column([p.temperature or 1.0 for p in params])).log_softmax(-1)
    probs = logprobs.exp()
    tokens = _pick(probs, column(chances))
    cut = [n for n, p in enumerate(params) if p.top_k != -1 or p.top_p < 1 or p.min_p > 0]
    if cut:
        some = [params[row] for row in cut]
        probs, order = probs[cut].sort(dim=-1, descending=True)
        ranks = torch.arange(vocabulary, device=logits.device)[None]
        kept = ranks < column([p.top_k if p.top_k != -1 else vocabulary for p in some])
        probs = probs * kept
        before = probs.cumsum(-1) - probs
        kept = before < column([p.top_p for p in some]) * probs.sum(-1, keepdim=True)
        kept &= probs >= column([p.min_p for p in some]) * probs[:, :1]
        index = _pick(probs * kept, column([chances[row] for row in cut]))
        tokens[cut] = order.gather(-1, index[:, None])[:, 0]
    greedy = torch.tensor([p.greedy for p in params], device=logits.device)
    tokens = torch.where(greedy, logits.argmax(-1), tokens)
    return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]


def _pick(probs: torch.Tensor, chances: torch.Tensor) -> torch.Tensor:
    """In each row the first index whose cumulative probability lies beyond the chance: one with a
    probability. Rows need not add up to 1."""
    reach = probs.cumsum(-1)
    total = reach[:, -1:]
    target = (chances * total).minimum(total.nextafter(torch.zeros_like(total)))
    # Clamped for rows that are not numbers, which must not fail the others.
    return torch.searchsorted(reach, target, right=True)[:, 0].clamp(max=probs.shape[-1] - 1)
