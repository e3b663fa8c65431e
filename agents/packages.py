"""The optional packages that agents, users and judges need."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from tau2_gym.errors import ConfigError

EXTRAS = {
    "sglang": ("aiohttp", "jinja2", "transformers"),
    "transformers": ("jinja2", "torch", "transformers"),
    "litellm": ("litellm",),
}
"""What each extra of the project installs, by the names that are imported."""


def require(extras: Iterable[str]) -> None:
    """Check that what these extras install is there.

    Raises:
        ConfigError: something is missing. The message names everything that is, of all extras.
    """
    missing = {
        extra: [name for name in EXTRAS[extra] if find_spec(name) is None]
        for extra in sorted(set(extras))
    }
    names = sorted({name for found in missing.values() for name in found})
    if names:
        wanted = ",".join(extra for extra, found in missing.items() if found)
        raise ConfigError(
            f"this run needs {', '.join(names)}, not installed here: "
            f"pip install 'tau2-gym[{wanted}]'"
        )
