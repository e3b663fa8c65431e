"""What a call of a sandbox costs beyond the code's own time: `python -m benchmarks.sandbox`.

Code is run that measures its own time. What the call takes in addition is the sandbox's cost: making a
jail, passing code in and what it prints out, and ending all of it. It is measured for one call at a time,
and for many at a time whose code sleeps, so that it does not compete with them for processors. How many
calls without own time are done per second says what they take of the processors.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer
from rich.console import Console

from tau2_gym.errors import InfrastructureError
from tau2_gym.exits import FAILED, PLAIN, Command, complain, ending
from tau2_gym.sandbox import FusionSandbox, Limits, LocalSandbox, Sandbox
from tau2_gym.values import finite

app = typer.Typer(add_completion=False)

CODE = """\
import time
begun = time.perf_counter()
time.sleep({seconds})
print(time.perf_counter() - begun)
"""


def cost(sandbox: Sandbox, seconds: float) -> float:
    """Seconds that a call takes beyond its code's own time.

    Args:
        sandbox: is called.
        seconds: that the code sleeps.

    Raises:
        InfrastructureError: the sandbox failed, or did not run the code.
    """
    begun = time.perf_counter()
    result = sandbox.run(CODE.format(seconds=seconds))
    took = time.perf_counter() - begun
    if not result.ok:
        raise InfrastructureError(f"the code did not run: {result.stderr.strip() or result.killed}")
    return took - float(result.stdout)


def costs(sandbox: Sandbox, calls: int, at_once: int, seconds: float) -> tuple[list[float], float]:
    """The costs of calls, so many at a time, and the seconds that all of them took. The calls begin
    evenly spread over the time that their code sleeps."""
    begun = time.perf_counter()

    def call(number: int) -> float:
        time.sleep(max(0.0, begun + number * seconds / at_once - time.perf_counter()))
        return cost(sandbox, seconds)

    with ThreadPoolExecutor(2 * at_once if seconds else at_once) as pool:
        return list(pool.map(call, range(calls))), time.perf_counter() - begun


def shown(found: Iterable[float]) -> str:
    """Median and 95th percentile."""
    ordered = sorted(found)
    late = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"median {1000 * statistics.median(ordered):.1f} ms, p95 {1000 * late:.1f} ms"


def measure(sandbox: Sandbox, calls: int, at_once: int, seconds: float) -> Iterable[str]:
    """Measure, a line at a time."""
    costs(sandbox, at_once, at_once, 0.0)  # The first calls start what later ones use.
    alone, _ = costs(sandbox, calls, 1, 0.0)
    yield f"{calls} calls, one at a time: {shown(alone)}"
    together, _ = costs(sandbox, calls, at_once, seconds)
    yield f"{calls} calls, {at_once} at a time, whose code sleeps {seconds:g} s: {shown(together)}"
    _, took = costs(sandbox, calls, at_once, 0.0)
    load = os.getloadavg()[0]
    yield (
        f"{calls} calls, {at_once} at a time, whose code takes no time: {calls / took:.0f} per second"
        f" on {os.cpu_count()} processors (load {load:.1f})"
    )


@app.command(cls=Command)
def main(
    calls: Annotated[int, typer.Option(help="Of each kind.", min=1)] = 320,
    at_once: Annotated[int, typer.Option(help="Calls at a time.", min=1, max=1000)] = 64,
    seconds: Annotated[
        float,
        typer.Option(help="That code sleeps.", callback=finite(0.0, 60.0)),
    ] = 2.0,
    url: Annotated[
        str | None, typer.Option(help="A server of SandboxFusion's API, instead of this machine.")
    ] = None,
) -> None:
    """Measure what calls of a sandbox cost beyond their code's own time."""
    console = Console(highlight=False)
    limits = Limits(seconds=max(30.0, 2 * seconds))
    with ending(console), contextlib.ExitStack() as stack:
        sandbox: Sandbox
        if url is None:
            sandbox = stack.enter_context(LocalSandbox(limits, at_once=2 * at_once))
        else:
            sandbox = FusionSandbox(url, limits)
        try:
            for line in measure(sandbox, calls, at_once, seconds):
                console.print(line, **PLAIN)
        except InfrastructureError as error:
            complain(console, str(error))
            raise typer.Exit(FAILED) from error


if __name__ == "__main__":
    app()
