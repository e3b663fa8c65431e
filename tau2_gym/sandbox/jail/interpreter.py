"""The process that runs a model's code: a fork of an interpreter that is warm."""

from __future__ import annotations

import ast
import contextlib
import linecache
import sys
import threading
import traceback
from types import ModuleType
from typing import Any

FILE = "<code>"

OURS = ("jail", *(f"jail.{name}" for name in ("interpreter", "keeper", "linux", "processes")))
OURS += ("jail.program", "jail.warm", "jail.wire")
"""The modules of the jail. To look for them among all takes a while in a fork: each name that is looked
at is a page that has to be copied."""

_OWN: list[Any] = []
"""Standard output and standard error as they were before any code ran: code may put anything in the place
of `sys.stdout` and `sys.stderr`, None for example."""


def run(code: str, main: ModuleType, *, echo: bool) -> int:
    """Run code as a program of its own, and return its exit code.

    Args:
        main: the module whose globals it has.
        echo: print the value of a last line that is an expression, as an interactive interpreter does.
    """
    lines = code.splitlines(keepends=True)
    linecache.cache[FILE] = (len(code), None, lines, FILE)
    status = 0
    try:
        tree = ast.parse(code, FILE)
        last = (
            tree.body.pop() if echo and tree.body and isinstance(tree.body[-1], ast.Expr) else None
        )
        exec(compile(tree, FILE, "exec"), main.__dict__)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), FILE, "eval"), main.__dict__)
            if value is not None:
                print(value if isinstance(value, str) else repr(value))
    except SystemExit as stop:
        status = _status(stop)
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, ast.__file__):
            trace = trace.tb_next
        _complain("".join(traceback.format_exception(type(error), error, trace)))
        status = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    for stream in (sys.stdout, sys.stderr, *_OWN):
        with contextlib.suppress(Exception):  # What is not a stream cannot be flushed.
            stream.flush()
    return status


def _status(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    _complain(f"{stop.code}\n")
    return 1


def _complain(text: str) -> None:
    """Write to standard error, even if the code has left something there that cannot be written to."""
    for stream in (sys.stderr, *_OWN[1:]):
        with contextlib.suppress(Exception):
            stream.write(text)
            return


def fresh_main() -> ModuleType:
    """An empty `__main__`, and nothing else of the jail to be seen."""
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    sys.argv = [FILE]
    for name in OURS:
        sys.modules.pop(name, None)
    return main


def streams() -> None:
    """Standard streams over the descriptors 0, 1 and 2, as a program has them."""
    sys.stdin = _stream(0, "r", "surrogateescape")
    sys.stdout = _stream(1, "w", "backslashreplace")
    sys.stderr = _stream(2, "w", "backslashreplace", buffering=1)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))
    _OWN[:] = sys.stdout, sys.stderr


def _stream(descriptor: int, mode: str, errors: str, buffering: int = -1) -> Any:
    return open(descriptor, mode, buffering, encoding="utf-8", errors=errors, closefd=False)
