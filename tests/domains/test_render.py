from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from tau2_gym.domains.render import render


class Bill(BaseModel):
    total: float
    due: date
    paid: bool = False


BILL = Bill(total=2.0, due=date(2025, 2, 25))
DUMPED = '{"total": 2.0, "due": "2025-02-25", "paid": false}'


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        ('{"a": 1}', '{"a": 1}'),
        ("", ""),
        (None, "null"),
        (2.0, '"2.0"'),
        (True, '"True"'),
        ([1, False, None, "x"], '["1", "False", null, "x"]'),
        ((1,), '["1"]'),
        ({"gb": 2.0, "in": {"n": 3}}, '{"gb": "2.0", "in": {"n": "3"}}'),
        (date(2025, 2, 25), '"2025-02-25"'),
        (BILL, DUMPED),
        ([BILL, 1], f'[{DUMPED}, "1"]'),
        ({"bill": BILL}, f'{{"bill": {DUMPED}}}'),
    ],
)
def test_numbers_become_strings_outside_of_models_only(result: Any, text: str) -> None:
    assert render(result) == text


@pytest.mark.filterwarnings("error")
def test_a_model_is_dumped_as_it_is_even_where_a_tool_has_put_in_something_else() -> None:
    bill = BILL.model_copy(update={"total": "two"})
    assert render(bill) == DUMPED.replace("2.0", '"two"')


def test_what_has_no_such_form_is_an_error() -> None:
    with pytest.raises(ValueError, match="Unsupported type"):
        render([object()])
