from __future__ import annotations

import pytest

from tau2_gym.actions import parse_action
from tau2_gym.domains.base import get_domain
from tau2_gym.episode import Episode
from tau2_gym.rules import Rules
from tau2_gym.turns import Turn, TurnReader
from tau2_gym.types import Message, Role, ToolCall
from tests.helpers import agent_call, some, user_call

HELLO = Message("user", "Hello")
STATUS = {"customer_id": "C1001", "line_id": "L1002"}


class Table:
    """An episode and its reader."""

    def __init__(self, *, solo: bool = False) -> None:
        domain = get_domain("telecom")
        self.episode = Episode(domain, some("telecom", 1)[0], Rules(solo=solo, max_errors=100))
        self.reader = TurnReader()

    def read(self, message: Message, text: str = "") -> Turn:
        if self.episode.turn is Role.USER:
            self.episode.act(HELLO)
        version = self.episode.world.version
        return self.reader.read(self.episode.act(message), self.episode, version, text)


@pytest.fixture
def table() -> Table:
    return Table()


def test_a_text_is_no_call(table: Table) -> None:
    assert table.read(Message("assistant", "What for?"), "What for?") == Turn(text="What for?")


def test_calls_are_counted_by_what_came_of_them(table: Table) -> None:
    calls = (
        ToolCall("get_customer_by_id", {"customer_id": "C1001"}),
        ToolCall("get_customer_by_id", {"customer_id": "C9999"}),
        ToolCall("fly"),
        ToolCall("toggle_airplane_mode"),
    )
    assert table.read(Message("assistant", tool_calls=calls)) == Turn(
        calls=4, valid_calls=1, errors=3, ownership=1
    )


def test_an_unreadable_action_is_malformed_and_an_error(table: Table) -> None:
    turn = table.read(parse_action("<tool_call>", ()), "<tool_call>")
    assert turn == Turn(calls=1, errors=1, malformed=1, text="<tool_call>")


def test_in_solo_mode_the_users_tools_are_the_agents(table: Table) -> None:
    solo = Table(solo=True)
    assert solo.read(agent_call("toggle_airplane_mode")) == Turn(calls=1, valid_calls=1)


class TestRepetition:
    def test_the_same_call_again_is_no_valid_one(self, table: Table) -> None:
        call = agent_call("get_customer_by_id", {"customer_id": "C1001"})
        turns = [table.read(call) for _ in range(3)]
        assert [turn.repeated for turn in turns] == [0, 1, 1]
        assert [turn.valid_calls for turn in turns] == [1, 0, 0]

    def test_the_order_of_arguments_does_not_matter(self, table: Table) -> None:
        table.read(agent_call("get_data_usage", STATUS))
        reordered = dict(reversed(STATUS.items()))
        assert table.read(agent_call("get_data_usage", reordered)).repeated == 1

    def test_other_arguments_are_another_call(self, table: Table) -> None:
        for customer in ("C1001", "C1002"):
            call = agent_call("get_customer_by_id", {"customer_id": customer})
            assert table.read(call).repeated == 0

    def test_once_the_world_has_changed_a_call_is_new(self, table: Table) -> None:
        call = agent_call("get_customer_by_id", {"customer_id": "C1001"})
        table.read(call)
        table.episode.act(Message("assistant", "Please wait."))
        before = table.episode.world.version
        table.episode.act(user_call("toggle_data"))
        assert table.episode.world.version > before
        assert table.read(call) == Turn(calls=1, valid_calls=1)

    def test_the_same_words_again_are_repeated(self, table: Table) -> None:
        said = [table.read(Message("assistant", text)).repeated for text in ("Hm.", "So.", "Hm.")]
        assert said == [0, 0, 1]

    def test_twice_in_one_message_is_repeated(self, table: Table) -> None:
        call = ToolCall("get_customer_by_id", {"customer_id": "C1001"})
        turn = table.read(Message("assistant", tool_calls=(call, call)))
        assert (turn.repeated, turn.valid_calls) == (1, 1)


def test_a_forked_reader_remembers_and_goes_its_own_way(table: Table) -> None:
    table.read(Message("assistant", "Hm."))
    twin = Table()
    twin.episode, twin.reader = table.episode.fork(), table.reader.fork()
    assert twin.read(Message("assistant", "So.")).repeated == 0
    assert twin.read(Message("assistant", "Hm.")).repeated == 1
    assert table.read(Message("assistant", "So.")).repeated == 0
