"""The world of one episode: both sides' tools over copy-on-write databases."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tau2_gym.domains.overlay import BaseDatabase, Key, Overlay
from tau2_gym.domains.render import render
from tau2_gym.errors import DataError, InfrastructureError
from tau2_gym.types import EnvFunction, Requestor, ToolKind, ToolSpec

if TYPE_CHECKING:
    from tau2_gym.domains.base import Domain
    from tau2_gym.domains.toolkit import Toolkit

MAX_RESULT = 100_000
"""The most characters of a tool's result."""

MAX_GROWTH = 2**16
"""How many bytes of JSON a row may grow beyond the domain's own. A published tool appends a row's
own payments to it, and so doubles it: after thirty calls the memory would be full, and in the last of
them nothing could stop it. Since what is kept is bounded, so is what one more call can make of it."""

Difference = dict[tuple[Requestor, Key], str]
"""Rows of both databases that differ from the domain's own, in canonical JSON."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side's half of a domain: its tools, the class that runs them, and its database."""

    toolkit: type[Toolkit]
    tools: Mapping[str, ToolSpec]
    database: BaseDatabase


@dataclass(frozen=True, slots=True)
class Sides:
    """Both halves. `sync` carries over what one side's world means for the other's; it changes
    nothing when called twice, and needs calling only after a change. `guarded` are halves whose code
    is not known to write only where it says so: there, whatever must not write is kept from it.
    `answer` ends episodes, and `given` tells what was answered (see `DomainSpec`)."""

    agent: Side
    user: Side | None = None
    sync: Callable[[SimpleNamespace], None] | None = None
    guarded: bool = False
    answer: Callable[[Any, str], str | None] | None = None
    given: Callable[[Any], str | None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Classes of tools are made at run time; another process finds them through the domain, like
        # its databases.
        if self.agent.database.home is None:
            raise TypeError("the sides of no domain cannot be pickled or copied")
        return (_sides_of, self.agent.database.home[:1])


def _sides_of(domain: Domain) -> Sides:
    return domain.sides


class World:
    """What the tools of one episode act on. Starts as the domain's own database, unchanged."""

    __slots__ = (
        "_agent",
        "_agent_db",
        "_difference",
        "_digest",
        "_salt",
        "_sides",
        "_user",
        "_user_db",
        "version",
    )

    def __init__(self, sides: Sides, salt: str = "episode") -> None:
        self._sides = sides
        self._salt = salt
        self.version = 0
        self._difference: Difference | None = None
        self._digest: bytes | None = None
        self._attach(
            Overlay(sides.agent.database),
            Overlay(sides.user.database) if sides.user is not None else None,
        )

    def _attach(self, agent_db: Overlay, user_db: Overlay | None) -> None:
        sides = self._sides
        self._agent_db, self._user_db = agent_db, user_db
        self._agent = sides.agent.toolkit(agent_db.view, self._salt)
        self._user = (
            sides.user.toolkit(user_db.view, self._salt)
            if sides.user is not None and user_db is not None
            else None
        )

    def fork(self, salt: str | None = None) -> World:
        """An independent copy. Costs a copy of two small dicts: rows are never written in place."""
        twin = object.__new__(World)
        twin._sides = self._sides
        twin._salt = salt or self._salt
        twin.version = self.version
        twin._difference = self._difference
        twin._digest = self._digest
        twin._attach(self._agent_db.fork(), None if self._user_db is None else self._user_db.fork())
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self._sides, self._salt, self.version, self._agent_db, self._user_db)
        return (_world, state)

    def tool(self, name: str, side: Requestor) -> ToolSpec | None:
        """The tool `name` of that side, or None."""
        half = self._sides.agent if side == "assistant" else self._sides.user
        return None if half is None else half.tools.get(name)

    def call(self, name: str, arguments: Mapping[str, Any], side: Requestor) -> tuple[str, bool]:
        """Run a tool. Returns its text and whether it failed.

        Whatever a tool raises becomes the text `Error: …`, as in tau2-bench: wrong arguments are an
        agent's mistake to learn from, not a reason to stop. Exceeding `MAX_RESULT` or `MAX_GROWTH`
        is an error, too.

        Raises:
            InfrastructureError: what the tool works with failed, which is nobody's mistake.
        """
        toolkit = self._agent if side == "assistant" else self._user
        spec = self.tool(name, side)
        if toolkit is None:
            return "Error: User tools not available", True
        if spec is None:
            return f"Error: Tool '{name}' not found.", True
        function = getattr(toolkit, name)
        if spec.kind is not ToolKind.WRITE:
            if self._sides.guarded:
                return _shortened(*self._looking(name, function, arguments))
            return _shortened(*_run(function, arguments, lambda: None))
        self._begin()
        try:
            text, failed = _run(function, arguments, self._sync)
        finally:
            grown = self._commit(MAX_GROWTH)
        return (grown, True) if grown is not None else _shortened(text, failed)

    def answer(self, text: str) -> str | None:
        """Have the domain read what the agent wrote, and keep the result if it is an answer.

        Returns:
            What the agent is told; None if the text is an answer.

        Raises:
            DataError: the domain replied with something else than a text or None, or cannot keep what it
                made of it.
            InfrastructureError: what an answer is graded with failed.
        """
        assert self._sides.answer is not None
        self._begin()
        try:
            reply: object = self._sides.answer(self._agent, text)
            if not isinstance(reply, str | None):
                kind = type(reply).__name__
                raise DataError(f"`answer` of a domain returns a text or None, and not a {kind}")
        except BaseException:
            for overlay in filter(None, (self._agent_db, self._user_db)):
                overlay.abandon()
            raise
        problem = self._commit()
        if problem is not None:
            raise DataError(f"the answer cannot be kept: {problem}")
        return reply

    @property
    def given(self) -> str | None:
        """What the agent has answered, if the domain can tell."""
        return None if self._sides.given is None else self._sides.given(self._agent)

    def initialise(self, functions: tuple[EnvFunction, ...]) -> None:
        """Run a task's initialisation functions, in one transaction.

        Raises:
            DataError: the world has no such function, or it failed: the task does not fit the data.
        """
        self._begin()
        try:
            self._sync()
            for function in functions:
                bound = self._function(function)
                try:
                    bound(**_own(function.arguments))
                    self._sync()
                except Exception as error:
                    raise DataError(
                        f"initialisation {function.name}({function.arguments}) failed: {error}"
                    ) from error
        finally:
            problem = self._commit()
        if problem is not None:
            raise DataError(f"initialisation failed: {problem}")

    def holds(self, assertion: EnvFunction) -> bool:
        """Whether an assertion holds. One that cannot be evaluated (because it is about a bill that
        no longer exists, say) does not."""
        function = self._function(assertion)
        guarded = self._sides.guarded
        if guarded:
            self._begin()
        try:
            return bool(function(**_own(assertion.arguments)) == assertion.expected)
        except InfrastructureError:
            raise
        except Exception:
            return False
        finally:
            if guarded:
                self._abort()

    def use(self, name: str, arguments: Mapping[str, Any], side: Requestor) -> None:
        """Run an expected action when building the expected end state: errors are ignored and the
        sides are not synchronised, as in tau2-bench's evaluator."""
        toolkit = self._agent if side == "assistant" else self._user
        spec = self.tool(name, side)
        if toolkit is None or spec is None or spec.kind is not ToolKind.WRITE:
            return
        self._begin()
        try:
            getattr(toolkit, name)(**_own(arguments))
        except Exception:
            return
        finally:
            self._commit()

    def merge(self, side: Requestor, data: Mapping[str, Any]) -> None:
        """Merge a task's initialisation data into one side's database, row by row.

        Raises:
            DataError: the data name a table that does not exist or do not form valid rows.
        """
        overlay = self._agent_db if side == "assistant" else self._user_db
        if overlay is None:
            raise DataError("the task initialises user data, but the domain's user has none")
        overlay.begin()
        try:
            for field, rows in data.items():
                overlay.merge(field, rows)
        finally:
            self._touch(overlay.commit())

    def difference(self) -> Difference:
        """How both databases differ from the domain's own. Equal differences mean equal worlds.
        Not to be changed by the caller: it is kept until the next change."""
        if self._difference is None:
            result: Difference = {
                ("assistant", key): row for key, row in self._agent_db.difference().items()
            }
            if self._user_db is not None:
                user_rows = self._user_db.difference().items()
                result.update({("user", key): row for key, row in user_rows})
            self._difference = result
        return self._difference

    @property
    def digest(self) -> bytes:
        """A hash of both databases: of what in them differs from the domain's own."""
        if self._digest is None:
            digest = hashlib.sha256()
            for place, row in sorted(self.difference().items(), key=repr):
                digest.update(f"{place}{row}".encode())
            self._digest = digest.digest()
        return self._digest

    def original(self, side: Requestor, key: Key) -> str | None:
        """A row of the domain's own database in canonical JSON, or None where it has none."""
        overlay = self._agent_db if side == "assistant" else self._user_db
        row = None if overlay is None else overlay.base.row(key)
        return None if row is None else row.canonical

    def _function(self, function: EnvFunction) -> Callable[..., Any]:
        toolkit = self._agent if function.side == "assistant" else self._user
        bound = getattr(toolkit, function.name, None)
        if bound is None:
            raise DataError(f"the {function.side}'s side has no function {function.name!r}")
        return bound  # type: ignore[no-any-return]

    def _sync(self) -> None:
        if self._sides.sync is not None:
            self._sides.sync(SimpleNamespace(tools=self._agent, user_tools=self._user))

    def _begin(self) -> None:
        self._agent_db.begin()
        if self._user_db is not None:
            self._user_db.begin()

    def _looking(
        self, name: str, function: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> tuple[str, bool]:
        """Run a tool that must not write. If it does nevertheless, nothing is changed, and its result
        is an error: without a transaction it would write to the database that all episodes share."""
        self._begin()
        changed: list[str] = []
        try:
            text, failed = _run(function, arguments, lambda: None)
        finally:
            changed = self._abort()
        if changed:
            rows = ", ".join(changed)
            return (
                f"Error: nothing was changed: {name} is not marked write, and changes {rows}",
                True,
            )
        return text, failed

    def _abort(self) -> list[str]:
        """Close the transaction without keeping anything. Returns the names of the rows that changed
        in it."""
        overlays = [self._agent_db] if self._user_db is None else [self._agent_db, self._user_db]
        try:
            return [f"{field} {key}" for overlay in overlays for field, key in overlay.close()]
        except ValueError as error:
            for overlay in overlays:
                overlay.abandon()
            return [f"a row to what is not JSON: {error}"]

    def _commit(self, growth: int | None = None) -> str | None:
        """Keep what changed, unless a row is not JSON any more or has grown by more than `growth`: then
        nothing is kept, and the error says so."""
        overlays = [self._agent_db] if self._user_db is None else [self._agent_db, self._user_db]
        try:
            changed = [overlay.close() for overlay in overlays]
        except ValueError as error:
            for overlay in overlays:
                overlay.abandon()
            return f"Error: nothing was changed: {error}"
        if growth is not None:
            for overlay, rows in zip(overlays, changed, strict=True):
                for key, row in rows.items():
                    if overlay.growth(key, row) > growth:
                        return (
                            f"Error: nothing was changed: {key[0]} {key[1]} would grow by "
                            f"{overlay.growth(key, row)} bytes, and may grow by {growth}"
                        )
        for overlay, rows in zip(overlays, changed, strict=True):
            overlay.changed.update(rows)
        self._touch(any(changed))
        return None

    def _touch(self, changed: bool) -> None:
        if changed:
            self.version += 1
            self._difference = self._digest = None


def _world(
    sides: Sides, salt: str, version: int, agent_db: Overlay, user_db: Overlay | None
) -> World:
    world = World(sides, salt)
    world.version = version
    world._attach(agent_db, user_db)
    return world


def _own(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for a function to keep or to change: those of the message or the task, which are
    graded, stay as they are."""
    return {
        name: deepcopy(value) if isinstance(value, dict | list) else value
        for name, value in arguments.items()
    }


def _run(
    function: Callable[..., Any], arguments: Mapping[str, Any], then: Callable[[], None]
) -> tuple[str, bool]:
    """The text of a tool's result, and whether it failed. `then` is called after it in any case:
    what a tool had changed before it failed stays, and the sides are brought in line."""
    try:
        result = function(**_own(arguments))
        then()
        return render(result), False
    except InfrastructureError:
        raise
    except (Exception, SystemExit) as error:
        then()
        return f"Error: {_said(error)}", True


def _said(error: BaseException) -> str:
    """What an error says; its type, where not even that can be had."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def _shortened(text: str, failed: bool) -> tuple[str, bool]:
    if len(text) <= MAX_RESULT:
        return text, failed
    return (
        f"Error: the result has {len(text)} characters, and is not passed on: "
        f"at most {MAX_RESULT} are",
        True,
    )
