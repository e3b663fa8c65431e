"""A run as a folder that `datasets.load_dataset` reads, ready to be pushed to the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tau2_gym.journal import read_json, to_json
from tau2_gym.results.exchange.clean import clean
from tau2_gym.results.exchange.placing import new_folder
from tau2_gym.results.run import Row, Run
from tau2_gym.results.summary import summarise

SHARD = 1000
"""Attempts per file."""

TEXT, WHOLE, NUMBER, FLAG = "string", "int64", "float64", "bool"

COLUMNS = {
    "domain": (TEXT, "the domain"),
    "task_id": (TEXT, "the task"),
    "trial": (WHOLE, "which attempt at the task it was, from 0"),
    "seed": (WHOLE, "what everything random in it comes from"),
    "revision": (TEXT, "the revision of tasks and databases"),
    "official_reward": (
        NUMBER,
        "tau2-bench's reward; none after a fault, or where a judge is missing",
    ),
    "reward": (NUMBER, "the sum of the ledger"),
    "partial_score": (NUMBER, "how much of what was expected was done"),
    "termination": (TEXT, "how it ended"),
    "fault": (TEXT, "who is to blame that it has no result"),
    "error": (TEXT, "what happened then"),
    "num_turns": (WHOLE, "actions of the agent"),
    "num_errors": (WHOLE, "calls that failed"),
    "prompt_tokens": (WHOLE, "tokens that the agent's model read"),
    "completion_tokens": (WHOLE, "tokens that it wrote"),
    "cost": (NUMBER, "what its calls cost, in dollars"),
    "checks": (TEXT, "the grader's findings, as JSON"),
    "ledger": (TEXT, "what each turn earned, as JSON"),
    "messages": (None, "the conversation, with the user's tool calls; arguments as JSON"),
}
"""The columns: their types, and what is in them."""

CALL = (("id", TEXT), ("name", TEXT), ("arguments", TEXT), ("requestor", TEXT))
MESSAGE = (
    ("role", TEXT),
    ("content", TEXT),
    ("tool_calls", CALL),
    ("tool_call_id", TEXT),
    ("requestor", TEXT),
    ("error", FLAG),
)


def export_hub(run: Run, output: Path, *, force: bool = False) -> None:
    """Write a run as a data set.

    Args:
        run: what was played.
        output: the folder.
        force: whether it may replace a folder of the same files.

    Raises:
        ConfigError: there is something at `output`.
        DataError: it cannot be written.
    """
    split = _split(run)
    with new_folder(output, force=force) as folder:
        (folder / "data").mkdir()
        for number, start in enumerate(range(0, len(run.rows), SHARD)):
            path = folder / "data" / f"{split}-{number:05}.jsonl"
            with path.open("wb") as file:
                file.writelines(map(_line, run.rows[start : start + SHARD]))
        (folder / "README.md").write_text(_card(run, split), encoding="utf-8")


def _split(run: Run) -> str:
    """The split that was played, if the summary says; it becomes that of the data set."""
    path = run.path.with_suffix(".summary.json")
    config = read_json(path).get("config") if path.exists() else None
    split = config.get("split") if isinstance(config, dict) else None
    return split if isinstance(split, str) and split.isidentifier() else "attempts"


def _line(row: Row) -> bytes:
    usage = row["usage"]
    values = {
        **row,
        **{name: usage[name] for name in ("prompt_tokens", "completion_tokens", "cost")},
    }
    values["checks"] = None if row["checks"] is None else to_json(clean(row["checks"]))
    values["ledger"] = to_json(clean(row["rewards"]))
    values["messages"] = [_message(message) for message in row["messages"]]
    return to_json(clean({name: values[name] for name in COLUMNS})).encode() + b"\n"


def _message(message: dict[str, Any]) -> dict[str, Any]:
    tool = message["role"] == "tool"
    return {
        "role": message["role"],
        "content": message.get("content"),
        "tool_calls": [
            {**call, "arguments": to_json(clean(call["arguments"]))}
            for call in message.get("tool_calls") or ()
        ],
        "tool_call_id": message["id"] if tool else None,
        "requestor": message["requestor"] if tool else None,
        "error": message["error"] if tool else None,
    }


def _card(run: Run, split: str) -> str:
    """The data set's page: what `datasets` reads, and what people read."""
    config = clean(run.config)
    agent = (config.get("model") or {}).get("name") or config.get("agent", "unknown")
    overall = summarise(run.rows, run.k, run.seed)
    lines = [
        "---",
        f"pretty_name: {json.dumps(f'{agent} on tau2-bench')}",
        "tags: [tau2-bench, tool-use, agents, trajectories]",
        "configs:",
        "- config_name: default",
        "  data_files:",
        f"  - split: {split}",
        f"    path: data/{split}-*.jsonl",
        "dataset_info:",
        "  config_name: default",
        "  features:",
        *_features(),
        "---",
        "",
        f"# {agent} on tau2-bench",
        "",
        f"{len(run.rows)} attempts of `{agent}` in {', '.join(run.domains)} with the user "
        f"`{config.get('user', 'unknown')}`, played with tau2-gym.",
        "",
        "| domain | tasks | attempts | pass@1 | revision |",
        "|---|---|---|---|---|",
        *_table(run, overall["by_domain"]),
        "",
        "Tasks of the split `test` are for evaluation: do not train on their conversations.",
        "",
        "| column | content |",
        "|---|---|",
        *(f"| `{name}` | {what} |" for name, (_, what) in COLUMNS.items()),
        "",
        "```json",
        json.dumps(config, indent=2),
        "```",
        "",
    ]
    return "\n".join(lines)


def _features() -> Iterator[str]:
    for name, (kind, _) in COLUMNS.items():
        yield f"  - name: {name}"
        if kind is None:
            yield "    list:"
            yield from _fields(MESSAGE, "    ")
        else:
            yield f"    dtype: {kind}"


def _fields(items: Sequence[tuple[str, Any]], space: str) -> Iterator[str]:
    for name, kind in items:
        yield f"{space}- name: {name}"
        if isinstance(kind, str):
            yield f"{space}  dtype: {kind}"
        else:
            yield f"{space}  list:"
            yield from _fields(kind, f"{space}  ")


def _table(run: Run, groups: dict[str, Any]) -> Iterator[str]:
    for name, group in groups.items():
        value = group["pass"]["excluded"]["pass@1"]["value"]
        shown = "–" if value is None else f"{100 * value:.1f} %"
        revisions = sorted({row["revision"] for row in run.rows if row["domain"] == name})
        yield f"| {name} | {group['tasks']} | {group['attempts']} | {shown} | {', '.join(revisions)} |"
