"""A run as a log of inspect_ai, for `inspect view`."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tau2_gym.errors import ConfigError
from tau2_gym.journal import to_json
from tau2_gym.results.exchange.clean import clean
from tau2_gym.results.exchange.placing import new_file
from tau2_gym.results.run import Row, Run

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage

TIME = "1970-01-01T00:00:00+00:00"
"""Runs keep no times."""

FORMATS = {".eval": "eval", ".json": "json"}

SCORES = ("official_reward", "partial_score", "reward")


def export_inspect(run: Run, output: Path, *, force: bool = False) -> None:
    """Write a run as a log.

    Args:
        run: what was played.
        output: a file that ends in `.eval` or `.json`.
        force: whether it may replace a file.

    Raises:
        ConfigError: it ends otherwise, or there is something at `output`.
        DataError: it cannot be written.
    """
    from inspect_ai.log import write_eval_log

    if output.suffix not in FORMATS:
        raise ConfigError(
            f"a log of inspect_ai ends in {' or '.join(FORMATS)}, not as {output.name}"
        )
    with new_file(output, force=force) as file, tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / f"log{output.suffix}"
        write_eval_log(_log(run), written)
        with written.open("rb") as log:
            shutil.copyfileobj(log, file)


def _log(run: Run) -> EvalLog:
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalResults,
        EvalScore,
        EvalSpec,
        EvalStats,
    )

    config = clean(run.config)
    played = [row for row in run.rows if row["official_reward"] is not None]
    ids = list(dict.fromkeys(_name(row) for row in run.rows))
    scores = [
        EvalScore(
            name=name,
            scorer=name,
            scored_samples=len(played),
            unscored_samples=len(run.rows) - len(played),
            metrics={"mean": EvalMetric(name="mean", value=fmean(row[name] for row in played))},
        )
        for name in SCORES
        if played
    ]
    digest = uuid.uuid5(uuid.NAMESPACE_OID, to_json([config, ids]))
    return EvalLog(
        status="success",
        eval=EvalSpec(
            eval_id=digest.hex,
            run_id=digest.hex,
            task_id=digest.hex,
            created=TIME,
            task=f"tau2 {', '.join(run.domains)}",
            dataset=EvalDataset(name="tau2-bench", samples=len(ids), sample_ids=ids),
            model=str((config.get("model") or {}).get("name") or config.get("agent", "unknown")),
            config=EvalConfig(epochs=run.k),
            metadata=config,
        ),
        results=EvalResults(
            total_samples=len(run.rows), completed_samples=len(played), scores=scores
        ),
        stats=EvalStats(started_at=TIME, completed_at=TIME),
        samples=[_sample(row) for row in run.rows],
    )


def _name(row: Row) -> str:
    return f"{row['domain']}/{row['task_id']}"


def _sample(row: Row) -> EvalSample:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.model import ModelUsage
    from inspect_ai.scorer import Score

    row = clean(row)
    name = _name(row)
    messages = list(_messages(f"{name}#{row['trial']}", row["messages"]))
    first = next((each.text for each in messages if each.role == "user"), name)
    about = {"official_reward": row["checks"], "reward": {"ledger": row["rewards"]}}
    graded = row["official_reward"] is not None
    usage = row["usage"]
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    return EvalSample(
        id=name,
        epoch=row["trial"] + 1,
        input=first,
        target="",
        messages=messages,
        scores={each: Score(value=row[each], metadata=about.get(each)) for each in SCORES}
        if graded
        else None,
        metadata={
            "termination": row["termination"],
            "fault": row["fault"],
            "ungraded": row["ungraded"],
            "seed": row["seed"],
            "revision": row["revision"],
            "checks": row["checks"],
            "ledger": row["rewards"],
            "verdicts": row["verdicts"],
            "num_turns": row["num_turns"],
            "num_errors": row["num_errors"],
        },
        model_usage={
            "agent": ModelUsage(
                input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion
            )
        },
        error=EvalError(message=row["error"] or row["fault"], traceback="", traceback_ansi="")
        if row["fault"]
        else None,
        started_at=TIME,
        completed_at=TIME,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_OID, to_json([name, row["trial"], row["seed"]]))),
    )


def _messages(prefix: str, messages: Sequence[dict[str, Any]]) -> Iterator[ChatMessage]:
    """The conversation. The user's own tools are shown as what the user says: a chat knows none."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser
    from inspect_ai.tool import ToolCall, ToolCallError

    names: dict[str, str] = {}
    for number, message in enumerate(messages):
        content, key = message.get("content") or "", f"{prefix}/{number}"
        calls = message.get("tool_calls") or []
        names.update({call["id"]: call["name"] for call in calls})
        if message["role"] == "assistant":
            yield ChatMessageAssistant(
                id=key,
                content=content,
                tool_calls=[
                    ToolCall(id=call["id"], function=call["name"], arguments=call["arguments"])
                    for call in calls
                ]
                or None,
            )
        elif message["role"] == "user":
            said = [content] if content else []
            said += [f"[calls {call['name']}({to_json(call['arguments'])})]" for call in calls]
            yield ChatMessageUser(id=key, content="\n".join(said), metadata={"tool_calls": calls})
        elif message["requestor"] == "user":
            name = names.get(message["id"], "a tool")
            yield ChatMessageUser(
                id=key, content=f"[result of {name}]\n{content}", metadata={"requestor": "user"}
            )
        else:
            yield ChatMessageTool(
                id=key,
                content=content,
                tool_call_id=message["id"],
                function=names.get(message["id"]),
                error=ToolCallError("unknown", content) if message["error"] else None,
            )
