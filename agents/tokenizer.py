"""The tokenizer of a model."""

from __future__ import annotations

from typing import Any

from tau2_gym.errors import ConfigError, first_line


def load_tokenizer(path: str, *, offline: bool = False) -> Any:
    """The tokenizer of a model.

    Args:
        path: a folder, or a name on the Hugging Face hub.
        offline: ask no hub; what was downloaded before is found.

    Raises:
        ConfigError: none can be loaded from there, or transformers is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ConfigError(
            "a tokenizer takes transformers: pip install 'tau2-gym[train]' to train, or "
            "pip install 'tau2-gym[sglang]' to play"
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, trust_remote_code=False, local_files_only=offline
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"no tokenizer can be loaded from {path!r}: {first_line(error)}"
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
