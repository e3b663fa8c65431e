from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import pytest

from tau2_gym.actions import parse_action
from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.domains.world import World
from tau2_gym.episode import GREETING, Episode, chat_message
from tau2_gym.errors import ConfigError
from tau2_gym.rules import Rules
from tau2_gym.types import (
    INVALID_CALL,
    EnvFunction,
    InitialState,
    Message,
    Role,
    Task,
    Termination,
    ToolCall,
)
from tau2_gym.users.base import OUT_OF_SCOPE, STOP, STOP_TOKENS, TRANSFER
from tests.helpers import agent_call, block, make, some, user_call

HELLO = Message("user", "Hello")
ASK = Message("assistant", "What for?")
EMPTY = {"assistant": Message("assistant", ""), "user": Message("user", None)}
HISTORY = "update_task_with_message_history"


def start(name: str = "mock", task_id: str | None = None, **rules: Any) -> Episode:
    domain = get_domain(name)
    task = domain.task(task_id) if task_id else some(name, 1)[0]
    return Episode(domain, task, Rules(**rules))


def mixed(role: str) -> Message:
    name = "get_users" if role == "assistant" else "check_notifications"
    call = ToolCall(name, {}, "c", role)  # type: ignore[arg-type]
    return Message(role, "One moment.", (call,))  # type: ignore[arg-type]


def failing(side: str) -> Message:
    return agent_call("nothing") if side == "assistant" else user_call("nothing")


def with_history(*messages: Message) -> Task:
    mock = get_domain("mock")
    start = InitialState(messages=messages)
    return replace(mock.task("create_task_1"), id=f"history of {messages!r}", start=start)


class TestTurns:
    def test_the_agent_greets_and_the_user_moves_first(self, domain: Domain) -> None:
        episode = Episode(domain, some(domain.name, 1)[0])
        assert episode.messages[0] == Message("assistant", GREETING)
        assert episode.turn is Role.USER
        assert episode.steps == 0

    def test_texts_alternate_and_results_go_back_to_the_caller(self) -> None:
        episode = start()
        turns = []
        for message in (HELLO, agent_call("get_users"), ASK, user_call("check_notifications")):
            episode.act(message)
            turns.append(episode.turn)
        assert turns == [Role.AGENT, Role.AGENT, Role.USER, Role.USER]

    def test_act_returns_the_message_and_the_results_in_order(self) -> None:
        episode = start()
        episode.act(HELLO)
        message = Message(
            "assistant",
            tool_calls=(ToolCall("get_users", {}, "x"), ToolCall("nothing", {}, "y")),
        )
        added = episode.act(message)
        assert added[0] is message
        assert [(item.call_id, item.error) for item in added[1:]] == [("x", False), ("y", True)]
        assert episode.messages[-3:] == added

    def test_each_delivery_is_a_step(self) -> None:
        episode = start()
        steps = []
        for message in (HELLO, agent_call("get_users"), ASK, user_call("check_notifications")):
            episode.act(message)
            steps.append(episode.steps)
        # One for each text; two for each call: there, and back with the result.
        assert steps == [1, 3, 4, 6]

    def test_several_calls_come_back_in_one_delivery(self) -> None:
        episode = start()
        episode.act(HELLO)
        episode.act(Message("assistant", tool_calls=(ToolCall("get_users"),) * 3))
        assert episode.steps == 3

    def test_a_mixed_message_is_a_call_unless_communication_is_validated(self) -> None:
        episode = start()
        episode.act(HELLO)
        episode.act(mixed("assistant"))
        assert episode.turn is Role.AGENT
        assert episode.termination is None


class TestMisuse:
    @pytest.mark.parametrize(
        "message",
        [ASK, agent_call("get_users"), Message("tool", "x")],
        ids=["text", "call", "tool"],
    )
    def test_only_the_party_whose_turn_it_is_may_act(self, message: Message) -> None:
        episode = start()
        with pytest.raises(RuntimeError, match=f"{message.role} may not act: it is the turn of us"):
            episode.act(message)
        episode.act(HELLO)
        with pytest.raises(RuntimeError, match="user may not act: it is the turn of agent"):
            episode.act(HELLO)
        with pytest.raises(RuntimeError, match="tool may not act"):
            episode.act(Message("tool", "x"))

    def test_nobody_may_act_after_the_end(self) -> None:
        episode = start()
        episode.act(Message("user", STOP))
        assert episode.done
        assert episode.turn is None
        for message in (HELLO, ASK, agent_call("get_users")):
            with pytest.raises(RuntimeError, match="may not act: it is the turn of None"):
                episode.act(message)

    @pytest.mark.parametrize("content", [None, "", " \n"])
    def test_an_empty_message_is_refused_and_leaves_no_trace(self, content: str | None) -> None:
        episode = start()
        before = (len(episode.messages), episode.steps, episode.state_key)
        with pytest.raises(ValueError, match="the user's message is empty"):
            episode.act(Message("user", content))
        assert (len(episode.messages), episode.steps, episode.state_key) == before

    @pytest.mark.parametrize("limit", ["max_steps", "max_errors", "max_calls"])
    def test_limits_must_be_positive(self, limit: str) -> None:
        with pytest.raises(ConfigError, match="must be at least 1") as caught:
            start(**{limit: 0})
        told = {"max_steps": "not 0 and 10", "max_errors": "not 100 and 0", "max_calls": "not 0"}
        assert str(caught.value).endswith(told[limit])


class TestStops:
    @pytest.mark.parametrize("token", STOP_TOKENS)
    @pytest.mark.parametrize("text", ["{}", "Thank you.\n{} Bye."])
    def test_the_user_stops_with_a_token_anywhere_in_a_text(self, token: str, text: str) -> None:
        episode = start()
        episode.act(Message("user", text.format(token)))
        assert episode.termination is Termination.USER_STOP

    def test_there_are_three_tokens(self) -> None:
        assert set(STOP_TOKENS) == {STOP, TRANSFER, OUT_OF_SCOPE}
        assert (STOP, TRANSFER, OUT_OF_SCOPE) == (
            "###STOP###",
            "###TRANSFER###",
            "###OUT-OF-SCOPE###",
        )

    def test_a_token_beside_a_call_does_not_stop(self) -> None:
        episode = start()
        call = ToolCall("check_notifications", {}, "c", "user")
        episode.act(Message("user", STOP, (call,)))
        assert not episode.done

    @pytest.mark.parametrize("text", ["###stop###", "STOP", "## STOP ##"])
    def test_other_words_do_not_stop(self, text: str) -> None:
        episode = start()
        episode.act(Message("user", text))
        assert not episode.done

    @pytest.mark.parametrize("token", STOP_TOKENS)
    def test_the_agent_cannot_stop(self, token: str) -> None:
        episode = start()
        episode.act(HELLO)
        episode.act(Message("assistant", token))
        assert not episode.done

    def test_the_agent_stops_where_it_may(self) -> None:
        episode = start(agent_stop=True)
        episode.act(HELLO)
        episode.act(Message("assistant", f"Done. {STOP}"))
        assert episode.termination is Termination.AGENT_STOP

    def test_the_agent_cannot_transfer_by_token_even_where_it_may_stop(self) -> None:
        episode = start(agent_stop=True)
        episode.act(HELLO)
        episode.act(Message("assistant", TRANSFER))
        assert not episode.done


class TestLimits:
    def test_the_steps_are_limited(self) -> None:
        episode = start(max_steps=3)
        for message in (HELLO, ASK):
            episode.act(message)
            assert not episode.done
        episode.act(HELLO)
        assert episode.termination is Termination.MAX_STEPS
        assert episode.turn is None

    @pytest.mark.parametrize("max_steps", [2, 3])
    def test_nobody_is_cut_off_while_waiting_for_the_environment(self, max_steps: int) -> None:
        episode = start(max_steps=max_steps)
        episode.act(HELLO)
        assert not episode.done
        added = episode.act(agent_call("get_users"))
        # The call alone makes two steps, but its result is delivered still.
        assert len(added) == 2
        assert episode.steps == 3
        assert episode.termination is Termination.MAX_STEPS

    def test_the_limit_overrides_a_stop_on_the_same_step(self) -> None:
        for max_steps, end in ((4, Termination.USER_STOP), (3, Termination.MAX_STEPS)):
            episode = start(max_steps=max_steps)
            for message in (HELLO, ASK, Message("user", STOP)):
                episode.act(message)
            assert episode.termination is end
            assert episode.steps == 3

    def test_the_limit_overrides_a_breach_of_communication_by_text(self) -> None:
        episode = start(max_steps=1, validate_communication=True)
        episode.act(Message("user", ""))
        assert episode.termination is Termination.MAX_STEPS

    @pytest.mark.parametrize("sides", [("assistant",) * 3, ("user",) * 3, ("assistant", "user")])
    def test_errors_of_both_sides_are_counted_together(self, sides: tuple[str, ...]) -> None:
        episode = start(max_errors=len(sides))
        for number, side in enumerate(sides):
            assert not episode.done
            assert episode.num_errors == number
            while (episode.turn is Role.USER) is not (side == "user"):
                episode.act(HELLO if episode.turn is Role.USER else ASK)
            episode.act(failing(side))
        assert episode.termination is Termination.TOO_MANY_ERRORS

    def test_successes_do_not_reset_the_count_of_errors(self) -> None:
        episode = start(max_errors=2)
        for message in (HELLO, failing("assistant"), agent_call("get_users")):
            episode.act(message)
        assert episode.num_errors == 1
        episode.act(failing("assistant"))
        assert episode.termination is Termination.TOO_MANY_ERRORS

    def test_all_calls_of_a_message_run_before_errors_are_judged(self) -> None:
        episode = start(max_errors=1)
        episode.act(HELLO)
        calls = (ToolCall("nothing"), ToolCall("create_task", {"user_id": "user_1", "title": "x"}))
        added = episode.act(Message("assistant", tool_calls=calls))
        assert [message.error for message in added[1:]] == [True, False]
        assert episode.world.version == 1
        assert episode.termination is Termination.TOO_MANY_ERRORS

    def test_errors_weigh_more_than_steps(self) -> None:
        episode = start(max_steps=3, max_errors=1)
        episode.act(HELLO)
        episode.act(failing("assistant"))
        assert episode.termination is Termination.TOO_MANY_ERRORS


class TestValidatedCommunication:
    @pytest.mark.parametrize("breach", [EMPTY, {role: mixed(role) for role in EMPTY}])
    @pytest.mark.parametrize("role", ["assistant", "user"])
    def test_empty_and_mixed_messages_end_the_episode(
        self, breach: dict[str, Message], role: str
    ) -> None:
        episode = start(validate_communication=True)
        if role == "assistant":
            episode.act(HELLO)
        added = episode.act(breach[role])
        assert len(added) == 1, "the calls of a breach are not run"
        assert episode.turn is None
        assert episode.termination is (
            Termination.AGENT_ERROR if role == "assistant" else Termination.USER_ERROR
        )

    def test_a_stop_beside_a_call_is_a_breach(self) -> None:
        episode = start(validate_communication=True)
        call = ToolCall("check_notifications", {}, "c", "user")
        episode.act(Message("user", STOP, (call,)))
        assert episode.termination is Termination.USER_ERROR

    def test_texts_and_calls_by_themselves_are_no_breach(self) -> None:
        episode = start(validate_communication=True)
        for message in (HELLO, agent_call("get_users"), ASK, user_call("check_notifications")):
            episode.act(message)
        assert not episode.done


class TestTools:
    def test_a_call_changes_the_world(self) -> None:
        episode = start()
        episode.act(HELLO)
        _, result = episode.act(agent_call("create_task", {"user_id": "user_1", "title": "x"}, 4))
        assert (result.role, result.requestor, result.call_id) == ("tool", "assistant", "agent_4")
        assert json.loads(result.content or "")["title"] == "x"
        assert episode.world.version == 1

    def test_the_users_call_runs_the_users_tool(self) -> None:
        episode = start("telecom")
        before = episode.world.digest
        _, result = episode.act(user_call("toggle_airplane_mode", number=2))
        assert (result.requestor, result.call_id, result.error) == ("user", "user_2", False)
        assert episode.world.digest != before

    @pytest.mark.parametrize("requestor", ["assistant", "user"])
    def test_a_call_of_the_users_tool_by_the_agent_is_an_ownership_violation(
        self, requestor: Any
    ) -> None:
        episode = start("telecom")
        episode.act(HELLO)
        before = episode.world.digest
        call = ToolCall("toggle_airplane_mode", {}, "c", requestor)
        _, result = episode.act(Message("assistant", tool_calls=(call,)))
        assert result.content == "Error: Tool 'toggle_airplane_mode' not found."
        assert (episode.ownership_violations, episode.num_errors) == (1, 1)
        assert episode.world.digest == before

    def test_a_call_of_the_agents_tool_by_the_user_is_an_error_only(self) -> None:
        episode = start("telecom")
        _, result = episode.act(user_call("get_customer_by_id", {"customer_id": "C1001"}))
        assert result.error
        assert (episode.ownership_violations, episode.num_errors) == (0, 1)

    def test_a_call_of_a_tool_that_both_sides_have_is_no_violation(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        of_one_side = World.tool

        def tool(world: World, name: str, requestor: Any) -> Any:
            shared = requestor == "user" and name == "get_users"
            return of_one_side(world, name, "assistant" if shared else requestor)

        monkeypatch.setattr(World, "tool", tool)
        episode = start()
        episode.act(HELLO)
        episode.act(agent_call("get_users"))
        assert (episode.ownership_violations, episode.num_errors) == (0, 0)

    def test_an_unknown_tool_is_an_error_and_no_violation(self) -> None:
        episode = start("telecom")
        episode.act(HELLO)
        _, result = episode.act(agent_call("fly"))
        assert result.content == "Error: Tool 'fly' not found."
        assert (episode.ownership_violations, episode.num_errors) == (0, 1)

    def test_an_unreadable_action_is_an_error_result_that_says_why(self) -> None:
        episode = start()
        episode.act(HELLO)
        _, result = episode.act(parse_action("get_users(1)", ["get_users"]))
        assert result.error
        assert (result.content or "").startswith("Error: unreadable action: a function call takes")
        assert (episode.malformed, episode.num_errors) == (1, 1)
        assert episode.turn is Role.AGENT


class TestHistory:
    def test_it_takes_the_place_of_the_greeting(self) -> None:
        episode = start("mock", HISTORY)
        assert tuple(episode.messages) == episode.task.start.messages
        assert episode.messages[0].role == "user"
        assert (episode.steps, episode.num_errors) == (0, 0)
        assert episode.turn is Role.USER
        holds = EnvFunction(
            "assistant", "assert_task_status", {"task_id": "task_2", "expected_status": "pending"}
        )
        assert episode.world.holds(holds)

    @pytest.mark.parametrize(
        ("messages", "turn"),
        [
            ((HELLO,), Role.AGENT),
            ((HELLO, ASK), Role.USER),
            ((HELLO, agent_call("get_users"), Message("tool", "[]")), Role.AGENT),
            ((user_call("f"), Message("tool", "[]", requestor="user")), Role.USER),
        ],
        ids=["user text", "agent text", "agent's result", "user's result"],
    )
    def test_the_last_message_decides_whose_turn_it_is(
        self, messages: tuple[Message, ...], turn: Role
    ) -> None:
        assert Episode(get_domain("mock"), with_history(*messages)).turn is turn

    @pytest.mark.parametrize(
        ("last", "rules", "end"),
        [
            (Message("user", STOP), {}, Termination.USER_STOP),
            (Message("assistant", STOP), {}, None),
            (Message("assistant", STOP), {"agent_stop": True}, Termination.AGENT_STOP),
            (Message("user", " "), {"validate_communication": True}, Termination.USER_ERROR),
            (HELLO, {"validate_communication": True}, None),
        ],
    )
    def test_a_history_may_be_a_whole_episode(
        self, last: Message, rules: dict[str, bool], end: Termination | None
    ) -> None:
        episode = Episode(get_domain("mock"), with_history(last), Rules(**rules))
        assert episode.termination is end
        assert (episode.turn is None) is (end is not None)

    def test_a_history_that_ends_in_a_call_cannot_be_played(self) -> None:
        task = with_history(HELLO, agent_call("get_users"))
        with pytest.raises(ConfigError, match="ends in a call without a result"):
            Episode(get_domain("mock"), task)


class TestCallsOfOneMessage:
    @pytest.mark.parametrize("side", ["assistant", "user"])
    @pytest.mark.parametrize(("calls", "most"), [(20, 20), (21, 20), (500, 20), (3, 1), (2, 2)])
    def test_so_many_are_run_and_one_stands_for_the_rest(
        self, side: Literal["assistant", "user"], calls: int, most: int
    ) -> None:
        options = {} if most == 20 else {"max_calls": most}
        episode = start("telecom", **options)
        tool = "toggle_airplane_mode"
        if side == "assistant":
            episode.act(HELLO)
            tool = "get_customer_by_id"
        message = Message(
            side,
            tool_calls=tuple(
                ToolCall(
                    tool, {"customer_id": "C1001"} if side == "assistant" else {}, f"c{i}", side
                )
                for i in range(calls)
            ),
        )
        version = episode.world.version
        said, *results = episode.act(message)
        assert said.tool_calls[:most] == message.tool_calls[:most]
        assert [result.call_id for result in results] == [call.id for call in said.tool_calls]
        assert {result.requestor for result in results} == {side}
        assert not any(result.error for result in results[:most])
        if side == "user":
            assert episode.world.version - version == min(calls, most)
        if calls <= most:
            assert len(results) == calls
            assert episode.num_errors == episode.malformed == 0
        else:
            rest, told = said.tool_calls[most], results[most]
            assert len(results) == most + 1
            assert (rest.name, rest.id, rest.requestor) == (INVALID_CALL, f"c{most}", side)
            assert told.error
            assert told.content == (
                f"Error: {calls - most} of the {calls} tool calls were not run: "
                f"a message may make at most {most}"
            )
            assert episode.num_errors == 1
            assert episode.malformed == (side == "assistant")

    def test_an_environment_has_the_limit_and_says_what_was_done(self) -> None:
        env = make("mock", max_calls=2)
        env.reset(options={"task_id": "create_task_1"})
        observation, *_, info = env.step(block("get_users") * 5)
        assert "3 of the 5 tool calls were not run" in observation
        made = info["messages"][-4]["tool_calls"]
        assert [call["function"]["name"] for call in made] == ["get_users"] * 2 + [INVALID_CALL]
        assert [message["tool_call_id"] for message in info["messages"][-3:]] == [
            call["id"] for call in made
        ]
        assert (info["num_errors"], info["malformed"]) == (1, 1)


class TestSolo:
    @pytest.fixture
    def episode(self) -> Episode:
        return start("telecom", solo=True)

    def test_the_agent_moves_first_and_alone(self, episode: Episode) -> None:
        assert episode.messages == []
        assert episode.turn is Role.AGENT
        with pytest.raises(RuntimeError, match="user may not act"):
            episode.act(HELLO)

    def test_it_has_the_tools_of_both_sides(self, episode: Episode) -> None:
        before = episode.world.digest
        for name, arguments in (
            ("get_customer_by_id", {"customer_id": "C1001"}),
            ("check_status_bar", {}),
            ("toggle_airplane_mode", {}),
        ):
            _, result = episode.act(agent_call(name, arguments))
            assert not result.error
            assert result.requestor == "assistant"
            assert episode.turn is Role.AGENT
        assert episode.ownership_violations == 0
        assert episode.world.digest != before

    def test_the_first_message_is_part_of_the_start(self, episode: Episode) -> None:
        steps = []
        for _ in range(3):
            episode.act(agent_call("check_status_bar"))
            steps.append(episode.steps)
        assert steps == [1, 3, 5]

    def test_speaking_is_an_error_of_the_agent(self, episode: Episode) -> None:
        episode.act(agent_call("check_status_bar"))
        episode.act(ASK)
        assert episode.termination is Termination.AGENT_ERROR

    def test_the_stop_token_ends_it(self, episode: Episode) -> None:
        episode.act(Message("assistant", STOP))
        assert episode.termination is Termination.AGENT_STOP

    def test_domains_and_tasks_must_be_made_for_it(self) -> None:
        with pytest.raises(ConfigError, match="airline has no solo mode"):
            start("airline", solo=True)
        with pytest.raises(ConfigError, match="has no ticket"):
            start("mock", HISTORY, solo=True)


class TestViews:
    def test_the_user_sees_its_own_calls_and_not_the_agents(self) -> None:
        episode = start()
        for message in (
            HELLO,
            agent_call("get_users"),
            ASK,
            user_call("check_notifications"),
            Message("user", "Nothing."),
        ):
            episode.act(message)
        view = episode.user_view()
        assert [message.role for message in view.messages] == [
            "assistant",
            "user",
            "assistant",
            "user",
            "tool",
            "user",
        ]
        assert not any(m.is_tool_call for m in view.messages if m.role == "assistant")
        assert all(m.requestor == "user" for m in view.messages if m.role == "tool")
        assert view.scenario is episode.task.scenario
        assert (view.domain, view.task_id) == ("mock", episode.task.id)
        assert {tool.name for tool in view.tools} == set(episode.domain.user_tools)

    def test_the_user_has_the_tools_that_the_task_allows(self) -> None:
        mock = get_domain("mock")
        task = replace(mock.task("create_task_1"), user_tools=("dismiss_notification",))
        assert [tool.name for tool in Episode(mock, task).user_view().tools] == [
            "dismiss_notification"
        ]

    def test_the_agent_sees_its_own_calls_and_not_the_users(self) -> None:
        episode = start("telecom")
        episode.act(HELLO)
        episode.act(agent_call("get_customer_by_id", {"customer_id": "C1001"}, 7))
        episode.act(ASK)
        hidden = episode.act(user_call("check_status_bar"))
        episode.act(Message("user", "It says so."))
        roles = [message["role"] for message in episode.chat]
        assert roles == ["assistant", "user", "assistant", "tool", "assistant", "user"]
        call = episode.chat[2]["tool_calls"][0]
        assert call == {
            "id": "agent_7",
            "type": "function",
            "function": {"name": "get_customer_by_id", "arguments": '{"customer_id": "C1001"}'},
        }
        assert episode.chat[3]["tool_call_id"] == "agent_7"
        assert hidden[1].content not in json.dumps(episode.chat, ensure_ascii=False)
        assert [chat_message(message) for message in hidden] == [None, None]


class TestStateKey:
    def play(self, *messages: Message, task_id: str = "create_task_1") -> str:
        episode = start("mock", task_id)
        for message in messages:
            episode.act(message)
        return episode.state_key

    def test_the_same_play_has_the_same_key_whatever_calls_are_named(self) -> None:
        first = self.play(HELLO, agent_call("get_users", {}, 1))
        assert first == self.play(HELLO, agent_call("get_users", {}, 2))
        assert len(first) == 64

    def test_different_words_calls_and_states_have_different_keys(self) -> None:
        keys = [
            self.play(),
            self.play(HELLO),
            self.play(Message("user", "Hullo")),
            self.play(HELLO, agent_call("get_users")),
            self.play(HELLO, agent_call("nothing")),
            self.play(HELLO, agent_call("nothing", {"x": 1})),
            self.play(user_call("get_users")),
            self.play(task_id="update_task_with_initialization_data"),
        ]
        assert len(set(keys)) == len(keys)


class TestFork:
    def test_a_forks_future_is_its_own(self) -> None:
        episode = start("telecom")
        episode.act(HELLO)
        twin = episode.fork()
        assert twin.state_key == episode.state_key
        before = (episode.state_key, len(episode.messages), len(episode.chat), episode.steps)
        twin.act(failing("assistant"))
        twin.act(Message("assistant", "Bye."))
        twin.act(user_call("toggle_airplane_mode"))
        assert (
            episode.state_key,
            len(episode.messages),
            len(episode.chat),
            episode.steps,
        ) == before
        assert (episode.num_errors, twin.num_errors) == (0, 1)

    def test_the_same_messages_lead_both_to_the_same_state(self) -> None:
        episode = start("telecom")
        episode.act(HELLO)
        twin = episode.fork()
        for message in (
            agent_call("enable_roaming", {"customer_id": "C1001", "line_id": "L1002"}),
            ASK,
            user_call("toggle_data"),
            Message("user", STOP),
        ):
            added = episode.act(message)
            assert twin.act(message) == added
            assert twin.state_key == episode.state_key
        assert twin.termination is episode.termination is Termination.USER_STOP
