"""Φ turn by turn, reconstructed from a run's ledger and its partial score at the end."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from tau2_gym.domains.registry import DomainSpec, spec_of
from tau2_gym.rewards import ALPHA, default_alpha

TOLERANCE = 1e-6
"""How far beyond [0, 1] rounding may take Φ."""


def alpha_of(domain: str) -> float | None:
    """The weight of the partial score in a domain; None for one that is not known in this process."""
    spec = spec_of(domain)
    known = spec.domain if spec is not None and not isinstance(spec, DomainSpec) else domain
    return default_alpha(domain) if isinstance(spec, DomainSpec) or known in ALPHA else None


def potentials(row: dict[str, Any]) -> list[float] | None:
    """Φ before the first turn and after each. None where the ledger does not tell.

    `progress` is α·(Φ_{t+1} − Φ_t) and `potential`, undiscounted, α·(Φ_{t+1} − Φ_t) with Φ = 0 at the end: with
    the partial score at the end, either gives Φ at every turn. `sparse` and `shaped` pay only at the end. A ledger
    with another α or a discount would take Φ out of [0, 1], and is not believed.
    """
    ledgers, end = row["rewards"], float(row["partial_score"])
    alpha = alpha_of(row["domain"])
    if not ledgers or not alpha or row["num_turns"] != len(ledgers):
        return None
    if all("progress" in ledger for ledger in ledgers):
        changes = [ledger["progress"] / alpha for ledger in ledgers]
    elif all("potential" in ledger for ledger in ledgers):
        changes = [ledger["potential"] / alpha for ledger in ledgers]
        if row["fault"] is None:  # The last amount is α·(0 − Φ).
            changes[-1] += end
    else:
        return None
    start = end - sum(changes)
    found = list(accumulate(changes, initial=start))
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in found):
        return None
    return [round(min(max(value, 0.0), 1.0), 6) for value in found]
