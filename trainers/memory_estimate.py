"""How much memory a run takes, estimated before it starts.

What is counted, of a model of P parameters:

- its weights, gradients and optimiser: in mixed precision 2 + 2 + 12 bytes per parameter
  (Rajbhandari et
  al., ZeRO, 2020, arXiv:1910.02054, section 3.1), shared out over the GPUs by ZeRO's stage;
- a reference model's weights, if there is one;
- the logits of one pass, which with a vocabulary of 150,000 take more than all of that. OpenRLHF makes
  them float32, and `LOGITS` such copies are there at the height of the backward pass;
- the activations of that pass: with checkpointing the input of each layer, and all of one layer;
- the keys and values of the local engine's conversations.

An episode is never cut, so that a pass has as many tokens as the longest episode, whatever
`micro_tokens` says. What is left out, from CUDA's contexts to fragmentation, is `OVERHEAD`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tau2_gym.errors import ConfigError
from trainers.config import GRPOConfig, SFTConfig
from trainers.openrlhf.arguments import SAVE_EVERY
from trainers.sections import Hardware

GIB = 2**30

LOGITS = 4
"""Float32 copies of the logits at the height of OpenRLHF 0.11.2's backward pass: logits, the gradients
that reach them from the log-probability's two terms, and what adds these up; with an entropy bonus its
own take the place of one. Measured in `tests/trainers/test_memory_estimate.py`."""

OVERHEAD = 4 * GIB
"""Contexts and workspaces of CUDA and NCCL, ZeRO's buckets, an engine that sleeps, fragmentation."""

LIVE = 10**9
"""Parameters that ZeRO's stage 3 may have gathered at a time (`stage3_max_live_parameters`)."""

Parts = Mapping[str, float]
"""Bytes on one device, by what takes them."""


@dataclass(frozen=True)
class Shape:
    """What the estimate reads of a model.

    Attributes:
        parameters: how many.
        vocabulary, hidden, intermediate, layers: sizes.
        kept: numbers that the keys and values of one token are.
    """

    parameters: int
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    kept: int


def shape_of(model: str, *, offline: bool = False) -> Shape | None:
    """The shape of a model, without its weights; None if its settings are not to be had, since it has
    yet to be trained or loaded, or transformers is not installed.

    Args:
        model: a folder, or a name on the Hugging Face hub.
        offline: ask no hub.
    """
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError:
        return None
    try:
        config: Any = AutoConfig.from_pretrained(
            model, local_files_only=offline, trust_remote_code=False
        )
        with torch.device("meta"):
            built: Any = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError):
        return None
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Shape(
        parameters=sum(weight.numel() for weight in built.parameters()),
        vocabulary=text.vocab_size,
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        layers=text.num_hidden_layers,
        kept=2 * text.num_hidden_layers * heads * size,
    )


def needs(config: GRPOConfig | SFTConfig, backend: str, *, offline: bool = False) -> str:
    """What memory and disk a run takes, in two sentences.

    Args:
        config: the recipe.
        backend: `openrlhf` or `local`.
        offline: ask no hub for the model's sizes.

    Raises:
        ConfigError: the memory does not fit.
    """
    shape = shape_of(config.model, offline=offline)
    if shape is None:
        return f"Memory: not known without the sizes of {config.model}."
    if backend == "openrlhf":
        memory, every = check_cluster(config, shape), config.run.save_every or SAVE_EVERY
    else:
        memory, every = check_local(config, shape, free_memory()), config.run.save_every or 1
    return f"{memory}\n{checkpoint_cost(config, every, shape)}"


def pass_tokens(config: GRPOConfig | SFTConfig) -> int:
    """The most tokens in one pass of the model on a device."""
    hardware = config.hardware
    if isinstance(config, SFTConfig):
        return hardware.micro_batch * config.context
    return max(hardware.micro_tokens or 0, _rows(config) * config.rollout.context)


def cluster_memory(config: GRPOConfig | SFTConfig, shape: Shape) -> dict[str, float]:
    """What OpenRLHF takes on each GPU while it trains.

    Engines that share the GPUs sleep meanwhile, and others have their own GPUs.
    """
    hardware, parameters = config.hardware, shape.parameters
    gpus, stage = hardware.nodes * hardware.gpus, hardware.zero_stage
    shared = [gpus if stage >= least else 1 for least in (1, 2, 3)]
    weights = 2 * parameters / shared[2]
    parts = {
        "weights": weights + (2 * min(parameters, LIVE) if stage == 3 and gpus > 1 else 0),
        "gradients": 2 * parameters / shared[1],
        "optimiser": 0 if hardware.offload else 12 * parameters / shared[0],
    }
    if isinstance(config, GRPOConfig) and config.algorithm.kl:
        parts["reference model"] = weights
    return parts | _of_pass(shape, pass_tokens(config), hardware) | {"overhead": OVERHEAD}


def local_memory(config: GRPOConfig | SFTConfig, shape: Shape) -> dict[str, float]:
    """What the backend `local` takes. Weights that are not float32 have copies that are."""
    hardware, parameters = config.hardware, shape.parameters
    width = 4 if hardware.dtype == "fp32" else 2
    copies = 0 if width == 4 else 2 * 4  # the optimiser's weights, and gradients for them
    parts = {
        "weights": width * parameters,
        "gradients": width * parameters,
        "optimiser": (8 + copies) * parameters,
    }
    if isinstance(config, GRPOConfig):
        if config.algorithm.kl:
            parts["reference model"] = width * parameters
        room = config.rollout.concurrency * (config.rollout.context + 1)
        parts["keys and values"] = width * shape.kept * room
        tokens = hardware.micro_batch * config.rollout.context
    else:
        tokens = pass_tokens(config)
    return parts | _of_pass(shape, tokens, hardware)


def check_cluster(config: GRPOConfig | SFTConfig, shape: Shape) -> str:
    """What a run on OpenRLHF takes, in a sentence.

    Raises:
        ConfigError: it does not fit the GPUs; says what takes how much, and what would help.
    """
    hardware = config.hardware
    room = hardware.gpu_memory * GIB
    parts = cluster_memory(config, shape)
    gpus = f"each of {hardware.nodes * hardware.gpus} GPUs of {hardware.gpu_memory:g} GiB"
    said = f"{_gib(sum(parts.values()))} on {gpus} ({_list(parts, shape, pass_tokens(config))})"
    if sum(parts.values()) > room:
        rest = room - sum(parts.values()) + parts["logits"] + parts["activations"]
        fits = int(rest / _of_token(shape, hardware))
        name = "rollout.context and hardware.micro_tokens"
        if isinstance(config, SFTConfig):
            name, fits = "context", fits // hardware.micro_batch
        help_ = f"lower {name} to {fits:,}" if fits >= 1024 else "take more GPUs or zero_stage 3"
        offload = (
            "" if hardware.offload else ", or set hardware.offload, which frees the optimiser's"
        )
        raise ConfigError(f"training takes {said}: {help_}{offload}")
    if isinstance(config, GRPOConfig) and hardware.colocate:
        held = parts["weights"] + parts.get("reference model", 0) + parts["overhead"]
        engine = hardware.engine_memory * room
        if held + engine > room:
            raise ConfigError(
                f"sampling takes {_gib(held + engine)} on {gpus}: {_gib(engine)} for the engine and "
                f"{_gib(held)} for the models next to it: lower hardware.engine_memory to "
                f"{(room - held) / room:.2f}"
            )
    return f"Memory: {said}."


def check_local(config: GRPOConfig | SFTConfig, shape: Shape, free: float) -> str:
    """What a run in this process takes, in a sentence.

    Args:
        config, shape: what is trained.
        free: bytes that are free.

    Raises:
        ConfigError: it does not fit; says what takes how much, and what would help.
    """
    parts = local_memory(config, shape)
    tokens = pass_tokens(config)
    if isinstance(config, GRPOConfig):
        tokens = config.hardware.micro_batch * config.rollout.context
    said = f"{_gib(sum(parts.values()))} ({_list(parts, shape, tokens)})"
    if sum(parts.values()) > free:
        names = "context or hardware.micro_batch"
        if isinstance(config, GRPOConfig):
            names = "rollout.context, rollout.concurrency or hardware.micro_batch"
        raise ConfigError(f"training takes {said}, and {_gib(free)} are free: lower {names}")
    return f"Memory: {said} of {_gib(free)} that are free."


def free_memory() -> float:
    """Bytes that are free on the device of the backend `local`."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0])
    return float(psutil.virtual_memory().available)


def checkpoint_cost(config: GRPOConfig | SFTConfig, every: int, shape: Shape) -> str:
    """What the checkpoints of a run take on disk, in a sentence: weights in 2 bytes, and the
    optimiser's 12 bytes per parameter."""
    size = 14 * shape.parameters / 1e9
    keep = config.run.keep
    return (
        f"Checkpoints: every {every} steps, {size:,.1f} GB each, the newest {keep} kept: "
        f"{keep * size:,.1f} GB of disk."
    )


def _rows(config: GRPOConfig) -> int:
    """Episodes in a pass at least: packing fills it up by tokens."""
    return 1 if config.hardware.micro_tokens is not None else config.hardware.micro_batch


def _of_token(shape: Shape, hardware: Hardware) -> float:
    """Bytes of logits and activations that a token of a pass takes."""
    return sum(_of_pass(shape, 1, hardware).values())


def _of_pass(shape: Shape, tokens: int, hardware: Hardware) -> dict[str, float]:
    width = 4 if hardware.dtype == "fp32" else 2
    # Inputs and outputs of attention and its projections, of the norms, and three of the MLP's.
    layer = tokens * width * (10 * shape.hidden + 4 * shape.intermediate)
    inputs = tokens * width * shape.hidden * shape.layers
    checkpointed = hardware.gradient_checkpointing
    return {
        "logits": LOGITS * 4.0 * tokens * shape.vocabulary,
        "activations": inputs + layer if checkpointed else float(layer * shape.layers),
    }


def _list(parts: Parts, shape: Shape, tokens: int) -> str:
    logits = f"logits {{}}: {LOGITS} float32 copies of {tokens:,} tokens x {shape.vocabulary:,}"
    named = {"logits": logits}
    return "; ".join(
        named.get(name, f"{name} {{}}").format(_gib(size))
        for name, size in sorted(parts.items(), key=lambda item: -item[1])
        if size
    )


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
