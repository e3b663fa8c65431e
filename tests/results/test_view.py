"""`tau2-gym view`: started, shown while a run goes on, and ended."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from tau2_gym.results.view import app
from tests.results import browser
from tests.results.runs import record, write

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


@contextmanager
def viewing(*runs: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, and what it has said up to its address."""
    command = [sys.executable, "-u", "-m", "tau2_gym.cli", "view", *map(str, runs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if ADDRESS.search(line):
                break
        yield process, said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def test_it_waits_for_a_run_and_ends_with_the_keyboard(tmp_path: Path) -> None:
    path = tmp_path / "later.jsonl"
    with viewing(path) as (process, said):
        assert said[0] == f"{path} is not there yet: waiting for it."
        found = ADDRESS.search(said[-1])
        assert found, said
        with urlopen(found[0], timeout=60) as answer:
            page = answer.read().decode()
        assert "Waiting for the first attempt of later." in page
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert (process.returncode, rest.strip()) == (0, "Ended.")


@pytest.mark.parametrize("content", ["hello\n", '{"simulations": []}\n'])
def test_what_is_not_a_run_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    done = CliRunner().invoke(app, [str(path)])
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert "line 1" in " ".join(done.output.split())


def test_a_folder_is_refused(tmp_path: Path) -> None:
    done = CliRunner(env={"COLUMNS": "500"}).invoke(app, [str(tmp_path)])
    assert (done.exit_code, done.output) == (
        2,
        f"error: {tmp_path} is a folder: name the JSON-lines file of a run\n",
    )


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_new_attempts_come_without_a_reload_of_what_one_looks_at(tmp_path: Path) -> None:
    from playwright.sync_api import expect

    path = write(tmp_path / "a.jsonl", [record("1"), record("1", 1, 0.0)], agent="noop")

    def add(**about: Any) -> None:
        with path.open("a") as file:
            file.write(json.dumps(record(**about).to_dict()) + "\n")

    with viewing(path) as (process, said), browser.browser() as chromium:
        found = ADDRESS.search(said[-1])
        assert found, said
        watched = browser.Watched(chromium.new_page())
        page = watched.page
        page.goto(found[0])
        expect(page.locator("#grid a.cell")).to_have_count(2)
        # A filter, a conversation and what was unfolded in it stay as they are.
        page.select_option("[name=domain]", "shop")
        page.locator("#grid a.cell").first.click()
        page.wait_for_selector(".turn")
        page.evaluate("document.querySelector('.turn').dataset.mine = 'yes'")
        add(task_id="2")
        expect(page.locator("#count")).to_have_text(
            re.compile(r"^(3|. of 3) attempts"), timeout=60_000
        )
        assert page.get_attribute(".turn", "data-mine") == "yes"
        page.click("#back")
        expect(page.locator("#grid a.cell")).to_have_count(3)
        assert page.input_value("[name=domain]") == "shop"
        expect(page.locator("#results .lead")).to_have_text(
            "3 attempts at 2 tasks in shop", timeout=60_000
        )
        # Whoever moves in the grid keeps the place.
        held = page.evaluate("document.activeElement.href")
        assert held
        add(task_id="0<img src=x onerror=alert(1)>", domain="bank")
        expect(page.locator("#count")).to_have_text(
            re.compile(r"^(4|. of 4) attempts"), timeout=60_000
        )
        assert page.evaluate("document.activeElement.href") == held
        page.click("#clear")
        expect(page.locator("#grid a.cell")).to_have_count(4)
        expect(page.locator("#live")).to_have_text("live")
        process.send_signal(signal.SIGINT)
        expect(page.locator("#live")).to_have_text("the server has stopped", timeout=60_000)
        assert {address.partition("?")[0] for address in watched.requests} <= {
            *(found[0], f"{found[0]}index.json", f"{found[0]}attempt/a/0/shop/1")
        }
        assert all("ERR_CONNECTION_REFUSED" in problem for problem in watched.problems)
