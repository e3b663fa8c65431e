"""Fixtures of all tests, and a last look at the databases when they are done."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec

import pytest
from gymnasium.envs.registration import registry as gym_registry
from hypothesis import HealthCheck, settings

from tau2_gym.domains import DOMAINS, registry
from tau2_gym.domains.base import Domain, get_domain, load_domain

if "TAU2_DATA_DIR" in os.environ and find_spec("tau2") is not None:
    with suppress(ImportError):  # there is another package of that name
        import tau2.utils.utils  # noqa: F401  reads the variable, for tests against tau2-bench itself

# The tests know the data that come with the default source.
os.environ.pop("TAU2_DATA_DIR", None)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has one core's worth of threads; torch would start as many as there are cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("repeatable")


@pytest.fixture(params=DOMAINS)
def domain(request: pytest.FixtureRequest) -> Domain:
    """Each domain in turn."""
    return get_domain(request.param)


@pytest.fixture(scope="session", autouse=True)
def databases_stay_as_they_are() -> Iterator[None]:
    """Whatever the tests did, the shared databases must be as they were read."""
    yield
    if load_domain.cache_info().currsize:
        from tests.helpers import assert_pristine

        assert_pristine()


@pytest.fixture(autouse=True)
def forget_domains_from_outside() -> None:
    """What a test or an import has registered is unknown to the next test; the example, which registers
    its domain when it is imported, does so again."""
    for name in [name for name in registry._specs if name not in registry.SHIPPED]:
        del registry._specs[name]
        gym_registry.pop(f"tau2/{name}-v0", None)
    sys.modules.pop("examples.library", None)
    registry._origins.clear()


ENVIRONMENT = os.environ


@pytest.fixture(autouse=True)
def the_same_environment() -> Iterator[None]:
    """`datasets` puts a copy in the place of `os.environ` when it maps in several processes, which fixtures of a
    module do, too; Rich, and all who have looked before, go on reading the original."""
    os.environ = ENVIRONMENT  # noqa: B003  the object, not what it holds
    yield
    os.environ = ENVIRONMENT  # noqa: B003


@pytest.fixture(scope="module")
def clean_heap() -> Iterator[None]:
    """For files that measure CPU time: the collector does not walk what other files have left."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
