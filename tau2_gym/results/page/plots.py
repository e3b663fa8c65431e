"""The plots of the page: curves over k, where attempts end, and the ledger over turns."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tau2_gym.results.page.numbers import OVERALL, Numbers
from tau2_gym.results.page.svg import colour, inlined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P")
SIGNS = ("●", "■", "▲", "◆", "▼", "✚")
"""What runs are told apart by besides their colours."""

SIZE = (3.7, 2.5)
"""Inches of a plot: several stand side by side on a desktop, one below another on a phone."""

LINEAR = 16
"""Up to which k the axis of a curve has equal steps."""

ENDS = {
    "passed": "passed",
    "user_stop": "failed",
    "agent_stop": "end0",
    "max_steps": "end1",
    "max_turns": "end2",
    "too_many_errors": "end3",
}
"""The colours of ends. Others than these and faults share one."""

TERMS = {"official": "passed", "progress": "run2", "potential": "run2", "shaped": "run2"}
"""The colours of the terms of the ledger. Others than these take from the reward, and share those that are left."""


@dataclass(frozen=True)
class Plot:
    """A plot with its title, as SVG."""

    title: str
    svg: str


def look(run: int) -> str:
    """The name of a run's colour."""
    return f"run{run % len(MARKERS)}"


def end_colour(end: str) -> str:
    """The name of an end's colour."""
    return "fault" if end.startswith("fault") else ENDS.get(end, "end4")


def curves(runs: Sequence[Numbers]) -> list[Plot]:
    """pass@k and pass^k over k, a plot for each domain; none where nothing was played twice."""
    if max(run.k for run in runs) == 1:
        return []
    found = []
    for number, domain in enumerate(_groups(runs)):
        with _plot() as (figure, axes):
            tips: dict[str, str] = {}
            for index, run in enumerate(runs):
                if domain in run.groups:
                    _curve(axes, run, domain, index, tips)
            axes.set_ylim(-3, 103)
            axes.set_yticks([0, 25, 50, 75, 100])
            axes.set_xlabel("k")
            _spread(axes, max(run.k for run in runs))
            found.append(
                _done(figure, f"curve{number}", domain, f"pass@k and pass^k, {domain}", tips)
            )
    return found


def _curve(axes: Axes, run: Numbers, domain: str, index: int, tips: dict[str, str]) -> None:
    for name, style in (("pass@", "-"), ("pass^", (0, (3, 2)))):
        values = [run.groups[domain].values[f"{name}{k}"] for k in run.curve]
        known = [
            (k, value) for k, value in zip(run.curve, values, strict=True) if value.mean.value is not None
        ]  # fmt: skip
        if not known:
            continue
        ks = [k for k, _ in known]
        means = [100 * float(value.mean.value or 0) for _, value in known]
        paint = colour(look(index))
        low = [100 * (value.mean.low or 0) for _, value in known]
        high = [100 * (value.mean.high or 0) for _, value in known]
        axes.fill_between(ks, low, high, color=paint, alpha=0.1, linewidth=0)
        axes.plot(ks, means, color=paint, linestyle=style, linewidth=1.6)
        for k, mean, lowest, highest in zip(ks, means, low, high, strict=True):
            gid = f"tip{len(tips)}"
            tips[gid] = f"{run.name}: {name}{k} {mean:.1f} % [{lowest:.0f}, {highest:.0f}]"
            axes.plot(
                [k],
                [mean],
                color=paint,
                marker=MARKERS[index % len(MARKERS)],
                markersize=4.5,
                markerfacecolor=paint if name == "pass@" else colour("page"),
                gid=gid,
            )


def ends(runs: Sequence[Numbers]) -> list[Plot]:
    """How attempts ended, in per cent of each run, a plot for each domain."""
    found = []
    for number, domain in enumerate(dict.fromkeys(name for run in runs for name in run.ends)):
        played = [run for run in runs if domain in run.ends]
        with _plot(0.5 + 0.3 * len(played)) as (figure, axes):
            tips: dict[str, str] = {}
            for row, run in enumerate(played):
                counts = run.ends[domain]
                shares = [
                    (end, counts[end], 100 * counts[end] / counts.total()) for end in ordered(counts)
                ]  # fmt: skip
                starts = itertools.accumulate((share for _, _, share in shares), initial=0.0)
                for (end, count, share), start in zip(shares, starts, strict=False):
                    gid = f"tip{len(tips)}"
                    tips[gid] = f"{run.name}: {end}, {count} attempts, {share:.1f} %"
                    axes.barh(
                        row,
                        share,
                        left=start,
                        height=0.66,
                        color=colour(end_colour(end)),
                        edgecolor=colour("page"),
                        linewidth=1.2,
                    )[0].set_gid(gid)
            axes.set_xlim(0, 100)
            axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
            axes.set_yticks(range(len(played)), [short(run.name) for run in played])
            axes.set_ylim(len(played) - 0.5, -0.5)
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            found.append(
                _done(figure, f"ends{number}", domain, f"how attempts ended, {domain}", tips)
            )
    return found


def ordered(counts: Counter[str]) -> list[str]:
    """Ends in the order in which they are shown."""
    known = list(ENDS)
    return sorted(
        (end for end in counts if counts[end]),
        key=lambda end: (known.index(end) if end in ENDS else len(known), end),
    )


def ledgers(runs: Sequence[Numbers]) -> list[Plot]:
    """What attempts have earned up to each turn on average, by term, a plot for each run."""
    drawn, paints = [run for run in runs if run.ledger], term_colours(runs)
    every = [amount for run in drawn for each in run.ledger.values() for amount in each]
    every += [total for run in drawn for total in _totals(run)]
    bottom, top = min([0.0, *every]), max([0.0, *every])
    room = (top - bottom or 1.0) * 0.06
    found = []
    for number, run in enumerate(drawn):
        with _plot() as (figure, axes):
            tips: dict[str, str] = {}
            for term, amounts in run.ledger.items():
                paint = colour(paints[term])
                (line,) = axes.plot(range(1, len(amounts) + 1), amounts, color=paint, linewidth=1.8)
                line.set_gid(gid := f"tip{len(tips)}")
                tips[gid] = f"{term}: {amounts[-1]:.3f} per attempt"
            totals = _totals(run)
            axes.plot(
                range(1, len(totals) + 1), totals, color=colour("ink"), linewidth=1.2, linestyle=(0, (1, 1.5))
            )  # fmt: skip
            axes.set_ylim(bottom - room, top + 2 * room)
            axes.set_xlabel("turn")
            _whole_numbers(axes)
            found.append(
                _done(figure, f"ledger{number}", run.name, f"reward over turns, {run.name}", tips)
            )
    return found


def term_colours(runs: Sequence[Numbers]) -> dict[str, str]:
    """The names of the colours of the ledger's terms."""
    spare = itertools.cycle(["end3", "run3", "end1", "fault", "end0", "end2"])
    terms = dict.fromkeys(term for run in runs for term in run.ledger)
    return {term: TERMS.get(term) or next(spare) for term in terms}


def _totals(run: Numbers) -> list[float]:
    return [sum(amounts) for amounts in zip(*run.ledger.values(), strict=True)]


def short(name: str, most: int = 16) -> str:
    """A name that fits beside a plot."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _groups(runs: Sequence[Numbers]) -> list[str]:
    """The domains of all runs, then `overall`."""
    names = dict.fromkeys(name for run in runs for name in run.groups)
    return sorted(names, key=lambda name: name == OVERALL)


@contextmanager
def _plot(height: float = SIZE[1]) -> Iterator[tuple[Figure, Axes]]:
    """A figure and its axes, in the page's look."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: dict[str, Any] = {
        "font.size": 10.5,
        "axes.edgecolor": colour("rule"),
        "axes.labelcolor": colour("muted"),
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "grid.color": colour("rule"),
        "grid.linewidth": 0.8,
        "text.color": colour("ink"),
        "xtick.color": colour("muted"),
        "ytick.color": colour("muted"),
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "text.parse_math": False,
        "svg.fonttype": "none",
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(SIZE[0], height), layout="constrained")
        yield figure, figure.subplots()


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def _spread(axes: Axes, most: int) -> None:
    """Put k on the axis: in equal steps, or doubling where there are many."""
    if most <= LINEAR:
        _whole_numbers(axes)
        return
    axes.set_xscale("log", base=2)
    axes.minorticks_off()
    ticks = [2**power for power in range(most.bit_length())]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])


def _done(figure: Figure, name: str, title: str, label: str, tips: dict[str, str]) -> Plot:
    return Plot(title, inlined(figure, name, label, tips))
