"""What the command lines have in common: how they end, and the command that continues a run.

| code | the run |
|---|---|
| 0 | was played to its end, and every attempt has a result |
| 1 | lost a worker process (`conformance`: found differences) |
| 2 | was refused or stopped by wrong input, or by a file that cannot be read or written |
| 3 | left attempts without a result because of faults |
| 130 | was interrupted |
"""

from __future__ import annotations

import math
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import typer
from rich.console import Console
from rich.progress import ProgressColumn
from rich.text import Text
from typer.core import TyperCommand

from tau2_gym.completion.redaction import STRUCK, checked_url, without_secrets
from tau2_gym.completion.servers import waiting
from tau2_gym.errors import ConfigError, Tau2GymError

FAILED, REFUSED, FAULTS_LEFT, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: see above."""

FRESH = "--fresh"

_CALLED: ContextVar[tuple[str, ...]] = ContextVar("called")
"""How the command under way was called: its module and its arguments."""


class Command(TyperCommand):
    """A command that remembers how it was called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As its base, with the call noted down."""
        module = getattr(self.callback, "__module__", "")
        if module == "__main__":
            module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
        _CALLED.set((module, *args))
        return super().parse_args(ctx, args)


def continuing() -> str:
    """The command line that resumes what the current one has started: the same, less what would
    throw away its results, and without secrets."""
    words = [without_secrets(word) for word in _CALLED.get() if word != FRESH]
    said = shlex.join(["python", "-m", *words])
    return f"{said}\n(with what *** stands for)" if STRUCK in said else said


def complain(console: Console, sentence: str) -> None:
    """Print what is wrong, in one sentence."""
    console.print("error:", style="red", end=" ")
    console.print(sentence, markup=False, highlight=False)


@contextmanager
def ending(console: Console) -> Iterator[None]:
    """End a command that plays episodes in one sentence and with a code of its own, whatever stops
    it."""
    try:
        yield
    except Tau2GymError as error:
        complain(console, str(error))
        raise typer.Exit(REFUSED) from error
    except OSError as error:
        complain(console, file_problem(error))
        raise typer.Exit(REFUSED) from error
    except BrokenProcessPool as error:
        complain(console, f"a worker process died; to resume:\n{continuing()}")
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        console.print(f"Interrupted. To resume:\n{continuing()}", **PLAIN)
        raise typer.Exit(INTERRUPTED) from error


PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


def file_problem(error: OSError) -> str:
    """An operating system's error as a sentence for a person."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def end_with_faults(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """If attempts have no result because of faults, say how to play them again, and end.

    Raises:
        typer.Exit: with code `FAULTS_LEFT`.
    """
    left = Counter(row["fault"] for row in rows if row["fault"] is not None)
    if not left:
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in left.items())
    errors = Counter(row["error"] for row in rows if row["fault"] is not None)
    (common, _), *_ = errors.most_common(1)
    complain(
        console,
        f"{left.total()} of {len(rows)} attempts have no result ({kinds}; most often: {common}); "
        "to play them again:",
    )
    console.print(continuing(), **PLAIN)
    raise typer.Exit(FAULTS_LEFT)


def listed(text: str, option: str) -> tuple[str, ...]:
    """The names in a comma-separated text, each once.

    Raises:
        ConfigError: there are none.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"{option} names nothing: give names with commas between them")
    return names


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


class WaitingColumn(ProgressColumn):
    """The servers that a run waits for, and how long it has: nothing most of the time."""

    def render(self, task: Any) -> Text:
        """What is being waited for now."""
        return Text("; ".join(waiting()), style="yellow")


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
