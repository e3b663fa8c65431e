from __future__ import annotations

import pytest

from tau2_gym.errors import ConfigError, DataError, Tau2GymError, UserFault, one_of


def test_a_value_outside_a_set_is_named_with_the_set() -> None:
    error = one_of("colour", "red", ["green", "blue"])
    assert isinstance(error, ConfigError)
    assert str(error) == "unknown colour 'red'; allowed: blue, green"


@pytest.mark.parametrize("kind", [ConfigError, DataError])
def test_bad_input_can_be_caught_as_one(kind: type[Exception]) -> None:
    assert issubclass(kind, Tau2GymError)
    assert issubclass(kind, ValueError)


def test_a_users_fault_is_no_bad_input() -> None:
    assert not issubclass(UserFault, Tau2GymError)
