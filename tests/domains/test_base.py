from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tau2_gym.domains import DOMAINS, base
from tau2_gym.domains.base import Domain, check_split, get_domain
from tau2_gym.errors import ConfigError, DataError
from tau2_gym.types import Criteria, EnvFunction, ExpectedAction, InitialState, Message, ToolCall
from tests.helpers import gold_calls, some

SPLITS = {
    "airline": {"train": 30, "test": 20, "base": 50, "full": 50},
    "retail": {"train": 74, "test": 40, "base": 114, "full": 114},
    "telecom": {"train": 74, "test": 40, "base": 114, "small": 20, "full": 2285},
    "mock": {"base": 9, "full": 9},
}


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_is_loaded_once(name: str) -> None:
    assert get_domain(name) is get_domain(name, "inspect-evals", None)


def test_a_pickled_domain_is_the_same_one(domain: Domain) -> None:
    assert pickle.loads(pickle.dumps(domain)) is domain


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("bank",),
            "unknown domain 'bank'; allowed: airline, code, code_session, mock, retail, telecom",
        ),
        (("",), "unknown domain ''"),
        (("mock", "pypi"), "unknown source 'pypi'; allowed: inspect-evals, tau2"),
    ],
)
def test_unknown_names_are_refused_naming_the_known_ones(
    arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        get_domain(*arguments)


def test_a_domain_says_what_it_was_made_of() -> None:
    mock = get_domain("mock")
    said = {
        name: f"the {name}"
        for name in ("name", "source", "revision", "policy", "policy_solo", "user_guidelines",
                     "agent_instruction", "agent_instruction_source")
    }  # fmt: skip
    some_task = mock.task("create_task_1")
    domain = Domain(
        **said,
        sides=mock.sides,
        tasks={"a": some_task},
        splits={"x": ["a"]},
        key=("mock", "", None),
    )
    assert {name: getattr(domain, name) for name in said} == said
    assert (domain.sides, domain.tasks) == (mock.sides, {"a": some_task})
    assert domain.splits == {"x": ("a",), "full": ("a",)}
    assert domain.agent_tools == mock.sides.agent.tools
    assert mock.sides.user is not None
    assert domain.user_tools == mock.sides.user.tools


class TestSplits:
    @pytest.mark.parametrize("name", DOMAINS)
    def test_they_have_tau2_benchs_sizes(self, name: str) -> None:
        domain = get_domain(name)
        assert {split: len(ids) for split, ids in domain.splits.items()} == SPLITS[name]

    @pytest.mark.parametrize("name", ["airline", "retail", "telecom"])
    def test_base_is_train_and_test_together_and_these_are_apart(self, name: str) -> None:
        domain = get_domain(name)
        train, test, base = (set(domain.task_ids(split)) for split in ("train", "test", "base"))
        assert not train & test
        assert train | test == base

    def test_full_is_every_task(self, domain: Domain) -> None:
        assert domain.task_ids("full") == tuple(domain.tasks)

    def test_tasks_are_in_the_files_order(self, domain: Domain) -> None:
        place = {task_id: index for index, task_id in enumerate(domain.tasks)}
        for split in domain.splits:
            places = [place[task_id] for task_id in domain.task_ids(split)]
            assert places == sorted(set(places))

    def test_unknown_splits_and_tasks_are_refused(self) -> None:
        airline = get_domain("airline")
        with pytest.raises(ConfigError, match="unknown split of airline 'small'; allowed: base, f"):
            airline.task_ids("small")
        with pytest.raises(ConfigError, match="unknown task 'x' of airline; it has 50 tasks"):
            airline.task("x")

    def test_a_split_is_checked_without_loading_its_domain(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(base, "load_domain")
        for name, splits in SPLITS.items():
            for split in splits:
                check_split(name, split)
        with pytest.raises(ConfigError, match="unknown split of airline 'small'; allowed: base, f"):
            check_split("airline", "small")
        with pytest.raises(ConfigError, match="unknown domain 'bank'"):
            check_split("bank", "test")


class TestStart:
    def test_worlds_of_a_task_are_equal_and_independent(self, domain: Domain) -> None:
        changed = 0
        for task in some(domain.name, 10):
            first, second = domain.start(task), domain.start(task)
            assert first.digest == second.digest
            for call in gold_calls(task):
                first.call(call.name, call.arguments, call.requestor)
            changed += first.digest != second.digest
            assert domain.start(task).digest == second.digest
        assert changed >= 5

    def test_data_functions_and_history_are_in_it(self) -> None:
        mock = get_domain("mock")
        for task_id in (
            "update_task_with_message_history",
            "update_task_with_initialization_data",
            "update_task_with_initialization_actions",
        ):
            world = mock.start(mock.task(task_id))
            pending = EnvFunction(
                "assistant",
                "assert_task_status",
                {"task_id": "task_2", "expected_status": "pending"},
            )
            assert world.holds(pending), task_id
        plain = mock.start(mock.task("create_task_1"))
        assert not plain.holds(pending)

    def test_a_history_that_cannot_be_replayed_is_a_fault_of_the_data(self) -> None:
        mock = get_domain("mock")
        call = ToolCall("update_task_status", {"task_id": "task_99", "status": "pending"})
        start = InitialState(messages=(Message("assistant", None, (call,)),))
        task = replace(mock.task("create_task_1"), id="broken history", start=start)
        with pytest.raises(DataError, match="message history of task 'broken history'"):
            mock.start(task)

    def test_of_a_history_only_what_writes_is_replayed(self) -> None:
        mock = get_domain("mock")
        calls = (
            ToolCall("get_users", {"wrong": 1}),  # would fail if it were called
            ToolCall("no_such_tool", {}),
            ToolCall("update_task_status", {"task_id": "task_1", "status": "completed"}),
        )
        start = InitialState(messages=(Message("assistant", None, calls),))
        task = replace(mock.task("create_task_1"), id="a history", start=start)
        (row,) = mock.start(task).difference().values()
        assert '"status": "completed"' in row


class TestExpected:
    def test_a_new_bill_is_never_the_expected_one(self) -> None:
        """Bills have random names in tau2-bench, so that the two never agree there."""
        telecom = get_domain("telecom")
        refuel = {"customer_id": "C1002", "line_id": "L1004", "gb_amount": 2.0}
        action = ExpectedAction("refuel_data", refuel)
        task = telecom.task(telecom.task_ids("base")[0])
        task = replace(task, id="refuel", criteria=Criteria(actions=(action,)))
        world = telecom.start(task)
        assert world.call("refuel_data", refuel, "assistant")[1] is False
        expected, played = telecom.expected(task), world.difference()
        bill = ("assistant", ("bills", 6))
        assert expected[bill] != played[bill]

    def test_it_is_computed_once_until_it_is_forgotten(self) -> None:
        mock = get_domain("mock")
        task = mock.task("update_task_1")
        first = mock.expected(task)
        assert mock.expected(task) is first
        mock.forget()
        assert mock.expected(task) is not first
        assert mock.expected(task) == first

    def test_it_is_the_start_after_the_expected_actions(self) -> None:
        mock = get_domain("mock")
        task = mock.task("update_task_1")
        assert mock.start(task).difference() == {}
        (row,) = mock.expected(task).values()
        assert '"status": "completed"' in row

    def test_forgetting_it_changes_nothing(self, domain: Domain) -> None:
        task = some(domain.name, 1)[0]
        before = domain.expected(task), domain.start(task).digest
        domain.forget()
        assert (domain.expected(task), domain.start(task).digest) == before


class TestAnotherFolder:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        from inspect_evals.tau2 import utils

        shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / "mock", tmp_path / "mock")
        return tmp_path

    def test_it_can_be_named_by_argument_or_environment(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        named = get_domain("mock", data_dir=root)
        assert named is not get_domain("mock")
        assert named is get_domain("mock", data_dir=str(root))
        assert pickle.loads(pickle.dumps(named)) is named
        monkeypatch.setenv("TAU2_DATA_DIR", str(root))
        assert get_domain("mock") is named

    def test_a_split_that_names_unknown_tasks_is_refused(self, root: Path) -> None:
        (root / "mock" / "split_tasks.json").write_text('{"test": ["create_task_1", "nothing"]}')
        with pytest.raises(DataError, match="split 'test' names unknown tasks: nothing"):
            get_domain("mock", data_dir=root)

    def test_a_folder_without_the_domain_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no tasks\.json for domain 'retail'"):
            get_domain("retail", data_dir=tmp_path)
