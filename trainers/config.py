"""What a training run is: recipes as typed, validated settings.

A recipe is a YAML file whose sections and names are those of `SFTConfig` or `GRPOConfig`. Everything
has a default, every name and value is checked, and command-line options override the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from tau2_gym.errors import ConfigError
from trainers.sections import (
    Algorithm,
    Curriculum,
    Environment,
    Evaluation,
    Hardware,
    Optimizer,
    Rollout,
    Run,
    Section,
    Tasks,
)
from trainers.wrong_settings import sentence

SETTINGS = "TAU2_GYM_TRAINING"
"""The environment variable that names the file in which processes find their `GRPOConfig`, as JSON."""


class GRPOConfig(Section):
    """GRPO on the environment, for 200 steps if `run.steps` is not given: tasks are drawn without end."""

    model: str
    tasks: Tasks = Tasks()
    environment: Environment = Environment()
    rollout: Rollout = Rollout()
    algorithm: Algorithm = Algorithm()
    curriculum: Curriculum = Curriculum()
    optimizer: Optimizer = Optimizer()
    hardware: Hardware = Hardware()
    evaluation: Evaluation = Evaluation()
    run: Run = Field(default=Run(), validate_default=True)

    @field_validator("run")
    @classmethod
    def _whole(cls, run: Run) -> Run:
        return _filled(run, steps=200)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        episodes = self.rollout.tasks * self.rollout.samples
        if episodes % self.algorithm.updates:
            raise ValueError(
                f"{self.algorithm.updates} updates do not divide {episodes} episodes per step"
            )
        if self.hardware.asynchronous and self.hardware.colocate:
            raise ValueError("asynchronous training needs its own engines: set colocate to false")
        if self.hardware.partial_rollout and not self.hardware.asynchronous:
            raise ValueError("partial_rollout needs asynchronous training")
        return self


class SFTConfig(Section):
    """Supervised fine-tuning on conversations.

    Attributes:
        model: a folder, or a name on the Hugging Face hub.
        data: a folder that `trainers.rft` has filled, or a JSON-lines file of rows with `messages`.
        eval_data: the same, to compute a loss on; None for none.
        context: the most tokens of a row; longer ones are refused beforehand.
        epochs: passes over the data.
        batch: rows per optimiser step.
        loss: average over all tokens of a batch, or over rows of the average over their tokens.
    """

    model: str
    data: Path
    eval_data: Path | None = None
    context: int = Field(default=16384, ge=16)
    epochs: int = Field(default=2, ge=1)
    batch: int = Field(default=16, ge=1)
    loss: Literal["token-mean", "seq-mean-token-mean"] = "token-mean"
    optimizer: Optimizer = Optimizer(lr=1e-5, schedule="cosine", warmup=0.05)
    hardware: Hardware = Hardware()
    run: Run = Field(default=Run(output=Path("runs/sft")), validate_default=True)

    @field_validator("run")
    @classmethod
    def _whole(cls, run: Run) -> Run:
        return _filled(run, save_every=50)


def _filled(run: Run, **values: int) -> Run:
    """With defaults in place of None."""
    update = {name: value for name, value in values.items() if getattr(run, name) is None}
    return run.model_copy(update=update)


C = TypeVar("C", GRPOConfig, SFTConfig)


def load_config(
    kind: type[C],
    recipes: Path | Sequence[Path] | None,
    overrides: Mapping[str, Any],
    assigned: Mapping[str, str] | None = None,
) -> C:
    """A recipe from its file or files, with options over it.

    Args:
        kind: which settings.
        recipes: YAML files, later ones over earlier ones; None for defaults.
        overrides: dotted names and values, such as `{"run.seed": 7}`.
        assigned: how they were written on the command line, by dotted name, for errors.

    Raises:
        ConfigError: the file does not exist, it is not a mapping, or a name or value is not allowed;
            names all that is wrong.
    """
    files = [recipes] if isinstance(recipes, Path) else list(recipes or ())
    settings: dict[str, Any] = {}
    for file in files:
        for name, value in _read(file).items():
            if isinstance(value, dict):
                value = {**(settings.get(name) or {}), **value}
            settings[name] = value
    for name, value in overrides.items():
        _put(settings, name.split("."), value)
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        written = {**dict.fromkeys(overrides, ""), **(assigned or {})}
        raise ConfigError(sentence(error, kind, files, written)) from error


def _read(recipe: Path) -> dict[str, Any]:
    import yaml

    try:
        settings = yaml.safe_load(recipe.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"no recipe can be read from {recipe}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{recipe} is not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{recipe} holds no mapping of settings")
    return settings


def _put(settings: dict[str, Any], path: list[str], value: Any) -> None:
    *sections, name = path
    for section in sections:
        if not isinstance(settings.get(section), dict):
            settings[section] = {}
        settings = settings[section]
    settings[name] = value
