"""The page in a real browser: opened, filtered, clicked through, left and linked to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.results.page.build import report
from tau2_gym.results.run import read_run
from tests.results import browser
from tests.results.runs import call, record, result, run, write

if (why := browser.missing()) is not None:
    pytest.skip(why, allow_module_level=True)

from playwright.sync_api import expect

MARKUP = "<img src=x onerror=\"document.title='broken'\"></script><script>document.title='broken'</script>"
SECRET = "sk-live-0123456789abcdef"
LONG = "word " * 2000


def runs(folder: Path) -> list[Any]:
    """Two runs with all outcomes, markup, a secret, and a long text."""
    made = []
    for number, name in enumerate(("sft", "rl")):
        records = [
            record(f"task {task} {MARKUP}" if task == 2 else f"task {task}", trial, float((task + trial + number) % 3 > 0), domain=domain)
            for domain, task, trial in product(("shop", "bank"), range(3), range(2))
        ]  # fmt: skip
        records[1] = record(
            "task 0", 1, None, domain="shop", fault="user", termination=None, error="It hung."
        )
        records[2] = record(
            "task 1",
            0,
            0.0,
            domain="shop",
            messages=[
                {"role": "assistant", "content": f"{MARKUP} {SECRET}"},
                {"role": "user", "content": LONG},
                call("find_order", order_id=MARKUP),
                result(json.dumps({"html": MARKUP, "rows": list(range(200))})),
                {"role": "assistant", "content": "Restart."},
                call("restart", "user"),
                result("It is broken.", "user", error=True),
                {"role": "user", "content": "###STOP###"},
            ],
        )
        made.append(run(folder / f"{name}.jsonl", records))
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.browser() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, telecom: Path) -> str:
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_API_KEY", SECRET)
        content = report([*runs(folder), read_run(telecom)])
    (folder / "report.html").write_bytes(content)
    return (folder / "report.html").as_uri()


@pytest.fixture
def watched(chromium: Any) -> Iterator[browser.Watched]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    found = browser.Watched(context.new_page())
    yield found
    assert found.page.title() != "broken"
    context.close()
    assert found.problems == []
    assert found.requests == []


def opened(watched: browser.Watched, address: str) -> Any:
    """The page at its grid, whose cells come as they come near the window."""
    watched.page.goto(address)
    watched.page.wait_for_selector("#grid a.cell")
    watched.page.locator("#grid").scroll_into_view_if_needed()
    watched.page.evaluate(
        "document.getElementById('attempts').scrollIntoView({behavior: 'instant'})"
    )
    return watched.page


def read(watched: browser.Watched, address: str) -> Any:
    """The page at a conversation."""
    watched.page.goto(address)
    watched.page.wait_for_selector(".turn")
    return watched.page


def cells(page: Any, count: int) -> Any:
    """The cells of the grid, once there are so many."""
    found = page.locator("#grid a.cell")
    expect(found).to_have_count(count)
    return found


def test_filtered_clicked_through_and_back(watched: browser.Watched, address: str) -> None:
    page = opened(watched, address)
    cells(page, 26)
    assert page.inner_text("#count") == "26 attempts."
    page.select_option("[name=domain]", "shop")
    page.select_option("[name=outcome]", "failed")
    assert page.inner_text("#count") == "6 of 26 attempts."
    found = cells(page, 6)
    assert {found.nth(n).get_attribute("class") for n in range(6)} == {"cell failed"}
    page.fill("[name=task]", "task 1")
    page.locator("#grid a.cell").first.click()
    page.wait_for_selector(".turn")
    assert page.locator("#overview").is_hidden()
    assert page.inner_text("#conversation h1") == "task task 1"
    assert "domain=shop" in page.url
    page.go_back()
    page.wait_for_selector("#grid a.cell")
    assert page.locator("#conversation").is_hidden()
    assert page.input_value("[name=domain]") == "shop"
    # The attempt that one comes from has the focus.
    assert page.evaluate("document.activeElement.className") == "cell failed"
    page.click("#clear")
    assert page.inner_text("#count") == "26 attempts."


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("run", "rl", 12),
        ("domain", "telecom", 2),
        ("outcome", "fault", 2),
        ("end", "fault: user", 2),
        ("tool", "agent: refuel_data", 2),
        ("tool", "user: restart", 24),
    ],
)  # fmt: skip
def test_every_filter_leaves_what_it_says(
    watched: browser.Watched, address: str, name: str, value: str, left: int
) -> None:
    page = opened(watched, address)
    page.select_option(f"[name={name}]", value)
    cells(page, left)


def test_what_fits_no_filter_is_said(watched: browser.Watched, address: str) -> None:
    page = opened(watched, address)
    page.fill("[name=task]", "no such task")
    assert page.inner_text("#grid") == "No attempt fits these filters."


def test_both_sides_are_shown_apart_with_their_tools(
    watched: browser.Watched, address: str
) -> None:
    page = read(watched, f"{address}#/sft/0/shop/task%201")
    first, second = page.locator("#turn-1"), page.locator("#turn-2")
    assert first.locator(".call.agent b").inner_text() == "find_order"
    assert second.locator(".call.user.error b").inner_text() == "restart"
    assert second.locator(".call.user pre").inner_text() == "It is broken."
    left = first.locator(".call.agent").bounding_box()["x"]
    assert second.locator(".call.user").bounding_box()["x"] > left + 20
    deeds = page.locator(".deeds").first
    assert deeds.inner_text().split() == ["turn", "2", "restart", "(failed)"]
    deeds.locator("button").click()
    assert page.evaluate("document.activeElement.id") == "turn-2"


def test_markup_is_text_and_secrets_are_masked(watched: browser.Watched, address: str) -> None:
    page = read(watched, f"{address}#/sft/0/shop/task%201")
    assert page.locator("#turn-0 .bubble.agent").inner_text() == f"agent\n{MARKUP} ***"
    assert page.locator("#conversation img").count() == 0
    page.locator("#turn-1 summary").click()
    assert '"html": "<img src=x' in page.inner_text("#turn-1 pre")
    assert SECRET not in page.content()
    page.locator(".unfold").first.click()
    assert page.locator("#turn-0 .bubble.user").inner_text().count("word") == 2000


def test_a_link_opens_one_conversation(watched: browser.Watched, address: str) -> None:
    page = watched.page
    page.goto(
        f"{address}#/oracle/1/telecom/{'%5Bmobile_data_issue%5Ddata_mode_off%7Cdata_usage_exceeded%5BPERSONA%3ANone%5D'}"
    )
    page.wait_for_selector(".turn")
    assert page.inner_text(".badge") == "passed"
    # As a person or a mail program may write it.
    page.goto(
        f"{address}#/oracle/0/telecom/[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"
    )
    expect(page.locator(".crumbs")).to_contain_text("attempt 0")
    page.goto(f"{address}#/oracle/0/telecom/%E0%A4%A")
    page.wait_for_selector("text=This page has no such attempt")
    page.go_back()
    expect(page.locator(".crumbs")).to_contain_text("attempt 0")
    assert "partial score" in page.inner_text(".aside")
    # Φ by turns, each with its point.
    assert page.locator("svg.phi circle").count() == page.locator(".turn").count()
    assert page.locator(".checks li").count() > 3
    assert "Ended by user_stop" in page.inner_text(".over")
    page.goto(f"{address}#/oracle/7/telecom/nothing")
    page.wait_for_selector("text=This page has no such attempt")
    page.locator("#conversation a", has_text="All attempts").click()
    page.wait_for_selector("#grid a.cell")


def test_it_can_be_used_with_the_keyboard(watched: browser.Watched, address: str) -> None:
    page = opened(watched, address)
    page.focus("#theme")
    page.focus("[name=order]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className").startswith("cell")
    first = page.evaluate("document.activeElement.href")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.href") == first
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn")
    page.keyboard.press("j")
    expect(page).not_to_have_url(first)
    page.wait_for_selector(".cell.here")
    page.keyboard.press("k")
    expect(page).to_have_url(first)
    page.keyboard.press("Escape")
    page.wait_for_selector("#grid a.cell")
    assert page.evaluate("document.activeElement.href") == first


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_system_and_its_switch(chromium: Any, address: str, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    shades = {"light": "rgb(251, 250, 248)", "dark": "rgb(19, 21, 23)"}
    other = {"light": "dark", "dark": "light"}[scheme]
    shade = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(shade) == shades[scheme]
    page.click("#theme")
    assert page.evaluate(shade) == shades[other]
    page.click("#theme")
    assert page.evaluate(shade) == shades[scheme]
    context.close()


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_cut_off_on_a_phone(watched: browser.Watched, address: str, width: int) -> None:
    page = watched.page
    page.set_viewport_size({"width": width, "height": 800})
    opened(watched, address)
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(beyond) <= 0
    page.locator("#grid a.cell").first.click()
    page.wait_for_selector(".turn")
    assert page.evaluate(beyond) <= 0
    turn = page.locator("#turn-2 .call.user").bounding_box()
    assert turn["x"] >= 0
    assert turn["x"] + turn["width"] <= width


def test_numbers_that_lead_to_attempts(watched: browser.Watched, address: str) -> None:
    page = opened(watched, address)
    link = page.locator(".counts a").first
    shown = int(link.inner_text())
    link.click()
    expect(page.locator("#count")).to_contain_text(" of ")
    cells(page, shown)
    assert page.input_value("[name=outcome]") == "passed"


def test_a_report_of_a_single_attempt(watched: browser.Watched, tmp_path: Path) -> None:
    (tmp_path / "r.html").write_bytes(report([read_run(write(tmp_path / "a.jsonl", [record()]))]))
    page = opened(watched, (tmp_path / "r.html").as_uri())
    assert "Every task was played once" in page.inner_text("#curves")
    assert page.locator("[name=run]").count() == 0
