"""How a command line ends: with one sentence, an exit code, and the command that resumes the run.

| code | the run |
|---|---|
| 0 | finished, and every attempt has a result |
| 1 | lost a worker process (`conformance`: found differences) |
| 2 | was refused or stopped because of wrong input, or a file that cannot be read or written |
| 3 | left attempts without a result because of faults |
| 130 | was interrupted |
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from tau2_gym.completion.redaction import STRUCK, without_secrets
from tau2_gym.errors import Tau2GymError
from tau2_gym.render import harmless

FAILED, REFUSED, FAULTS_LEFT, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: see above."""

FRESH = "--fresh"

_CALLED: ContextVar[tuple[str, ...]] = ContextVar("called")
"""How the command under way was called, word by word."""


class Command(TyperCommand):
    """A command that remembers how it was called, and whose help wraps to the width of the
    terminal."""

    def __init__(self, *arguments: Any, help: str | None = None, **options: Any) -> None:
        # Typer keeps the line breaks of a docstring, whatever the width, where it has paragraphs.
        paragraphs = [" ".join(each.split()) for each in (help or "").split("\n\n")]
        super().__init__(*arguments, help="\n\n".join(paragraphs), **options)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As in the base class, but recording the call."""
        module = getattr(self.callback, "__module__", "")
        if module == "__main__":
            module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
        verb = ctx.command_path.startswith("tau2-gym ")
        called = ctx.command_path.split() if verb else ("python", "-m", module)
        _CALLED.set((*called, *args))
        return super().parse_args(ctx, args)


def continuing() -> str:
    """The command line that resumes what the current one has started: the same, less what would
    throw away its results, and without secrets."""
    words = [without_secrets(word) for word in _CALLED.get() if word != FRESH]
    said = shlex.join(words)
    return f"{said}\n(with what *** stands for)" if STRUCK in said else said


def complain(console: Console, sentence: str) -> None:
    """Print what is wrong, in one sentence: on the terminal's error output if the other is full. Names in it may come
    from anywhere: neither secrets nor what a terminal obeys are printed."""
    sentence = harmless(without_secrets(sentence))
    try:
        console.print("error:", style="red", end=" ")
        console.print(sentence, markup=False, highlight=False)
    except OSError:
        Console(stderr=True).print(f"error: {sentence}", **PLAIN)


@contextmanager
def ending(console: Console) -> Iterator[None]:
    """End a command that plays episodes with one sentence and an exit code, whatever stops it."""
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
