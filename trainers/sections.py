"""The sections of recipes: typed, validated settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tau2_gym.domains import DOMAINS, resolve
from tau2_gym.rewards import RewardConfig
from tau2_gym.users import check_user
from trainers.credit import Credit

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]

TRUNCATIONS = {"top_p": (1.0,), "top_k": (-1, 0), "min_p": (0.0,)}
"""Options of samplers that leave out unlikely tokens, and the values that are off."""


class Section(BaseModel):
    """A part of a recipe: no unknown names, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Tasks(Section):
    """Which tasks are trained on.

    Attributes:
        domains: of these domains, by their names or as MODULE:NAME.
        split: of this split; `test` is refused, and so is `base`, which contains it. `fit` is `train`
            without the development tasks.
        pool: telecom only: also the 2171 tasks outside `base`. A result on `base` or `full` says
            nothing after that; `test` stays unseen.
        only: these task ids of one domain instead.
    """

    domains: tuple[str, ...] = DOMAINS[:3]
    split: str = "train"
    pool: bool = False
    only: tuple[str, ...] = ()

    @field_validator("domains")
    @classmethod
    def _known(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        # Where settings are read, those found by MODULE:NAME are known by their plain names, too.
        for name in domains:
            if ":" in name:
                resolve(name)
        return domains


class Environment(Section):
    """The environment that episodes are played in.

    Attributes:
        user: the name of a user (see `tau2_gym.users.make_user`).
        user_temperature, user_extra_body: of a user that is a model.
        reward: a preset's name, or options of `tau2_gym.rewards.RewardConfig`.
        max_steps, max_errors: tau2-bench's limits.
        max_turns: the most actions of the agent in an episode; None leaves it to the domain and to `max_steps`.
        prompt: `official`, `compact` or `bare` (see `agents.prompts`).
        thinking: for models that can think; None leaves it to the chat template.
        source, data_dir: where the domains come from.
    """

    user: str = "scripted"
    user_temperature: float = 0.7
    user_extra_body: dict[str, Any] = Field(default_factory=dict)
    reward: str | dict[str, Any] = "shaped"
    max_steps: int = Field(default=100, ge=1)
    max_errors: int = Field(default=10, ge=1)
    max_turns: int | None = Field(default=None, ge=1)
    prompt: Literal["official", "compact", "bare"] = "official"
    thinking: bool | None = None
    source: str = "inspect-evals"
    data_dir: str | None = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        RewardConfig.of(self.reward)
        check_user(self.user)
        return self


class Rollout(Section):
    """How episodes are sampled.

    Attributes:
        tasks: tasks (groups) per step.
        samples: episodes per task, the size of a group; at least 2.
        temperature: of the policy, in sampler and trainer alike. `top_p`, `top_k` and `min_p` are
            refused: the sampler would draw from a part of the distribution, and the trainer's
            log-probabilities, and with them every probability ratio, are those of all of it.
        max_new_tokens: the most tokens in one turn.
        context: the most tokens of an episode, prompt included. An episode is learned from in one
            pass, whose logits take memory by the token (see `trainers.memory_estimate`).
        retries: how often an episode that faulted because of a user or the infrastructure is played again
            before it is masked.
        concurrency: episodes under way at a time; `local` only, vLLM decides for itself.
        episode_timeout: seconds.
    """

    tasks: int = Field(default=16, ge=1)
    samples: int = Field(default=8, ge=2)
    temperature: float = Field(default=1.0, gt=0)
    max_new_tokens: int = Field(default=2048, ge=1)
    context: int = Field(default=16384, ge=16)
    retries: int = Field(default=2, ge=0)
    concurrency: int = Field(default=128, ge=1)
    episode_timeout: float = Field(default=3600.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _untruncated(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name, off in TRUNCATIONS.items():
            if values.get(name, off[0]) not in off:
                raise ValueError(
                    f"{name} must be off ({off[0]}) while training, not {values[name]!r}: episodes "
                    "would be sampled from another distribution than the one that the trainer "
                    "computes log-probabilities of; set it for evaluations, where nothing is learned"
                )
        return {name: value for name, value in values.items() if name not in TRUNCATIONS}


class Algorithm(Section):
    """The policy-gradient loss (OpenRLHF's `PolicyLoss`) and its advantages (`trainers.credit`).

    Attributes:
        credit: the name of an estimator of advantages, of `trainers.credit.ESTIMATORS`.
        gamma: discount per turn, of estimators that discount.
        std_norm: divide by the group's standard deviation (GRPO), or not (Dr. GRPO).
        clip: how far below and above 1 the probability ratio counts.
        dual_clip: bound on the loss of unlikely bad actions; None is off.
        loss: average over all tokens of a step, or over episodes of the average over their tokens.
        epochs: passes over the episodes of a step.
        updates: optimiser steps in each pass; must divide `tasks * samples`.
        kl: weight of the KL loss against the starting model; 0 keeps no copy of it.
        kl_estimator: k1, k2 or k3 (Schulman).
        entropy: weight of an entropy bonus.
        correction: importance correction for the difference between the sampler's and the
            trainer's probabilities, on tokens: `clip` (TIS), `mask` (ICEPOP) or `off`.
        correction_range: bounds on that ratio.
        dynamic_filtering: leave out groups that teach nothing, and sample others: with `local` those
            whose episodes all earned the same, with `openrlhf` those of which none or all were
            solved. Masked episodes count in neither.
        stop_penalty: an episode cut off by a limit of tokens keeps this fraction of what its turns
            earned, and pays as much more for what they lost; a negative number becomes its reward,
            if that was not lower still; None leaves it. No cut-off ever adds to a reward.
    """

    credit: Credit = "trajectory"
    gamma: float = Field(default=1.0, ge=0, le=1)
    std_norm: bool = True
    clip: tuple[Positive, Positive] = (0.2, 0.28)
    dual_clip: float | None = Field(default=None, gt=1)
    loss: Literal["token-mean", "seq-mean-token-mean"] = "token-mean"
    epochs: int = Field(default=1, ge=1)
    updates: int = Field(default=1, ge=1)
    kl: float = Field(default=0.0, ge=0)
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    entropy: float = Field(default=0.0, ge=0)
    correction: Literal["off", "clip", "mask"] = "clip"
    correction_range: tuple[Positive, Positive] = (0.5, 5.0)
    dynamic_filtering: bool = False
    stop_penalty: float | None = Field(default=None, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.correction_range
        if low > high:
            raise ValueError(f"correction_range goes from low to high, not from {low} to {high}")
        return self


class Curriculum(Section):
    """Which tasks are worth more, by how often they were solved (see `trainers.rollout.curriculum`).

    Attributes:
        sampling: draw tasks with these weights.
        advantage: multiply a group's advantages by its task's weight, as Tau2-RL-Pipeline does.
        min_attempts: before that many attempts at a task its weight is 1.
        half_life: training steps after which an attempt counts half, since the model that made it
            has changed since; None counts all equally, forever. A task that was not
            drawn for long is unknown again, and weighs 1.
        easy, easy_weight: weight of tasks solved more often than this.
        hard, hard_weight: weight of tasks solved less often than this.
    """

    sampling: bool = False
    advantage: bool = False
    min_attempts: int = Field(default=5, ge=1)
    half_life: float | None = Field(default=50.0, gt=0)
    easy: Fraction = 0.75
    easy_weight: float = Field(default=0.1, gt=0)
    hard: Fraction = 0.25
    hard_weight: float = Field(default=0.5, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.easy < self.hard:
            raise ValueError(f"easy ({self.easy}) must not be less than hard ({self.hard})")
        return self


class Optimizer(Section):
    """AdamW.

    Attributes:
        lr: the peak learning rate.
        schedule: `constant`, or `cosine` down to `min_lr` × lr; both after a linear warm-up.
        warmup: fraction of all optimiser steps.
        weight_decay, betas, max_norm: as usual; `max_norm` bounds the gradient's norm.
    """

    lr: float = Field(default=1e-6, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    min_lr: float = Field(default=0.0, ge=0, le=1)
    warmup: float = Field(default=0.03, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    max_norm: float = Field(default=1.0, gt=0)


class Hardware(Section):
    """Where training runs. `--backend local` honours `dtype`, `attention`, `gradient_checkpointing` and
    `micro_batch` only.

    Attributes:
        nodes, gpus: nodes, and GPUs in each.
        engines, tensor_parallel: vLLM engines and the GPUs that each of them takes.
        engine_memory: fraction of a GPU's memory for the engine.
        gpu_memory: GiB that a GPU has (one of "80 GB" 79), against which a run's memory is estimated
            before it starts (see `trainers.memory_estimate`).
        colocate: models and engines share the GPUs and take turns; else the engines have their own
            (`engines * tensor_parallel`, besides `nodes * gpus` for training).
        asynchronous: sample while training, from weights at most one step old; not with `colocate`.
        partial_rollout: weights may change within an episode; `asynchronous` only.
        zero_stage, offload: of DeepSpeed.
        gradient_checkpointing: recompute activations.
        dtype: of the parameters: bf16, fp16 or fp32 (`local` only).
        attention: `flash_attention_2`, `sdpa` or `eager`.
        micro_batch: episodes in one pass of the model.
        micro_tokens: tokens a GPU in one pass, packed, or one episode if that is longer; needs flash
            attention. None packs nothing. SFT with OpenRLHF packs `micro_batch` rows, however long
            they are.
        launcher: start as a `python` process on the head node, or as a `ray-job`.
        ray_address: of the job server.
    """

    nodes: int = Field(default=1, ge=1)
    gpus: int = Field(default=8, ge=1)
    engines: int = Field(default=8, ge=1)
    tensor_parallel: int = Field(default=1, ge=1)
    engine_memory: float = Field(default=0.6, gt=0, lt=1)
    gpu_memory: float = Field(default=79.0, gt=0)
    colocate: bool = True
    asynchronous: bool = False
    partial_rollout: bool = False
    zero_stage: int = Field(default=3, ge=0, le=3)
    offload: bool = False
    gradient_checkpointing: bool = True
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    attention: Literal["flash_attention_2", "sdpa", "eager"] = "flash_attention_2"
    micro_batch: int = Field(default=1, ge=1)
    micro_tokens: int | None = Field(default=16384, ge=1)
    launcher: Literal["python", "ray-job"] = "python"
    ray_address: str = "http://127.0.0.1:8265"

    @property
    def gpus_per_node(self) -> int:
        """GPUs that a node must have; separate engines are spread over the nodes."""
        own = 0 if self.colocate else self.engines * self.tensor_parallel
        return self.gpus + -(-own // self.nodes)


class Evaluation(Section):
    """Pass@k while training, on tasks that the run is not trained on.

    Attributes:
        split: of the trained domains. `dev` is a fifth of `train` (see `trainers.tasks.dev_tasks`);
            `test` is for the final evaluation, with `benchmarks.passk`; None evaluates nothing, and
            leaves all of `train` to be trained on.
        only: these task ids of one domain instead.
        every: training steps between evaluations; there is one before the first step, too.
        samples: attempts at each task.
        temperature: 0 is greedy.
    """

    split: str | None = "dev"
    only: tuple[str, ...] = ()
    every: int = Field(default=10, ge=1)
    samples: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.8, ge=0)


class Run(Section):
    """A run's outside.

    Attributes:
        output: a folder for checkpoints, logs, and the model at the end (`output/model`).
        seed: decides everything random, as far as the engines allow.
        steps: training steps; for SFT, optimiser steps, None for as many as the epochs have.
        save_every: steps between checkpoints, which is how many a kill can cost; None for 20 in GRPO
            with OpenRLHF, 1 with `local`, and 50 in SFT.
        keep: checkpoints to keep; OpenRLHF deletes the oldest before it writes the next, so 1 would
            leave none behind a kill at that moment.
        tensorboard: write logs for TensorBoard into `output/logs`.
        wandb: project to log to, if wandb is installed; its key is read from WANDB_API_KEY.
    """

    output: Path = Path("runs/train")
    seed: int = 42
    steps: int | None = Field(default=None, ge=1)
    save_every: int | None = Field(default=None, ge=1)
    keep: int = Field(default=2, ge=1)
    tensorboard: bool = True
    wandb: str | None = None

    def saves_after(self, step: int) -> bool:
        """Whether the backend `local` is to write a checkpoint after a step."""
        return step % (self.save_every or 1) == 0
