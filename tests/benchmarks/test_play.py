"""A person plays, as the agent and as the user, and what they play is an attempt like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tau2_gym.cli import app
from tau2_gym.results.run import read_run

TASK = "[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"
SOLVES = (
    'get_customer_by_phone(phone_number="555-123-2002")',
    "Please turn on mobile data.",
    'refuel_data(customer_id="C1001", line_id="L1002", gb_amount=2.0)',
    "Your data is back. Is there anything else I can help you with?",
)


def play(*arguments: Any, typed: tuple[str, ...] = ()) -> Any:
    return CliRunner().invoke(
        app,
        ["play", *map(str, arguments)],
        input="".join(f"{line}\n" for line in typed),
        env={"COLUMNS": "120"},
    )


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_a_person_solves_a_task_as_the_agent(tmp_path: Path) -> None:
    output = tmp_path / "play.jsonl"
    done = play("telecom", "--task", TASK, "--output", output, typed=SOLVES)
    assert done.exit_code == 0, done.output
    (row,) = read_run(output).rows
    assert (row["task_id"], row["trial"], row["official_reward"], row["num_turns"]) == (
        TASK,
        0,
        1.0,
        4,
    )
    assert row["reward"] == pytest.approx(sum(sum(each.values()) for each in row["rewards"]))
    shown = squeezed(done.output)
    assert "user_stop: official 1" in shown
    assert "progress +0.108 0.108" in shown
    assert "toggle_data" not in shown  # The agent does not see the user's calls.
    assert read_run(output).config["agent"] == "person"


def test_another_attempt_is_added(tmp_path: Path) -> None:
    output = tmp_path / "play.jsonl"
    for _ in range(2):
        assert play("telecom", "--task", TASK, "--output", output, typed=SOLVES).exit_code == 0
    rows = read_run(output).rows
    assert [row["trial"] for row in rows] == [0, 1]
    assert rows[0]["seed"] != rows[1]["seed"]


def test_a_person_is_the_user(tmp_path: Path) -> None:
    output = tmp_path / "play.jsonl"
    typed = ("My data does not work.", "toggle_data()", "I did.", "bye")
    done = play("telecom", "--as", "user", "--task", TASK, "--output", output, typed=typed)
    assert done.exit_code == 0, done.output
    (row,) = read_run(output).rows
    calls = [
        message
        for message in row["messages"]
        if message.get("tool_calls") and message["role"] == "user"
    ]
    assert [call["name"] for message in calls for call in message["tool_calls"]] == ["toggle_data"]
    assert calls[0]["tool_calls"][0]["requestor"] == "user"
    assert row["termination"] == "user_stop"
    shown = squeezed(done.output)
    assert "You are John Smith" in shown  # Who they are is shown at the start.
    assert "Mobile Data is now ON" in shown
    assert "get_customer_by_phone" not in shown  # The user does not see the agent's calls.
    assert (read_run(output).config["user"], read_run(output).config["agent"]) == (
        "person",
        "oracle",
    )


def test_commands_are_no_moves(tmp_path: Path) -> None:
    output = tmp_path / "play.jsonl"
    typed = (":help", ":tools", ":policy", ":task", ":nope", "", *SOLVES)
    done = play("telecom", "--task", TASK, "--output", output, typed=typed)
    assert done.exit_code == 0
    assert read_run(output).rows[0]["num_turns"] == 4
    shown = squeezed(done.output)
    assert "There is no :task. There are :help, :tools, :policy; Ctrl-D leaves." in shown
    assert "There is no :nope." in shown
    assert "refuel_data(customer_id: string, line_id: string, gb_amount: number)" in shown
    assert "Telecom Agent Policy" in shown


def test_what_a_user_types_that_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    typed = ('<tool_call>{"name": ', ":tools", ":task", "bye")
    output = tmp_path / "play.jsonl"
    done = play("telecom", "--as", "user", "--task", TASK, "--output", output, typed=typed)
    assert done.exit_code == 0
    assert "That cannot be read as a call." in done.output
    assert [m["role"] for m in read_run(output).rows[0]["messages"]] == ["assistant", "user"]


def test_who_leaves_before_the_end_has_played_nothing(tmp_path: Path) -> None:
    output = tmp_path / "play.jsonl"
    done = play("telecom", "--task", TASK, "--output", output, typed=SOLVES[:2])
    assert done.exit_code == 130
    assert "You have left before the end: nothing is written." in done.output
    assert not output.exists()


def test_an_agent_that_does_not_play_the_domain_is_refused_before_the_first_word(
    tmp_path: Path,
) -> None:
    output = tmp_path / "play.jsonl"
    done = play("retail", "--as", "user", "--agent", "workflow", "--output", output)
    assert (done.exit_code, done.output) == (
        2,
        "error: agent 'workflow' plays telecom only, not retail\n",
    )


def test_the_seed_picks_the_task(tmp_path: Path) -> None:
    said = {
        seed: play("retail", "--seed", seed, "-o", tmp_path / f"{seed}.jsonl").output.splitlines()[
            0
        ]
        for seed in (0, 1, 2)
    }
    assert len(set(said.values())) > 1
    assert play("retail", "--seed", 1, "-o", tmp_path / "1.jsonl").output.splitlines()[0] == said[1]


def test_without_an_output_the_name_tells_what_was_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert play("telecom", "--task", TASK, typed=SOLVES).exit_code == 0
    (path,) = tmp_path.glob("runs/play/*.jsonl")
    assert path.name.startswith("person-scripted-telecom-")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hotel"], "unknown domain 'hotel'"),
        (["retail", "--task", "9999"], "unknown task '9999' of retail"),
        (["retail", "--split", "dev"], "unknown split of retail 'dev'"),
        (["retail", "--reward", "big"], "unknown reward preset 'big'"),
        (["retail", "--user", "nobody"], "unknown user 'nobody'"),
        (["retail", "--as", "user", "--agent", "nobody"], "unknown agent 'nobody'"),
        (["retail", "--as", "user", "--model", "gpt"], "agent 'oracle' takes no --model"),
        (["retail", "--as", "user", "--base-url", "nonsense"], "nonsense"),
        (["code", "--as", "user"], "code has no user"),
        (["retail", "--as", "judge"], "Invalid value for '--as'"),
        (["retail", "--seed", "-1"], "Invalid value for '--seed'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments: list[str], said: str) -> None:
    done = play(*arguments)
    assert done.exit_code == 2
    assert said in squeezed(done.output.replace("│", ""))
    assert "Traceback" not in done.output


def test_terminals_are_not_obeyed(tmp_path: Path) -> None:
    output = tmp_path / "play.jsonl"
    typed = ("\x1b]0;owned\x07\x1b[2J hello", *SOLVES)
    done = play("telecom", "--task", TASK, "--output", output, typed=typed)
    assert done.exit_code == 0
    assert "\x1b]0;" not in done.output
    assert "\x1b[2J" not in done.output
