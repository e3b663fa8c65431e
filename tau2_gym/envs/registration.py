"""The ids of all environments."""

from __future__ import annotations

from tau2_gym.domains import DOMAINS
from tau2_gym.domains.registry import SHIPPED
from tau2_gym.ids import add_id, add_user_id

IDS = tuple(f"tau2/{domain}-v0" for domain in DOMAINS)
"""Ids of tau2-bench's domains, for `gym.make` and `gym.make_vec`."""

ANY = "tau2/domain-v0"
"""The id of an environment whose domain is an argument: `gym.make(ANY, domain="airline")`."""


def register_all() -> None:
    """Register every environment. Called when `tau2_gym` is imported."""
    for domain, env_id in zip(DOMAINS, IDS, strict=True):
        add_id(env_id, domain=domain)
        add_user_id(f"tau2/{domain}-user-v0", domain=domain)
    for domain in SHIPPED:
        add_id(f"tau2/{domain}-v0", domain=domain)
    add_id(ANY)
