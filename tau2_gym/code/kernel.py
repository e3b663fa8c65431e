"""An interpreter that keeps its state between the calls of an episode.

Episodes fork and are restored, and interpreters are not. So what is kept is the code that was run: each
call starts a fresh interpreter, runs all earlier code again, and then its own. The state is therefore a
function of the calls so far, in every fork and in every process. What the earlier code takes is bounded:
once all of it takes too long, the next call begins with nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from tau2_gym.code import answers
from tau2_gym.code.database import Kernel
from tau2_gym.code.tools import LIMITS, CodeTools, bare, told
from tau2_gym.domains.registry import tool
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.base import Result
from tau2_gym.sandbox.choice import sandbox
from tau2_gym.sandbox.local import LocalSandbox

EARLIER_SECONDS = 20.0
"""That all code whose state is kept may take together."""

STARTED_AGAIN = "(The interpreter was started again: what earlier calls had defined is gone.)"
TOO_SLOW = (
    "(The interpreter was started again: all calls since its start took more than "
    f"{EARLIER_SECONDS:g} seconds together, and what they had defined is gone.)"
)
"""What the agent is told where state was dropped."""


class KernelTools(CodeTools):
    """The agent's tools."""

    @tool("write")
    def code_interpreter(self, code: str) -> str:
        """Run Python code and return what it prints.

        The value of a last line that is an expression is printed, too. Variables, functions and imports of
        earlier calls are kept, unless a call was stopped or all of them took more than 20 seconds. There is
        no network.

        Args:
            code: The Python code to run.
        """
        cell, earlier = bare(code), self.db.kernel.cells
        result, cells, lost = continued(earlier, cell)
        self.db.kernel = Kernel(cells=cells)
        return f"{told(result)}\n{lost}" if lost else told(result)


def continued(earlier: Sequence[str], cell: str) -> tuple[Result, list[str], str]:
    """What comes of code after other code, the code that the state then follows from, and what the agent
    is told of state that was dropped, if any was.

    Earlier code may end the interpreter when it is run again, although it did not before: it looks at
    the clock, say, takes almost all of its time, or has closed what its next piece comes from. That is
    the doing of whoever wrote it, not of the sandbox. So the interpreter is then a new one, too. It also is
    where the earlier code takes more than `EARLIER_SECONDS` this time, and the next one will be where it does
    so with this code.

    Raises:
        InfrastructureError: the sandbox failed.
    """
    seconds = 0.0
    try:
        with _local().session(limits=LIMITS) as session:
            for code in earlier:
                seconds += session.run(code, echo=True).seconds
                if session.over or seconds > EARLIER_SECONDS:
                    break
            else:
                result = session.run(cell, echo=True)
                if session.over:
                    return result, [], STARTED_AGAIN if earlier else ""
                if seconds + result.seconds > EARLIER_SECONDS:
                    return result, [], TOO_SLOW
                return result, [*earlier, cell], ""
    except ConfigError as error:
        raise InfrastructureError(str(error)) from error
    result, cells, _ = continued([], cell)
    return result, cells, STARTED_AGAIN if seconds <= EARLIER_SECONDS else TOO_SLOW


def ready() -> None:
    """Check that problems can be solved and graded here, by an interpreter that keeps its state.

    Raises:
        ConfigError: a package is missing, or the sandbox does not work or has no sessions.
    """
    _local()
    answers.ready()


def _local() -> LocalSandbox:
    found = sandbox()
    if not isinstance(found, LocalSandbox):
        raise ConfigError(
            "only the sandbox on this machine keeps state between calls: set TAU2_GYM_SANDBOX to local, "
            "or use the domain code"
        )
    return found
