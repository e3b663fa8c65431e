from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.errors import ConfigError, DataError
from tau2_gym.types import Message, ToolCall
from tau2_gym.users import make_user
from tau2_gym.users.base import STOP, UserView
from tau2_gym.users.replay import ReplayUser, user_turns
from tests.helpers import Restless, gold_moves, make, run, some, written

HELLO = {"role": "user", "content": "Hello"}
CALL = {"role": "user", "tool_calls": [{"id": "u1", "name": "look", "arguments": {"x": 1}}]}
TALK = [
    {"role": "assistant", "content": "Hi!"},
    HELLO,
    {"role": "assistant", "content": "Look."},
    CALL,
    {"role": "tool", "id": "u1", "content": "dark", "requestor": "user"},
    {"role": "user", "content": "Dark."},
]
TURNS = (
    Message("user", "Hello"),
    Message("user", None, (ToolCall("look", {"x": 1}, "u1", "user"),)),
    Message("user", "Dark."),
)


def write(path: Path, *rows: Any) -> Path:
    lines = "\n\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def view(task_id: str, *messages: Message) -> UserView:
    from tau2_gym.types import Scenario

    return UserView("mock", task_id, Scenario(""), (), messages)


def test_the_users_turns_of_a_trajectory_are_its_texts_and_calls() -> None:
    assert user_turns(TALK) == TURNS


@pytest.mark.parametrize("name", ["talk.jsonl", "talk.jsonl.gz"])
def test_turns_are_read_from_a_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {"task_id": 7, "messages": TALK, "trial": 0})
    assert ReplayUser.from_file(path).turns == {"7": TURNS}
    assert make_user(f"replay:{path}") == ReplayUser({"7": TURNS})


def test_the_first_attempt_at_a_task_that_was_played_counts(tmp_path: Path) -> None:
    rows = [
        {"task_id": "7", "messages": None},
        {"task_id": "7", "messages": TALK},
        {"task_id": "7", "messages": []},
        {"task_id": "8", "messages": [HELLO]},
    ]
    user = ReplayUser.from_file(write(tmp_path / "talk.jsonl", *rows))
    assert user.turns == {"7": TURNS, "8": TURNS[:1]}


def test_turn_follows_turn_whatever_the_agent_says_and_then_it_stops() -> None:
    user, heard = ReplayUser({"7": TURNS}), [Message("assistant", "Hi!")]
    for expected in (*TURNS, Message("user", STOP), Message("user", STOP)):
        said = user.respond(view("7", *heard), seed=0)
        assert said == expected
        heard += [said, Message("assistant", "Whatever.")]


def test_a_task_without_recording_is_refused() -> None:
    with pytest.raises(ConfigError, match="no recorded user for task '9'"):
        ReplayUser({"7": TURNS}).respond(view("9"), seed=0)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recording to replay at"):
        make_user(f"replay:{tmp_path / 'none.jsonl'}")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "3",
        {"messages": []},
        {"task_id": "1"},
        {"task_id": "1", "messages": 3},
        {"task_id": "1", "messages": ["Hello"]},
        {"task_id": "1", "messages": [{"role": "system"}]},
        {"task_id": "1", "messages": [{"role": "user", "tool_calls": [{}]}]},
    ],
    ids=repr,
)
def test_a_line_that_is_no_trajectory_is_named(tmp_path: Path, line: Any) -> None:
    path = write(tmp_path / "talk.jsonl", {"task_id": "0", "messages": []}, line)
    with pytest.raises(DataError, match=r"talk\.jsonl, line 3 is not a trajectory"):
        ReplayUser.from_file(path)


@pytest.mark.parametrize("name", ["telecom", "retail", "mock"])
def test_a_played_episode_is_replayed_word_for_word(tmp_path: Path, name: str) -> None:
    """Those that start with a message history, too."""
    for task in some(name, 9):
        played, moves = make(name, Restless(stops=0.1), max_steps=30), gold_moves(task)
        reset = {"seed": 3, "options": {"task_id": task.id}}

        def act(number: int, info: Any, moves: list[str] = moves) -> str:
            return moves[min(number, len(moves) - 1)]

        first = list(run(played, act, **reset))
        trajectory = first[-1][4]["privileged"]["trajectory"]
        row = {"task_id": task.id, "messages": [message.to_dict() for message in trajectory]}
        path = write(tmp_path / "talk.jsonl", row)
        replayed = list(run(make(name, f"replay:{path}", max_steps=30), act, **reset))
        assert [written(outcome) for outcome in replayed] == [written(item) for item in first]


def test_its_name_in_a_log_is_short() -> None:
    user = ReplayUser({"1": (Message("user", "Hi. " * 1000),)})
    assert repr(user) == "ReplayUser()"
