"""Mutation check: plant small faults in the core, one at a time, and see whether a test notices.

    python -m tests.mutation                                  # a sample of every module
    python -m tests.mutation tau2_gym/turns.py --sample 0     # every mutant of one module

Each mutant is run against the tests that mirror its module. It counts as killed when one of them
fails, or hangs. What survives is printed as a diff, and the exit code is 0 only if at least 95 %
were killed. The same seed plants the same faults in the same code. A module whose tests are all
skipped, for want of a package say, is named and not counted.

The faults are planted in a temporary copy of the repository. Every mutant runs in a fork of one
process that has imported what the tests need and read the databases. The fork imports afresh only the
module with the fault in it and what depends on it, which saves most of the time.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import pytest

from tests.imports import PACKAGES as OURS
from tests.imports import ROOT, imported, modules
from tests.mutants import Mutant, mutants

PACKAGES = (*OURS, "tests")
ENOUGH = 0.95

CORE = (
    *("tau2_gym/episode.py", "tau2_gym/grading.py", "tau2_gym/rewards.py", "tau2_gym/session.py"),
    *("tau2_gym/turns.py", "tau2_gym/actions.py", "tau2_gym/judge.py", "tau2_gym/cassette.py"),
    *("tau2_gym/journal.py", "tau2_gym/types.py"),
    *(f"tau2_gym/domains/{name}.py" for name in ("base", "data", "overlay", "render", "schema")),
    *(f"tau2_gym/domains/{name}.py" for name in ("checked", "tasks", "toolkit", "world")),
    *("tau2_gym/completion/*.py", "tau2_gym/code/*.py", "tau2_gym/sandbox/*.py"),
    *("tau2_gym/users/llm.py", "tau2_gym/users/replay.py"),
    *(f"agents/{name}.py" for name in ("attempts", "codec", "prompts", "rollout", "sampling")),
    *("agents/token_agent.py", "agents/trajectory.py", "agents/backends/*.py"),
    *(f"agents/runs/{name}.py" for name in ("driver", "setup", "store")),
    *(f"tau2_gym/results/{name}.py" for name in ("confirmation", "metrics", "paired", "summary")),
    *("trainers/credit.py", "trainers/tasks.py", "trainers/openrlhf/experience.py"),
    *(f"trainers/rollout/{name}.py" for name in ("curriculum", "executor", "task_sampler")),
    *(f"trainers/data/{name}.py" for name in ("chat_template", "selection", "sft_rows")),
)

ELSEWHERE = {
    "tau2_gym/completion": ["tests/test_completion.py", "tests/users/test_llm.py"],
    "tau2_gym/completion/blocking.py": ["tests/test_blocking.py"],
    "tau2_gym/completion/bodies.py": ["tests/test_bodies.py"],
    "tau2_gym/completion/clocks.py": ["tests/test_servers.py"],
    "tau2_gym/completion/faults.py": [
        "tests/test_completion.py",
        "tests/agents/test_token_agent.py",
    ],
    "tau2_gym/completion/http.py": ["tests/test_completion.py", "tests/test_hostile_servers.py"],
    "tau2_gym/completion/httpx_limits.py": ["tests/test_httpx_limits.py"],
    "tau2_gym/completion/redaction.py": ["tests/test_redaction.py"],
    "tau2_gym/completion/servers.py": ["tests/test_servers.py"],
    "tau2_gym/completion/wire.py": [
        *("tests/test_completion.py", "tests/users/test_llm.py", "tests/test_hostile_servers.py")
    ],
    "tau2_gym/code/__init__.py": ["tests/code/test_episodes.py"],
    "tau2_gym/code/tables.py": ["tests/code/test_sources.py"],
    "tau2_gym/code/tasks.py": ["tests/code/test_sources.py", "tests/code/test_episodes.py"],
    "tau2_gym/sandbox/api.py": ["tests/sandbox/test_server.py", "tests/sandbox/test_fusion.py"],
    "agents/backends/drawing.py": ["tests/agents/backends/test_transformers.py"],
    "agents/backends/jobs.py": [
        "tests/agents/backends/test_conversations.py",
        "tests/agents/backends/test_transformers.py",
    ],
    "agents/backends/recomputed.py": ["tests/agents/backends/test_transformers.py"],
    "agents/backends/slots.py": ["tests/agents/backends/test_conversations.py"],
    "agents/runs/driver.py": [
        "tests/benchmarks/test_passk.py",
        "tests/benchmarks/test_model_runs.py",
    ],
    "agents/runs/setup.py": [
        "tests/benchmarks/test_passk.py",
        "tests/benchmarks/test_model_runs.py",
    ],
}
"""Where a module is tested if not, or not only, in a file of its own name."""

AXES = (
    "vocabulary = logits.shape[1]",
    "logprobs = (logits.float() / column([p.temperature or 1.0 for p in params])).log_softmax(1)",
    "probs, order = probs[cut].sort(dim=1, descending=True)",
    "probs, order = probs[cut].sort(descending=True)",
    "before = probs.cumsum(1) - probs",
    "kept = before < column([p.top_p for p in some]) * probs.sum(1, keepdim=True)",
    "tokens[cut] = order.gather(1, index[:, None])[:, 0]",
    "tokens = torch.where(greedy, logits.argmax(1), tokens)",
    "return tokens, logprobs.gather(1, tokens[:, None])[:, 0]",
    "reach = probs.cumsum(1)",
    "return torch.searchsorted(reach, target, right=True)[:, 0].clamp(max=probs.shape[1] - 1)",
)

EQUIVALENT = {
    **{f"agents/backends/drawing.py: {line}": "the last of two axes" for line in AXES},
    "agents/backends/drawing.py: return torch.tensor(values, device=logits.device)[:, None]": (
        "float32 is the default"
    ),
    "tau2_gym/code/mathematics.py: return (Fraction(int(above or over), int(below or under)) / "
    "(-1 if sign == '-' else 1))": "by one or minus one",
    "tau2_gym/code/sources.py: stacklevel=4,": "only where a warning seems to come from",
    "tau2_gym/domains/checked.py: warnings.warn(str(error), stacklevel=3)": (
        "only where a warning seems to come from"
    ),
    "tau2_gym/code/tables.py: PIECE = 3**16": "only how much is read at a time",
    "tau2_gym/code/tables.py: PIECE = 2**17": "only how much is read at a time",
    "tau2_gym/actions.py: _check_size(calls, content)": "both are counted",
    "tau2_gym/journal.py: return json.dumps(_finite(data), allow_nan=True, **options)": (
        "there are none left"
    ),
    "tau2_gym/session.py: if self._found is None or self._found[1] != checks:": (
        "what is found is the same, and only takes longer"
    ),
    "tau2_gym/domains/world.py: if (sides.user is not None or user_db is not None)": (
        "the one is None where the other is"
    ),
    "agents/backends/slots.py: return like.new_zeros((self.count, like.shape[1], self.length + 2, "
    "like.shape[3]))": "a place that nobody looks at",
    "tau2_gym/results/metrics.py: np.array([value for value in values if value is not None])": (
        "the mean of whole numbers is the same"
    ),
    "agents/backends/conversations.py: prompt = np.array(job.prompt)": "of whole numbers anyway",
    "agents/backends/conversations.py: prompt = np.array(job.prompt[:-1][:self._slots.length])": (
        "of whole numbers anyway"
    ),
    "trainers/openrlhf/experience.py: experience.advantages = "
    "torch.zeros(experience.action_mask.shape)": "float32 is the default",
    "trainers/data/selection.py: seen[task] += 2": "only the order of the rounds counts",
}
"""Lines with a fault in them that do what the line without it does, and why: these are not planted."""

HEAVY = ("hypothesis", "gymnasium", "pydantic", "inspect_evals.tau2.airline.tools", "rich", "typer",
         "aiohttp", "httpx", "litellm", "torch", "transformers", "datasets")  # fmt: skip
"""What the tests import from elsewhere, where it is installed."""


@dataclass
class Tally:
    """What became of a module's mutants."""

    killed: int = 0
    survived: int = 0

    @property
    def total(self) -> int:
        return self.killed + self.survived

    def __str__(self) -> str:
        return f"{self.killed:4d} of {self.total:4d} killed"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="files; all of the core unless given")
    parser.add_argument("--sample", type=int, default=8, help="mutants per module; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="decides which are sampled")
    arguments = parser.parse_args()
    patterns = arguments.modules or CORE
    paths = [path for one in patterns for path in sorted(ROOT.glob(one))]
    modules = [str(path.relative_to(ROOT)) for path in dict.fromkeys(paths)]
    if not modules:
        parser.error(f"no such files: {', '.join(patterns)}")
    if unknown := [one for one in modules if not (mirror_of(one) or one.endswith("__init__.py"))]:
        parser.error(f"no tests are known (see ELSEWHERE) for {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tallies = Check(Path(folder) / "repository").run(modules, arguments.sample, arguments.seed)
    killed = sum(tally.killed for tally in tallies.values())
    total = sum(tally.total for tally in tallies.values())
    print()
    for module, tally in tallies.items():
        print(f"{tally}  {module}")
    print(f"{killed:4d} of {total:4d} killed ({killed / max(total, 1):.1%}), seed {arguments.seed}")
    return 0 if killed >= ENOUGH * total else 1


class Check:
    """Plants mutants in a copy of the repository and runs tests against them."""

    def __init__(self, copy: Path) -> None:
        self.copy = copy
        listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, copy / name)
        if (ROOT.parent / "shared").is_dir():  # recordings lie beside the repository
            (copy.parent / "shared").symlink_to((ROOT.parent / "shared").resolve())
        self.imports = {
            name: {part for module, own in imported(path) for part in (module, f"{module}.{own}")}
            for name, path in modules(PACKAGES, copy).items()
        }
        # what loads domains is known by name
        self.imports["tau2_gym.domains.base"] |= {
            f"tau2_gym.domains.{name}" for name in ("inspect_evals", "loading", "tau2_bench")
        }
        self._warm_up()

    def _warm_up(self) -> None:
        """Import what the tests need and read the databases, in the copy."""
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network
        for name in HEAVY:
            if find_spec(name.partition(".")[0]) is not None:
                import_module(name)
        _forget(name for name in list(sys.modules) if name.partition(".")[0] in PACKAGES)
        os.chdir(self.copy)
        sys.path[:] = [str(self.copy), *(one for one in sys.path if one not in ("", str(ROOT)))]
        os.environ["PYTHONPATH"] = str(self.copy)
        os.environ.pop("TAU2_DATA_DIR", None)
        base = import_module("tau2_gym.domains.base")
        for name in import_module("tau2_gym.domains").DOMAINS:
            base.get_domain(name)
        gc.freeze()  # collecting what is shared would copy it

    def _dependants(self, module: str) -> set[str]:
        """A module and all that imports it, directly or not, and the tests."""
        found = {module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")}
        found |= {name for name in self.imports if name.partition(".")[0] == "tests"}
        while more := {name for name, needs in self.imports.items() if needs & found} - found:
            found |= more
        return found

    def run(self, modules: list[str], sample: int, seed: int) -> dict[str, Tally]:
        """What became of a sample of each module's mutants."""
        tallies = {}
        for module in modules:
            source = (self.copy / module).read_text(encoding="utf-8")
            found = [one for one in mutants(source) if f"{module}: {one.new}" not in EQUIVALENT]
            if sample and len(found) > sample:
                chosen = random.Random(f"{seed}/{module}").sample(range(len(found)), sample)
                found = [found[index] for index in sorted(chosen)]
            if not found:
                continue
            tally = Tally()
            for mutant in self._survivors(module, found, tally):
                print(f"\nsurvived: {module}:{mutant.line}, {mutant.kind}")
                print(_diff(source, mutant.text), flush=True)
            if tally.total:
                tallies[module] = tally
                print(f"{tally}  {module}", flush=True)
        return tallies

    def _survivors(self, module: str, found: list[Mutant], tally: Tally) -> Iterator[Mutant]:
        tests, stale = mirror_of(module), self._dependants(module)
        started = time.monotonic()
        self._times.unlink(missing_ok=True)
        code = self._exit_code(tests, stale, deadline=1800)
        if code == pytest.ExitCode.NO_TESTS_COLLECTED:
            print(f"  not counted: {module}: its tests are skipped", flush=True)
            return
        if code != pytest.ExitCode.OK:
            print((self.copy.parent / "output.txt").read_text(encoding="utf-8", errors="replace"))
            print(f"{' '.join(tests)}: fail without a fault in {module}, so that none can be seen")
            tally.survived += len(found)
            return
        deadline = 30 + 5 * (time.monotonic() - started)
        path = self.copy / module
        original = path.read_text(encoding="utf-8")
        for mutant in [*found, None]:
            path.write_text(mutant.text if mutant else original, encoding="utf-8")
            Path(cache_from_source(str(path))).unlink(missing_ok=True)  # may be of the same second
            if mutant is None:
                break
            if self._exit_code(tests, stale, deadline) == pytest.ExitCode.OK:
                tally.survived += 1
                yield mutant
            else:
                tally.killed += 1

    @property
    def _times(self) -> Path:
        return self.copy.parent / "times.json"

    def _exit_code(self, tests: list[str], stale: set[str], deadline: float) -> int:
        """What pytest says of the tests, run in a fork of this process; if they take longer than the
        deadline, in seconds, that of an interruption."""
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _forget(stale)
            _pytest(tests, QuickestFirst(self._times), self.copy.parent / "output.txt")
        os.setpgid(child, child)
        limit = time.monotonic() + deadline
        ended, status = 0, 0
        try:
            while not ended and time.monotonic() < limit:
                time.sleep(0.02)
                ended, status = os.waitpid(child, os.WNOHANG)
        finally:  # an interrupt does not reach the child's group
            if not ended:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) if ended else pytest.ExitCode.INTERRUPTED


class QuickestFirst:
    """Has the tests run in the order of how long they took when all of them passed, and ends the
    process when one fails, without taking anything down."""

    def __init__(self, times: Path) -> None:
        self.times = times
        self.known = json.loads(times.read_text()) if times.exists() else {}
        self.seen: Counter[str] = Counter()

    @property
    def patience(self) -> float:
        """The seconds after which a test hangs."""
        return 20 + 5 * max(self.known.values(), default=0.0)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.known.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            sys.stdout.write(report.longreprtext)
            sys.stdout.flush()
            os._exit(1)
        self.seen[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        self.times.write_text(json.dumps(self.seen))


def _pytest(tests: list[str], plugin: QuickestFirst, output: Path) -> None:
    """Run tests in the copy; this process ends with pytest's exit code."""
    code = 1
    try:
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        plain = ("-x", "-q", "-s", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short")
        hung = ("-o", f"timeout={plugin.patience:.0f}") if plugin.known else ()
        code = int(pytest.main([*plain, *hung, *tests], plugins=[plugin]))
    finally:
        os._exit(code)


def _forget(modules: Iterable[str]) -> None:
    """Have modules imported afresh when they are next needed."""
    for name in modules:
        if sys.modules.pop(name, None) is not None:
            package, _, own = name.rpartition(".")
            if hasattr(sys.modules.get(package), own):
                delattr(sys.modules[package], own)


def mirror_of(module: str) -> list[str]:
    """The tests that mirror a module."""
    path = Path(module)
    folders = path.parent.parts[path.parts[0] == "tau2_gym" :]
    own = Path("tests", *folders, f"test_{path.name}")
    found = ELSEWHERE.get(module) or ELSEWHERE.get(str(path.parent)) or []
    return [*([str(own)] if (ROOT / own).is_file() else []), *found]


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return "\n".join(list(lines)[2:])


if __name__ == "__main__":
    sys.exit(main())
