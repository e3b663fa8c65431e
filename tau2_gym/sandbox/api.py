"""Requests and responses of SandboxFusion's `/run_code`, and how one in Python is served."""

from __future__ import annotations

import base64
import contextlib
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.sandbox.base import Limits, Result
from tau2_gym.sandbox.local import LocalSandbox

KILLED = "killed: "
"""What the message of a response begins with if a program took too much memory or wrote too much.
SandboxFusion itself never says so, since nothing there is killed for that."""


FILES = 64
"""The most files that a request may write, and the most that it may fetch. Fetching one is a separate run."""


class Refused(Exception):
    """A request that is not served: a status, and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Request(BaseModel):
    """The body of a request. Other fields are ignored."""

    code: str
    language: str
    stdin: str | None = None
    run_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10
    memory_mb: Annotated[int, Field(alias="memory_limit_MB")] = -1
    files: Annotated[dict[str, str | None], Field(max_length=FILES)] = {}
    fetch_files: Annotated[list[str], Field(max_length=FILES)] = []


class Ran(BaseModel):
    """The result of a command, in a response. Only fields that are used are checked."""

    status: Literal["Finished", "Error", "TimeLimitExceeded"]
    execution_time: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    return_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None


class Response(BaseModel):
    """The body of a response."""

    status: Literal["Success", "Failed", "SandboxError"]
    message: str = ""
    run_result: Ran | None = None


def serve(sandbox: LocalSandbox, body: bytes | bytearray) -> dict[str, Any]:
    """The response to a request.

    Args:
        sandbox: runs the code. Its limits are the most that a request may ask for.
        body: of the request.

    Raises:
        Refused: it is not one that is served.
    """
    try:
        asked = Request.model_validate_json(body)
    except ValidationError as error:
        raise Refused(422, what_is_wrong(error)) from None
    if asked.language != "python":
        raise Refused(422, f"language: only 'python' is served, not {asked.language[:40]!r}")
    try:
        result, files = _run(sandbox, asked, _limits(asked, sandbox.limits))
    except ConfigError as error:
        raise Refused(422, str(error)) from None
    except InfrastructureError as error:
        return _response("SandboxError", str(error))
    return _said(result, files)


def what_is_wrong(error: ValidationError) -> str:
    """The first thing that is wrong, without quoting what was sent."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "the body"
    return f"{where}: {first['msg']}"


def _limits(asked: Request, most: Limits) -> Limits:
    memory = most.memory_mb if asked.memory_mb < 0 else asked.memory_mb
    for name, value, bound in (
        ("run_timeout", asked.run_timeout, most.seconds),
        ("memory_limit_MB", memory, most.memory_mb),
    ):
        if value > bound:
            raise Refused(422, f"{name}: at most {bound:g} is allowed here, not {value:g}")
    return replace(most, seconds=asked.run_timeout, memory_mb=memory)


def _run(sandbox: LocalSandbox, asked: Request, limits: Limits) -> tuple[Result, dict[str, str]]:
    """Write the files that the code needs, run it, and return the files that were asked for."""
    stdin = asked.stdin or ""
    given = {name: held for name, held in asked.files.items() if held is not None}
    if not given and not asked.fetch_files:
        return sandbox.run(asked.code, stdin=stdin, limits=limits), {}
    with sandbox.session(stdin=stdin, limits=limits) as session:
        written = session.run(f"{WRITE}\n_write({given!a})\ndel _write")
        if not written.ok:
            why = written.killed or written.stderr.strip().rpartition("\n")[2]
            raise Refused(422, f"files: they cannot be written ({why})")
        result = session.run(asked.code)
        files: dict[str, str] = {}
        for name in asked.fetch_files:
            if session.over:
                break
            read = session.run(f"{READ}\nprint(_read({name!a}))\ndel _read")
            held = read.stdout.strip()
            with contextlib.suppress(ValueError):
                base64.b64decode(held, validate=True)
                if read.ok:
                    files[name] = held
    return result, files


WRITE = """
def _write(files):
    import base64, os
    for name, held in files.items():
        os.makedirs(os.path.dirname(os.path.abspath(name)), exist_ok=True)
        with open(name, "wb") as file:
            file.write(base64.b64decode(held, validate=True))
"""
READ = """
def _read(name):
    import base64
    with open(name, "rb") as file:
        return base64.b64encode(file.read()).decode()
"""


def _said(result: Result, files: Mapping[str, str]) -> dict[str, Any]:
    """A result as a response. A program killed for anything other than its time has ended by a signal, and
    the message says what for."""
    late = result.killed == "time"
    ran = {
        "status": "TimeLimitExceeded" if late else "Finished",
        "execution_time": result.seconds,
        "cpu_time": None,
        "return_code": None if late else -signal.SIGKILL if result.killed else result.status,
        "stdout": result.stdout,
        "stderr": result.stderr,
    }
    message = f"{KILLED}{result.killed}" if result.killed and not late else ""
    status = "Success" if result.ok else "Failed"
    return _response(status, message, run_result=ran, files=dict(files))


def _response(status: str, message: str, **more: Any) -> dict[str, Any]:
    return {
        "status": status,
        "message": message,
        "compile_result": None,
        "run_result": None,
        "executor_pod_name": None,
        "files": {},
        **more,
    }
