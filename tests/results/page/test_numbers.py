"""The numbers of the page are those of the table of results."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.errors import DataError
from tau2_gym.results.page import tables
from tau2_gym.results.page.numbers import chosen, end_of, ledger, numbers_of
from tau2_gym.results.record import Record
from tau2_gym.results.summary import summarise
from tests.results.runs import record, run

FAULT: dict[str, Any] = {"fault": "user", "termination": None, "official": None}


def records() -> list[Record]:
    found = [
        record(str(task), trial, float((task * 7 + trial * 3) % 5 < 2), domain=domain)
        for domain, task, trial in product(("shop", "bank"), range(6), range(4))
    ]
    found[3] = record("0", 3, domain="shop", **FAULT)
    found[9] = record("2", 1, None, domain="shop", ungraded=["NL_ASSERTION"])
    return found


def test_every_value_is_that_of_the_summary(tmp_path: Path) -> None:
    played = run(tmp_path / "a.jsonl", records(), seed=3)
    numbers = numbers_of(played, "a", [2])
    summary = summarise(played.rows, 4, 3)
    groups = {**summary["by_domain"], "overall": summary["overall"]}
    assert numbers.groups.keys() == groups.keys()
    for name, group in groups.items():
        values = numbers.groups[name].values
        assert values.keys() == group["bounds"].keys()
        for metric, value in values.items():
            assert value.mean.to_dict() == group["pass"]["excluded"][metric]
            assert (value.worst, value.best) == pytest.approx(
                (group["bounds"][metric]["worst"], group["bounds"][metric]["best"])
            )
    assert numbers.groups["shop"].values["pass@2"].bounded
    assert not numbers.groups["bank"].values["pass@2"].bounded


def test_tasks_that_nobody_judged_are_left_out_as_in_the_summary(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    played = run(path, [record("1"), record("2", official=0.0)])
    assert numbers_of(played, "a").groups["shop"].values["pass@1"].mean.value == 0.5
    summary = path.with_suffix(".summary.json")
    summary.write_text('{"by_domain": {"shop": {"ungraded": ["2"]}}}')
    numbers = numbers_of(played, "a")
    assert numbers.groups["shop"].values["pass@1"].mean.value == 1.0
    assert numbers.groups["shop"].summary["tasks_covered"] == 1
    summary.write_text('{"by_domain": {"shop": {}}}')
    with pytest.raises(DataError, match="is not the summary of a run: it has no 'ungraded'"):
        numbers_of(played, "a")


def test_answers_add_mean_and_majority(tmp_path: Path) -> None:
    answers = [
        record("1", trial, float(trial > 0), answer="8" if trial else "7") for trial in range(3)
    ]
    numbers = numbers_of(run(tmp_path / "a.jsonl", answers), "a")
    values = numbers.groups["shop"].values
    assert values["maj@3"].mean.value == 1.0
    assert values["mean@3"].mean.value == pytest.approx(2 / 3)
    assert [table["metric"] for table in tables.results([numbers], 3)] == [
        *("pass@1", "pass@3", "pass^3", "mean@3", "maj@3")
    ]


def test_a_curve_has_all_small_k_and_ends_at_the_largest() -> None:
    assert chosen(1) == [1]
    assert chosen(4) == [1, 2, 3, 4]
    assert chosen(24) == list(range(1, 25))
    many = chosen(1000)
    assert many[:8] == list(range(1, 9))
    assert many[-1] == 1000
    assert len(many) <= 32


def test_ends() -> None:
    assert end_of(record().to_dict()) == "passed"
    assert end_of(record(official=0.5).to_dict()) == "user_stop"
    assert end_of(record(**FAULT).to_dict()) == "fault: user"
    assert end_of(record(official=0.0, termination=None).to_dict()) == "not ended"


def test_the_ledger_adds_up_turn_by_turn_and_what_has_ended_keeps_what_it_has() -> None:
    rows = [
        record(rewards=[{"progress": 0.2}, {"progress": 0.2, "official": 1.0}]).to_dict(),
        record(rewards=[{"progress": 0.4}]).to_dict(),
    ]
    assert ledger(rows) == {"progress": [0.3, 0.4], "official": [0.0, 0.5]}
    assert ledger([record(rewards=[]).to_dict()]) == {}


def test_what_makes_runs_hard_to_compare_is_named(tmp_path: Path) -> None:
    one = numbers_of(run(tmp_path / "a.jsonl", [record()], agent="a", user="scripted"), "a")
    two = numbers_of(run(tmp_path / "b.jsonl", [record()], agent="b", user="scripted"), "b")
    assert tables.differing(tables.setups([one, two])) == ""
    other = numbers_of(run(tmp_path / "c.jsonl", [record(revision="r2")], user="llm"), "c")
    said = tables.differing(tables.setups([one, other]))
    assert said == "not alike, they differ in user, revision of shop"
    fewer = numbers_of(run(tmp_path / "d.jsonl", [record("2")], user="scripted"), "d")
    assert (
        tables.differing(tables.setups([one, fewer])) == "not alike, they differ in tasks of shop"
    )
    elsewhere = numbers_of(run(tmp_path / "e.jsonl", [record(domain="bank")], user="scripted"), "e")
    assert tables.differing(tables.setups([one, elsewhere])) == ""


def test_numbers_of_ends_lead_to_their_attempts(tmp_path: Path) -> None:
    played = [record("1"), record("2", official=0.0), record("3", **FAULT)]
    one = numbers_of(run(tmp_path / "a.jsonl", played), "a b")
    links = {line["name"]: line["cells"][0]["link"] for line in tables.ends([one])}
    assert links == {
        "passed": "#/?outcome=passed",
        "user_stop": "#/?end=user_stop&outcome=failed",
        "fault: user": "#/?end=fault%3A%20user",
    }
    assert tables.ends([one, one])[0]["cells"][0]["link"] == "#/?run=a%20b&outcome=passed"


def test_floors_stand_below_the_domains(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    played = run(path, [record("1"), record("2", official=0.0)])
    floor = summarise([record("1", official=0.0).to_dict()], 1, 0)
    summary = {**summarise(played.rows, 1, 0), "floors": {"noop": floor}}
    path.with_suffix(".summary.json").write_text(json.dumps(summary))
    other = numbers_of(run(tmp_path / "b.jsonl", [record("1", domain="bank")]), "b")
    (table,) = tables.results([numbers_of(played, "a"), other], 1)
    lines = [(line["domain"], line["kind"], line["cells"]) for line in table["lines"]]
    assert [line[:2] for line in lines] == [("shop", ""), ("noop", "floor"), ("bank", "")]
    assert [cell and (cell["text"], cell["interval"]) for cell in lines[1][2]] == [
        ("0.0", "[0, 0]"),
        None,
    ]


def test_what_failed_attempts_lack(tmp_path: Path) -> None:
    fine = {
        "db": True,
        "performed": [True],
        "communicate": [True],
        "env_assertions": [True],
        "unexpected": 0,
    }
    bad = {
        "db": False,
        "performed": [True, False],
        "communicate": [],
        "env_assertions": [],
        "unexpected": 2,
    }
    rows = [
        record("1", checks={**fine, "db": False}),
        record("2", official=0.0, checks=bad),
        record("3", official=0.0, checks={**fine, "communicate": [False]}),
        record("4", official=0.0, checks={**fine, "env_assertions": [True, False], "db": False}),
        record("5", official=0.0, checks=None),
        record("6", **FAULT, checks=bad, error="It hung."),
        record("7", **FAULT, checks=bad, error="It hung."),
        record("8", official=None, ungraded=["NL_ASSERTION"], checks=bad),
    ]
    one = numbers_of(run(tmp_path / "a.jsonl", rows), "a")
    assert [(line["name"], line["cells"]) for line in tables.reasons([one])] == [
        ("the database is not as expected", ["2"]),
        ("an assertion does not hold", ["1"]),
        ("something required was not said", ["1"]),
        ("an expected action was not performed", ["1"]),
        ("something was changed that should not have been", ["1"]),
    ]
    assert tables.faults([one]) == ["2×: It hung."]
    assert tables.faults([one, one]) == ["a, 2×: It hung."] * 2
    passed = numbers_of(run(tmp_path / "b.jsonl", rows[:1]), "b")
    assert (tables.reasons([passed]), tables.faults([passed])) == ([], [])
