"""tau2-bench's domains from its own package, when that is installed: source `tau2`.

The package is not on PyPI (the `tau2` there computes magnetic relaxation). Its classes are bound
and its data read like those of the default source, so that all rules are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FunctionType
from typing import Any

from tau2_gym.domains.base import Domain
from tau2_gym.domains.data import DataFolder
from tau2_gym.domains.inspect_evals import calculate
from tau2_gym.domains.overlay import BaseDatabase
from tau2_gym.domains.schema import openai_schema
from tau2_gym.domains.tasks import TaskTable
from tau2_gym.domains.telecom import default_vpn_details, laid_out, repeatable_charge
from tau2_gym.domains.toolkit import bind
from tau2_gym.domains.world import Side, Sides
from tau2_gym.errors import ConfigError, DataError
from tau2_gym.types import ToolKind, ToolSpec

HOW_TO_INSTALL = (
    "source 'tau2' needs tau2-bench's own package (Python 3.12 or newer): pip install "
    "'tau2 @ git+https://github.com/sierra-research/tau2-bench@v1.0.1', and TAU2_DATA_DIR set to "
    "its data folder. The package called tau2 on PyPI is another one"
)


@dataclass(frozen=True, slots=True)
class Classes:
    """Where a domain keeps one side's tools and database, and the file the latter comes from."""

    tools: tuple[str, str]
    database: tuple[str, str]
    stem: str


AGENT = {
    "airline": Classes(("tools", "AirlineTools"), ("data_model", "FlightDB"), "db"),
    "retail": Classes(("tools", "RetailTools"), ("data_model", "RetailDB"), "db"),
    "telecom": Classes(("tools", "TelecomTools"), ("data_model", "TelecomDB"), "db"),
    "mock": Classes(("tools", "MockTools"), ("data_model", "MockDB"), "db"),
}
USER = {
    "telecom": Classes(
        ("user_tools", "TelecomUserTools"), ("user_data_model", "TelecomUserDB"), "user_db"
    ),
    "mock": Classes(("user_tools", "MockUserTools"), ("user_data_model", "MockUserDB"), "user_db"),
}


def folder(name: str, data_dir: str | None) -> DataFolder:
    """A domain's files.

    Raises:
        ConfigError: tau2-bench's package is not installed.
    """
    try:
        root = Path(import_module("tau2.utils.utils").DATA_DIR)
    except ImportError as error:
        raise ConfigError(f"{HOW_TO_INSTALL} ({error})") from error
    return DataFolder(name, root / "tau2" / "domains", data_dir)


def load(name: str, data_dir: str | None) -> Domain:
    """Load a domain. See `tau2_gym.domains.base.get_domain`.

    Raises:
        ConfigError: tau2-bench's package is not installed.
    """
    files = folder(name, data_dir)
    try:
        instruction = import_module("tau2.agent.llm_agent").AGENT_INSTRUCTION
        guidelines = import_module("tau2.user.user_simulator").get_global_user_sim_guidelines
    except ImportError as error:
        raise ConfigError(f"{HOW_TO_INSTALL} ({error})") from error
    sides = Sides(
        _side(name, AGENT[name], files),
        _side(name, USER[name], files) if name in USER else None,
        sync=_sync(name),
    )
    tasks = TaskTable(name, files.tasks())
    policy, policy_solo = _policies(name, files)
    return Domain(
        name=name,
        source=f"tau2 {_version()}",
        revision=files.revision,
        policy=policy,
        policy_solo=policy_solo,
        sides=sides,
        tasks=tasks,
        splits=files.splits(),
        user_guidelines=guidelines(use_tools=sides.user is not None),
        agent_instruction=instruction,
        agent_instruction_source="tau2",
        key=(name, "tau2", data_dir),
    )


def _version() -> str:
    try:
        return version("tau2")
    except PackageNotFoundError:
        return "(not installed, found on the path)"


def _policies(name: str, folder: DataFolder) -> tuple[str, str | None]:
    if name == "telecom":
        main, solo, manual = (
            folder.text(stem) for stem in ("main_policy", "main_policy_solo", "tech_support_manual")
        )
        return laid_out(main, manual), laid_out(solo, manual)
    return folder.text("policy"), folder.text("policy_solo") if name == "mock" else None


def _member(domain: str, place: tuple[str, str]) -> Any:
    module, name = place
    return getattr(import_module(f"tau2.domains.{domain}.{module}"), name)


def _side(domain: str, classes: Classes, folder: DataFolder) -> Side:
    source = _member(domain, classes.tools)
    extra: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    if "_apply_one_time_charge" in vars(source):
        extra["_apply_one_time_charge"] = repeatable_charge(vars(source)["_apply_one_time_charge"])
    if "calculate" in vars(source):  # which evaluates whatever takes its time, 9**9**9**9 say
        extra["calculate"] = calculate
    if hasattr(source, "default_vpn_details"):
        extra["default_vpn_details"] = property(default_vpn_details)
        pristine = source.default_vpn_details.model_copy(deep=True)
        hidden["default_vpn_details"] = pristine
    toolkit = bind(
        source.__name__,
        source,
        # The tools report to the terminal through loguru, at every call.
        replacements={"logger": logging.getLogger("tau2")},
        extra=extra,
    )
    model = _member(domain, classes.database)
    try:
        database = model.model_validate(folder.data(classes.stem, revision=True))
    except ValueError as error:
        raise DataError(f"{classes.stem} of {domain!r} is malformed: {error}") from error
    return Side(toolkit, _specs(source), BaseDatabase(database, hidden))


def _specs(source: type) -> Mapping[str, ToolSpec]:
    return {
        name: ToolSpec(name, _kind(function), openai_schema(name, function))
        for name, function in vars(source).items()
        if isinstance(function, FunctionType) and getattr(function, "__tool__", False)
    }


def _kind(function: Any) -> ToolKind:
    """What evaluation replays is what changes the world, whatever a tool is classified as."""
    if function.__mutates_state__:
        return ToolKind.WRITE
    kind = ToolKind(function.__tool_type__.value)
    return ToolKind.GENERIC if kind is ToolKind.WRITE else kind


def _sync(domain: str) -> Any:
    if domain != "telecom":
        return None
    return vars(_member(domain, ("environment", "TelecomEnvironment")))["sync_tools"]
