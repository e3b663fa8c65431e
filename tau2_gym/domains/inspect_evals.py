"""tau2-bench's domains as the package `inspect-evals` publishes them: the default source.

The only module that knows that package, whose tool classes are an internal interface: hence the
exact pin in `pyproject.toml`. Its tool methods are bound to our own light objects (`toolkit.py`).
Where its rendering differs from tau2-bench's, tau2-bench's is restored here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache, wraps
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from tau2_gym.domains import mock
from tau2_gym.domains.base import Domain
from tau2_gym.domains.data import DataFolder
from tau2_gym.domains.instruction import AGENT_INSTRUCTION
from tau2_gym.domains.overlay import BaseDatabase
from tau2_gym.domains.schema import openai_schema
from tau2_gym.domains.tasks import TaskTable
from tau2_gym.domains.telecom import default_vpn_details, laid_out, repeatable_charge
from tau2_gym.domains.toolkit import Toolkit, bind
from tau2_gym.domains.world import Side, Sides
from tau2_gym.errors import DataError
from tau2_gym.types import ToolKind, ToolSpec

Model = TypeVar("Model", bound=BaseModel)

WRITES = {
    "airline": {
        "book_reservation",
        "cancel_reservation",
        "send_certificate",
        "update_reservation_baggages",
        "update_reservation_flights",
        "update_reservation_passengers",
    },
    "retail": {
        "cancel_pending_order",
        "exchange_delivered_order_items",
        "modify_pending_order_address",
        "modify_pending_order_items",
        "modify_pending_order_payment",
        "modify_user_address",
        "return_delivered_order_items",
    },
    "telecom": {
        "suspend_line",
        "resume_line",
        "send_payment_request",
        "enable_roaming",
        "disable_roaming",
        "refuel_data",
        "set_network_mode_preference",
        "toggle_airplane_mode",
        "reseat_sim_card",
        "toggle_data",
        "toggle_roaming",
        "toggle_data_saver_mode",
        "set_apn_settings",
        "reset_apn_settings",
        "toggle_wifi",
        "toggle_wifi_calling",
        "connect_vpn",
        "disconnect_vpn",
        "grant_app_permission",
        "reboot_device",
        "make_payment",
    },
}
"""The tools that change a database, which the package does not mark. All others do not."""

ADDED_EXAMPLE = re.compile(r" (?:For example|Example|JSON schema of \w+): ?\[.*", re.DOTALL)
"""What the package adds to the descriptions of some airline parameters; tau2-bench does not."""

TRUE_TO_THE_BYTE = {("retail", "policy"), ("mock", "policy_solo")}
"""The package's texts that are tau2-bench's to the last newline."""

GENERIC = {"calculate", "transfer_to_human_agents"}


def folder(name: str, data_dir: str | None) -> DataFolder:
    """A domain's files. Found without importing the package, which takes seconds."""
    spec = find_spec("inspect_evals")
    assert spec is not None
    assert spec.origin is not None
    return DataFolder(name, Path(spec.origin).parent / "tau2" / "data" / "domains", data_dir)


def load(name: str, data_dir: str | None) -> Domain:
    """Load a domain. See `tau2_gym.domains.base.get_domain`."""
    from inspect_evals.tau2 import utils

    files = folder(name, data_dir)
    tasks = TaskTable(name, files.tasks())
    sides = {"airline": _airline, "retail": _retail, "telecom": _telecom, "mock": _mock}[name](
        files
    )
    guidelines = (
        utils.USER_SIMULATOR_GUIDELINES_WITH_TOOLS
        if sides.user is not None
        else utils.USER_SIMULATOR_GUIDELINES
    )
    policy, policy_solo = _policies(name, files)
    return Domain(
        name=name,
        source=f"inspect-evals {version('inspect-evals')}",
        revision=files.revision,
        policy=policy,
        policy_solo=policy_solo,
        sides=sides,
        tasks=tasks,
        splits=files.splits(),
        # The package has an empty line there, tau2-bench has none.
        user_guidelines=guidelines.replace("\n\nRemember:", "\nRemember:"),
        agent_instruction=AGENT_INSTRUCTION,
        agent_instruction_source="tau2-gym",
        key=(name, "inspect-evals", data_dir),
    )


def _policies(name: str, folder: DataFolder) -> tuple[str, str | None]:
    if name == "telecom":
        main, solo, manual = (
            _text(folder, stem)
            for stem in ("main_policy", "main_policy_solo", "tech_support_manual")
        )
        return laid_out(main, manual), laid_out(solo, manual)
    policy = _text(folder, "policy")
    return policy, _text(folder, "policy_solo") if name == "mock" else None


def _text(folder: DataFolder, stem: str) -> str:
    """A text with tau2-bench's white space: the package ends all its files with a newline, and drops
    a space at the end of a line."""
    text = folder.text(stem)
    if folder.packaged and (folder.domain, stem) not in TRUE_TO_THE_BYTE:
        text = text.removesuffix("\n").replace("can create tasks\n", "can create tasks \n")
    return text


def _database(model: type[Model], folder: DataFolder, stem: str) -> Model:
    try:
        return model.model_validate(folder.data(stem, revision=True))
    except ValueError as error:
        raise DataError(f"{stem} of {folder.domain!r} is malformed: {error}") from error


def _specs(
    toolkit: type[Toolkit], documented: dict[str, Callable[..., Any]], domain: str
) -> dict[str, ToolSpec]:
    specs = {}
    for name, function in documented.items():
        if name in WRITES[domain]:
            kind = ToolKind.WRITE
        else:
            kind = ToolKind.GENERIC if name in GENERIC else ToolKind.READ
        if not hasattr(toolkit, name):
            raise DataError(f"{toolkit.__name__} has no function for its tool {name!r}")
        specs[name] = ToolSpec(name, kind, openai_schema(name, function))
    return specs


def _published(tools: list[Any]) -> dict[str, Callable[..., Any]]:
    """The package's tool wrappers, which carry tau2-bench's docstrings, by tool name."""
    from inspect_ai.tool import ToolDef

    instances = [make() for make in tools]
    return {ToolDef(tool).name: tool for tool in instances}


def _json_as_tau2(function: FunctionType) -> FunctionType:
    """Tools that return JSON text: lay it out as tau2-bench does, with spaces and ASCII only."""

    @wraps(function)
    def wrapper(self: Toolkit, *args: Any, **kwargs: Any) -> Any:
        result = function(self, *args, **kwargs)
        if isinstance(result, str) and result[:1] in ("{", "["):
            return json.dumps(json.loads(result))
        return result

    return wrapper  # type: ignore[return-value]


def transfer_to_human_agents(self: Toolkit, summary: str) -> str:
    """Hand the user over. Nothing happens in the world."""
    return "Transfer successful"


def calculate(self: Toolkit, expression: str) -> str:
    """The package's safe evaluator, with the messages that Python's own gives in tau2-bench."""
    from inspect_ai.tool import ToolError
    from inspect_evals.tau2.common.tools import _evaluate_arithmetic

    if not all(char in "0123456789+-*/(). " for char in expression):
        raise ValueError("Invalid characters in expression")
    try:
        return str(round(float(_evaluate_arithmetic(expression)), 2))
    except ToolError as error:
        if error.__cause__ is None:
            raise
        raise ValueError(str(error.__cause__).replace("<unknown>", "<string>")) from error


def _airline(folder: DataFolder) -> Sides:
    from inspect_evals.tau2.airline.AirlineAgentTools import AirlineAgentTools
    from inspect_evals.tau2.airline.data_model import FlightDB
    from inspect_evals.tau2.airline.tools import all_airline_tools

    toolkit = bind(
        "AirlineTools",
        AirlineAgentTools,
        extra={"calculate": calculate, "transfer_to_human_agents": transfer_to_human_agents},
        wrap=_json_as_tau2,
    )
    specs = _specs(toolkit, _published(all_airline_tools[::-1]), "airline")
    for spec in specs.values():
        for parameter in spec.parameters["properties"].values():
            parameter["description"] = ADDED_EXAMPLE.sub("", parameter["description"])
    return Sides(Side(toolkit, specs, BaseDatabase(_database(FlightDB, folder, "db"))))


def get_item_details(self: Any, item_id: str) -> Any:
    """Get the inventory details of an item.

    Args:
        item_id: The item id, such as '6086499569'. Be careful the item id is different from the product id.
    """
    for product in self.db.products.values():
        if item_id in product.variants:
            return product.variants[item_id]
    raise ValueError("Item not found")


def list_all_product_types(self: Any) -> str:
    """Names and product ids, sorted by name as tau2-bench gives them."""
    products = {product.name: product.product_id for product in self.db.products.values()}
    return json.dumps(products, sort_keys=True)


def _retail(folder: DataFolder) -> Sides:
    from inspect_evals.tau2.retail.data_model import RetailDB
    from inspect_evals.tau2.retail.RetailAgentTools import RetailAgentTools
    from inspect_evals.tau2.retail.tools import all_retail_tools

    toolkit = bind(
        "RetailTools",
        RetailAgentTools,
        extra={
            "calculate": calculate,
            "transfer_to_human_agents": transfer_to_human_agents,
            "get_item_details": get_item_details,  # came with tau2-bench 1.0
            "list_all_product_types": list_all_product_types,
        },
        wrap=_json_as_tau2,
    )
    documented: dict[str, Callable[..., Any]] = {}
    for name, tool in _published(all_retail_tools).items():
        documented[name] = tool
        if name == "get_product_details":  # which it follows in tau2-bench
            documented["get_item_details"] = get_item_details
    specs = _specs(toolkit, documented, "retail")
    return Sides(Side(toolkit, specs, BaseDatabase(_database(RetailDB, folder, "db"))))


def get_details_by_id(self: Any, id: str) -> dict[str, Any]:
    """The row of that id. The package returns it as a dict, whose numbers would become strings."""
    finders = {
        "L": self._get_line_by_id,
        "D": self._get_device_by_id,
        "B": self._get_bill_by_id,
        "C": self.get_customer_by_id,
        "P": self._get_plan_by_id,
    }
    for letter, find in finders.items():
        if id.startswith(letter):
            return find(id)  # type: ignore[no-any-return]
    raise ValueError(f"Unknown ID format or type: {id}")


@cache
def _apn_settings() -> type[BaseModel]:
    """tau2-bench rejects settings that an APN does not have; the package ignores them."""
    from inspect_evals.tau2.telecom.user_data_model import APNSettings

    members = {
        "model_config": ConfigDict(extra="forbid"),
        "__doc__": APNSettings.__doc__,
        "__module__": __name__,
    }
    return type("APNSettings", (APNSettings,), members)


def __getattr__(name: str) -> Any:
    # Where pickle looks for the class.
    if name == "APNSettings":
        return _apn_settings()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _telecom(folder: DataFolder) -> Sides:
    from inspect_evals.tau2.telecom import environment, user_data_model
    from inspect_evals.tau2.telecom.data_model import TelecomDB
    from inspect_evals.tau2.telecom.TelecomAgentTools import TelecomAgentTools
    from inspect_evals.tau2.telecom.TelecomUserTools import TelecomUserTools
    from inspect_evals.tau2.telecom.tools import all_telecom_agent_tools
    from inspect_evals.tau2.telecom.user_tools import all_telecom_user_tools

    agent = bind(
        "TelecomTools",
        TelecomAgentTools,
        extra={
            "_apply_one_time_charge": repeatable_charge(
                vars(TelecomAgentTools)["_apply_one_time_charge"]
            ),
            "get_details_by_id": get_details_by_id,
        },
    )

    user = bind(
        "TelecomUserTools",
        TelecomUserTools,
        replacements={"APNSettings": _apn_settings()},
        extra={"default_vpn_details": property(default_vpn_details)},
    )
    vpn = TelecomUserTools.model_fields["default_vpn_details"].default
    # The classes carry tau2-bench's docstrings here, the wrappers edited ones.
    agent_documented = {
        name: vars(TelecomAgentTools)[name] for name in _published(all_telecom_agent_tools)
    }
    user_documented = {
        name: vars(TelecomUserTools)[name] for name in _published(all_telecom_user_tools)
    }
    agent_specs = _specs(agent, agent_documented, "telecom")
    # A line break in tau2-bench's docstring shows in its schema.
    usage = agent_specs["get_data_usage"].schema["function"]
    usage["description"] = usage["description"].replace("data refueling", "data\n\nrefueling")
    user_specs = _specs(user, user_documented, "telecom")
    definitions = user_specs["set_apn_settings"].parameters["$defs"]
    definitions["APNSettings"]["additionalProperties"] = False
    return Sides(
        Side(
            agent,
            agent_specs,
            BaseDatabase(_database(TelecomDB, folder, "db")),
        ),
        Side(
            user,
            user_specs,
            BaseDatabase(
                _database(user_data_model.TelecomUserDB, folder, "user_db"),
                hidden={"default_vpn_details": vpn},
            ),
        ),
        sync=vars(environment.Environment)["sync_tools"],
    )


def _mock(folder: DataFolder) -> Sides:
    def side(name: str, source: Any, database: BaseModel) -> Side:
        specs = {
            tool: ToolSpec(tool, kind, openai_schema(tool, getattr(source, tool)))
            for tool, kind in source.KINDS.items()
        }
        return Side(bind(name, source), specs, BaseDatabase(database))

    # The package ships no inbox: an empty one then.
    inbox = mock.MockUserDB()
    if folder.has("user_db"):
        inbox = _database(mock.MockUserDB, folder, "user_db")
    return Sides(
        side("MockTools", mock.MockTools, _database(mock.MockDB, folder, "db")),
        side("MockUserTools", mock.MockUserTools, inbox),
    )
