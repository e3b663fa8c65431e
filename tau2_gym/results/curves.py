"""pass@k and pass^k over k, as a picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tau2_gym.errors import ConfigError, one_of
from tau2_gym.journal import writing

FORMATS = (".png", ".svg", ".pdf")

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which those who do not tell all colours apart can tell apart."""


def check_plot(path: Path) -> None:
    """Check that a picture can be drawn there, before a run whose picture it is.

    Raises:
        ConfigError: it is of a format that is not drawn, or Matplotlib is missing.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(one_of("format of a plot", path.suffix, FORMATS))
    if find_spec("matplotlib") is None:
        raise ConfigError(
            "a plot needs matplotlib, not installed here: pip install 'tau2-gym[plots]'"
        )


def plot(summary: dict[str, Any], k: int, title: str, path: Path) -> None:
    """Draw a run: a panel for each domain, and pass@k and pass^k over k with their 95 % intervals; the floor
    of pass@k as a dotted line. The same numbers give the same picture.

    Args:
        summary: as `summarise` makes it.
        k: up to which k.
        title: what it says above.
        path: PNG, SVG or PDF.

    Raises:
        DataError: it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    domains = summary["by_domain"]
    figure = Figure(figsize=(max(5.2, 1 + 2.6 * len(domains)), 3.4), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(domains), sharey=True, squeeze=False)[0]
    for axis, (name, group) in zip(axes, domains.items(), strict=True):
        for colour, metric in zip(COLOURS, ("pass@", "pass^"), strict=False):
            _curve(axis, group["pass"]["excluded"], metric, k, colour)
        for floor, numbers in summary.get("floors", {}).items():
            found = numbers["by_domain"][name]["pass"]["excluded"]
            values = [_percent(found[f"pass@{i}"]["value"]) for i in range(1, k + 1)]
            axis.plot(range(1, k + 1), values, ":", color="#777777", label=f"pass@k of {floor}")
        axis.set(title=name, xlabel="k", xlim=(0.9, k + 0.1), ylim=(-2, 102))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("% of tasks")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
    )
    figure.suptitle(title, fontsize="medium")
    # Without a date and with ids that do not change, the bytes are the same every time.
    stamped = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with writing(path), mpl.rc_context({"svg.hashsalt": "tau2-gym"}):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata=stamped[path.suffix])


def _curve(axis: Any, metrics: dict[str, Any], metric: str, k: int, colour: str) -> None:
    points = [(i, metrics[f"{metric}{i}"]) for i in range(1, k + 1)]
    points = [(i, found) for i, found in points if found["value"] is not None]
    where = [i for i, _ in points]
    axis.plot(
        where,
        [_percent(found["value"]) for _, found in points],
        "o-" if metric == "pass@" else "s--",
        color=colour,
        label=f"{metric}k",
        markersize=4,
    )
    low, high = ([_percent(found[bound]) for _, found in points] for bound in ("low", "high"))
    axis.fill_between(where, low, high, color=colour, alpha=0.15, linewidth=0)


def _percent(value: float | None) -> float:
    return float("nan") if value is None else 100 * value
