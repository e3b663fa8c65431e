"""What a sandbox is: somewhere to run a model's code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tau2_gym.errors import ConfigError

LONGEST = 10_000_000
"""Characters of code, and of standard input."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take.

    Attributes:
        seconds: of wall-clock time.
        memory_mb: MiB that all processes of the call take together, beyond a fresh interpreter's,
            with the files they have written.
        disk_mb: MiB of files.
        processes: that are alive at a time, threads included.
        output_kb: KiB of standard output and of standard error.

    Raises:
        ConfigError: one of them is not positive.
    """

    seconds: float = 30.0
    memory_mb: int = 2048
    disk_mb: int = 64
    processes: int = 32
    output_kb: int = 1024

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
                raise ConfigError(f"{name} of a sandbox must be a positive number, not {value!r}")
        if self.memory_mb < 64:
            raise ConfigError(f"an interpreter needs 64 MiB, and memory_mb is {self.memory_mb}")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a piece of code.

    Attributes:
        stdout, stderr: what it wrote.
        status: its exit code, negative for the signal that ended it; None if it was killed.
        killed: `time`, `memory` or `output`, if it took too much of that.
        seconds: how long it ran.
    """

    stdout: str
    stderr: str
    status: int | None
    killed: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with exit code 0."""
        return self.status == 0 and self.killed is None


@runtime_checkable
class Sandbox(Protocol):
    """Runs code, stateless: every call is a program of its own. May be called from many threads."""

    def run(
        self, code: str, *, stdin: str = "", limits: Limits | None = None, echo: bool = False
    ) -> Result:
        """Run Python code.

        Args:
            code: the program.
            stdin: what it can read.
            limits: what it may take; the sandbox's own if None.
            echo: print the value of a last line that is an expression.

        Raises:
            InfrastructureError: the sandbox failed. What the code does never raises.
        """
        ...


def refused(code: str, stdin: str = "") -> Result | None:
    """What comes of code that is too long to be run; None if it is not.

    Raises:
        ConfigError: the standard input is too long.
    """
    if len(stdin) > LONGEST:
        raise ConfigError(f"stdin has {len(stdin)} characters, and may have {LONGEST}")
    if len(code) > LONGEST:
        said = f"the code has {len(code)} characters, and may have {LONGEST}\n"
        return Result("", said, status=1)
    return None
