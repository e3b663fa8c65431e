"""A Hugging Face model in the place of the vLLM engine, behind the same Ray actor's methods."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from tests.trainers.openrlhf_cpu.weights import GlooGroup
from trainers.openrlhf.gpu_packages import gpu_packages_optional

with gpu_packages_optional():
    from openrlhf.trainer.ray.vllm_engine import RolloutRayActor, _load_agent_executor


class CpuEngine(RolloutRayActor.__ray_metadata__.modified_class):  # type: ignore[misc]
    """Keeps OpenRLHF's `generate_responses`, which calls the executor, and replaces the rest."""

    async def __init__(self, pretrain: str, seed: int, agent_func_path: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        self.executor = _load_agent_executor(agent_func_path)
        self.model = AutoModelForCausalLM.from_pretrained(pretrain, dtype=torch.bfloat16).eval()
        self.weights = dict(self.model.named_parameters())
        self.under_way = 0

    async def generate(self, ids: list[int], params: Any, multi_modal_data: Any = None) -> Any:
        """Sample a turn, as vLLM would answer it: the end token is in the ids."""
        self.under_way += 1
        try:
            return self._generate(ids, params)
        finally:
            self.under_way -= 1

    def _generate(self, ids: list[int], params: Any) -> Any:
        import torch

        tokens: list[int] = []
        logprobs: list[dict[int, Any]] = []
        cache, new, reason = None, torch.tensor([ids]), "length"
        with torch.no_grad():
            while len(tokens) < params.max_tokens:
                out = self.model(new, past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                logits = out.logits[0, -1].float()
                known = torch.log_softmax(logits / (params.temperature or 1.0), -1)
                token = int(
                    torch.multinomial(known.exp(), 1) if params.temperature else known.argmax()
                )
                tokens.append(token)
                logprobs.append({token: SimpleNamespace(logprob=float(known[token]))})
                if token in params.stop_token_ids:
                    reason = "stop"
                    break
                new = torch.tensor([[token]])
        output = SimpleNamespace(token_ids=tokens, finish_reason=reason, logprobs=logprobs)
        return SimpleNamespace(outputs=[output])

    async def init_process_group(
        self, address: str, port: int, rank: int, world: int, name: str, backend: str, use_ray: bool
    ) -> None:
        """Join the trainer's group."""
        self.group = await asyncio.to_thread(GlooGroup, address, port, rank, world, "cpu")

    async def update_weight(
        self, name: str, dtype: Any, shape: Any, empty_cache: bool = False
    ) -> None:
        """Receive a weight."""
        import torch

        weight = torch.empty(shape, dtype=dtype)
        await asyncio.to_thread(self.group.broadcast, weight, 0)
        with torch.no_grad():
            self.weights[name].copy_(weight)

    async def reset_prefix_cache(self) -> None:
        """Nothing is cached between turns."""

    async def pause_generation(self) -> None:
        """Nothing waits for weights."""

    async def resume_generation(self) -> None:
        """Nothing waits for weights."""

    def get_num_unfinished_requests(self) -> int:
        """How many turns are being sampled."""
        return self.under_way


def create_engines(
    count: int, tensor_parallel: int, pretrain: str, seed: int, *_: Any, **options: Any
) -> list[Any]:
    """In the place of `create_vllm_engines`."""
    import ray

    actor = ray.remote(CpuEngine).options(num_cpus=0)
    path = options["agent_func_path"]
    return [actor.remote(pretrain, seed + number, path) for number in range(count)]
