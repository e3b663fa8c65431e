"""The group by which a trainer sends its weights to the engines, of gloo instead of NCCL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

TIMEOUT = timedelta(seconds=120)


class GlooGroup:
    """Has what OpenRLHF uses of vLLM's `PyNcclCommunicator`."""

    def __init__(self, address: str, port: int, rank: int, world_size: int, device: Any) -> None:
        import torch.distributed as dist

        store = dist.TCPStore(address, port, world_size, rank == 0, TIMEOUT)
        prefix = dist.PrefixStore("weights", store)
        self.group = dist.ProcessGroupGloo(prefix, rank, world_size, TIMEOUT)

    def broadcast(self, tensor: Any, src: int, stream: Any = None) -> None:
        """Send, or receive into, a tensor. As bytes: gloo knows no bfloat16."""
        import torch
        import torch.distributed as dist

        options = dist.BroadcastOptions()
        options.rootRank, options.rootTensor = src, 0
        self.group.broadcast([tensor.view(torch.uint8)], options).wait()
