"""A run's numbers."""

from __future__ import annotations

import re
from io import StringIO
from itertools import product
from typing import Any

import pytest
from rich.console import Console

from tau2_gym.domains.base import get_domain
from tau2_gym.results.summary import summarise
from tau2_gym.results.table import WIDE, caption, remarks, table


def row(task_id: str, official: float | None, **changes: Any) -> dict[str, Any]:
    base = {
        "domain": "retail",
        "task_id": task_id,
        "official_reward": official,
        "fault": None,
        "ungraded": None,
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.25, "calls": 1},
        "user_usage": {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0, "calls": 0},
        "reward": 0.5,
        "partial_score": 0.5,
        "num_turns": 4,
        "steps": 9,
        "num_errors": 1,
        "malformed": 0,
        "ownership_violations": 0,
        "termination": "user_stop",
    }
    return {**base, **changes}


FAULTY = {"fault": "infrastructure", "termination": None}


def value(summary: dict[str, Any], metric: str, faults: str = "excluded") -> float | None:
    found: float | None = summary["overall"]["pass"][faults][metric]["value"]
    return found


def test_pass_metrics_of_a_small_run() -> None:
    rows = [row("1", 1.0), row("1", 0.0), row("2", 1.0), row("2", 1.0)]
    summary = summarise(rows, 2, seed=0)
    assert value(summary, "pass@1") == 0.75
    assert value(summary, "pass@2") == 1.0
    assert value(summary, "pass^2") == 0.5


def test_faults_are_counted_both_ways() -> None:
    rows = [row("1", 1.0), row("1", None, **FAULTY)]
    summary = summarise(rows, 2, seed=0)
    assert value(summary, "pass@1", "excluded") == 1.0
    assert value(summary, "pass@1", "failed") == 0.5
    assert value(summary, "pass@2", "excluded") is None
    assert value(summary, "pass@2", "failed") == 1.0
    assert summary["overall"]["faults"] == {"infrastructure": 1}


def test_only_faults_are_null_everywhere() -> None:
    summary = summarise([row("1", None, **FAULTY)], 1, seed=0)
    assert value(summary, "pass@1") is None
    assert value(summary, "pass@1", "failed") == 0.0
    assert summary["overall"]["official_reward"] is None


def test_ungraded_attempts_neither_pass_nor_fail_and_are_named() -> None:
    rows = [row("1", 1.0), row("2", None, ungraded=["NL_ASSERTION"])]
    summary = summarise(rows, 1, seed=0)
    for faults in ("excluded", "failed"):
        assert summary["overall"]["pass"][faults]["pass@1"] == {
            "value": 1.0,
            "low": 1.0,
            "high": 1.0,
            "tasks": 1,
        }
    assert summary["overall"]["ungraded"] == ["2"]


def test_a_task_is_left_out_whole_when_one_of_its_attempts_is_ungraded() -> None:
    # What fails the database is 0 without a judge, and what passes it has no grade: the zero alone
    # would say that the task was never solved.
    rows = [row("1", 0.0, reward=-0.25), row("1", None, ungraded=["NL_ASSERTION"], reward=0.25)]
    rows += [row("2", 1.0), row("2", 1.0)]
    overall = summarise(rows, 2, seed=0)["overall"]
    for faults in ("excluded", "failed", "solved"):
        for metric, found in overall["pass"][faults].items():
            assert (metric, found["value"], found["tasks"]) == (metric, 1.0, 1)
    assert (overall["tasks"], overall["tasks_covered"], overall["attempts"]) == (2, 1, 4)
    assert (overall["official_reward"], overall["reward"]) == (1.0, 0.5)
    assert overall["ungraded"] == ["1"]


def test_a_task_without_its_judge_is_left_out_whatever_came_of_it() -> None:
    # Else tasks at which all attempts fail would stay, and those at which one passes would not.
    rows = [row("1", 0.0), row("1", 0.0), row("2", 1.0), row("2", 0.0)]
    overall = summarise(rows, 2, seed=0, unjudged={("retail", "1"), ("retail", "9")})["overall"]
    assert overall["pass"]["excluded"]["pass@1"]["value"] == 0.5
    assert (overall["tasks_covered"], overall["ungraded"]) == (1, ["1"])


def test_leaving_tasks_out_does_not_depend_on_how_good_the_agent_is() -> None:
    # Task 1 has a judge and task 2 lacks one. However often the agent passes the database of task 2,
    # the numbers are those of task 1.
    for passes in range(4):
        rows = [row("1", 1.0), row("1", 0.0), row("1", 0.0)]
        rows += [row("2", None if n < passes else 0.0, ungraded=None) for n in range(3)]
        overall = summarise(rows, 3, seed=0, unjudged={("retail", "2")})["overall"]
        assert overall["pass"]["excluded"]["pass@1"]["value"] == pytest.approx(1 / 3)
        assert overall["official_reward"] == pytest.approx(1 / 3)
        assert overall["tasks_covered"] == 1


def test_tasks_of_one_id_without_a_judge_in_two_domains_are_two() -> None:
    rows = [row("1", None), row("1", None, domain="airline"), row("2", 1.0)]
    summary = summarise(rows, 1, seed=0)
    assert summary["overall"]["ungraded"] == ["1", "1"]
    assert "2 of 3 tasks need a judge" in (caption(summary) or "")


def test_a_judge_at_fault_is_a_fault_and_not_a_task_without_a_judge() -> None:
    rows = [row("1", None, fault="judge", ungraded=["NL_ASSERTION"]), row("1", 1.0)]
    overall = summarise(rows, 1, seed=0)["overall"]
    assert (overall["ungraded"], overall["faults"]) == ([], {"judge": 1})
    assert overall["bounds"]["pass@1"] == {"worst": 0.5, "best": 1.0}


def test_the_bounds_hold_whatever_the_faulty_attempts_would_have_come_to() -> None:
    known = [row("1", 1.0), row("1", 0.0), row("2", 0.0), row("2", 1.0), row("3", 1.0)]
    open_ones = ["1", "2", "3", "3"]
    faulty = [row(task, None, **FAULTY) for task in open_ones]
    bounds = summarise(known + faulty, 3, seed=0)["overall"]["bounds"]
    reached: dict[str, list[float]] = {name: [] for name in bounds}
    for outcome in product((0.0, 1.0), repeat=len(open_ones)):
        played = [row(task, reward) for task, reward in zip(open_ones, outcome, strict=True)]
        metrics = summarise(known + played, 3, seed=0)["overall"]["pass"]["excluded"]
        for name in bounds:
            reached[name].append(metrics[name]["value"])
    assert bounds.keys() == {f"pass{sign}{k}" for sign in "@^" for k in (1, 2, 3)}
    for name, values in reached.items():
        assert bounds[name] == {"worst": min(values), "best": max(values)}


def test_numbers_are_means_over_the_attempts_that_were_played() -> None:
    numbers = {"reward": 1.5, "partial_score": 0.25, "num_turns": 7, "steps": 11, "num_errors": 3}
    numbers |= {"malformed": 2, "ownership_violations": 5}
    nothing = dict.fromkeys(numbers, 100)
    rows = [row("1", 1.0, **numbers), row("2", 0.0, **dict.fromkeys(numbers, 0))]
    rows.append(row("3", None, **FAULTY, **nothing))
    overall = summarise(rows, 1, seed=0)["overall"]
    assert {name: overall[name] for name in numbers} == {
        name: number / 2 for name, number in numbers.items()
    }
    assert overall["official_reward"] == 0.5
    assert overall["terminations"] == {"user_stop": 2}
    assert (overall["attempts"], overall["successes"]) == (3, 1)


def test_what_models_took_is_summed() -> None:
    overall = summarise([row("1", 1.0), row("2", 0.0)], 1, seed=0)["overall"]
    assert overall["cost"] == {"agent": 0.5, "user": 0.0}
    assert overall["tokens"] == {"prompt_tokens": 20, "completion_tokens": 4}


def test_tasks_of_the_same_id_in_two_domains_are_two_tasks() -> None:
    rows = [row("1", 1.0), row("1", 0.0, domain="airline")]
    summary = summarise(rows, 1, seed=0)
    assert summary["overall"]["tasks"] == 2
    assert summary["by_domain"]["airline"]["pass"]["excluded"]["pass@1"]["value"] == 0.0


def printed(rows: list[dict[str, Any]], k: int, width: int = WIDE, **more: Any) -> str:
    buffer = StringIO()
    summary = summarise(rows, k, seed=0, **more)
    Console(file=buffer, width=width).print(table(summary, k, "title", width))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def test_the_table_shows_every_domain_and_what_it_leaves_out() -> None:
    rows = [row("1", 1.0), row("1", 1.0, domain="airline"), row("2", None, **FAULTY)]
    for width in (80, WIDE):
        text = printed(rows, 1, width)
        for expected in ("retail", "airline", "overall", "100.0 [100, 100]", "1 infrastructure"):
            assert expected in text
        assert "…" not in text


@pytest.mark.parametrize("width", [40, 50, 60, 79])
def test_a_row_is_one_line_that_says_its_domain_however_narrow_the_terminal(width: int) -> None:
    rows = [row("1", 1.0), row("1", 1.0, domain="airline"), row("2", 0.0)]
    title, _, _, _, *lines = printed(rows, 1, width).rstrip().splitlines()
    assert title == "title"
    assert [line.split()[0][:3] for line in lines] == ["ret", "air", "ove"]


def cells(text: str) -> list[list[str]]:
    """The words of a table line by line, columns being two spaces apart."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()]


def test_the_table_says_exactly_what_there_is() -> None:
    rows = [row("1", 1.0), row("1", 0.0), row("2", 1.0), row("2", 1.0)]
    numbers = {"num_turns": 9, "num_errors": 2, "ownership_violations": 1, "partial_score": 0.125}
    rows += [row("1", 1.0, domain="airline", **numbers)] * 2
    rows += [row("2", 0.0, domain="airline", **{**numbers, "num_turns": 10, "num_errors": 3})] * 2
    title, head, _, retail, airline, overall = cells(printed(rows, 2))
    assert title == ["title"]
    assert head == [
        *("domain", "tasks", "pass@1", "pass@2", "pass^2", "partial", "turns", "errors"),
        *("viol.", "faults"),
    ]
    assert retail == [
        *("retail", "2", "75.0 [50, 100]", "100.0 [100, 100]", "50.0 [0, 100]"),
        *("0.50", "4.0", "1.0", "0.0", "0"),
    ]
    assert airline == [
        *("airline", "2", "50.0 [0, 100]", "50.0 [0, 100]", "50.0 [0, 100]"),
        *("0.12", "9.5", "2.5", "1.0", "0"),
    ]
    assert overall == [
        *("overall", "4", "62.5 [25, 100]", "75.0 [50, 100]", "50.0 [0, 100]"),
        *("0.31", "6.8", "1.8", "0.5", "0"),
    ]
    narrow = cells(printed(rows, 2, width=80))
    assert narrow[1] == ["domain", "tasks", "pass@1", "pass@2", "pass^2", "partial", "faults"]
    assert narrow[3] == ["retail", "2", "75.0 [50, 100]", "100.0", "50.0", "0.50", "0"]


def test_one_domain_is_not_listed_a_second_time() -> None:
    lines = cells(printed([row("1", 1.0), row("2", 1.0)], 1))
    assert [line[0] for line in lines[3:]] == ["retail"]


@pytest.mark.parametrize("width", [80, WIDE])
def test_numbers_stand_under_the_ends_of_their_names(width: int) -> None:
    rows = [row("1", 0.0), row("2", 0.0), row("1", 1.0, domain="airline", partial_score=0.25)]
    _, _, head, _, *lines = printed(rows, 1, width).splitlines()
    ends = [found.end() for found in re.finditer(r"\S+", head)][1:]
    assert len(lines) == 3
    for line in lines:
        assert all((line + " ")[end - 1] != " " == (line + " ")[end] for end in ends)


def test_the_table_shows_bounds_where_attempts_have_no_result() -> None:
    rows = [row("1", 1.0, domain="airline"), row("1", 1.0, domain="airline")]
    rows += [row("1", 1.0), row("1", None, **FAULTY), row("2", 0.0), row("2", None, fault="user")]
    _, _, _, airline, retail, overall, *notes = cells(printed(rows, 2))
    assert airline[2:5] == ["100.0 [100, 100]"] * 3
    assert retail[2:5] == ["25.0–75.0", "50.0–100.0", "0.0–50.0"]
    assert overall[2:5] == ["50.0–83.3", "66.7–100.0", "33.3–66.7"]
    assert (airline[-1], retail[-1], overall[-1]) == ("0", "2", "2")
    assert " ".join(word for line in notes for word in line) == (
        "Faults (1 infrastructure, 1 user) left attempts without a result. Where there are any, "
        "pass@k and pass^k are given as worst–best: as if all of them had failed, or succeeded. The "
        "other columns leave them out."
    )


def test_the_table_shows_what_a_number_covers() -> None:
    rows = [row("1", 1.0), row("2", None), row("3", 0.0), row("1", 1.0, domain="airline")]
    _, _, _, retail, airline, overall, *notes = cells(printed(rows, 1, unjudged={("retail", "3")}))
    assert retail[:3] == ["retail", "1 of 3", "100.0 [100, 100]"]
    assert airline[:3] == ["airline", "1", "100.0 [100, 100]"]
    assert overall[:3] == ["overall", "2 of 4", "100.0 [100, 100]"]
    assert " ".join(word for line in notes for word in line) == (
        "2 of 4 tasks need a judge and have not been graded: no number covers them. Name a judge with "
        "--judge-model."
    )


def test_answers_that_are_voted_on_add_mean_and_majority() -> None:
    answers = {"trial": 0, "answer": "8"}, {"trial": 1, "answer": "7"}, {"trial": 2, "answer": "7"}
    rows = [row("1", float(more["answer"] == "7"), **more) for more in answers]
    summary = summarise(rows, 3, seed=0)
    assert value(summary, "mean@3") == 2 / 3
    assert value(summary, "maj@3") == 1.0
    assert summary["overall"]["bounds"]["maj@3"] == {"worst": 1.0, "best": 1.0}
    assert cells(printed(rows, 3))[1][2:5] == ["mean@3", "maj@3", "pass@3"]
    assert cells(printed(rows, 3))[3][2:5] == [
        "66.7 [67, 67]",
        "100.0 [100, 100]",
        "100.0 [100, 100]",
    ]
    assert cells(printed(rows, 3, width=80))[3][2:5] == ["66.7 [67, 67]", "100.0", "100.0"]
    assert cells(printed(rows[:1], 1))[1][2] == "pass@1"
    others = [row("1", 1.0, domain="airline", trial=trial) for trial in range(3)]
    assert cells(printed(rows + others, 3))[1][2:5] == ["pass@1", "pass@3", "pass^3"]
    rows[2] = row("1", None, trial=2, answer=None, **FAULTY)
    bounds = summarise(rows, 3, seed=0)["overall"]["bounds"]
    assert bounds["mean@3"] == {"worst": 1 / 3, "best": 2 / 3}
    assert bounds["maj@3"] == {"worst": 0.0, "best": 1.0}


def test_of_32_attempts_pass_at_32_is_shown() -> None:
    rows = [row("1", float(trial == 9), trial=trial) for trial in range(32)]
    summary = summarise(rows, 32, seed=0)
    assert value(summary, "pass@32") == 1.0
    assert value(summary, "pass@1") == 1 / 32
    assert cells(printed(rows, 32))[1][2:5] == ["pass@1", "pass@32", "pass^32"]


def test_what_nobody_knows_is_a_dash() -> None:
    line = cells(printed([row("1", None)], 2))[3]
    assert line == ["retail", "0 of 1", "–", "–", "–", "–", "–", "–", "–", "0"]


def talk(*, agreed: bool) -> list[dict[str, Any]]:
    call = {"name": "cancel_pending_order", "arguments": {}, "id": "1"}
    return [
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": "Cancel #W1."},
        {"role": "assistant", "content": "Shall I?"},
        {"role": "user", "content": "Yes." if agreed else "Why?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]


def test_changes_before_the_users_yes() -> None:
    rows = [
        row("1", 1.0, messages=talk(agreed=True)),
        row("1", 1.0, messages=talk(agreed=False)),
        row("2", 0.0, messages=talk(agreed=False) * 2),
        row("2", None, messages=talk(agreed=False), **FAULTY),
    ]
    summary = summarise(rows, 1, 0, domains={"retail": get_domain("retail")})
    assert summary["by_domain"]["retail"]["confirmation"] == {
        "writes": 4,
        "unconfirmed": 3,
        "attempts": 2,
        "successes": 2,
        "successes_unconfirmed": 1,
    }
    assert list(remarks(summary)) == [
        "Changes before the user had said yes: retail 3 of 4 (in 1 of 2 successes).",
        "Per success: 24 tokens of the agent, $0.5000 for both sides.",
    ]


def test_domains_that_do_not_ask_for_a_yes_are_not_judged_by_it() -> None:
    rows = [row("1", 0.0, domain="telecom", messages=talk(agreed=False))]
    summary = summarise(rows, 1, 0, domains={"telecom": get_domain("telecom")})
    assert summary["overall"]["confirmation"] is None
    assert summary["overall"]["per_success"] is None
    assert list(remarks(summary)) == []


def test_floors_are_rows_below_each_domain() -> None:
    rows = [row("1", 1.0), row("1", 1.0, domain="airline")]
    summary = summarise(rows, 1, 0)
    summary["floors"] = {
        "noop": summarise([{**each, "official_reward": 0.0} for each in rows], 1, 0)
    }
    buffer = StringIO()
    Console(file=buffer, width=WIDE).print(table(summary, 1, "title", WIDE))
    shown = [line.split()[:3] for line in buffer.getvalue().splitlines()[4:-1]]
    assert shown == [
        ["retail", "1", "100.0"], ["noop", "1", "0.0"],
        ["airline", "1", "100.0"], ["noop", "1", "0.0"],
        ["overall", "2", "100.0"], ["noop", "2", "0.0"],
    ]  # fmt: skip
