"""The kinds of problems that are generated, by family."""

from __future__ import annotations

from tau2_gym.code.problems.arithmetic import ARITHMETIC
from tau2_gym.code.problems.base import LEVELS, VERSION, Drawn, Kind
from tau2_gym.code.problems.counting import COUNTING
from tau2_gym.code.problems.lists import LISTS
from tau2_gym.code.problems.numbers import NUMBERS
from tau2_gym.code.problems.texts import TEXTS

FAMILIES: dict[str, tuple[type[Kind], ...]] = {
    "arithmetic": ARITHMETIC,
    "numbers": NUMBERS,
    "counting": COUNTING,
    "texts": TEXTS,
    "lists": LISTS,
}

__all__ = ["FAMILIES", "LEVELS", "VERSION", "Drawn", "Kind"]
