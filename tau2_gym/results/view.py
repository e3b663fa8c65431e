"""The page about runs, live while they go on: `tau2-gym view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tau2_gym.exits import PLAIN, Command, ending
from tau2_gym.results.page.build import require_packages
from tau2_gym.results.page.serving import PageServer, Site
from tau2_gym.results.report import distinct

app = typer.Typer(add_completion=False)


@app.command(cls=Command)
def main(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Results, JSON lines. It waits for a file that is not there yet.",
        ),
    ],
    port: Annotated[
        int, typer.Option(help="Where to listen; 0 is a free port.", min=0, max=65535)
    ] = 0,
    host: Annotated[
        str, typer.Option(help="At which address: by default, this machine alone reaches it.")
    ] = "127.0.0.1",
) -> None:
    """Serve the page of runs on this machine, and show new attempts as they end.

    Ctrl-C ends it. Whoever reaches the address can read the runs; there is no password.
    """
    console = Console()
    with ending(console):
        require_packages()
        site = Site(distinct(runs))
        site.page()  # It takes a while where there are many attempts: nobody shall wait for it.
        server = PageServer(host, port, site)
        for path in runs:
            if not path.exists():
                console.print(f"{path} is not there yet: waiting for it.", **PLAIN)
        console.print(f"{site.attempts:,} attempts at {server.url} (Ctrl-C ends this)", **PLAIN)
        server.watch()
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            console.print("Ended.", **PLAIN)
        finally:
            server.server_close()


if __name__ == "__main__":
    app()
