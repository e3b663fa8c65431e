"""Where the tasks of the domain come from, and what they look like as rows of a task file."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tau2_gym.code.database import Case, Problem
from tau2_gym.domains.registry import TaskSource
from tau2_gym.errors import ConfigError, one_of

LOADERS = {
    "generated": "tau2_gym.code.generated:load",
    "deepscaler": "tau2_gym.code.sources:DEEPSCALER",
    "omni_math": "tau2_gym.code.sources:OMNI_MATH",
    "numina_math": "tau2_gym.code.sources:NUMINA_MATH",
    "taco_code": "tau2_gym.code.sources:TACO",
    "leetcode_code": "tau2_gym.code.sources:LEETCODE",
    "open_agentrl_grpo_2k": "tau2_gym.code.sources:GRPO_2K",
    "file": "tau2_gym.code.sources:FILE",
}
"""Sources of tasks by name: functions of what follows the name and a colon."""

DEFAULT = "generated"


def load_tasks(spec: str) -> TaskSource:
    """Tasks from a source.

    Args:
        spec: `SOURCE` or `SOURCE:OPTIONS`, such as `generated:seed=3,count=500,difficulty=1-3`; empty for
            the default.

    Raises:
        ConfigError: there is no such source, or an option is unknown or has a value that is not allowed.
    """
    name, _, options = (spec or DEFAULT).partition(":")
    if name not in LOADERS:
        raise _no_source(name)
    if spec.endswith(":") and not options and name != "file":
        raise ConfigError(f"nothing follows the colon of {spec!r}: leave it out, or name options")
    module, _, function = LOADERS[name].partition(":")
    source: TaskSource = getattr(importlib.import_module(module), function)(options)
    return source


def _no_source(name: str) -> ConfigError:
    """The error for a name that no source of tasks has, with what was probably meant."""
    error = one_of("source of tasks", name, LOADERS)
    file, first = name.partition(",")[0], name.partition("=")[0]
    if first in LOADERS:
        return ConfigError(f"{error}; write {name.replace('=', ':', 1)}")
    if "=" not in file:
        looks_like_one = Path(file).suffix in (".parquet", ".jsonl", ".json")
        return ConfigError(f"{error}; for a file, write file:{name}") if looks_like_one else error
    return ConfigError(f"{error}; options follow it, as in {DEFAULT}:{name}")


def check_commas(source: str, options: str, known: Iterable[str]) -> None:
    """Check that nothing but a comma comes before the options of a source, but for the first.

    Raises:
        ConfigError: something else does. It says how to write it.
    """
    wrong = re.compile(rf",?[\s:;?&|+]+(?=(?:{'|'.join(known)})=)")
    if wrong.search(options):
        right = wrong.sub(",", options).lstrip(",")
        raise ConfigError(f"{source}: options are separated by commas: write {source}:{right}")


def value_row(task_id: str, text: str, expected: str, code: str | None = None) -> dict[str, Any]:
    """A task whose answer is a value.

    Args:
        task_id: its id.
        text: what is asked.
        expected: the value, as a number or in LaTeX.
        code: what finds it, which the oracle runs; None if that is not known.
    """
    problem = Problem(expected=expected)
    return _row(task_id, text, problem, 1, code, f"\\boxed{{{expected}}}")


def program_row(
    task_id: str,
    text: str,
    tests: Sequence[Case],
    *,
    call: str = "",
    program: str | None = None,
    tried: str | None = None,
    seconds: float = 5.0,
) -> dict[str, Any]:
    """A task whose answer is a program.

    Args:
        task_id: its id.
        text: what is asked.
        tests: of the program; at least one.
        call: the function that tests call; empty if the program itself reads and writes.
        program: one that passes them, which is the oracle's answer; None if none is known.
        tried: code by which the oracle tries it before it answers.
        seconds: that the program may take for one test.
    """
    problem = Problem(kind="program", call=call, tests=list(tests), seconds=seconds)
    answer = None if program is None else f"```python\n{program.strip()}\n```"
    return _row(task_id, text, problem, len(tests), tried, answer)


def _row(
    task_id: str, text: str, problem: Problem, tests: int, code: str | None, answer: str | None
) -> dict[str, Any]:
    actions = [{"name": "code_interpreter", "arguments": {"code": code}}] if code else []
    return {
        "id": task_id,
        "user_scenario": {"instructions": text},
        "ticket": text,
        "initial_state": {"initialization_data": {"agent_data": {"problem": problem.model_dump()}}},
        "evaluation_criteria": {
            "actions": actions,
            "env_assertions": [
                {"env_type": "assistant", "func_name": "passes", "arguments": {"test": number}}
                for number in range(tests)
            ],
            "reward_basis": ["ENV_ASSERTION"],
            "answer": answer,
        },
    }
