from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tau2_gym import grading
from tau2_gym.actions import parse_action
from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.domains.world import World
from tau2_gym.episode import Episode
from tau2_gym.grading import (
    Grader,
    action_matches,
    action_performed,
    communicates,
    official_reward,
    similarity,
)
from tau2_gym.types import (
    Checks,
    Criteria,
    ExpectedAction,
    InitialState,
    Message,
    RewardBasis,
    Role,
    Scenario,
    Task,
    Termination,
    ToolCall,
    ToolKind,
)
from tests.helpers import Puppet, Restless, block, gold_calls, gold_moves, make, random_call, some

MET = Checks(True, 1.0, (True,), (True,), (True,))
TASK = Task("graded", "mock", Scenario(""))


def graded(*basis: RewardBasis) -> Task:
    return replace(TASK, criteria=Criteria(basis=basis))


@pytest.mark.parametrize(
    ("compare", "arguments", "matches"),
    [
        # Without names, the arguments that the call has are compared.
        (None, {"a": 1, "b": 2}, True),
        (None, {"a": 1}, True),
        (None, {}, True),
        (None, {"a": 2}, False),
        (None, {"a": 1, "b": 3}, False),
        (None, {"a": 1, "b": 2, "c": 3}, False),
        (None, {"a": "1"}, False),
        (None, {"a": 1.0}, True),
        # No names compare nothing.
        ((), {"a": 9}, True),
        ((), {"z": 0}, True),
        ((), {}, True),
        # Names are compared where either has them.
        (("a",), {"a": 1, "b": 9}, True),
        (("a",), {"a": 2, "b": 2}, False),
        (("a",), {"b": 2}, False),
        (("a", "b"), {"a": 1}, False),
        (("a", "b"), {"a": 1, "b": 2, "z": 0}, True),
        (("z",), {"a": 9}, True),
        (("z",), {"z": 9}, False),
    ],
)
def test_an_action_is_matched_by_the_arguments_it_compares(
    compare: tuple[str, ...] | None, arguments: dict[str, Any], matches: bool
) -> None:
    action = ExpectedAction("f", {"a": 1, "b": 2}, compare_args=compare)
    assert action_matches(action, ToolCall("f", arguments)) is matches
    assert not action_matches(action, ToolCall("g", arguments))


@pytest.mark.parametrize(
    ("compare", "arguments", "performed"),
    [
        # Without names, all arguments of the expected call are compared.
        (None, {"a": 1, "b": 2}, True),
        (None, {"a": 1, "b": 2, "c": 3}, True),
        (None, {"a": 1.0, "b": 2}, True),
        (None, {"a": 1}, False),
        (None, {}, False),
        (None, {"c": 3}, False),
        (None, {"a": 1, "b": 3}, False),
        (None, {"a": "1", "b": 2}, False),
        (None, {"a": 1, "b": None}, False),
        # No names compare nothing.
        ((), {"a": 9}, True),
        ((), {}, True),
        # Names are compared where either has them.
        (("a",), {"a": 1, "b": 9}, True),
        (("a",), {"a": 2, "b": 2}, False),
        (("a",), {"b": 2}, False),
        (("a", "b"), {"a": 1}, False),
        (("z",), {"a": 9}, True),
        (("z",), {"z": 9}, False),
    ],
)
def test_an_action_is_performed_with_the_arguments_of_the_expected_call(
    compare: tuple[str, ...] | None, arguments: dict[str, Any], performed: bool
) -> None:
    action = ExpectedAction("f", {"a": 1, "b": 2}, compare_args=compare)
    assert action_performed(action, ToolCall("f", arguments)) is performed
    assert not action_performed(action, ToolCall("g", arguments))


def test_in_solo_mode_the_agent_performs_the_users_actions() -> None:
    telecom = get_domain("telecom")
    task = next(
        task
        for task in map(telecom.task, telecom.task_ids("small"))
        if {call.requestor for call in gold_calls(task)} == {"user"}
    )
    played = {}
    for solo in (True, False):
        env = make("telecom", solo=solo, max_errors=1000)
        env.reset(seed=0, options={"task_id": task.id})
        for call in gold_calls(task):
            *_, info = env.step(block(call.name, **call.arguments))
        played[solo] = info["checks"]["performed"]
        assert all(info["checks"]["actions"])
    assert all(played[True])
    assert not any(played[False])


class TestPerformed:
    """Which calls perform which of the expected actions."""

    ACTIONS = (
        ExpectedAction("get_users", {}),
        ExpectedAction("create_task", {"user_id": "user_1", "title": "Milk"}),
        ExpectedAction("create_task", {"user_id": "user_1", "title": "Milk"}),
        ExpectedAction("transfer_to_human_agents", {"summary": "Help"}),
    )

    def checks(self, *calls: ToolCall, history: tuple[Message, ...] = ()) -> Checks:
        mock = get_domain("mock")
        start = InitialState(messages=history)
        task = replace(TASK, criteria=Criteria(actions=self.ACTIONS), start=start)
        grader, world = Grader(mock, task), World(mock.sides)
        for number, call in enumerate(calls):
            content, error = world.call(call.name, call.arguments, call.requestor)
            sender: Any = call.requestor
            message = Message(sender, tool_calls=(replace(call, id=str(number)),))
            result = Message("tool", content, call_id=str(number), requestor=sender, error=error)
            grader.update([message, result], world)
        return grader.checks(world)

    MILK = ToolCall("create_task", {"user_id": "user_1", "title": "Milk"})
    BREAD = ToolCall("create_task", {"user_id": "user_1", "title": "Bread"})

    def test_reads_are_told_apart(self) -> None:
        checks = self.checks(ToolCall("get_users", {}))
        assert checks.performed == (True, False, False, False)
        assert checks.reads == (True, False, False, False)

    def test_one_call_performs_one_action(self) -> None:
        assert self.checks(self.MILK).performed == (False, True, False, False)
        assert self.checks(self.MILK, self.MILK).performed == (False, True, True, False)
        assert self.checks(self.MILK, self.MILK).unexpected == 0
        assert self.checks(self.MILK, self.MILK, self.MILK).unexpected == 1

    def test_what_nobody_expected_is_counted_if_it_succeeded_and_writes(self) -> None:
        nobody = ToolCall("create_task", {"user_id": "nobody", "title": "Milk"})
        dismiss = ToolCall("dismiss_notification", {"notification_id": "none"}, requestor="user")
        check = ToolCall("check_notifications", {}, requestor="user")
        transfer = ToolCall("transfer_to_human_agents", {"summary": "Other"})
        checks = self.checks(nobody, dismiss, check, transfer, self.BREAD)
        assert (checks.performed, checks.unexpected) == ((False,) * 4, 1)

    def test_what_was_done_before_the_start_is_not_held_against_anybody(self) -> None:
        history = (Message("assistant", "Hi"), Message("user", "Hi"))
        assert self.checks(self.BREAD, history=history).unexpected == 0
        assert self.checks(self.BREAD, self.BREAD, history=history).unexpected == 1


def test_who_called_does_not_matter() -> None:
    action = ExpectedAction("f", {"a": 1}, "user")
    assert action_matches(action, ToolCall("f", {"a": 1}, requestor="assistant"))


@pytest.mark.parametrize(
    ("required", "said", "counts"),
    [
        ("54.04", "It costs $54.04.", True),
        ("1628", "That is $1,628 in all.", True),
        ("1,628", "That is $1,628 in all.", False),
        ("1,628", "That is $1628 in all.", False),
        ("Gold Member", "you are a GOLD MEMBER", True),
        ("yes", "Yesterday", True),
        ("a, b", "a b", False),
        ("a b", "a, b", True),
        ("327", "3 27", False),
        ("", "anything", True),
    ],
)
def test_a_required_string_is_a_substring_without_case_and_commas_of_the_message(
    required: str, said: str, counts: bool
) -> None:
    assert communicates(required, Message("assistant", said)) is counts


@pytest.mark.parametrize(
    "message",
    [
        Message("user", "54"),
        Message("tool", "54"),
        Message("assistant", None, (ToolCall("say", {"text": "54"}),)),
        Message("assistant", ""),
    ],
)
def test_only_the_agents_words_communicate(message: Message) -> None:
    assert not communicates("54", message)


def test_each_required_string_is_said_once_it_is_said() -> None:
    mock = get_domain("mock")
    task = replace(TASK, criteria=Criteria(communicate=("54", "yes")))
    grader, world = Grader(mock, task), World(mock.sides)
    found = []
    for text in ("Hello", "It is 54.", "Yes", "No"):
        grader.update([Message("assistant", text)], world)
        found.append(grader.checks(world).communicate)
    assert found == [(False, False), (True, False), (True, True), (True, True)]


def test_rows_that_have_grown_are_compared_without_being_remembered() -> None:
    def remembered(length: int) -> int:
        row = json.dumps({"a": "x" * (length - len('{"a": ""}'))})
        grading._changed_fields(None, row)
        return grading._remembered.cache_info().currsize

    grading._remembered.cache_clear()
    assert [remembered(length) for length in (100, 8192, 8193)] == [1, 2, 2]


def test_words_beside_a_call_communicate() -> None:
    assert communicates("54", Message("assistant", "54", (ToolCall("f"),)))


class TestOfficialReward:
    @pytest.mark.parametrize("end", list(Termination))
    def test_only_a_stop_earns_anything(self, end: Termination) -> None:
        expected = 1.0 if end in (Termination.USER_STOP, Termination.AGENT_STOP) else 0.0
        for task in (graded(RewardBasis.DB), graded(), replace(TASK, criteria=None)):
            assert official_reward(task, MET, end) == expected

    @pytest.mark.parametrize(
        ("basis", "failing"),
        [
            (RewardBasis.DB, {"db": False}),
            (RewardBasis.COMMUNICATE, {"communicate": (True, False)}),
            (RewardBasis.ENV_ASSERTION, {"env_assertions": (False, True)}),
            (RewardBasis.ACTION, {"actions": (False,)}),
        ],
    )
    def test_each_part_of_the_basis_is_necessary_and_nothing_else_counts(
        self, basis: RewardBasis, failing: dict[str, Any]
    ) -> None:
        checks = replace(MET, **failing)
        end = Termination.USER_STOP
        others = [other for other in RewardBasis if other is not RewardBasis.NL_ASSERTION]
        assert official_reward(graded(basis), MET, end) == 1.0
        assert official_reward(graded(*others), MET, end) == 1.0
        assert official_reward(graded(basis), checks, end) == 0.0
        assert official_reward(graded(*others), checks, end) == 0.0
        others.remove(basis)
        assert official_reward(graded(*others), checks, end) == 1.0

    def test_a_task_without_criteria_earns_1(self) -> None:
        nothing = Checks(False, 0.0, (False,), (False,), (False,))
        task = replace(TASK, criteria=None)
        assert official_reward(task, nothing, Termination.USER_STOP) == 1.0

    def test_a_criterion_without_items_is_met(self) -> None:
        checks = Checks(True, 1.0)
        task = graded(RewardBasis.ACTION, RewardBasis.COMMUNICATE, RewardBasis.ENV_ASSERTION)
        assert official_reward(task, checks, Termination.AGENT_STOP) == 1.0

    def test_only_a_judge_can_tell_about_language_unless_something_else_failed(self) -> None:
        basis = (RewardBasis.DB, RewardBasis.NL_ASSERTION)
        task = replace(TASK, criteria=Criteria(basis=basis, nl_assertions=("The agent is kind.",)))
        assert official_reward(task, MET, Termination.USER_STOP) is None
        assert official_reward(task, replace(MET, db=False), Termination.USER_STOP) == 0.0
        assert official_reward(task, MET, Termination.MAX_STEPS) == 0.0

    @pytest.mark.parametrize("others", [(), *((basis,) for basis in RewardBasis)])
    def test_language_without_assertions_is_a_criterion_without_items(
        self, others: tuple[RewardBasis, ...]
    ) -> None:
        task = graded(RewardBasis.NL_ASSERTION, *others)
        assert official_reward(task, MET, Termination.USER_STOP) == 1.0
        assert official_reward(task, MET, Termination.MAX_STEPS) == 0.0
        nothing = Checks(
            db=False,
            db_similarity=0.0,
            actions=(False,),
            communicate=(False,),
            env_assertions=(False,),
        )
        counts = any(other is not RewardBasis.NL_ASSERTION for other in others)
        assert official_reward(task, nothing, Termination.USER_STOP) == (0.0 if counts else 1.0)


class TestDatabase:
    def test_it_is_left_aside_where_a_task_expects_nothing_of_the_world(self) -> None:
        mock = get_domain("mock")
        for actions, expected in ((None, True), ((), False)):
            criteria = Criteria(actions=actions)
            task = replace(mock.task("create_task_1"), id=f"db {actions}", criteria=criteria)
            grader, world = Grader(mock, task), mock.start(task)
            world.call("create_task", {"user_id": "user_1", "title": "x"}, "assistant")
            grader.update([], world)
            assert grader.checks(world).db is expected

    def test_it_is_found_equal_again_once_a_change_is_undone(self) -> None:
        mock = get_domain("mock")
        task = mock.task("update_task_1")
        grader, world = Grader(mock, task), mock.start(task)
        found = []
        for status in ("completed", "pending", "completed"):
            arguments = {"task_id": "task_1", "status": status}
            world.call("update_task_status", arguments, "assistant")
            grader.update([], world)
            found.append(grader.checks(world).db)
        assert found == [True, False, True]

    def test_unneeded_changes_lower_the_similarity_and_missing_ones_too(self) -> None:
        mock = get_domain("mock")
        task = mock.task("create_task_1")
        grader, world = Grader(mock, task), mock.start(task)
        found = []
        for arguments in (
            None,
            {"user_id": "user_1", "title": "Important Meeting"},
            {"user_id": "user_1", "title": "Another"},
        ):
            if arguments:
                world.call("create_task", arguments, "assistant")
            grader.update([], world)
            found.append(grader.checks(world).db_similarity)
        nothing, right, too_much = found
        assert nothing == 0.0
        assert right == 1.0
        assert 0.0 < too_much < 1.0


def from_scratch(episode: Episode) -> dict[str, Any]:
    """The findings that one look at the whole trajectory gives."""
    domain, task = episode.domain, episode.task
    world = domain.start(task)
    for message in episode.messages[len(task.start.messages) :]:
        for call in message.tool_calls:
            world.call(call.name, call.arguments, call.requestor)
    grader = Grader(domain, task)
    grader.update(episode.messages, world)
    assert world.digest == episode.world.digest
    return grader.checks(world).to_dict() | grader.privileged()


def moves(task: Task) -> list[Message]:
    return [parse_action(move, (), turn) for turn, move in enumerate(gold_moves(task))]


@pytest.mark.parametrize("user", [Puppet(), Restless(stops=0.0)], ids=["puppet", "restless"])
def test_grading_step_by_step_equals_grading_from_scratch_at_every_step(
    domain: Domain, user: Any
) -> None:
    compared = 0
    for task in some(domain.name, 9):
        episode, grader = Episode(domain, task), Grader(domain, task)
        left = moves(task)
        seen = 0
        while not episode.done and (left or episode.turn is Role.USER) and episode.steps < 60:
            if episode.turn is Role.USER:
                episode.act(user.respond(episode.user_view(), 3))
            else:
                episode.act(left.pop(0))
            grader.update(episode.messages[seen:], episode.world)
            seen = len(episode.messages)
            found = grader.checks(episode.world).to_dict() | grader.privileged()
            assert found == from_scratch(episode)
            compared += 1
    assert compared > 30


def test_a_forked_grader_goes_its_own_way(domain: Domain) -> None:
    for task in some(domain.name, 6):
        calls = gold_calls(task)
        world, grader = domain.start(task), Grader(domain, task)
        grader.update([], world)
        before = grader.checks(world)
        twin, other = grader.fork(), world.fork()
        for call in calls:
            other.call(call.name, call.arguments, call.requestor)
            twin.update([Message("assistant", tool_calls=(call,))], other)
        assert all(twin.checks(other).actions)
        assert grader.checks(world) == before
        for call in calls:
            world.call(call.name, call.arguments, call.requestor)
            grader.update([Message("assistant", tool_calls=(call,))], world)
        assert grader.checks(world) == twin.checks(other)


def test_what_the_findings_are_about_can_be_told(domain: Domain) -> None:
    for task in some(domain.name, 9):
        assert task.criteria is not None
        world, grader = domain.start(task), Grader(domain, task)
        grader.update([], world)
        told, checks = grader.privileged(), grader.checks(world)
        assert [item["met"] for item in told["action_checks"]] == list(checks.actions)
        assert [item["met"] for item in told["communicate_checks"]] == list(checks.communicate)
        assert [item["met"] for item in told["env_assertion_checks"]] == list(checks.env_assertions)
        assert [item["info"] for item in told["communicate_checks"]] == list(
            task.criteria.communicate
        )
        assert [item["name"] for item in told["action_checks"]] == [
            call.name for call in gold_calls(task)
        ]
        assert json.dumps(told)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([], {}),
        ([], None),
        ([[]], [{}]),
        ([1], [1, []]),
        ({"a": []}, {}),
        ("1", 1),
        (1, True),
        (1, 1.0),
        ("", None),
    ],
)
def test_values_that_only_look_alike_are_not_similar(one: Any, other: Any) -> None:
    """Tools store what they are given, whatever its type."""
    mock = get_domain("mock")
    worlds = []
    for status in (one, other):
        world = mock.start(mock.task("update_task_1"))
        arguments = {"task_id": "task_1", "status": status}
        assert world.call("update_task_status", arguments, "assistant")[1] is False
        worlds.append(world)
    assert similarity(worlds[0], worlds[1].difference()) < 1.0
    assert similarity(worlds[0], worlds[0].difference()) == 1.0


@settings(max_examples=120)
@given(
    name=st.sampled_from(["airline", "retail", "telecom", "mock"]),
    number=st.integers(0, 8),
    seed=st.integers(0, 2**32),
    expected=st.integers(0, 4),
    extra=st.integers(0, 4),
)
def test_similarity_is_1_for_equal_worlds_alone(
    name: str, number: int, seed: int, expected: int, extra: int
) -> None:
    """Random writes, of which the expected world has the first ones."""
    domain = get_domain(name)
    task = some(name, 9)[number]
    rng = np.random.default_rng(seed)
    writes = [call for call in gold_calls(task) if kind(domain, call) is ToolKind.WRITE]
    writes += [random_call(domain, rng, writes_only=True) for _ in range(6)]
    order = rng.permutation(len(writes))
    world, wanted = domain.start(task), domain.start(task)
    for count, each in ((expected, wanted), (extra, world)):
        for index in order[:count]:
            call = writes[index]
            each.call(call.name, call.arguments, call.requestor)
    found = similarity(world, wanted.difference())
    assert 0.0 <= found <= 1.0
    assert (found == 1.0) is (world.difference() == wanted.difference())
    assert (found == 1.0) is (world.digest == wanted.digest)
    assert found == similarity(wanted, world.difference())


def kind(domain: Domain, call: ToolCall) -> ToolKind:
    tools = domain.agent_tools if call.requestor == "assistant" else domain.user_tools
    return tools[call.name].kind
