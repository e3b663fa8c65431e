from __future__ import annotations

import pytest

from tau2_gym.code.database import Answer, Kernel, Problem
from tau2_gym.domains.base import get_domain


@pytest.mark.parametrize("name", ["code", "code_session"])
def test_a_world_begins_without_an_answer(name: str) -> None:
    world = get_domain(name).sides.agent.database.fields
    assert (world["answer"], world["answer"].given) == (Answer(), False)
    assert world["answer"].passed == []
    assert world.get("kernel", Kernel()).cells == []


def test_what_a_problem_is_if_nothing_else_is_said() -> None:
    problem = Problem()
    assert (problem.kind, problem.expected, problem.call, problem.tests) == (
        *("mathematics", "", ""),
        [],
    )
    assert problem.seconds == 5.0
