"""The space of observations: text, and what Gymnasium needs to know about it.

Gymnasium keeps registers of functions for every kind of space, from which its wrappers and vector
environments learn what an empty observation is, how observations of other processes arrive, and so
on. Those of text are here. `docs/environment.md` lists the wrappers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Tuple
from gymnasium.spaces.utils import flatten, flatten_space, is_space_dtype_shape_equiv, unflatten
from gymnasium.vector.utils import (
    batch_differing_spaces,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)
from gymnasium.wrappers.utils import create_zero_array

from tau2_gym.errors import ConfigError

TEXTS = (
    "How can I help you with that?",
    "Could you please give me your name and phone number?",
    "Could you tell me your user id?",
    "Let me look into that for you.",
    "Please check the status bar of your phone.",
    "Please turn airplane mode off.",
    "Please restart your phone.",
    "Would you like me to go ahead?",
    "That has been taken care of.",
    "Is there anything else I can help you with?",
)
"""What sampled agents say."""


class TextSpace(Space[str]):
    """All strings. Samples are things that people say to customer service."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(None, None, seed)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A sentence."""
        no_mask(mask, probability)
        return str(self.np_random.choice(np.array(TEXTS)))

    def contains(self, x: Any) -> bool:
        """Whether it is a string."""
        return isinstance(x, str)

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no fixed shape."""
        return False

    def __repr__(self) -> str:
        return "TextSpace()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace)

    __hash__ = None  # type: ignore[assignment]


def no_mask(mask: Any, probability: Any) -> None:
    """Refuse sampling options that only make sense for numbers."""
    if mask is not None or probability is not None:
        raise ConfigError("spaces of messages take neither a mask nor probabilities")


class SharedTexts(Sequence[str]):
    """The latest observation of each of `n` environments in other processes.

    Gymnasium's shared memory has a fixed size, and texts do not. So each environment has a file, in
    a directory that is removed together with the object that made it. A deep copy, which is what
    `AsyncVectorEnv` returns, is a tuple of strings.
    """

    def __init__(self, n: int, directory: str | None = None) -> None:
        self._made = TemporaryDirectory(prefix="tau2_gym_") if directory is None else None
        self._directory = Path(directory if self._made is None else self._made.name)  # type: ignore[arg-type]
        self._n = n

    def write(self, index: int, text: str) -> None:
        """Store the observation of an environment."""
        self._path(index).write_bytes(text.encode("utf-8", "surrogatepass"))

    def _path(self, index: int) -> Path:
        return self._directory / str(index)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        path = self._path(range(self._n)[index])
        return path.read_bytes().decode("utf-8", "surrogatepass") if path.exists() else ""

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedTexts, (self._n, str(self._directory))


@create_shared_memory.register(TextSpace)
def _create(space: TextSpace, n: int = 1, ctx: Any = None) -> SharedTexts:
    return SharedTexts(n)


@read_from_shared_memory.register(TextSpace)
def _read(space: TextSpace, shared_memory: SharedTexts, n: int = 1) -> SharedTexts:
    return shared_memory


@write_to_shared_memory.register(TextSpace)
def _write(space: TextSpace, index: int, value: str, shared_memory: SharedTexts) -> None:
    shared_memory.write(index, value)


@create_zero_array.register(TextSpace)
def _empty(space: TextSpace) -> str:  # type: ignore[misc]
    return ""


# As for Gymnasium's own spaces without a fixed size: what cannot become an array stays as it is.
@flatten_space.register(TextSpace)
def _flat(space: TextSpace) -> TextSpace:
    return space


@flatten.register(TextSpace)
@unflatten.register(TextSpace)
def _as_it_is(space: TextSpace, x: str) -> str:  # type: ignore[misc]
    return x


@batch_differing_spaces.register(TextSpace)
def _batch(spaces: Sequence[TextSpace]) -> Tuple[Any]:  # type: ignore[misc]
    return Tuple([copy.deepcopy(space) for space in spaces])


@is_space_dtype_shape_equiv.register(TextSpace)
def _alike(space_1: TextSpace, space_2: Any) -> bool:
    return isinstance(space_2, TextSpace)
