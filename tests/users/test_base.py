from __future__ import annotations

from typing import Any

import pytest

from tau2_gym.errors import ConfigError
from tau2_gym.users import USERS, AsyncUser, User, make_user
from tests.helpers import Puppet


class Waiting:
    async def arespond(self, view: Any, seed: int) -> Any: ...


def test_a_user_is_whatever_can_respond() -> None:
    assert isinstance(Puppet(), User)
    assert make_user(Puppet()) == Puppet()
    assert not isinstance(Waiting(), User)
    assert isinstance(Waiting(), AsyncUser)


@pytest.mark.parametrize("user", ["", "Scripted", "parrot", "replay"])
def test_an_unknown_name_is_refused_naming_the_known_ones(user: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown user '{user}'; allowed: ") as caught:
        make_user(user)
    assert all(name in str(caught.value) for name in USERS)


@pytest.mark.parametrize("user", [None, 3, Waiting(), object()])
def test_what_cannot_respond_is_no_user(user: Any) -> None:
    with pytest.raises(ConfigError, match=f"not {type(user).__name__}"):
        make_user(user)
