"""Tables and plots of the runs there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from examples.from_scratch.report import over_seeds
from examples.tool_reward.study import ARMS, STARTS, Plan
from tau2_gym.errors import ConfigError
from tau2_gym.journal import write_json

COLOURS = dict(zip(ARMS, ("#2b6cb0", "#2f855a", "#c05621"), strict=True))

Curve = list[tuple[int, float, float]]
"""Step, turns before the answer (calls of the tool, nearly all) per episode, and the share of episodes that were solved, on problems that are only watched."""


def write_report(runs: Path, folder: Path) -> None:
    """Write `tables.md`, `numbers.json` and, of training that was watched, `curves.png`.

    Args:
        runs: a folder with `seed0`, `seed1` ….
        folder: where to.

    Raises:
        ConfigError: there is no finished evaluation.
    """
    seeds = sorted(runs.glob("seed*"))
    names = [name for start in STARTS for name in (start.name, *_named(start.name))]
    found = {
        name: {
            path.name: json.loads(file.read_text())
            for path in seeds
            if (file := path / "evaluations" / f"{name}.json").exists()
        }
        for name in names
    }
    if not any(found.values()):
        raise ConfigError(f"there is no evaluation in {runs}: run the example first")
    curves = {name: [c for path in seeds if (c := _curve(path / name))] for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "numbers.json", {"evaluations": found, "curves": curves})
    (folder / "tables.md").write_text("\n".join(_table(found)) + "\n", encoding="utf-8")
    _plot(curves, folder / "curves.png")


def _named(start: str) -> list[str]:
    return [f"{start}-{arm}" for arm in ARMS]


def _curve(folder: Path) -> Curve:
    if not (folder / "log.jsonl").exists():
        return []
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [
        (row["step"], row["eval/turns"] - 1, row["eval/pass@1"])
        for row in rows
        if "eval/pass@1" in row
    ]


def _table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    columns = ("solved", "called", "solved with the tool", "solved without")
    lines = ["| | seeds | " + " | ".join(columns) + " | gain in solved over none |"]
    lines.append("|---|---|" + "---|" * (len(columns) + 1))
    for name, seeds in found.items():
        if not seeds:
            continue
        cells = [
            over_seeds([value for score in seeds.values() if (value := score[column]) is not None])
            for column in columns
        ]
        plain = found.get(f"{name.partition('-')[0]}-none", {})
        gains = [seeds[seed]["solved"] - plain[seed]["solved"] for seed in seeds if seed in plain]
        gain = over_seeds(gains, "+.1f") if "-" in name and not name.endswith("-none") else ""
        lines.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} | {gain} |")
    return lines


def _plot(curves: Mapping[str, Sequence[Curve]], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = [start for start in STARTS if any(curves[name] for name in _named(start.name))]
    if not shown:
        return
    figure, axes = plt.subplots(
        2,
        len(shown),
        figsize=(6 * len(shown), 7),
        sharex=True,
        squeeze=False,
        constrained_layout=True,
    )
    for column, start in enumerate(shown):
        for row, what in enumerate(("turns before the answer, per episode", "solved")):
            axis = axes[row][column]
            for arm, colour in COLOURS.items():
                lines = curves[f"{start.name}-{arm}"]
                for line in lines:
                    axis.plot(
                        [point[0] for point in line],
                        [point[row + 1] for point in line],
                        color=colour,
                        alpha=0.25,
                        linewidth=1,
                    )
                if lines:
                    # Where a run is not finished, the mean goes as far as all do.
                    points = list(zip(*lines, strict=False))
                    axis.plot(
                        [point[0][0] for point in points],
                        [fmean(one[row + 1] for one in point) for point in points],
                        color=colour,
                        linewidth=2.2,
                        label=arm,
                    )
            axis.set(title=f"{start.name}: {what}", ylim=(0, None))
        axes[1][column].set(xlabel=f"GRPO step, of {Plan().grpo_steps}")
    axes[0][0].legend(frameon=False)
    figure.savefig(file, dpi=110)
    plt.close(figure)
