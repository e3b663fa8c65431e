"""A submission to tau2-bench's leaderboard: `submission.json` and the trajectories, checked beforehand.

What is asked for is in tau2-bench's `docs/leaderboard-submission.md`, the form in its
`scripts/leaderboard/submission.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.journal import read_json, write_json
from tau2_gym.results.exchange.clean import clean
from tau2_gym.results.exchange.files import find_results
from tau2_gym.results.exchange.placing import new_folder
from tau2_gym.results.exchange.played import Played, played
from tau2_gym.results.exchange.regrading import Tasks, compare_file
from tau2_gym.results.exchange.writing import write_results
from tau2_gym.results.metrics import pass_hat_k
from tau2_gym.results.record import SUCCESS
from tau2_gym.results.run import Run

LEADERBOARD = ("retail", "airline", "telecom")
"""The domains that are ranked, of those that are here."""

TRIALS = 4
"""The fewest attempts at a task, and the largest k that is reported."""

SPLIT = "base"
STEPS, ERRORS = 200, 10
"""tau2-bench's own limits."""

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Statement:
    """What nobody but the submitter knows.

    Attributes:
        model_name: the model; empty for the one that the run names.
        model_organization, submitting_organization: who made it, and who evaluated it; without the
            latter it is the former.
        contact_email: whom to ask.
        trained_on_tau2: whether the model has been trained on tau2-bench's domains, tasks or rewards; None
            if that has not been said.
        notes: how it was done.
        references: addresses of a paper, a repository, a model card.
        day: the day of the evaluation and the submission.
    """

    model_name: str = ""
    model_organization: str = ""
    submitting_organization: str = ""
    contact_email: str = ""
    trained_on_tau2: bool | None = None
    notes: str = ""
    references: tuple[str, ...] = ()
    day: str = ""


def export_submission(
    run: Run, output: Path, statement: Statement, *, force: bool = False
) -> list[str]:
    """Write a submission. Returns what it does not follow of the standard evaluation, which makes it a
    custom one.

    Args:
        run: what was played.
        output: the folder.
        statement: what the submitter says.
        force: whether it may replace a folder of the same files.

    Raises:
        ConfigError: something is missing that a submission needs, or there is something at `output`.
        DataError: the run contradicts itself, or it cannot be written.
    """
    for name in run.domains:
        if name not in LEADERBOARD:
            raise ConfigError(
                f"the leaderboard has no domain {name}: --domain names one of {', '.join(LEADERBOARD)}"
            )
    parts = played(run)
    for part in parts:
        _check_complete(part)
    config = _summary_config(run)
    deviations = list(_deviations(parts, config, statement))
    _check_statement(run, statement, deviations)
    with new_folder(output, force=force) as folder:
        (folder / "trajectories").mkdir()
        for part in parts:
            with (folder / "trajectories" / _file(part)).open("wb") as file:
                write_results(part, file)
        _check_grades(folder / "trajectories")
        write_json(folder / "submission.json", clean(_submission(parts, statement, deviations)))
    return deviations


def _file(part: Played) -> str:
    return f"{part.domain.name}_results.json"


def _check_complete(part: Played) -> None:
    """All tasks of the split, each as often, each with a result."""
    name, base = part.domain.name, set(part.domain.task_ids(SPLIT))
    missing = [task_id for task_id in part.domain.task_ids(SPLIT) if task_id not in part.task_ids]
    extra = [task_id for task_id in part.task_ids if task_id not in base]
    if missing:
        raise ConfigError(
            f"a submission takes all tasks of the split {SPLIT}, and {len(missing)} of {len(base)} of "
            f"{name} are missing, {missing[0]!r} for example"
        )
    if extra:
        raise ConfigError(
            f"a submission is of the split {SPLIT}, and {len(extra)} tasks of {name} are not in it, "
            f"{extra[0]!r} for example"
        )
    faults = sum(row["fault"] is not None for row in part.rows)
    if faults:
        raise ConfigError(
            f"{faults} attempts in {name} have no result because of faults: play them again first"
        )
    ungraded = {row["task_id"] for row in part.rows if row["official_reward"] is None}
    if ungraded:
        raise ConfigError(f"{len(ungraded)} tasks of {name} have no grade: play with a judge")
    counts = Counter(row["task_id"] for row in part.rows)
    if set(counts.values()) != {part.k} or part.k < TRIALS:
        least = min(counts, key=lambda task_id: counts[task_id])
        raise ConfigError(
            f"a submission takes at least {TRIALS} attempts at each task, at all as many, and {name} has "
            f"{counts[least]} at {least!r}"
        )


def _summary_config(run: Run) -> dict[str, Any]:
    """How it was played, as the summary says, and that the summary is one of these attempts.

    Raises:
        ConfigError: there is no set-up or no summary beside the run.
        DataError: it has other numbers.
    """
    path = run.path.with_suffix(".summary.json")
    for needed in (run.path.with_suffix(".config.json"), path):
        if not needed.exists():
            raise ConfigError(f"{needed} is missing: a submission says how the run was played")
    summary = read_json(path)
    try:
        for part in played(run):
            metrics = summary["by_domain"][part.domain.name]["pass"]["excluded"]
            for k in range(1, TRIALS + 1):
                said = metrics[f"pass^{k}"]["value"]
                if abs(said - pass_k(part, k)) > TOLERANCE:
                    raise DataError(
                        f"{path} says that pass^{k} in {part.domain.name} is {said}, and the attempts come "
                        f"to {pass_k(part, k)}: give the run's command again"
                    )
        config: dict[str, Any] = {**run.config, **summary["config"]}
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is not the summary of this run: {error!r}") from None
    return config


def pass_k(part: Played, k: int) -> float:
    """pass^k, the mean over tasks."""
    wins = Counter(row["task_id"] for row in part.rows if row["official_reward"] >= SUCCESS)
    values = [pass_hat_k(part.k, wins[task_id], k) for task_id in part.task_ids]
    return fmean(value for value in values if value is not None)


def _deviations(
    parts: Sequence[Played], config: dict[str, Any], statement: Statement
) -> Iterator[str]:
    """What differs from tau2-bench's standard evaluation."""
    if statement.trained_on_tau2:
        yield "the model was trained on tau2-bench's domains, tasks or rewards"
    model = config.get("model")
    if not model:
        yield f"the agent is {config.get('agent')!r}, not a model in the default scaffold"
    elif model.get("prompt") != "official":
        yield f"the agent's prompt is {model.get('prompt')!r}"
    yield from (f"prompts: {each}" for each in _prompts(parts, config))
    if ":" not in str(config.get("user")):
        yield f"the user is {config.get('user')!r}, not a model"
    if (config.get("max_steps"), config.get("max_errors")) != (STEPS, ERRORS):
        yield (
            f"limits: {config.get('max_steps')} steps and {config.get('max_errors')} errors in place of "
            f"{STEPS} and {ERRORS}"
        )


def _prompts(parts: Sequence[Played], config: dict[str, Any]) -> Iterator[str]:
    instructions = config.get("agent_instruction") or {}
    for part in parts:
        origin = instructions.get(part.domain.name)
        if origin != "tau2":
            yield f"the instruction before the policy of {part.domain.name} is {origin}'s"


def _check_statement(run: Run, statement: Statement, deviations: Sequence[str]) -> None:
    for value, option in (
        (_model(run, statement), "--model-name"),
        (statement.model_organization, "--model-organization"),
        (statement.contact_email, "--contact-email"),
    ):
        if not value.strip():
            raise ConfigError(f"a submission needs {option}")
    if "@" not in statement.contact_email:
        raise ConfigError(f"--contact-email is an address, not {statement.contact_email!r}")
    if statement.trained_on_tau2 is None:
        raise ConfigError(
            "a submission says whether the model was trained on tau2-bench's domains, tasks or rewards: "
            "--trained-on-tau2 or --not-trained-on-tau2"
        )
    for address in statement.references:
        if not address.startswith(("http://", "https://")):
            raise ConfigError(f"--reference is an address on the web, not {address!r}")
    if statement.day:
        try:
            date.fromisoformat(statement.day)
        except ValueError:
            raise ConfigError(f"--date is YYYY-MM-DD, not {statement.day!r}") from None
    if deviations and not statement.notes.strip():
        raise ConfigError(
            f"a custom submission needs --notes on how it was done, and this is one, because {deviations[0]}"
        )
    if deviations and not statement.references:
        raise ConfigError(
            f"a custom submission needs a --reference to how it was done, and this is one, because {deviations[0]}"
        )


def _check_grades(folder: Path) -> None:
    """Whether the trajectories are worth what was reported.

    Raises:
        DataError: one is not.
    """
    for file in find_results(folder)[0]:
        for each in compare_file(file, Tasks.EMBEDDED):
            if each.differences:
                raise DataError(
                    f"{each.name} is graded otherwise than the run says: {each.differences[0]}"
                )


def _model(run: Run, statement: Statement) -> str:
    model = run.config.get("model") or {}
    return statement.model_name or str(model.get("name") or "")


def _submission(
    parts: Sequence[Played], statement: Statement, deviations: Sequence[str]
) -> dict[str, Any]:
    run, day = parts[0].run, statement.day or date.today().isoformat()
    details = "; ".join(deviations) or "Standard evaluation"
    user = str(run.config.get("user"))
    sources = ", ".join(f"{part.domain.name} {part.domain.revision}" for part in parts)
    notes = (
        f"Played with tau2-gym by the rules of tau2-bench 1.0.1, on the task revisions {sources}."
    )
    return {
        "model_name": _model(run, statement),
        "model_organization": statement.model_organization,
        "submitting_organization": statement.submitting_organization
        or statement.model_organization,
        "submission_date": day,
        "submission_type": "custom" if deviations else "standard",
        "modality": "text",
        "contact_info": {"email": statement.contact_email},
        "results": {
            part.domain.name: {
                **{f"pass_{k}": 100 * pass_k(part, k) for k in range(1, TRIALS + 1)},
                "cost": fmean(row["usage"]["cost"] for row in part.rows),
            }
            for part in parts
        },
        "is_new": False,
        "trajectories_available": True,
        "trajectory_files": {part.domain.name: _file(part) for part in parts},
        "references": [{"title": each, "url": each} for each in statement.references],
        "methodology": {
            "evaluation_date": day,
            "tau2_bench_version": "1.0.1",
            "user_simulator": user.partition(":")[2] or user,
            "notes": f"{statement.notes.strip()}\n{notes}".strip(),
            "verification": {
                "modified_prompts": any("prompt" in each for each in deviations),
                "omitted_questions": False,
                "details": details,
            },
        },
    }
