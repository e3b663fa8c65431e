"""What the values of options may be: lists with commas, addresses of servers, finite numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import typer

from tau2_gym.completion.redaction import checked_url
from tau2_gym.errors import ConfigError

OPTION = re.compile(r"\w+=")
"""How an option of a domain's tasks begins."""


def listed(text: str, option: str) -> tuple[str, ...]:
    """The names in a comma-separated text, each once.

    Raises:
        ConfigError: there are none.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"{option} names nothing: give names with commas between them")
    return names


def listed_domains(text: str, option: str) -> tuple[str, ...]:
    """The domains in a comma-separated text, each once. The tasks that a domain is to make may be told with
    commas, too: `airline,code:generated:seed=3,count=50` names two domains.

    Raises:
        ConfigError: there are none.
    """
    parts = list[str]()
    for part in listed(text, option):
        if parts and ":" in parts[-1] and OPTION.match(part):
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return tuple(dict.fromkeys(parts))


def addresses(text: str | None, option: str) -> tuple[str, ...]:
    """The servers in a comma-separated text; none if there is no text.

    Raises:
        ConfigError: the text names none, or something that is not an address.
    """
    if text is None:
        return ()
    urls = listed(text, option)
    for url in urls:
        checked_url(url, None)
    return urls


def address(text: str | None, option: str) -> str | None:
    """The one server that an option names, if it does.

    Raises:
        ConfigError: it names several, or something that is not an address.
    """
    urls = addresses(text, option)
    if len(urls) > 1:
        raise ConfigError(f"{option} takes one address, or a router's, not {len(urls)}")
    return urls[0] if urls else None


def finite(
    low: float, high: float = math.inf, *, above: bool = False
) -> Callable[[float | None], float | None]:
    """The check of an option that is a finite number from `low` (or above it) to `high`."""

    def check(value: float | None) -> float | None:
        if value is None:
            return None
        inside = low < value <= high if above else low <= value <= high
        if not inside or not math.isfinite(value):
            least = f"above {low:g}" if above else f"at least {low:g}"
            most = "" if math.isinf(high) else f" and at most {high:g}"
            raise typer.BadParameter(f"must be a number {least}{most}, not {value:g}")
        return value

    return check
