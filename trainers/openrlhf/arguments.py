"""Recipes in the words of OpenRLHF 0.11.2's command line.

Every setting of a recipe that OpenRLHF has a flag for becomes that flag. The others act in our
executor, sampler and experience maker, which read the recipe itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tau2_gym.errors import ConfigError
from trainers.config import GRPOConfig, SFTConfig
from trainers.sections import Hardware, Optimizer, Run

SAVE_EVERY = 20
"""Steps between checkpoints of GRPO. One of a model of 4B takes 56 GB, which every node writes its
part of: a step's work is cheaper than that."""

Flags = dict[str, object]
"""Flags by name. True is a bare flag, False and None leave it out, a tuple gives several values."""


def grpo_arguments(config: GRPOConfig, agent: str) -> list[str]:
    """The arguments of `openrlhf.cli.train_ppo_ray`.

    Args:
        config: the recipe.
        agent: path of the file with the `AgentExecutor`, as the workers see it.

    Raises:
        ConfigError: this hardware cannot run the recipe, which OpenRLHF would notice late or never.
    """
    check_grpo(config)
    rollout, algorithm, hardware = config.rollout, config.algorithm, config.hardware
    episodes = rollout.tasks * rollout.samples
    flags: Flags = {
        "actor.model_name_or_path": config.model,
        "train.agent_func_path": agent,
        "train.seed": config.run.seed,
        "data.max_len": rollout.context,
        "rollout.max_new_tokens": rollout.max_new_tokens,
        "rollout.batch_size": rollout.tasks,
        "rollout.n_samples_per_prompt": rollout.samples,
        "rollout.temperature": rollout.temperature,
        "rollout.micro_batch_size": hardware.micro_batch,
        "train.batch_size": episodes // algorithm.updates,
        "train.micro_batch_size": hardware.micro_batch,
        "train.max_epochs": algorithm.epochs,
        "train.num_episodes": 1,  # one pass over a stream of tasks that ends after the last step
        "eval.steps": config.evaluation.every if _evaluates(config) else -1,
        "eval.temperature": config.evaluation.temperature,
        "eval.n_samples_per_prompt": config.evaluation.samples,
        **_algorithm(config),
        **_optimizer(config.optimizer, "actor."),
        **_engines(config),
        **_deepspeed(hardware),
        "actor.gradient_checkpointing_enable": hardware.gradient_checkpointing,
        **_checkpoints(config.run),
        "ckpt.load_enable": resumes(config),
        # The last model is the one that was asked for; the best of many by a noisy score is luck.
        "ckpt.best_metric_key": "none",
    }
    if hardware.micro_tokens:
        flags |= {
            "train.dynamic_batch_enable": True,
            "train.max_tokens_per_gpu": hardware.micro_tokens,
            "rollout.max_tokens_per_gpu": hardware.micro_tokens,
        }
    return list(_words(flags))


def _evaluates(config: GRPOConfig) -> bool:
    return config.evaluation.split is not None or bool(config.evaluation.only)


def _algorithm(config: GRPOConfig) -> Flags:
    algorithm = config.algorithm
    corrected = algorithm.correction != "off"
    return {
        # Only says that samples come in groups: the advantages are those of `trainers.credit`.
        "algo.advantage.estimator": "group_norm" if algorithm.std_norm else "dr_grpo",
        "actor.policy_loss_type": "ppo",
        "actor.loss_agg_mode": algorithm.loss,
        "actor.eps_clip_low_high": algorithm.clip,
        "actor.dual_clip": algorithm.dual_clip,
        "actor.entropy_coef": algorithm.entropy,  # at 0 the entropy is still logged
        "algo.kl.init_coef": algorithm.kl,
        "algo.kl.use_loss": algorithm.kl > 0,
        "algo.kl.estimator": algorithm.kl_estimator if algorithm.kl else "k1",
        "algo.advantage.is_correction_level": "token" if corrected else "off",
        "algo.advantage.is_correction_mode": algorithm.correction if corrected else None,
        "algo.advantage.is_correction_threshold": algorithm.correction_range if corrected else None,
        "algo.dynamic_filtering_enable": algorithm.dynamic_filtering,
    }


def _engines(config: GRPOConfig) -> Flags:
    hardware = config.hardware
    return {
        "actor.num_nodes": hardware.nodes,
        "actor.num_gpus_per_node": hardware.gpus,
        "ref.num_nodes": hardware.nodes,
        "ref.num_gpus_per_node": hardware.gpus,
        "vllm.num_engines": hardware.engines,
        "vllm.tensor_parallel_size": hardware.tensor_parallel,
        "vllm.gpu_memory_utilization": hardware.engine_memory,
        "vllm.enable_prefix_caching": True,  # each turn begins with all the turns before it
        "vllm.sync_backend": "nccl",
        "vllm.enable_sleep": hardware.colocate,
        "ds.enable_sleep": hardware.colocate,
        "train.colocate_all": hardware.colocate,
        "train.colocate_actor_ref": not hardware.colocate and config.algorithm.kl > 0,
        "train.async_enable": hardware.asynchronous,
        "train.async_queue_size": 1 if hardware.asynchronous else None,
        "train.partial_rollout_enable": hardware.partial_rollout,
    }


def check_grpo(config: GRPOConfig) -> None:
    """Refuse what OpenRLHF would notice late or never.

    Raises:
        ConfigError: one sentence on what does not fit.
    """
    hardware, rollout = config.hardware, config.rollout
    _check_hardware(hardware)
    trainers = hardware.nodes * hardware.gpus
    engines = hardware.engines * hardware.tensor_parallel
    if hardware.colocate and trainers != engines:
        raise ConfigError(
            f"models and engines that share GPUs take the same number of them: {hardware.nodes} x "
            f"{hardware.gpus} for training, but {hardware.engines} engines x "
            f"{hardware.tensor_parallel}"
        )
    batch = rollout.tasks * rollout.samples // config.algorithm.updates
    if batch % (trainers * hardware.micro_batch):
        raise ConfigError(
            f"{batch} episodes an update cannot be shared out evenly to {trainers} GPUs in batches "
            f"of {hardware.micro_batch}"
        )


def sft_arguments(config: SFTConfig, rows: Path, eval_rows: Path | None, count: int) -> list[str]:
    """The arguments of `openrlhf.cli.train_sft`.

    Args:
        config: the recipe.
        rows, eval_rows: JSON-lines files of rows with `messages`, each a role and a text.
        count: how many rows there are.

    Raises:
        ConfigError: OpenRLHF cannot do what the recipe says.
    """
    hardware, run = config.hardware, config.run
    _check_hardware(hardware)
    if config.loss != "token-mean":
        raise ConfigError("OpenRLHF averages the loss of SFT over tokens: use loss 'token-mean'")
    gpus = hardware.nodes * hardware.gpus
    if config.batch % (gpus * hardware.micro_batch):
        raise ConfigError(
            f"a batch of {config.batch} rows cannot be shared out evenly to {gpus} GPUs in batches "
            f"of {hardware.micro_batch}"
        )
    if count * config.epochs < config.batch:
        raise ConfigError(f"{count} rows in {config.epochs} epochs make no batch of {config.batch}")
    if run.steps is not None and run.steps * config.batch > count:
        raise ConfigError(
            f"run.steps ends SFT with OpenRLHF within the first epoch only, after at most "
            f"{count // config.batch} steps: leave it out and set epochs"
        )
    short = run.steps is not None
    flags: Flags = {
        "model.model_name_or_path": config.model,
        "model.gradient_checkpointing_enable": hardware.gradient_checkpointing,
        "data.dataset": rows,
        "data.input_key": "messages",
        "data.multiturn": True,
        "data.apply_chat_template": True,
        "data.max_len": config.context,
        "data.max_samples": (run.steps or 0) * config.batch if short else None,
        "eval.dataset": eval_rows,
        "train.batch_size": config.batch,
        "train.micro_batch_size": hardware.micro_batch,
        "train.max_epochs": 1 if short else config.epochs,
        "train.seed": run.seed,
        **_optimizer(config.optimizer, ""),
        **_deepspeed(hardware),
        **_checkpoints(run),
        "ckpt.load_enable": resumes(config),
        "logger.tensorboard_dir": run.output / "logs" if run.tensorboard else None,
        **_wandb(config),
    }
    return list(_words(flags))


def _wandb(config: SFTConfig) -> Flags:
    if config.run.wandb is None:
        return {}
    # The flag only switches wandb on, which takes its key from the environment.
    return {"logger.wandb.key": "WANDB_API_KEY", "logger.wandb.project": config.run.wandb}


def resumes(config: GRPOConfig | SFTConfig) -> bool:
    """Whether there is a checkpoint to resume from."""
    states = "_actor" if isinstance(config, GRPOConfig) else ""
    return (config.run.output / "checkpoints" / states / "latest").exists()


def _optimizer(optimizer: Optimizer, prefix: str) -> Flags:
    schedules = {"constant": "constant_with_warmup", "cosine": "cosine_with_min_lr"}
    return {
        f"{prefix}adam.lr": optimizer.lr,
        f"{prefix}adam.betas": optimizer.betas,
        f"{prefix}adam.weight_decay": optimizer.weight_decay,
        f"{prefix}lr_scheduler": schedules[optimizer.schedule],
        f"{prefix}lr_warmup_ratio": optimizer.warmup,
        f"{prefix}min_lr_ratio": optimizer.min_lr,
        f"{prefix}max_norm": optimizer.max_norm,
    }


def _deepspeed(hardware: Hardware) -> Flags:
    return {
        "ds.zero_stage": hardware.zero_stage,
        "ds.adam_offload": hardware.offload,
        "ds.param_dtype": hardware.dtype,
        "ds.attn_implementation": hardware.attention,
        "ds.packing_samples": hardware.micro_tokens is not None,
    }


def _checkpoints(run: Run) -> Flags:
    if run.keep < 2:
        raise ConfigError(
            "run.keep must be at least 2: OpenRLHF deletes the oldest checkpoint before it writes "
            "the next, and a kill at that moment would leave none"
        )
    return {
        "ckpt.output_dir": run.output / "model",
        "ckpt.path": run.output / "checkpoints",
        "ckpt.save_steps": run.save_every or SAVE_EVERY,
        "ckpt.max_num": run.keep,
    }


def _check_hardware(hardware: Hardware) -> None:
    if hardware.dtype == "fp32":
        raise ConfigError("OpenRLHF trains in bf16 or fp16; fp32 takes the backend 'local'")
    if hardware.micro_tokens is not None and hardware.attention != "flash_attention_2":
        raise ConfigError(
            "packing takes flash attention: set hardware.micro_tokens to null, or "
            "hardware.attention to flash_attention_2"
        )


def _words(flags: Flags) -> Iterator[str]:
    for name, value in flags.items():
        if value is None or value is False:
            continue
        yield f"--{name}"
        if isinstance(value, tuple):
            yield from map(str, value)
        elif value is not True:
            yield str(value)
