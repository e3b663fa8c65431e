"""The page itself: everything in one HTML file, which asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from tau2_gym.errors import ConfigError
from tau2_gym.journal import to_json
from tau2_gym.results.page import plots, tables
from tau2_gym.results.page.index import Attempt, in_order, index, names_of, pieces
from tau2_gym.results.page.masking import shown
from tau2_gym.results.page.numbers import Numbers, numbers_of
from tau2_gym.results.page.tasks import Tasks
from tau2_gym.results.run import Run, task_of

NEEDED = ("jinja2", "matplotlib")
MARK = b'<meta name="generator" content="tau2-gym report">'
"""What tells a report from other files; it stands near the beginning."""

STYLES = ("page.css", "conversation.css")
SCRIPTS = ("state.js", "grid.js", "load.js", "conversation.js", "main.js")


def require_packages() -> None:
    """Check that what the page is made with is installed.

    Raises:
        ConfigError: it is not.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"a report needs {' and '.join(missing)}, not installed here: pip install 'tau2-gym[report]'"
        )


def report(runs: Sequence[Run]) -> bytes:
    """The page of runs, whole.

    Raises:
        DataError: messages are not in tau2-bench's form.
    """
    attempts, names, tasks = in_order(runs), names_of(runs), Tasks()
    packed = list(pieces(attempts, runs, tasks))
    return page(runs, names, index(attempts, names), packed, notes=missing(tasks))


def missing(tasks: Tasks) -> list[str]:
    """What the page cannot say of tasks that are not at hand."""
    return [
        f"The checks of {domain} have no names here, and its tasks are not shown: {why}."
        for domain, why in sorted(tasks.missing.items())
    ]


def page(
    runs: Sequence[Run],
    names: Sequence[str],
    data: dict[str, Any],
    packed: Iterable[str] = (),
    *,
    notes: Sequence[str] = (),
    live: bool = False,
    waiting: str = "",
) -> bytes:
    """The page as HTML.

    Args:
        runs: what is on it; those without an attempt yet are left out.
        names: what they are called.
        data: the index of all attempts.
        packed: their conversations, where they are to be in the page.
        notes: what to say below the table of results.
        live: the page asks its server for conversations, and for news.
        waiting: what to say while nothing has been played.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    played = [(run, name) for run, name in zip(runs, names, strict=True) if run.rows]
    most = min((run.k for run, _ in played), default=1)
    numbers = [numbers_of(run, name, [most]) for run, name in played]
    style, script = _asset(STYLES), f'"use strict";\n{{\n{_asset(SCRIPTS, "js/")}}}\n'
    environment = Environment(
        loader=PackageLoader("tau2_gym.results.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("template.html").render(
        policy=policy(style, script, live=live),
        style=Markup(style),
        script=Markup(script),
        index=Markup(_in_script(data)),
        pieces=[Markup(each) for each in packed],
        version=data.get("version", 0),
        live=live,
        waiting=waiting,
        title=f"{', '.join(names)} – tau2-gym",
        heading=", ".join(names),
        runs=[
            {"name": name, "sign": plots.SIGNS[number % len(plots.SIGNS)]}
            for number, (_, name) in enumerate(played)
        ],
        lead=_lead([run for run, _ in played]),
        footer=_footer([run for run, _ in played]),
        notes=[*tables.notes(numbers), *map(shown, notes)],
        **_numbers_and_plots(numbers, most),
    )
    return text.encode(errors="replace")


def _numbers_and_plots(numbers: Sequence[Numbers], k: int) -> dict[str, Any]:
    from markupsafe import Markup

    if not numbers:
        empty = (
            "tables",
            "means",
            "setups",
            "curves",
            "ends",
            "end_table",
            "ledgers",
            "terms",
            "reasons",
            "faults",
        )
        return {**{name: [] for name in empty}, "differing": ""}
    drawn = {
        name: [{"title": plot.title, "svg": Markup(plot.svg)} for plot in found]
        for name, found in (
            ("curves", plots.curves(numbers)),
            ("ends", plots.ends(numbers)),
            ("ledgers", plots.ledgers(numbers)),
        )
    }
    setups = tables.setups(numbers)
    return {
        "tables": tables.results(numbers, k),
        "means": tables.means(numbers),
        "setups": setups,
        "differing": tables.differing(setups),
        "end_table": tables.ends(numbers),
        "reasons": tables.reasons(numbers),
        "faults": tables.faults(numbers),
        "terms": [
            {"name": term, "colour": paint} for term, paint in plots.term_colours(numbers).items()
        ],
        **drawn,
    }


def policy(style: str, script: str, *, live: bool = False) -> str:
    """The page's content security policy: its own style and script, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "img-src data:",
            f"connect-src {chr(39)}{'self' if live else 'none'}{chr(39)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


@cache
def _asset(names: tuple[str, ...], folder: str = "") -> str:
    here = files("tau2_gym.results.page")
    return "\n".join(here.joinpath(f"{folder}{name}").read_text(encoding="utf-8") for name in names)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _in_script(data: Any) -> str:
    """JSON that can stand in a script element, whatever is in it."""
    text = to_json(data, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _lead(runs: Sequence[Run]) -> str:
    if not runs:
        return "No attempt has been played yet."
    attempts = sum(len(run.rows) for run in runs)
    tasks = len({task_of(row) for run in runs for row in run.rows})
    domains = list(dict.fromkeys(name for run in runs for name in run.domains))
    where = " and ".join([", ".join(domains[:-1]), domains[-1]] if len(domains) > 1 else domains)
    return shown(
        f"{attempts:,} attempt{'s' * (attempts != 1)} at {tasks:,} task{'s' * (tasks != 1)} in {where}"
    )


def _footer(runs: Sequence[Run]) -> str:
    revisions = Counter((row["domain"], row["revision"]) for run in runs for row in run.rows)
    said = ", ".join(f"{domain} {revision}" for domain, revision in sorted(revisions))
    return shown(f"Made by tau2-gym. Revisions of the tasks: {said or 'none yet'}.")


__all__ = ["Attempt", "missing", "page", "policy", "report", "require_packages"]
