"""Where a model lies: the Hugging Face hub, a folder, or the folder of the run that trained it."""

from __future__ import annotations

import re
from pathlib import Path

from tau2_gym.errors import ConfigError

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


RUNS = "runs"
"""The folder that runs write into by default."""


def find_model(name: str) -> str:
    """The model's folder, or its name on the Hugging Face hub.

    The folder of a run stands for the model that it has trained, its subfolder `model`.

    Raises:
        ConfigError: it is a folder that is not there, or holds no model.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        for candidate in (folder, folder / "model"):
            # A run has a config.json of its own.
            if (candidate / "tokenizer_config.json").is_file():
                return str(candidate.resolve())
        raise ConfigError(f"the folder {name} holds no model with its tokenizer")
    if looks_local(name):
        raise ConfigError(f"there is no model folder {name}")
    return name


def looks_local(name: str) -> bool:
    """Whether a name is meant as a path: it cannot be a hub's name, or its first part is a folder
    here, or what runs write into."""
    first = name.partition("/")[0]
    return (
        HUB_NAME.fullmatch(name) is None
        or first in ("", ".", "..", "~", RUNS)
        or ("/" in name and Path(first).is_dir())
    )
