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
        result, over = continued(earlier, cell)
        self.db.kernel = Kernel(cells=[] if over else [*earlier, cell])
        return f"{told(result)}\n{STARTED_AGAIN}" if over and earlier else told(result)


def continued(earlier: Sequence[str], cell: str) -> tuple[Result, bool]:
    """What comes of code after other code, and whether it has ended the interpreter.

    Raises:
        InfrastructureError: the sandbox failed, or the earlier code has not done again what it did.
    """
    try:
        with _local().session(limits=LIMITS) as session:
            for code in earlier:
                session.run(code, echo=True)
                if session.over:
                    raise InfrastructureError("code that had run before has ended the interpreter")
            result = session.run(cell, echo=True)
            return result, session.over
    except ConfigError as error:
        raise InfrastructureError(str(error)) from error


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
