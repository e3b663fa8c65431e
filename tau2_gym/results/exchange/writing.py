"""A run in the form of tau2-bench 1.0's results: `data_model/simulation.py`, `Results`.

Runs keep no times, so that the same run gives the same bytes. Where the form asks for one, it is `TIME`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import IO, Any

from tau2_gym.journal import to_json
from tau2_gym.results.exchange.clean import clean
from tau2_gym.results.exchange.played import Played
from tau2_gym.results.run import Row
from tau2_gym.rules import Rules
from tau2_gym.types import Requestor, RewardBasis, Termination

TIME = "1970-01-01T00:00:00"

ENDS = {
    Termination.MAX_TURNS.value: "max_steps",
    "context_overflow": "context_window_exceeded",
}
"""Ends that tau2-bench calls something else."""

FAULT = "infrastructure_error"
"""The end of an attempt that has no result. tau2-bench leaves it out of its means."""


def write_results(played: Played, file: IO[bytes]) -> None:
    """Write the attempts, one by one."""
    head = {
        "timestamp": TIME,
        "info": _info(played),
        "tasks": [played.task(task_id) for task_id in played.task_ids],
    }
    file.write(to_json(clean(head), indent=2).removesuffix("\n}").encode())
    file.write(b',\n  "simulations": [')
    for number, row in enumerate(played.rows):
        text = to_json(clean(simulation(played, row)), indent=2)
        file.write((",\n" if number else "\n").encode() + _indented(text).encode())
    file.write(b"\n  ]\n}\n")


def _indented(text: str) -> str:
    # Line ends in texts are escaped, so that each is one of the layout.
    return "    " + text.replace("\n", "\n    ")


def _info(played: Played) -> dict[str, Any]:
    config = played.run.config
    rules = Rules()
    model, user = config.get("model"), str(config.get("user", "unknown"))
    kind, _, user_model = user.partition(":")
    return {
        "git_commit": f"tau2-gym {version('tau2-gym')}, tasks {played.domain.revision}",
        "num_trials": played.k,
        "max_steps": config.get("max_steps", rules.max_steps),
        "max_errors": config.get("max_errors", rules.max_errors),
        "user_info": {
            "implementation": kind,
            "llm": user_model or None,
            "llm_args": config.get("user_model"),
        },
        "agent_info": {
            "implementation": config.get("agent", "unknown"),
            "llm": model["name"] if model else None,
            "llm_args": {key: value for key, value in model.items() if key != "name"}
            if model
            else None,
        },
        "environment_info": {
            "domain_name": played.domain.name,
            "policy": played.domain.policy,
        },
        "seed": played.run.seed,
    }


def simulation(played: Played, row: Row) -> dict[str, Any]:
    """An attempt as a simulation."""
    key = [row["domain"], row["task_id"], row["trial"], row["seed"], row["revision"]]
    fault = row["fault"] is not None
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, to_json(key))),
        "task_id": row["task_id"],
        "timestamp": TIME,
        "start_time": TIME,
        "end_time": TIME,
        "duration": 0.0,
        "termination_reason": FAULT if fault else ENDS.get(row["termination"], row["termination"]),
        "agent_cost": row["usage"]["cost"],
        "user_cost": row["user_usage"]["cost"],
        "reward_info": None if row["official_reward"] is None else _reward_info(played, row),
        "messages": [
            {**message, "turn_idx": number, "timestamp": None}
            for number, message in enumerate(row["messages"])
        ],
        "trial": row["trial"],
        "seed": row["seed"],
        "info": {
            "tau2_gym": {
                name: row[name]
                for name in ("reward", "partial_score", "fault", "error", "ungraded")
            }
        },
    }


def _reward_info(played: Played, row: Row) -> dict[str, Any]:
    """The grade, with what each check is about."""
    reward, end = row["official_reward"], row["termination"]
    criteria = played.task(row["task_id"]).get("evaluation_criteria")
    if end not in {Termination.USER_STOP, Termination.AGENT_STOP}:
        return _plain(reward, f"Simulation terminated prematurely. Termination reason: {end}")
    if criteria is None:
        return _plain(reward, "No evaluation criteria")
    checks = row["checks"]
    assertions, actions = criteria.get("env_assertions") or [], criteria.get("actions") or []
    texts = criteria.get("communicate_info") or []
    verdicts = [
        {
            "nl_assertion": verdict["assertion"],
            "met": verdict["met"],
            "justification": verdict["reason"],
        }
        for verdict in row["verdicts"]
    ]
    basis = criteria.get("reward_basis") or [RewardBasis.DB, RewardBasis.COMMUNICATE]
    parts: Mapping[str, Sequence[bool]] = {
        RewardBasis.DB: [checks["db"]],
        RewardBasis.ENV_ASSERTION: checks["env_assertions"],
        RewardBasis.ACTION: checks["actions"],
        RewardBasis.COMMUNICATE: checks["communicate"],
        RewardBasis.NL_ASSERTION: [verdict["met"] for verdict in verdicts],
    }
    return {
        "reward": reward,
        "db_check": {"db_match": checks["db"], "db_reward": float(checks["db"])},
        "env_assertions": [
            {"env_assertion": item, "met": met, "reward": float(met)}
            for item, met in zip(assertions, checks["env_assertions"], strict=True)
        ],
        "action_checks": [
            {
                "action": {"action_id": str(number), **item},
                "action_match": met,
                "action_reward": float(met),
                "tool_type": _kind(played, item),
            }
            for number, (item, met) in enumerate(zip(actions, checks["actions"], strict=True))
        ]
        or None,
        "communicate_checks": [
            {"info": item, "met": met, "justification": "said" if met else "not said"}
            for item, met in zip(texts, checks["communicate"], strict=True)
        ]
        or None,
        "nl_assertions": verdicts or None,
        "reward_basis": list(basis),
        "reward_breakdown": {part: float(all(parts[part])) for part in basis},
        "info": None,
    }


def _plain(reward: float, note: str) -> dict[str, Any]:
    return {"reward": reward, "reward_basis": None, "info": {"note": note}}


def _kind(played: Played, action: Mapping[str, Any]) -> str | None:
    side: Requestor = action.get("requestor") or "assistant"
    tools = played.domain.agent_tools if side == "assistant" else played.domain.user_tools
    return tools[action["name"]].kind.value if action["name"] in tools else None


def without_result(rows: Sequence[Row]) -> Iterator[str]:
    """What is to be said of attempts that have no reward."""
    faults = sum(row["fault"] is not None for row in rows)
    if faults:
        yield (
            f"{faults} attempts have no result because of faults: tau2-bench leaves them out of its means"
        )
    ungraded = sum(row["fault"] is None and row["official_reward"] is None for row in rows)
    if ungraded:
        yield f"{ungraded} attempts have no grade: their tasks take a judge"
