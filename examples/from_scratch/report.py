"""Tables and plots of the runs there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from examples.from_scratch.plan import Plan
from tau2_gym.errors import ConfigError
from tau2_gym.journal import write_json

STAGES = ("sft", "rft", "rft+grpo", "grpo-sparse", "grpo-shaped", "grpo-progress")
COLOURS = {
    "rft+grpo": "#7a4fb5",
    "grpo-sparse": "#2b6cb0",
    "grpo-shaped": "#2f855a",
    "grpo-progress": "#c05621",
}
CEILING, TRANSFER, FIXALL = 1.0, 0.3, 0.7
"""pass@1 on the test tasks of `workflow`, of always transferring, and of `fixall`."""

Evaluations = dict[str, dict[str, Any]]
"""By stage."""


def write_report(runs: Path, folder: Path) -> None:
    """Write `tables.md`, `numbers.json` and `curves.png`.

    Args:
        runs: a folder with `seed0`, `seed1` ….
        folder: where to.

    Raises:
        ConfigError: there is no finished evaluation.
    """
    seeds = {path.name.removeprefix("seed"): path for path in sorted(runs.glob("seed*"))}
    found: dict[str, Evaluations] = {seed: _evaluations(path) for seed, path in seeds.items()}
    if not any(found.values()):
        raise ConfigError(f"there is no evaluation in {runs}: run the example first")
    folder.mkdir(parents=True, exist_ok=True)
    curves = {
        stage: {seed: _curve(path / stage) for seed, path in seeds.items()} for stage in COLOURS
    }
    write_json(
        folder / "numbers.json",
        {
            "plan": asdict(Plan()),
            "evaluations": found,
            "seconds": {seed: _read(path / "seconds.json") for seed, path in seeds.items()},
            "dev_pass@1": curves,
        },
    )
    (folder / "tables.md").write_text("\n".join(_tables(found, seeds)) + "\n")
    _plot(found, curves, folder / "curves.png")


def _evaluations(path: Path) -> Evaluations:
    files = {stage: path / "evaluations" / f"{stage}.json" for stage in STAGES}
    return {stage: _read(file) for stage, file in files.items() if file.exists()}


def _curve(folder: Path) -> list[tuple[int, float]]:
    """Steps and pass@1 on the dev tasks."""
    if not (folder / "log.jsonl").exists():
        return []
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(row["step"], row["eval/pass@1"]) for row in rows if "eval/pass@1" in row]


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _tables(found: Mapping[str, Evaluations], seeds: Mapping[str, Path]) -> list[str]:
    lines = ["| Seed | Stage | pass@1 | pass@4 | pass^4 | greedy | mms / data / service | turns |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for seed, stages in found.items():
        for stage, scores in stages.items():
            sampled, greedy = scores["sampled"], scores["greedy"]
            families = sampled["families"]
            shares = " / ".join(
                f"{100 * families[name]:.0f}"
                for name in ("mms_issue", "mobile_data_issue", "service_issue")
            )
            cells = [
                *(_cell(sampled[name]) for name in ("pass@1", "pass@4", "pass^4")),
                _cell(greedy["pass@1"]),
                shares,
                f"{sampled['turns']:.1f}",
            ]
            lines.append(f"| {seed} | {stage} | {' | '.join(cells)} |")
    lines += [
        "",
        "| Stage | seeds | pass@1 | gain over SFT |",
        "|---|---|---|---|",
    ]
    for stage in STAGES:
        values = {seed: _pass(stages[stage]) for seed, stages in found.items() if stage in stages}
        gains = [value - _pass(found[seed]["sft"]) for seed, value in values.items()]
        if values:
            mean, gain = over_seeds(list(values.values())), over_seeds(gains, "+.1f")
            lines.append(f"| {stage} | {len(values)} | {mean} | {gain} |")
    lines += ["", "| Seed | " + " | ".join(_timed(seeds)) + " |"]
    lines.append("|---|" + "---|" * len(_timed(seeds)))
    for seed, path in seeds.items():
        seconds = _read(path / "seconds.json")
        cells = [
            f"{seconds[name] / 60:.1f} min" if name in seconds else "" for name in _timed(seeds)
        ]
        lines.append(f"| {seed} | {' | '.join(cells)} |")
    return lines


def _timed(seeds: Mapping[str, Path]) -> list[str]:
    names: dict[str, None] = {}
    for path in seeds.values():
        names |= dict.fromkeys(_read(path / "seconds.json"))
    return list(names)


def _pass(scores: Mapping[str, Any]) -> float:
    return float(scores["sampled"]["pass@1"]["value"])


def over_seeds(values: Sequence[float], form: str = ".1f") -> str:
    """The mean in per cent, and from two seeds on its 95 % interval (Student's t)."""
    if not values:
        return "–"
    mean = fmean(values)
    if len(values) < 2:
        return f"{100 * mean:{form}}"
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return f"{100 * mean:{form}} ({100 * (mean - half):{form}} to {100 * (mean + half):{form}})"


def _cell(estimated: Mapping[str, float | None]) -> str:
    if estimated["value"] is None:
        return "–"
    low, high = estimated["low"] or 0.0, estimated["high"] or 0.0
    return f"{100 * estimated['value']:.1f} ({100 * low:.0f}–{100 * high:.0f})"


def _plot(
    found: Mapping[str, Evaluations],
    curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]],
    file: Path,
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    for stage, colour in COLOURS.items():
        lines = [line for line in curves[stage].values() if line]
        for number, line in enumerate(lines):
            left.plot(
                *zip(*line, strict=True),
                color=colour,
                alpha=0.75,
                linewidth=1.6,
                label=stage if number == 0 else None,
            )
    left.set(title="dev tasks, while training", xlabel="GRPO step", ylabel="pass@1", ylim=(0, 1.02))
    left.legend(frameon=False, loc="lower right")
    shown = [stage for stage in STAGES if any(stage in stages for stages in found.values())]
    for place, stage in enumerate(shown):
        values = [
            stages[stage]["sampled"]["pass@1"] for stages in found.values() if stage in stages
        ]
        right.bar(
            place,
            fmean(value["value"] for value in values),
            color=COLOURS.get(stage, "#a0aec0"),
            alpha=0.5,
        )
        for number, value in enumerate(values):
            at = place + (number - (len(values) - 1) / 2) * 0.18
            spread = [[value["value"] - value["low"]], [value["high"] - value["value"]]]
            right.errorbar(
                at, value["value"], yerr=spread, fmt="o", color="black", markersize=3, linewidth=1
            )
    floors = (("workflow", CEILING), ("fixall", FIXALL), ("always transfer", TRANSFER))
    for name, level in floors:
        right.axhline(level, color="grey", linewidth=0.8, linestyle=":")
        right.text(-0.45, level - 0.035, name, fontsize=8, color="grey")
    right.set(title="40 test tasks, sampled", ylabel="pass@1", ylim=(0, 1.02))
    right.set_xticks(range(len(shown)), shown, rotation=20)
    figure.savefig(file, dpi=110)
    plt.close(figure)
