"""What the agent can do: run Python."""

from __future__ import annotations

import re
from typing import Any

from tau2_gym.domains.registry import tool
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.base import Limits, Result
from tau2_gym.sandbox.choice import sandbox

LIMITS = Limits(seconds=10.0, memory_mb=1024, output_kb=256)
"""What one call may take."""

SHOWN = 2000
"""Characters of output, and as many of errors, that a model is shown."""

FENCED = re.compile(r"\A\s*```[\w+-]*[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)
"""Code that a model has put between fences although it need not."""

NOTHING = "(The code printed nothing.)"

KILLED = {
    "time": f"(Stopped after {LIMITS.seconds:g} seconds.)",
    "memory": f"(Stopped: it took more than {LIMITS.memory_mb} MiB of memory.)",
    "output": "(Stopped: it printed too much.)",
}


class CodeTools:
    """The agent's tools."""

    db: Any

    @tool("read")
    def code_interpreter(self, code: str) -> str:
        """Run Python code and return what it prints.

        The value of a last line that is an expression is printed, too. Every call is a program of its own
        that knows nothing of earlier calls. There is no network.

        Args:
            code: The Python code to run.
        """
        return told(run(bare(code), LIMITS, echo=True))

    def passes(self, test: int) -> bool:
        """Whether the agent has answered, and the answer passes a test. No tool: tasks assert it."""
        passed = self.db.answer.passed
        return test < len(passed) and passed[test]


def bare(code: Any) -> str:
    """Code that a model has given, without fences around it.

    Raises:
        TypeError: it is not a text.
    """
    if not isinstance(code, str):
        raise TypeError(f"code must be a string, not {type(code).__name__}")
    fenced = FENCED.match(code)
    return fenced[1] if fenced else code


def run(code: str, limits: Limits, *, stdin: str = "", echo: bool = False) -> Result:
    """Run code in the process's sandbox.

    Raises:
        InfrastructureError: the sandbox failed.
    """
    try:
        return sandbox().run(code, stdin=stdin, limits=limits, echo=echo)
    except (
        ConfigError
    ) as error:  # Found out in the middle of an episode, it is no fault of the agent's.
        raise InfrastructureError(str(error)) from error


def told(result: Result) -> str:
    """What a model is told of a call."""
    parts = [shortened(result.stdout.strip("\n")), shortened(result.stderr.strip("\n"))]
    if result.killed is not None:
        parts.append(KILLED.get(result.killed, f"(Stopped: too much {result.killed}.)"))
    elif result.status is not None and result.status < 0:
        parts.append(f"(Ended by signal {-result.status}.)")
    elif result.status and not result.stderr.strip():
        parts.append(f"(Exit code {result.status}.)")
    return "\n".join(part for part in parts if part) or NOTHING


def shortened(text: str, most: int = SHOWN) -> str:
    """A text without its middle, if it is long."""
    if len(text) <= most:
        return text
    head, tail = text[: most // 2], text[len(text) - most // 2 :]
    return f"{head}\n… {len(text) - most} characters left out …\n{tail}"
