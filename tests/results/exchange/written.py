"""Recordings of tau2-bench's grades, written back as the files of results that they were taken from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tau2_gym.domains.inspect_evals import folder

Row = dict[str, Any]


@cache
def task_rows(domain: str) -> dict[str, Row]:
    """A domain's tasks as its file has them."""
    return {str(row["id"]): row for row in folder(domain, None).tasks()}


def read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def as_results(rows: Iterable[Row], domain: str) -> Row:
    """The rows of one domain, as one file of tau2-bench 1.0.1."""
    rows = [row for row in rows if row["domain"] == domain]
    tasks = {row["task_id"]: task_rows(domain)[row["task_id"]] for row in rows}
    return {
        "timestamp": "2026-01-01T00:00:00",
        "info": info(domain),
        "tasks": list(tasks.values()),
        "simulations": [simulation(row, number) for number, row in enumerate(rows)],
    }


def info(domain: str) -> Row:
    return {
        "git_commit": "0",
        "num_trials": 1,
        "max_steps": 200,
        "max_errors": 10,
        "user_info": {"implementation": "user_simulator", "llm": "gpt-4.1"},
        "agent_info": {"implementation": "llm_agent", "llm": "gpt-5"},
        "environment_info": {"domain_name": domain, "policy": "Be kind."},
        "seed": 0,
    }


def simulation(row: Row, number: int) -> Row:
    return {
        "id": f"{number:06}",
        "task_id": row["task_id"],
        "timestamp": "2026-01-01T00:00:00",
        "start_time": "2026-01-01T00:00:00",
        "end_time": "2026-01-01T00:01:00",
        "duration": 60.0,
        "termination_reason": row["termination_reason"],
        "reward_info": reward_info(row, task_rows(row["domain"])[row["task_id"]]),
        "messages": row["messages"],
        "trial": 0,
        "seed": number,
    }


def reward_info(row: Row, task: Mapping[str, Any]) -> Row:
    criteria = task["evaluation_criteria"]
    found: Row = {"reward": row["reward"], "reward_basis": row["reward_basis"]}
    if row["db_match"] is not None:
        found["db_check"] = {"db_match": row["db_match"], "db_reward": float(row["db_match"])}
    if row["env_assertions"] is not None:
        found["env_assertions"] = [
            {"env_assertion": item, "met": met, "reward": float(met)}
            for item, met in zip(
                criteria.get("env_assertions") or [], row["env_assertions"], strict=True
            )
        ]
    if row["action_checks"] is not None:
        found["action_checks"] = [
            {"action": item, "action_match": met, "action_reward": float(met)}
            for item, met in zip(criteria["actions"], row["action_checks"], strict=True)
        ]
    if row["communicate_checks"] is not None:
        found["communicate_checks"] = [
            {"info": item, "met": met, "justification": ""}
            for item, met in zip(
                criteria["communicate_info"], row["communicate_checks"], strict=True
            )
        ]
    return found
