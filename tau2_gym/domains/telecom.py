"""What both sources of the telecom domain share: how its policy is laid out, and what its tools need
changed."""

from __future__ import annotations

import hashlib
from types import FunctionType
from typing import Any

from tau2_gym.domains.toolkit import rebind


def laid_out(policy: str, manual: str) -> str:
    """The policy as agents are given it: its main part and the manual of technical support."""
    return (
        f"<main_policy>\n{policy}\n</main_policy>\n"
        f"<tech_support_policy>\n{manual}\n</tech_support_policy>"
    )


class BillIds:
    """Stands in for the module `uuid` where a new bill is named, so that episodes repeat exactly.

    The names differ between a played world and the expected one, as random ones do in tau2-bench:
    a refuelled line's database never equals the expected one there.
    """

    def __init__(self, salt: str, number: int) -> None:
        self.hex = hashlib.sha256(f"{salt}:{number}".encode()).hexdigest()

    def uuid4(self) -> BillIds:
        """The next identifier, of which tools use `hex`."""
        return self


def repeatable_charge(charge: FunctionType) -> FunctionType:
    """The tool that puts a charge on the next bill, naming a new bill in a repeatable way."""

    def _apply_one_time_charge(self: Any, *args: Any, **kwargs: Any) -> None:
        ids = BillIds(self.salt, len(self.db.bills))
        rebind(charge, charge.__qualname__, {"uuid": ids})(self, *args, **kwargs)

    return _apply_one_time_charge  # type: ignore[return-value]


def default_vpn_details(self: Any) -> Any:
    """The phone's VPN profile. In tau2-bench all phones of a process share one, which stays slow
    for all once a task has broken it; here every episode has its own."""
    return self.db.default_vpn_details
