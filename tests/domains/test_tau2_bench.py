"""The source `tau2`, and ours beside tau2-bench's own code where that is installed."""

from __future__ import annotations

import random
import re
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from tau2_gym.actions import DONE_SCHEMA, parse_action
from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import Domain, get_domain, load_domain
from tau2_gym.errors import ConfigError
from tau2_gym.grading import Grader
from tau2_gym.results.conformance import check_episode, check_grading
from tau2_gym.types import INVALID_CALL
from tests import tau2_games
from tests.helpers import after_gold, needs_recordings, recorded

INSTALLED = find_spec("tau2") is not None and find_spec("tau2.registry") is not None
needs_tau2 = pytest.mark.skipif(not INSTALLED, reason="tau2-bench itself is not installed")


@pytest.fixture(autouse=True)
def each_source_its_own_data(monkeypatch: pytest.MonkeyPatch) -> None:
    if INSTALLED:
        import tau2.utils.utils  # noqa: F401  reads the variable

    monkeypatch.delenv("TAU2_DATA_DIR", raising=False)


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tau2", None)
    for name in [name for name in sys.modules if name.startswith("tau2.")]:
        monkeypatch.delitem(sys.modules, name)
    load_domain.cache_clear()
    with pytest.raises(ConfigError, match=r"needs tau2-bench's own package .*pip install"):
        get_domain("mock", "tau2")


@pytest.fixture(scope="module", params=DOMAINS)
def theirs(request: pytest.FixtureRequest) -> tuple[Domain, Any]:
    """Our domain of that source, and tau2-bench's environment."""
    from tau2.registry import registry

    return get_domain(request.param, "tau2"), registry.get_env_constructor(request.param)


def user_tools(environment: Any) -> list[Any]:
    return [] if environment.user_tools is None else environment.get_user_tools()


@needs_tau2
class TestPresented:
    def test_tools_are_its_own_in_its_order(self, theirs: tuple[Domain, Any]) -> None:
        domain, make = theirs
        environment = make()
        for ours, tools in (
            (domain.agent_tools, environment.get_tools()),
            (domain.user_tools, user_tools(environment)),
        ):
            assert [spec.schema for spec in ours.values()] == [tool.openai_schema for tool in tools]
            assert list(ours) == [tool.name for tool in tools]

    def test_policies_are_its_own(self, theirs: tuple[Domain, Any]) -> None:
        domain, make = theirs
        assert domain.policy == make().get_policy()
        if domain.policy_solo is not None:
            assert domain.policy_solo == make(solo_mode=True).get_policy()

    def test_guidelines_and_instruction_are_its_own(self, theirs: tuple[Domain, Any]) -> None:
        from tau2.agent.llm_agent import AGENT_INSTRUCTION
        from tau2.user.user_simulator import get_global_user_sim_guidelines

        domain, _ = theirs
        with_tools = bool(domain.user_tools)
        assert domain.user_guidelines == get_global_user_sim_guidelines(use_tools=with_tools)
        assert domain.agent_instruction == AGENT_INSTRUCTION
        assert domain.agent_instruction_source == "tau2"

    def test_solo_agents_end_with_its_tool(self) -> None:
        from tau2.environment.tool import as_tool
        from tau2.gym.gym_agent import done

        assert as_tool(done).openai_schema == DONE_SCHEMA

    def test_tasks_and_splits_are_its_own(self, theirs: tuple[Domain, Any]) -> None:
        from tau2.registry import registry

        domain, _ = theirs
        tasks = registry.get_tasks_loader(domain.name)(None)
        assert [task.id for task in tasks] == list(domain.task_ids("full"))
        splits = registry.get_task_splits_loader(domain.name)
        for split, ids in {} if splits is None else splits().items():
            assert set(domain.task_ids(split)) == set(ids)


@needs_tau2
@pytest.mark.parametrize("name", DOMAINS)
def test_both_sources_are_the_same_domain_on_the_same_data(name: str) -> None:
    from tau2.utils.utils import DATA_DIR

    ours, theirs = get_domain(name, data_dir=DATA_DIR), get_domain(name, "tau2")
    assert ours.revision == theirs.revision
    assert get_domain(name, "tau2", DATA_DIR).revision == theirs.revision
    assert (ours.policy, ours.policy_solo) == (theirs.policy, theirs.policy_solo)
    assert ours.user_guidelines == theirs.user_guidelines
    assert (dict(ours.tasks), ours.splits) == (dict(theirs.tasks), theirs.splits)
    for one, other in (
        (ours.agent_tools, theirs.agent_tools),
        (ours.user_tools, theirs.user_tools),
    ):
        assert list(one.items()) == list(other.items())
    packaged = get_domain(name)
    assert packaged.policy == theirs.policy
    assert packaged.policy_solo == theirs.policy_solo
    assert packaged.user_guidelines == theirs.user_guidelines
    assert list(packaged.agent_tools.items()) == list(theirs.agent_tools.items())


@needs_tau2
@pytest.mark.parametrize("name", ["airline", "retail", "telecom"])
def test_expected_actions_of_its_tasks_meet_every_check(name: str) -> None:
    domain = get_domain(name, "tau2")
    ids = domain.task_ids("base")
    for task in map(domain.task, ids[:: len(ids) // 10 or 1]):
        world = after_gold(domain, task)
        grader = Grader(domain, task)
        grader.update((), world)
        checks = grader.checks(world)
        assert checks.db == (checks.db_similarity == 1.0)
        assert all(checks.env_assertions)


@needs_tau2
@pytest.mark.parametrize("source", ["inspect-evals", "tau2"])
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_calculate_agrees_with_its_own(source: str) -> None:
    from tau2.domains.retail.tools import RetailTools

    domain, tools = get_domain("retail", source), RetailTools(None)
    world = domain.start(domain.task("0"))
    rng = random.Random(3)
    parts = ["1", "20", "3.5", "0", "00", "+", "-", "*", "/", "//", " ", "(", ")", ".", "x", " ** "]
    for _ in range(5000):
        written = "".join(rng.choices(parts, k=rng.randrange(1, 9)))
        if written.count("**") > 1 or re.search(r"\*\* *\d{3}", written):
            continue  # its own takes for ever
        ours = world.call("calculate", {"expression": written}, "assistant")
        try:
            theirs = tools.calculate(written), False
        except Exception as error:
            theirs = f"Error: {error}", True
        if "Invalid expression: only numbers" not in ours[0]:
            assert ours == theirs, written
        else:
            assert theirs[1], written
    hopeless = world.call("calculate", {"expression": "9**9**9**9"}, "assistant")
    assert hopeless == ("Error: Exponentiation result is too large", True)


@needs_tau2
@needs_recordings
@pytest.mark.parametrize(
    ("recording", "check"), [("episodes", check_episode), ("grading", check_grading)]
)
def test_its_recordings_are_met_by_this_source_too(recording: str, check: Any) -> None:
    from inspect_evals.tau2 import utils

    for row in recorded(recording)[::20]:
        domain = get_domain(row["domain"], "tau2", utils.TAU2_DATA_DIR)
        assert check(row, domain) == []


@needs_tau2
@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("source", ["inspect-evals", "tau2"])
@pytest.mark.parametrize("name", DOMAINS)
def test_games_go_as_it_plays_them(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few; `python -m tests.tau2_games` plays more."""
    from tau2.registry import registry
    from tau2.utils.utils import DATA_DIR

    monkeypatch.setattr(registry, "_domains", dict(registry._domains))
    tau2_games.loaded(name)
    own = source == "tau2" or name == "mock"
    domain = get_domain(name, source, DATA_DIR if own else None)
    ends = set()
    for game in tau2_games.games(domain, "base", 12, seed=7):
        task = tau2_games.their_task(domain, game["task_id"])
        row = tau2_games.in_a_process_of_its_own(lambda g=game, t=task: tau2_games.theirs(g, t))
        assert tau2_games.differences(row, domain) == []
        ends.add(row["termination_reason"])
    assert len(ends) > 1


@needs_tau2
class TestActions:
    """Its own reader of what agents write, beside ours."""

    @pytest.mark.parametrize(
        "text",
        [
            "f(id=L1)", "f(id='L1')", "f()", "f(a=1, b=-2.5)", "f(a=[x, 'y', 1])", "f(a={'b': c})",
            "f(a={b: c})", "f(a=(1, 2))", "f(a=None, b=True)", "f(a=\"it's\")", "f ( a = 1 )",
            '{"name": "f", "arguments": {"a": [1, null]}}', "Hello f(a=1)", "{}", "f",
        ],
    )  # fmt: skip
    def test_both_read_the_same(self, text: str) -> None:
        from tau2.utils.tools import parse_action_string

        theirs, ours = parse_action_string(text), parse_action(text, ["f"])
        calls = [(call.name, call.arguments) for call in theirs.tool_calls or ()]
        plain = [(name, {key: listed(item) for key, item in args.items()}) for name, args in calls]
        assert [(call.name, call.arguments) for call in ours.tool_calls] == plain
        assert (ours.content or None) == (theirs.content or None)

    def test_what_it_writes_is_read_as_it_reads_it(self) -> None:
        from tau2.data_model.message import ToolCall
        from tau2.utils.tools import parse_action_string, to_functional_format

        rng, domain = random.Random(5), get_domain("telecom", "tau2")
        for _ in range(500):
            call = ToolCall(**tau2_games._some_call(domain, rng))
            if not call.name:
                continue
            text = to_functional_format(call)
            for written in (text, call.model_dump_json()):
                (theirs,) = parse_action_string(written).tool_calls
                (ours,) = parse_action(written, [call.name]).tool_calls
                assert (ours.name, ours.arguments) == (theirs.name, theirs.arguments)

    def test_what_it_reads_otherwise_on_purpose(self) -> None:
        """See `tests/test_differences.py`."""
        from tau2.utils.tools import parse_action_string

        def called(text: str) -> Any:
            (call,) = parse_action_string(text).tool_calls
            return call.name, call.arguments, call.requestor

        assert called("Hello (there)") == ("Hello", {}, "assistant")
        assert called("nope(x=1)") == ("nope", {"x": 1}, "assistant")
        assert called("f(a=true, b=null)")[1] == {"a": "true", "b": "null"}
        assert called("f('positional')")[1] == {}
        smuggled = '{"name": "f", "arguments": {}, "requestor": "user"}'
        assert called(smuggled)[2] == "user"
        assert parse_action_string("f(a=b.c)").tool_calls is None
        (call,) = parse_action("f(a=b.c)", ["f"]).tool_calls
        assert call.name == INVALID_CALL


def listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@needs_tau2
class TestWhereItRaises:
    """What ends its run or its grading with an exception: see `tests/test_differences.py`."""

    def play(self, task_id: str = "create_task_1", **changes: Any) -> Any:
        game = {
            "domain": "mock", "task_id": task_id, "solo": False, "agent_stop": False,
            "max_steps": 100, "max_errors": 10, "validate_communication": False,
            "agent_script": [], "user_script": [{"content": "Hello"}],
        }  # fmt: skip
        task = tau2_games.their_task(get_domain("mock", "tau2"), task_id)
        return tau2_games.theirs({**game, **changes}, task)

    @pytest.mark.parametrize("validate", [True, False])
    @pytest.mark.parametrize("side", ["agent_script", "user_script"])
    def test_an_empty_message(self, side: str, validate: bool) -> None:
        with pytest.raises(ValueError, match="must have either content or tool_calls"):
            self.play(**{side: [{"content": " "}], "validate_communication": validate})

    def test_the_stop_token_beside_a_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from tau2.gym.gym_agent import GymAgent

        agent, _ = tau2_games._participants()
        monkeypatch.setattr(agent, "is_stop", GymAgent.is_stop)
        said = {"content": "###STOP###", "tool_calls": [{"name": "get_users", "arguments": {}}]}
        with pytest.raises(ValueError, match="Environment should not receive the last message"):
            self.play(agent_script=[said])

    def test_an_assertion_on_a_row_that_is_gone(self) -> None:
        row = self.play(
            "create_task_1_with_env_assertions", user_script=[{"content": "###STOP###"}]
        )
        assert row["reward"] == "raised Task task_2 not found"

    def test_data_for_the_agents_database(self) -> None:
        call = {"tool_calls": [{"name": "check_notifications", "arguments": {}}]}
        row = self.play("update_task_with_initialization_data", user_script=[call])
        assert row["num_errors"] == 1
