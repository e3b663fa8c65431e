"""The plots of the page: in its colours, without styles of their own, and with what is pointed at."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path

import pytest

from tau2_gym.results.page import plots
from tau2_gym.results.page.numbers import Numbers, numbers_of
from tau2_gym.results.page.svg import NAMES
from tests.results.runs import record, run

STYLE = files("tau2_gym.results.page").joinpath("page.css").read_text(encoding="utf-8")


@pytest.fixture
def numbers(tmp_path: Path) -> list[Numbers]:
    made = []
    for name, domains in (("sft", ("shop", "bank")), ("rl", ("shop",))):
        records = [
            record(str(task), trial, float((task + trial) % 2), domain=domain)
            for domain in domains
            for task in range(3)
            for trial in range(2)
        ]
        made.append(numbers_of(run(tmp_path / f"{name}.jsonl", records), name))
    return made


def test_there_is_a_plot_for_each_domain_and_each_run(numbers: list[Numbers]) -> None:
    assert [plot.title for plot in plots.curves(numbers)] == ["shop", "bank", "overall"]
    assert [plot.title for plot in plots.ends(numbers)] == ["shop", "bank"]
    assert [plot.title for plot in plots.ledgers(numbers)] == ["sft", "rl"]


def test_plots_have_no_styles_and_no_colours_of_their_own(numbers: list[Numbers]) -> None:
    ids: list[str] = []
    for plot in (*plots.curves(numbers), *plots.ends(numbers), *plots.ledgers(numbers)):
        root = ET.fromstring(plot.svg)
        for element in root.iter():
            assert element.tag.rpartition("}")[2] not in ("style", "script", "image", "metadata")
            assert "style" not in element.attrib
            assert element.get("fill", "none") == "none"
            assert element.get("stroke", "none") == "none"
            for name in (element.get("class") or "").split():
                assert re.search(rf"\.{name}\b", STYLE)
        ids += [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        for target in re.findall(r'(?:url\(#|href="#)([^)"]+)', plot.svg):
            assert target in ids
    assert len(ids) == len({*ids})


def test_every_colour_has_its_classes() -> None:
    for name in NAMES:
        assert f".fill-{name} " in STYLE
        assert f".line-{name} " in STYLE


def test_what_is_pointed_at_says_what_it_is(numbers: list[Numbers]) -> None:
    shop, *_ = plots.curves(numbers)
    titles = re.findall(r"<title>(.*?)</title>", shop.svg)
    assert titles[0] == "sft: pass@1 50.0 % [50, 50]"
    assert len(titles) == 8
    ended, *_ = plots.ends(numbers)
    assert re.findall(r"<title>(.*?)</title>", ended.svg)[:2] == [
        "sft: passed, 3 attempts, 50.0 %",
        "sft: user_stop, 3 attempts, 50.0 %",
    ]


def test_the_same_numbers_give_the_same_plots(numbers: list[Numbers]) -> None:
    assert plots.curves(numbers) == plots.curves(numbers)


def test_one_attempt_per_task_gives_no_curve(tmp_path: Path) -> None:
    assert plots.curves([numbers_of(run(tmp_path / "a.jsonl", [record()]), "a")]) == []


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    records = [record(str(n), t, domain="<b>$x^2$</b>") for n in range(2) for t in range(2)]
    one = numbers_of(run(tmp_path / "a.jsonl", records), "<img src=x>")
    for plot in (*plots.curves([one]), *plots.ends([one]), *plots.ledgers([one])):
        assert "<img" not in plot.svg
        assert "<b>" not in plot.svg
        ET.fromstring(plot.svg)


def test_of_many_attempts_k_doubles_along_the_axis(tmp_path: Path) -> None:
    records = [record("1", trial, float(trial == 3)) for trial in range(20)]
    (plot,) = plots.curves([numbers_of(run(tmp_path / "a.jsonl", records), "a")])
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)
    assert labels[:6] == ["1", "2", "4", "8", "16", "k"]
