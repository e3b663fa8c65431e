"""How command lines end."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from tau2_gym.exits import complain


def test_what_is_wrong_holds_no_secret_and_nothing_that_a_terminal_obeys() -> None:
    file = StringIO()
    complain(
        Console(file=file, width=200),
        "no [red]\x1b[2J at http://me:pass@host/ with sk-5550123987zyxwvuts",
    )
    assert file.getvalue() == "error: no [red]\\x1b[2J at http://***@host/ with ***\n"
