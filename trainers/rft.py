"""Rejection fine-tuning's data: `python -m trainers.rft`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agents.checkpoints import find_model
from agents.runs.options import takes
from agents.tokenizer import load_tokenizer
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, DataError
from tau2_gym.exits import PLAIN, Command, end_with_faults, ending
from tau2_gym.journal import Journal, read_json
from tau2_gym.values import finite
from trainers.collect import Play, collect, plan
from trainers.data.dataset import ATTEMPTS, DATA, write_rows
from trainers.data.selection import SelectionRules, balanced, choose, dedupe, usable
from trainers.data.sft_rows import Row, RowMaker, make_rows
from trainers.tasks import pool_note, refuse_test_tasks

app = typer.Typer(add_completion=False)

FIELDS = ("domain", "task_id", "trial", "revision", "fault", "malformed", "messages")
SCORES = ("official_reward", "partial_score")

Attempts = Sequence[Mapping[str, Any]]


def read_attempts(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Attempts that were played before, by `trainers.collect` or `benchmarks.passk`.

    Args:
        path: a folder with `attempts.jsonl`, or a file of results.

    Returns:
        The set-up they were played in, and the attempts.

    Raises:
        DataError: they are not there, or are something else; they were played on another revision of
            a domain; or some are of test tasks.
    """
    file = path if path.is_file() or path.suffix == ".jsonl" else path / ATTEMPTS
    setup_file = file.with_suffix(".config.json")
    if not file.is_file() or not setup_file.is_file():
        raise DataError(f"there are no attempts at {path}: {file} and {setup_file.name} are needed")
    setup = read_json(setup_file)
    source, data_dir = setup.get("source", "inspect-evals"), setup.get("data_dir")
    attempts = list[dict[str, Any]]()
    for number, attempt in Journal(file):
        if not isinstance(attempt, dict) or not {*FIELDS, *SCORES} <= attempt.keys():
            raise DataError(f"{file}, line {number}, is not an attempt")
        revision = get_domain(attempt["domain"], source, data_dir).revision
        if attempt["revision"] != revision:
            raise DataError(
                f"{file}, line {number}, was played on revision {attempt['revision']} of "
                f"{attempt['domain']}, and {revision} is here"
            )
        attempts.append(attempt)
    refuse_test_tasks(_pairs(attempts), source, data_dir)
    return setup, attempts


def make_data(
    attempts: Attempts, rules: SelectionRules, maker: RowMaker
) -> tuple[list[Row], dict[str, Any]]:
    """Filter attempts, make rows of them, drop doubles, balance domains.

    Returns:
        The rows, and the card: what was kept and left out, by domain, and what was refused and why.

    Raises:
        DataError: nothing is left; says why.
    """
    chosen = choose(attempts, rules)
    made, refused = make_rows(maker, chosen)
    single = dedupe(made)
    rows = balanced(single, rules)
    if not rows:
        reasons = Counter(refused.values()).most_common(1)
        why = "none passes the filters"
        if reasons:
            why = f"those that pass the filters were refused, most of them because {reasons[0][0]}"
        raise DataError(f"no row is left of {len(attempts)} attempts: {why}")
    counts: dict[str, dict[str, int]] = {}
    for stage, found in (
        ("attempts", attempts),
        ("usable", [attempt for attempt in attempts if usable(attempt)]),
        ("kept", chosen),
        ("fitting", made),
        ("distinct", single),
        ("rows", rows),
    ):
        for domain, count in _by_domain(found).items():
            counts.setdefault(domain, {})[stage] = count
    for domain, numbers in counts.items():
        here = [row for row in rows if row["domain"] == domain]
        numbers["tasks"] = len({row["task_id"] for row in here})
        numbers["tokens"] = sum(row["tokens"] for row in here)
        numbers["trained_tokens"] = sum(row["trained_tokens"] for row in here)
    card = {
        "rows": len(rows),
        "by_domain": counts,
        "longest": max(row["tokens"] for row in rows),
        "not_exact": sum(not row["exact"] for row in rows),
        "rules": asdict(rules),
        "prompt": maker.prompt,
        "context": maker.context,
        "tokenizer": maker.template.name,
        "template": maker.template.digest,
        "agent": maker.agent,
        "note": pool_note(_pairs(rows), maker.source, maker.data_dir),
        "refused": [
            {"domain": domain, "task_id": task, "trial": trial, "reason": reason}
            for (domain, task, trial), reason in refused.items()
        ],
    }
    return rows, card


def _pairs(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["domain"], row["task_id"]) for row in found))


def _by_domain(found: Iterable[Mapping[str, Any]]) -> Counter[str]:
    return Counter(row["domain"] for row in found)


def make_maker(setup: Mapping[str, Any], tokenizer: str, prompt: str, context: int) -> RowMaker:
    """The maker of rows for attempts of a set-up.

    Args:
        setup: what played, as `Setup.identity` gives it.
        tokenizer: name or folder of the model to be trained; if empty, of the one that played.
        prompt: of the rows; an agent's own prompt takes precedence.
        context: rows have fewer tokens than this.

    Raises:
        ConfigError: no tokenizer is named, or none can be loaded.
    """
    model = setup.get("model") or {}
    agent, name = setup["agent"], model.get("name", "")
    path = tokenizer or (name if agent in ("sglang", "transformers") else "")
    if not path:
        raise ConfigError("rows are made for a model: name it, or its folder, with --tokenizer")
    return RowMaker(
        load_tokenizer(find_model(path)),
        prompt=model.get("prompt", prompt),
        context=context,
        agent=f"{agent}:{name}" if name else agent,
        source=setup["source"],
        data_dir=setup["data_dir"],
    )


@app.command(cls=Command)
@takes(Play)
def main(
    play: Play,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder for the rows.", file_okay=False)
    ] = Path("data/rft"),
    given: Annotated[
        Path | None,
        typer.Option("--from", help="Attempts that are there already: nothing is played."),
    ] = None,
    tokenizer: Annotated[
        str,
        typer.Option(help="The model to be trained; by default the one that played."),
    ] = "",
    context: Annotated[int, typer.Option(help="Rows have fewer tokens than this.", min=16)] = 16384,
    min_reward: Annotated[float, typer.Option(help="Official reward of what is kept.")] = 1.0,
    best_partial: Annotated[
        float,
        typer.Option(
            help="Of tasks without any, partial score of the best; above 1 for none.",
            callback=finite(0.0),
        ),
    ] = 0.6,
    balance: Annotated[
        float,
        typer.Option(
            help="Rows of a domain, relative to the smallest; 0 for no limit.",
            callback=finite(0.0),
        ),
    ] = 3.0,
) -> None:
    """Play training tasks several times, keep the best attempts, and make rows to train on of them.

    OUTPUT gets `attempts.jsonl` (see `trainers.collect`; resumed if interrupted), `data.jsonl`
    with the rows, and `card.json`, which says what was kept and left out.
    `python -m trainers.sft --data OUTPUT` trains on it.
    """
    console = Console()
    with ending(console):
        rules = SelectionRules(
            min_reward, best_partial if best_partial <= 1 else None, balance or None, play.seed
        )
        if given is None:
            planned = plan(play)
            # Before anything is played, lest that be in vain.
            maker = make_maker(planned.setup.identity(), tokenizer, play.prompt, context)
            attempts = collect(play, planned, output, console)
        else:
            setup, attempts = read_attempts(given)
            maker = make_maker(setup, tokenizer, play.prompt, context)
        rows, card = make_data(attempts, rules, maker)
        write_rows(output, rows, card)
    for name, numbers in card["by_domain"].items():
        stages = ", ".join(f"{stage} {count}" for stage, count in numbers.items())
        console.print(f"{name}: {stages}", highlight=False, soft_wrap=True)
    for reason, count in Counter(item["reason"] for item in card["refused"]).items():
        console.print(f"refused {count}: {reason}", highlight=False, soft_wrap=True)
    if card["note"]:
        console.print(card["note"])
    console.print(f"Rows: {output / DATA}", **PLAIN)
    if given is None:
        end_with_faults(console, attempts)


if __name__ == "__main__":
    app()
