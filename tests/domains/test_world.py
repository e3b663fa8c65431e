from __future__ import annotations

import json
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.domains.overlay import BaseDatabase
from tau2_gym.domains.schema import openai_schema
from tau2_gym.domains.toolkit import bind
from tau2_gym.domains.world import MAX_RESULT, Side, Sides, World
from tau2_gym.errors import DataError
from tau2_gym.frozen import frozen
from tau2_gym.spaces import examples, sample_arguments
from tau2_gym.types import EnvFunction, Requestor, ToolKind, ToolSpec
from tests.helpers import assert_pristine, gold_calls, random_call, some


class Lamp(BaseModel):
    on: bool = False
    level: int = 0


class Room(BaseModel):
    lamps: dict[str, Lamp]
    mirror: Lamp = Lamp()


class Tools:
    """A room of lamps; the user's room mirrors whether any lamp of the agent's is on."""

    db: Any

    def switch(self, lamp: str, on: bool = True) -> Lamp:
        """Switch a lamp."""
        self.db.lamps[lamp].on = on
        return self.db.lamps[lamp]  # type: ignore[no-any-return]

    def dim(self, lamp: str, level: int) -> str:
        """Set the level and then fail if it is too high."""
        self.db.lamps[lamp].on = True
        self.db.lamps[lamp].level = level
        if level > 9:
            raise ValueError("too bright")
        return "dimmed"

    def look(self, lamp: str) -> str:
        """Look at a lamp."""
        return f"{self.db.lamps[lamp].on}"

    def print(self, lamp: str, copies: int) -> str:
        """Describe a lamp, as often as wanted."""
        return f"{self.db.lamps[lamp].on}" * copies

    def is_on(self, lamp: str) -> bool:
        """No tool, but an assertion."""
        return bool(self.db.lamps[lamp].on)

    def break_it(self) -> None:
        """No tool, but an initialisation that fails."""
        raise RuntimeError("broken")


def mirror(tools: SimpleNamespace) -> None:
    tools.user_tools.db.mirror.on = any(lamp.on for lamp in tools.tools.db.lamps.values())


def house(guarded: bool = False, switch: ToolKind = ToolKind.WRITE) -> World:
    kinds = {"switch": switch, "dim": ToolKind.WRITE, "look": ToolKind.READ, "print": ToolKind.READ}
    toolkit = bind("Tools", Tools)

    def side() -> Side:
        specs = {
            name: ToolSpec(name, kind, openai_schema(name, getattr(Tools, name)))
            for name, kind in kinds.items()
        }
        return Side(toolkit, specs, BaseDatabase(Room(lamps={"a": Lamp(), "b": Lamp()})))

    return World(Sides(side(), side(), mirror, guarded))


@pytest.fixture
def world() -> World:
    return house()


def lamp(world: World, name: str = "a", side: Any = "assistant") -> bool:
    return world.holds(EnvFunction(side, "is_on", {"lamp": name}))


class TestCall:
    def test_a_result_is_rendered(self, world: World) -> None:
        assert world.call("switch", {"lamp": "a"}, "assistant") == (
            '{"on": true, "level": 0}',
            False,
        )

    @pytest.mark.parametrize(
        ("name", "arguments", "text"),
        [
            ("fly", {}, "Error: Tool 'fly' not found."),
            ("is_on", {"lamp": "a"}, "Error: Tool 'is_on' not found."),
            ("__init__", {}, "Error: Tool '__init__' not found."),
            ("db", {}, "Error: Tool 'db' not found."),
            ("switch", {"lamp": "z"}, "Error: 'z'"),
            ("look", {"lamp": "z"}, "Error: 'z'"),
            ("look", {"lamp": ["a"]}, "Error: unhashable type: 'list'"),
            ("look", {}, "Error: Tools.look() missing 1 required positional argument: 'lamp'"),
            (
                "switch",
                {"lamp": "a", "self": 1},
                "Error: Tools.switch() got multiple values for argument 'self'",
            ),
        ],
    )
    def test_whatever_goes_wrong_is_a_text(
        self, world: World, name: str, arguments: dict[str, Any], text: str
    ) -> None:
        assert world.call(name, arguments, "assistant") == (text, True)
        assert world.difference() == {}

    def test_what_a_failed_tool_changed_stays(self, world: World) -> None:
        assert world.call("dim", {"lamp": "a", "level": 10}, "assistant") == (
            "Error: too bright",
            True,
        )
        assert lamp(world)
        assert json.loads(world.difference()[("assistant", ("lamps", "a"))])["level"] == 10

    @pytest.mark.parametrize("level", [3, 10])
    def test_the_sides_are_synchronised_even_after_a_failure(
        self, world: World, level: int
    ) -> None:
        world.call("dim", {"lamp": "a", "level": level}, "assistant")
        assert json.loads(world.difference()[("user", ("mirror", None))])["on"] is True

    @pytest.mark.parametrize("guarded", [False, True])
    def test_a_result_may_have_so_many_characters(self, guarded: bool) -> None:
        world, most = house(guarded), MAX_RESULT // len("False")
        for copies, read in [(most, True), (most + 1, False)]:
            text, failed = world.call("print", {"lamp": "a", "copies": copies}, "assistant")
            assert failed is not read
            assert (text == "False" * copies) is read
        assert f"has {5 * (most + 1)} characters" in text
        assert f"at most {MAX_RESULT} are" in text

    def test_each_side_has_its_own_database(self, world: World) -> None:
        world.call("switch", {"lamp": "a"}, "user")
        assert not lamp(world, "a", "assistant")
        assert lamp(world, "a", "user")

    def test_without_user_tools_the_user_can_call_none(self) -> None:
        domain = get_domain("airline")
        world = domain.start(some("airline", 1)[0])
        assert world.call("calculate", {"expression": "1"}, "user") == (
            "Error: User tools not available",
            True,
        )


class TestVersion:
    def test_it_grows_with_changes_only(self, world: World) -> None:
        seen = [world.version]
        for name, arguments in (
            ("look", {"lamp": "a"}),
            ("switch", {"lamp": "a", "on": False}),
            ("switch", {"lamp": "z"}),
            ("switch", {"lamp": "a"}),
            ("switch", {"lamp": "a"}),
            ("dim", {"lamp": "a", "level": 10}),
        ):
            world.call(name, arguments, "assistant")
            seen.append(world.version)
        assert seen == [0, 0, 0, 0, 1, 1, 2]


class TestDifference:
    def test_equal_worlds_have_equal_differences_and_digests(self, world: World) -> None:
        other = world.fork()
        for name in "ab":
            world.call("switch", {"lamp": name}, "assistant")
        for name in "ba":
            other.call("switch", {"lamp": name}, "assistant")
        assert world.difference() == other.difference()
        assert world.digest == other.digest
        other.call("switch", {"lamp": "a", "on": False}, "assistant")
        assert world.difference() != other.difference()
        assert world.digest != other.digest

    def test_the_same_change_on_the_other_side_is_another_difference(self, world: World) -> None:
        other = world.fork()
        world.call("dim", {"lamp": "a", "level": 0}, "assistant")
        other.call("dim", {"lamp": "a", "level": 0}, "user")
        assert world.digest != other.digest

    def test_originals_are_the_domains_own_rows(self, world: World) -> None:
        world.call("dim", {"lamp": "a", "level": 5}, "assistant")
        before = world.original("assistant", ("lamps", "a"))
        assert before == '{"level": 0, "on": false}'
        assert world.original("assistant", ("lamps", "z")) is None


class TestFork:
    def test_a_fork_and_its_origin_are_independent(self, world: World) -> None:
        world.call("switch", {"lamp": "a"}, "assistant")
        twin = world.fork()
        assert (twin.version, twin.digest) == (world.version, world.digest)
        twin.call("switch", {"lamp": "b"}, "assistant")
        world.call("switch", {"lamp": "a", "on": False}, "assistant")
        assert (lamp(world, "a"), lamp(world, "b")) == (False, False)
        assert (lamp(twin, "a"), lamp(twin, "b")) == (True, True)


class TestInitialise:
    def test_functions_run_in_order_and_the_sides_are_synchronised(self, world: World) -> None:
        world.initialise(
            tuple(
                EnvFunction("assistant", "switch", {"lamp": name, "on": on})
                for name, on in (("a", True), ("b", True), ("a", False))
            )
        )
        assert (lamp(world, "a"), lamp(world, "b")) == (False, True)
        assert ("user", ("mirror", None)) in world.difference()

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            ("fly", "the user's side has no function 'fly'"),
            ("break_it", r"initialisation break_it\(\{\}\) failed: broken"),
        ],
    )
    def test_a_function_that_does_not_work_is_a_fault_of_the_data(
        self, world: World, function: str, message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            world.initialise((EnvFunction("user", function, {}),))
        assert world.call("switch", {"lamp": "a"}, "assistant")[1] is False


class TestHolds:
    def test_the_result_must_be_the_expected_one(self, world: World) -> None:
        for expected in (True, False):
            off = EnvFunction("assistant", "is_on", {"lamp": "a"}, expected)
            assert world.holds(off) is not expected

    def test_an_assertion_that_fails_does_not_hold(self, world: World) -> None:
        for expected in (True, False):
            assert not world.holds(EnvFunction("assistant", "is_on", {"lamp": "z"}, expected))

    def test_an_assertion_that_does_not_exist_is_a_fault_of_the_data(self, world: World) -> None:
        with pytest.raises(DataError, match="no function 'fly'"):
            world.holds(EnvFunction("assistant", "fly", {}))


class TestUse:
    def test_expected_actions_fail_silently_and_are_not_synchronised(self, world: World) -> None:
        for name, arguments in (
            ("dim", {"lamp": "a", "level": 10}),
            ("switch", {"lamp": "b"}),
            ("switch", {"lamp": "z"}),
            ("fly", {}),
            ("look", {"lamp": "z"}),
        ):
            world.use(name, arguments, "assistant")
        assert set(world.difference()) == {("assistant", ("lamps", name)) for name in "ab"}


class TestMerge:
    def test_each_side_takes_its_own_data(self, world: World) -> None:
        world.merge("user", {"lamps": {"a": {"on": True}}, "mirror": {"level": 3}})
        assert lamp(world, "a", "user")
        assert not lamp(world, "a", "assistant")
        assert world.version == 1

    def test_a_domain_without_user_data_takes_none(self) -> None:
        domain = get_domain("retail")
        world = domain.start(some("retail", 1)[0])
        with pytest.raises(DataError, match="the domain's user has none"):
            world.merge("user", {"x": {}})

    def test_after_data_that_do_not_fit_the_world_goes_on(self, world: World) -> None:
        with pytest.raises(DataError, match="cannot merge"):
            world.merge("assistant", {"nothing": {}})
        assert world.call("switch", {"lamp": "a"}, "assistant")[1] is False


class Shelf(BaseModel):
    items: Any = []


class Store(BaseModel):
    shelves: dict[str, Shelf]


class StoreTools:
    """Tools that treat what they are given as their own."""

    db: Any

    def put(self, items: list[Any]) -> str:
        """Put items on the shelf, in order."""
        items.sort()
        self.db.shelves["a"].items = items
        return "done"

    def holds(self, items: list[Any]) -> bool:
        """No tool, but an assertion."""
        items.sort()
        return bool(self.db.shelves["a"].items == items)

    def swap(self) -> str:
        """Store what is not a row."""
        self.db.shelves["a"] = {"items": []}
        return "done"

    def tangle(self) -> str:
        """Store what is not JSON."""
        self.db.shelves["a"].items = items = []
        items.append(items)
        return "done"

    def quit(self) -> str:
        """End the interpreter."""
        raise SystemExit(3)

    def mumble(self) -> str:
        """Fail, and do not say why."""
        raise Mumbled


class Mumbled(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.fixture
def store() -> World:
    specs = {
        name: ToolSpec(name, ToolKind.WRITE, openai_schema(name, getattr(StoreTools, name)))
        for name in ("put", "swap", "tangle", "quit", "mumble")
    }
    database = BaseDatabase(Store(shelves={"a": Shelf()}))
    return World(Sides(Side(bind("StoreTools", StoreTools), specs, database)))


class TestGuarded:
    """Where the code of a domain is not known, what only reads is kept from writing."""

    @pytest.mark.parametrize("side", ["assistant", "user"])
    def test_a_tool_that_reads_must_not_write(self, side: Any) -> None:
        world = house(guarded=True, switch=ToolKind.READ)
        assert world.call("switch", {"lamp": "b"}, side) == (
            "Error: nothing was changed: switch is not marked write, and changes lamps b",
            True,
        )
        assert not lamp(world, "b", side)
        assert (world.difference(), world.version) == ({}, 0)
        assert world.call("look", {"lamp": "b"}, side) == ("False", False)
        assert world.call("look", {"lamp": "z"}, side) == ("Error: 'z'", True)
        assert world.call("dim", {"lamp": "b", "level": 1}, side) == ("dimmed", False)
        assert lamp(world, "b", side)

    def test_an_assertion_changes_nothing(self) -> None:
        world = house(guarded=True)
        switched = EnvFunction("user", "switch", {"lamp": "a"}, Lamp(on=True))
        assert world.holds(switched)
        assert not lamp(world, "a", "user")
        assert (world.difference(), world.version) == ({}, 0)


def test_a_tool_may_change_its_arguments(store: World) -> None:
    """Those of the message and of the task, by which it is graded, stay as they were."""
    given = {"items": ["b", "a"]}
    expected, twin = store.fork(), store.fork()
    assert store.call("put", given, "assistant") == ("done", False)
    assert given == {"items": ["b", "a"]}
    expected.use("put", frozen(given), "assistant")
    twin.initialise((EnvFunction("assistant", "put", frozen(given), True),))
    assert store.difference() == expected.difference() == twin.difference() != {}
    assert store.holds(EnvFunction("assistant", "holds", frozen(given), True))


@pytest.mark.parametrize(("name", "says"), [("quit", "3"), ("mumble", "Mumbled")])
def test_however_a_tool_fails_it_is_a_result(store: World, name: str, says: str) -> None:
    assert store.call(name, {}, "assistant") == (f"Error: {says}", True)
    assert store.call("put", {"items": ["a"]}, "assistant") == ("done", False)


@pytest.mark.parametrize("name", ["swap", "tangle"])
def test_a_tool_that_stores_what_is_no_row_is_told_so(store: World, name: str) -> None:
    text, failed = store.call(name, {}, "assistant")
    assert failed
    assert text.startswith("Error: ")
    assert not store.difference()
    assert store.call("put", {"items": ["a"]}, "assistant") == ("done", False)
    with pytest.raises(DataError, match=f"initialisation {name}|initialisation failed"):
        store.initialise((EnvFunction("assistant", name, {}, True),))


def test_random_calls_never_raise_and_never_reach_the_base(domain: Domain) -> None:
    rng = np.random.default_rng(11)
    succeeded = failed = 0
    for task in some(domain.name, 5):
        world = domain.start(task)
        twin, at_fork = world.fork(), world.digest
        for _ in range(60):
            call = random_call(domain, rng)
            content, error = world.call(call.name, call.arguments, call.requestor)
            assert isinstance(content, str)
            succeeded += not error
            failed += error
            assert error is content.startswith("Error: ") or not error
        assert world.version
        assert twin.digest == at_fork
        assert domain.start(task).digest == at_fork
    assert succeeded > 30
    assert failed > 10
    assert_pristine(domain.name)


def test_tools_that_are_not_marked_as_writing_write_nothing(domain: Domain) -> None:
    """They run without a transaction: one that wrote would write to the shared database."""
    rng = np.random.default_rng(5)
    expected = [call for task in some(domain.name, 60) for call in gold_calls(task)]
    sides: tuple[tuple[Requestor, Any], ...] = (
        ("assistant", domain.agent_tools),
        ("user", domain.user_tools),
    )
    for side, specs in sides:
        for spec in specs.values():
            if spec.kind is ToolKind.WRITE:
                continue
            world = domain.start(some(domain.name, 1)[0])
            tried = [call.arguments for call in expected if call.name == spec.name][:20]
            tried += [sample_arguments(spec, examples(domain), rng) for _ in range(100)]
            succeeded = [not world.call(spec.name, arguments, side)[1] for arguments in tried]
            assert any(succeeded), f"{spec.name} was never tried with success"
    assert_pristine(domain.name)


def test_a_pickled_world_goes_on_as_the_same_one() -> None:
    domain = get_domain("mock")
    world = domain.start(domain.task("create_task_1"))
    change = {"task_id": "task_1", "status": "completed"}
    world.call("update_task_status", change, "assistant")
    again = pickle.loads(pickle.dumps(world))
    assert again.version == world.version > domain.start(domain.task("create_task_1")).version
    assert (again.digest, again.difference()) == (world.digest, world.difference())
