"""How fast the environments are, next to a baseline measured in the same run: `python -m benchmarks.speed`."""

from __future__ import annotations

import copy
import json
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from agents.base import AgentView
from agents.oracle import OracleAgent, plan
from benchmarks.against_tau2 import measure_tau2, require_tau2
from benchmarks.baseline import READS, Baseline
from benchmarks.many import measure_many
from benchmarks.measure import Times, median, memory
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import check_split, get_domain
from tau2_gym.envs.agent_env import Tau2Env
from tau2_gym.errors import ConfigError, one_of
from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.journal import write_json, writing
from tau2_gym.types import ToolKind
from tau2_gym.values import listed

app = typer.Typer(add_completion=False)


def measure_ours(domain: str, source: str, repeats: int) -> Times:
    """Medians in seconds, and bytes per live environment, of our environment."""
    env = Tau2Env(domain, task_split="base", source=source)
    ids = iter(range(10**9))
    tasks = env.task_ids

    def reset() -> None:
        number = next(ids)
        env.reset(seed=number, options={"task_id": tasks[number % len(tasks)]})

    reset()
    times: Times = {}
    # The first reset to a task computes its initial and its expected state; later ones fork them.
    env.domain.forget()
    times["first reset"] = median(reset, len(tasks))
    times["reset"] = median(reset, repeats)
    env.reset(seed=0)
    read = READS[domain]
    start = env.snapshot()

    def again() -> None:
        env.restore(start)

    times["read step"] = median(lambda: env.step(read), repeats, again)
    task, before = _writing_task(env)
    env.reset(seed=0, options={"task_id": task})
    for move in before[:-1]:
        env.step(move)
    ready = env.snapshot()
    times["write step"] = median(lambda: env.step(before[-1]), repeats, lambda: env.restore(ready))
    last = "Is there anything else?"
    times["last step"] = median(lambda: env.step(last), repeats, lambda: env.restore(ready))
    times["fork"] = median(lambda: env.fork(1), repeats)
    agent = OracleAgent()

    def episode() -> None:
        number = next(ids)
        _, info = env.reset(seed=number, options={"task_id": tasks[number % len(tasks)]})
        done = False
        while not done:
            _, _, terminated, truncated, info = env.step(agent.act(AgentView.from_info(info), 0))
            done = terminated or truncated

    times["episode"] = median(episode, max(10, repeats // 10))
    times["bytes per environment"] = memory(lambda: _played(domain, source, read))
    return times


def _played(domain: str, source: str, action: str) -> Tau2Env:
    env = Tau2Env(domain, source=source)
    env.reset(seed=0)
    env.step(action)
    return env


def _writing_task(env: Tau2Env) -> tuple[str, list[str]]:
    """The first task whose expected actions contain a write, and the moves up to the first one."""
    for task_id in env.task_ids:
        task = env.domain.task(task_id)
        moves = []
        for action, move in zip(
            (task.criteria and task.criteria.actions) or (), plan(task), strict=False
        ):
            moves.append(move)
            tools = (
                env.domain.agent_tools if action.requestor == "assistant" else env.domain.user_tools
            )
            spec = tools.get(action.name)
            if spec is not None and spec.kind is ToolKind.WRITE:
                return task_id, moves
    raise one_of("domain with a task that writes", env.domain.name, DOMAINS)


def measure_baseline(domain: str, source: str, repeats: int) -> Times:
    """The same for a copy of the database per episode, graded from scratch at every step."""
    loaded = get_domain(domain, source)
    task = loaded.task(loaded.splits["base"][0])
    baseline = Baseline(loaded, task)
    few = max(3, repeats // 100)
    name, arguments = _call(READS[domain])
    return {
        "first reset": median(baseline.reset, few),
        "reset": median(baseline.reset, few),
        "read step": median(lambda: baseline.step(name, arguments), few, baseline.rewind),
        "bytes per environment": memory(lambda: copy.deepcopy(baseline.fields), 2),
    }


def _call(action: str) -> tuple[str, dict[str, Any]]:
    data = json.loads(action)
    return data["name"], data["arguments"]


def import_time() -> Times:
    """Median seconds of `import tau2_gym` in a new interpreter, and of Gymnasium's share in it."""
    code = (
        "import time; a = time.perf_counter(); import gymnasium; b = time.perf_counter(); "
        "import tau2_gym; print(b - a, time.perf_counter() - a)"
    )
    runs = [
        [float(x) for x in subprocess.check_output([sys.executable, "-c", code]).split()]
        for _ in range(5)
    ]
    return {
        "import tau2_gym": statistics.median(run[1] for run in runs),
        "of which gymnasium": statistics.median(run[0] for run in runs),
    }


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name.startswith("bytes"):
        return f"{value / 1024:.1f} kB" if value < 2**20 else f"{value / 2**20:.1f} MB"
    return f"{1000 * value:.3f} ms"


def _table(report: dict[str, Any], against: str | None) -> Table:
    table = Table(title="Medians, one process", title_justify="left")
    for name in ("domain", "what", "tau2-gym", "copy + re-grade", "ratio"):
        table.add_column(name, justify="left" if name in ("domain", "what") else "right")
    if against:
        table.add_column("tau2's gym", justify="right")
        table.add_column("ratio", justify="right")
    for domain, measured in report["domains"].items():
        for index, (name, ours) in enumerate(measured["tau2-gym"].items()):
            row = [domain if index == 0 else "", name, _cell(name, ours)]
            for other in ("baseline", against) if against else ("baseline",):
                theirs = measured.get(other, {}).get(name)
                row += [_cell(name, theirs), "–" if theirs is None else f"{theirs / ours:,.0f}×"]
            table.add_row(*row, end_section=index == len(measured["tau2-gym"]) - 1)
        for name, seconds in measured.get("many", {}).items():
            alone = measured["many"]["step alone"]
            table.add_row("", name, _cell(name, seconds), "–", f"{alone / seconds:.2f}×")
    for name, seconds in report["import"].items():
        table.add_row("", name, _cell(name, seconds))
    return table


def _sizes(option: str) -> list[int]:
    found = listed(option, "--num-envs")
    if not all(size.isdecimal() and 0 < int(size) <= 100_000 for size in found):
        raise ConfigError(f"--num-envs takes numbers from 1 to 100000, not {option!r}")
    return [int(size) for size in found]


@app.command(cls=Command)
def main(
    domains: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(DOMAINS)}.")] = (
        "airline,retail,telecom"
    ),
    repeats: Annotated[int, typer.Option(help="Timings per median.", min=10, max=100_000)] = 500,
    source: Annotated[
        str, typer.Option(help="inspect-evals, or tau2 if installed.")
    ] = "inspect-evals",
    against: Annotated[
        str | None, typer.Option(help="Also measure this: tau2 (tau2-bench's own gym).")
    ] = None,
    num_envs: Annotated[
        str | None,
        typer.Option(help="Also time a step among so many environments, e.g. 64,1024,8192."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where the report goes, as JSON.", dir_okay=False),
    ] = Path("runs/speed.json"),
) -> None:
    """Time resets, steps with the dense reward, forks and whole episodes, and measure the memory of environments.

    The baseline does what tau2-bench's gym does, without its threads and its user model: it copies
    the database for every episode, and grades by replaying the trajectory into further copies and
    comparing hashes of whole databases.
    """
    console = Console()
    with ending(console):
        names = listed(domains, "--domains")
        if against not in (None, "tau2"):
            raise one_of("system to measure against", against, ["tau2"])
        for name in names:
            check_split(name, "base", source)
        sizes = [] if num_envs is None else _sizes(num_envs)
        if against is not None:
            require_tau2()
        report: dict[str, Any] = {
            "machine": {"python": platform.python_version(), "processor": platform.machine()},
            "versions": {name: version(name) for name in ("tau2-gym", "gymnasium", "pydantic")},
            "repeats": repeats,
            "import": import_time(),
            "domains": {},
        }
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            with console.status(f"measuring {name}"):
                measured = {
                    "tau2-gym": measure_ours(name, source, repeats),
                    "baseline": measure_baseline(name, source, repeats),
                }
                if against is not None:
                    measured[against] = measure_tau2(name, max(3, repeats // 100))
                if sizes:
                    measured["many"] = measure_many(name, source, sizes, 20 * repeats)
            report["domains"][name] = measured
        write_json(output, report)
        console.print(_table(report, against))
        console.print(f"Report: {output}", **PLAIN)


if __name__ == "__main__":
    app()
