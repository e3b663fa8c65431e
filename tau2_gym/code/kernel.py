"""An interpreter that keeps its state between the calls of an episode.

Episodes fork and are restored, and interpreters are not. So what is kept is the code that was run: each
call starts a fresh interpreter, runs all earlier code again, and then its own. The state is therefore a
function of the calls so far, in every fork and in every process.
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

STARTED_AGAIN = "(The interpreter was started again: what earlier calls had defined is gone.)"


class KernelTools(CodeTools):
    """The agent's tools."""

    @tool("write")
    def code_interpreter(self, code: str) -> str:
        """Run Python code and return what it prints.

        The value of a last line that is an expression is printed, too. Variables, functions and imports of
        earlier calls are kept, unless a call was stopped. There is no network.

        Args:
            code: The Python code to run.
        """
        cell, earlier = bare(code), self.db.kernel.cells
        result, cells = continued(earlier, cell)
        self.db.kernel = Kernel(cells=cells)
        lost = bool(earlier) and len(cells) <= len(earlier)
        return f"{told(result)}\n{STARTED_AGAIN}" if lost else told(result)


def continued(earlier: Sequence[str], cell: str) -> tuple[Result, list[str]]:
    """What comes of code after other code, and the code that the state then follows from.

    Earlier code may end the interpreter when it is run again, although it did not before: it looks at
    the clock, say, takes almost all of its time, or has closed what its next piece comes from. That is
    the doing of whoever wrote it, not of the sandbox. So the interpreter is then a new one, too.

    Raises:
        InfrastructureError: the sandbox failed.
    """
    try:
        with _local().session(limits=LIMITS) as session:
            for code in earlier:
                session.run(code, echo=True)
                if session.over:
                    break
            else:
                result = session.run(cell, echo=True)
                return result, [] if session.over else [*earlier, cell]
    except ConfigError as error:
        raise InfrastructureError(str(error)) from error
    return continued([], cell)


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
