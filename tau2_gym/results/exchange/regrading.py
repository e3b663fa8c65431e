"""All simulations of a file of tau2-bench's results, graded again."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from tau2_gym.completion.redaction import redact
from tau2_gym.domains import resolve
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, DataError
from tau2_gym.results.exchange.comparing import Comparison, Regrader
from tau2_gym.results.exchange.files import SAME_TOOLS, ResultsFile
from tau2_gym.results.exchange.matching import Candidates, parsed


class Tasks(StrEnum):
    """Which tasks simulations are graded by."""

    EMBEDDED = "embedded"
    CURRENT = "current"


def compare_file(
    file: ResultsFile,
    tasks: Tasks | None = None,
    source: str = "inspect-evals",
    data_dir: Path | None = None,
) -> Iterator[Comparison]:
    """Grade the simulations of a file, one by one.

    Args:
        file: the file.
        tasks: what they are graded by; None for the tasks in the file, and the installed ones where it
            has none.
        source, data_dir: where the domain comes from.

    Raises:
        DataError: the file, or a task in it, is malformed, or it has no tasks to grade by.
        ConfigError: the source is unknown.
    """
    where = f"{file.path.name}: "
    name = SAME_TOOLS.get(file.domain, file.domain)
    if not _is_domain(name):
        for simulation in file.simulations():
            problem = redact(f"its domain, {file.domain}, is not one of this project", 120)
            yield Comparison(where + redact(simulation.name, 120), problem=problem)
        return
    domain = get_domain(name, source, data_dir)
    embedded = parsed(name, file.tasks, str(file.path)) if file.tasks else None
    if embedded is None and tasks is Tasks.EMBEDDED:
        raise DataError(f"{file.path} holds no tasks: grade by the installed ones, --tasks current")
    installed = Candidates(domain.tasks.values(), "of the installed revision")
    if tasks is Tasks.CURRENT or embedded is None:
        regrader = Regrader(domain, file.solo, embedded, installed)
    else:
        otherwise = None if tasks else Regrader(domain, file.solo, None, installed)
        own = domain.with_tasks(embedded.tasks)
        regrader = Regrader(own, file.solo, embedded, otherwise=otherwise)
    ids: set[str] = set()
    for simulation in file.simulations():
        comparison = regrader.compare(simulation)
        comparison.name = where + redact(comparison.name, 120)
        if simulation.id is not None and str(simulation.id) in ids:
            comparison.notes.append("another simulation before it has the same id")
        ids.add(str(simulation.id))
        yield comparison


def _is_domain(name: str) -> bool:
    """Whether the domain that a file names is here. A module is not looked for in a file's name."""
    try:
        return ":" not in name and bool(resolve(name))
    except ConfigError:
        return False
